package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"caddyshack/drivers/nfsroot"
	"caddyshack/pxe"
	"caddyshack/pxe/remote"
)

// offer serves a part of this process to other processes.
type offer struct {
	listener        net.Listener
	server          *http.Server
	tlsCert, tlsKey string // "" = no TLS
}

// offerConfig describes an offer; the keys are those of the configuration.
type offerConfig struct {
	what                string
	key, listen         string
	tokenKey, tokenFile string
	tlsCert, tlsKey     string
	handler             func(secret string) (http.Handler, error)
}

// openOffer binds the address of an offer.
func (d *daemon) openOffer(c offerConfig) (*offer, error) {
	secret, err := readSecret(c.tokenKey, c.tokenFile)
	if err != nil {
		return nil, err
	}
	handler, err := c.handler(secret)
	if err != nil {
		return nil, err
	}
	l, err := d.listen("tcp", c.listen)
	if err != nil {
		return nil, fmt.Errorf("offering %s at %s: %w; choose another address with %s", c.what, c.listen, err, c.key)
	}
	d.onClose(func() error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	// Unpacking a root may take minutes: only the header has a deadline.
	return &offer{l, &http.Server{Handler: remote.Guard(withMetrics(handler, d.metrics), secret), ReadHeaderTimeout: 10 * time.Second}, c.tlsCert, c.tlsKey}, nil
}

// serve answers until ctx ends.
func (o *offer) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = o.server.Close() })
	defer stop()
	var err error
	if o.tlsCert != "" {
		err = o.server.ServeTLS(o.listener, o.tlsCert, o.tlsKey)
	} else {
		err = o.server.Serve(o.listener)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// bootService is what conductors use of a boot service.
type bootService interface {
	nfsroot.BootService
	Seen(ctx context.Context, nodeID string, sign pxe.Sign) error
	SyncMachines(ctx context.Context, list []pxe.Machine) (pxe.SyncAnswer, error)
	Notices(ctx context.Context, after uint64) ([]pxe.Notice, error)
	Sightings(ctx context.Context, since time.Time) ([]pxe.Sighting, error)
}

// bootService is this process's, or the twin of another's.
func (d *daemon) bootService() (bootService, error) {
	if d.boot != nil {
		return d.boot.service, nil
	}
	secret, err := readSecret("boot.token_file", d.cfg.Boot.TokenFile)
	if err != nil {
		return nil, err
	}
	return &remote.Client{URL: d.cfg.Boot.Remote, Secret: secret, HTTP: &http.Client{Transport: remote.NewTransport()}}, nil
}

// openBootOffer binds the address where conductors elsewhere reach the boot service.
func (d *daemon) openBootOffer(context.Context) error {
	if d.boot == nil || d.cfg.Boot.Serve == "" {
		return nil
	}
	var err error
	d.offer, err = d.openOffer(offerConfig{
		what: "the boot service", key: "boot.serve", listen: d.cfg.Boot.Serve, tokenKey: "boot.token_file", tokenFile: d.cfg.Boot.TokenFile,
		handler: func(secret string) (http.Handler, error) { return remote.Handler(d.boot.service, secret) },
	})
	return err
}

// readSecret reads a file that others must not be able to read; key is what
// names it in the configuration.
func readSecret(key, path string) (string, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w; make one with `openssl rand -hex 32 > %s`", key, err, path)
	}
	if fi.Mode().Perm()&0o007 != 0 {
		return "", fmt.Errorf("%s %s can be read by everybody: run chmod 640 on it", key, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", key, err)
	}
	secret := strings.TrimSpace(string(text))
	const shortest = 16
	if len(secret) < shortest {
		return "", fmt.Errorf("%s %s holds %d characters, at least %d are needed: make one with `openssl rand -hex 32`", key, path, len(secret), shortest)
	}
	return secret, nil
}
