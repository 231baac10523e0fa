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
	"caddyshack/pxe/remote"
)

// bootOffer serves this process's boot service to conductors elsewhere.
type bootOffer struct {
	listener net.Listener
	server   *http.Server
}

// bootService is this process's, or the twin of another's.
func (d *daemon) bootService() (nfsroot.BootService, error) {
	if d.boot != nil {
		return d.boot.service, nil
	}
	secret, err := readSecret(d.cfg.Boot.TokenFile)
	if err != nil {
		return nil, err
	}
	return &remote.Client{URL: d.cfg.Boot.Remote, Secret: secret}, nil
}

// openBootOffer binds the address where conductors elsewhere reach the boot service.
func (d *daemon) openBootOffer(context.Context) error {
	if d.boot == nil || d.cfg.Boot.Serve == "" {
		return nil
	}
	secret, err := readSecret(d.cfg.Boot.TokenFile)
	if err != nil {
		return err
	}
	handler, err := remote.Handler(d.boot.service, secret)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", d.cfg.Boot.Serve) //nolint:noctx // binding does not block
	if err != nil {
		return fmt.Errorf("offering the boot service at %s: %w; choose another address with boot.serve", d.cfg.Boot.Serve, err)
	}
	d.onClose(func() error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	// Unpacking a root may take minutes: only the header has a deadline.
	d.offer = &bootOffer{listener: l, server: &http.Server{Handler: remote.Guard(withMetrics(handler, d.metrics), secret), ReadHeaderTimeout: 10 * time.Second}}
	return nil
}

func (d *daemon) serveOffer(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = d.offer.server.Close() })
	defer stop()
	if err := d.offer.server.Serve(d.offer.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// readSecret reads a file that others must not be able to read.
func readSecret(path string) (string, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("reading boot.token_file: %w; make one with `openssl rand -hex 32 > %s`", err, path)
	}
	if fi.Mode().Perm()&0o007 != 0 {
		return "", fmt.Errorf("boot.token_file %s can be read by everybody: run chmod 640 on it", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading boot.token_file: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	const shortest = 16
	if len(secret) < shortest {
		return "", fmt.Errorf("boot.token_file %s holds %d characters, at least %d are needed: make one with `openssl rand -hex 32`", path, len(secret), shortest)
	}
	return secret, nil
}
