package main

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
)

// certificate is the API's TLS certificate, which SIGHUP reads anew, so that a
// renewed one needs no restart.
type certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

// openCertificate reads the files of api.tls_cert and api.tls_key; nil if TLS is off.
func openCertificate(c APIConfig) (*certificate, error) {
	if c.TLSCert == "" {
		return nil, nil //nolint:nilnil // no certificate is no error
	}
	cert := &certificate{certFile: c.TLSCert, keyFile: c.TLSKey}
	return cert, cert.reload()
}

// reload reads the files; on an error the certificate stays what it was.
func (c *certificate) reload() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("reading the TLS certificate: %w; check api.tls_cert and api.tls_key", err)
	}
	c.current.Store(&pair)
	return nil
}

// config is for a server that shows the certificate.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return c.current.Load(), nil
	}}
}
