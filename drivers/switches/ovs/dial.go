package ovs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// Config says which bridge of which Open vSwitch.
type Config struct {
	// Address of the database: unix:PATH, tcp:HOST:PORT, ssl:HOST:PORT.
	Address string
	// Bridge is the name of the bridge.
	Bridge string
	// ControlSocket of ovs-vswitchd on this machine; "" = the one beside a
	// database with a unix: address, if it is there. Without one, each change
	// waits as long as Open vSwitch may take to forget old flows.
	ControlSocket string
	// Certificate, PrivateKey and CACertificate are PEM files, for ssl: only.
	Certificate, PrivateKey, CACertificate string
}

// Check tells what is wrong with the configuration, if anything.
func (c Config) Check() error {
	scheme, rest, _ := strings.Cut(c.Address, ":")
	switch scheme {
	case "unix":
		if rest == "" {
			return errors.New("unix: needs the path of the database's socket, for example \"unix:/var/run/openvswitch/db.sock\"")
		}
	case "tcp", "ssl":
		if _, _, err := net.SplitHostPort(rest); err != nil {
			return fmt.Errorf("%q is not %s:HOST:PORT, for example \"%s:192.0.2.7:6640\"", c.Address, scheme, scheme)
		}
	default:
		return fmt.Errorf("%q is not the address of a database: write unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT", c.Address)
	}
	if c.Bridge == "" {
		return errors.New("the name of the bridge is needed, for example \"br0\"")
	}
	if scheme == "ssl" {
		if c.Certificate == "" || c.PrivateKey == "" || c.CACertificate == "" {
			return errors.New("ssl: needs certificate, private_key and ca_certificate")
		}
	}
	return nil
}

func (c Config) dial(ctx context.Context) (net.Conn, error) {
	scheme, rest, _ := strings.Cut(c.Address, ":")
	var d net.Dialer
	if scheme == "unix" {
		return d.DialContext(ctx, "unix", rest)
	}
	if scheme == "tcp" {
		return d.DialContext(ctx, "tcp", rest)
	}
	pair, err := tls.LoadX509KeyPair(c.Certificate, c.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("reading certificate and private_key: %w", err)
	}
	pem, err := os.ReadFile(c.CACertificate)
	if err != nil {
		return nil, fmt.Errorf("reading ca_certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_certificate %q holds no certificate", c.CACertificate)
	}
	// Open vSwitch's own tools make certificates without host names: what
	// counts is that our authority has signed it.
	conf := &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, // in favour of VerifyConnection
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return errors.New("the database shows no certificate")
			}
			between := x509.NewCertPool()
			for _, c := range s.PeerCertificates[1:] {
				between.AddCert(c)
			}
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
			if err != nil {
				return fmt.Errorf("the database's certificate is not one of the authority in ca_certificate %q: %w", c.CACertificate, err)
			}
			return nil
		},
	}
	return (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", rest)
}
