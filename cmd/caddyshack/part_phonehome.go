package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"caddyshack/pxe"
	"caddyshack/pxe/phonehome"
)

// phoneHome is where systems tell that they are up.
type phoneHome struct {
	listener net.Listener
	server   *http.Server
}

// openPhoneHome binds the address where systems tell that they are up, and
// tells the boot service how they get there.
func (d *daemon) openPhoneHome(b *bootPart, tokensDir string) error {
	tokens, err := phonehome.Open(tokensDir)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", d.cfg.Boot.PhoneHomeListen) //nolint:noctx // binding does not block
	if err != nil {
		return fmt.Errorf("listening for systems that are up at %s: %w; set boot.address to an address of this machine, or choose another with boot.phone_home_listen", d.cfg.Boot.PhoneHomeListen, err)
	}
	d.onClose(func() error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	at, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		return err
	}
	b.service.Tokens = tokens
	address, err := netip.ParseAddr(d.cfg.Boot.Address)
	if err != nil {
		return bad("boot.address", "%q is not an address", d.cfg.Boot.Address)
	}
	b.service.PhoneHome = "http://" + netip.AddrPortFrom(address, at.Port()).String()
	if at.Addr().IsUnspecified() {
		b.service.PhoneHomePort = at.Port()
	}
	b.home = phoneHome{listener: l, server: phonehome.Server(phonehome.Handler(tokens, d.phonedHome, d.log.With("part", "phone-home")))}
	return nil
}

// phonedHome notes a system that is up.
func (d *daemon) phonedHome(ctx context.Context, nodeID string) error {
	if err := d.boot.service.Seen(ctx, nodeID, pxe.SignHome); err != nil {
		return err
	}
	go d.wake(nodeID)
	return nil
}

func (p phoneHome) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = p.server.Close() })
	defer stop()
	if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
