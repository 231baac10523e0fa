package main

import (
	"context"
	"fmt"
	"path/filepath"

	"caddyshack/drivers/console"
	"caddyshack/pxe"
	"caddyshack/web"
)

// openConsoles binds the web terminal.
func (d *daemon) openConsoles(ctx context.Context) error {
	if !d.cfg.has(roleConsole) {
		return nil
	}
	c := d.cfg.Console
	s := &console.Service{
		Addr: c.Listen, PublicURL: c.PublicURL, BindHost: c.BindHost, PortMin: c.PortMin, PortMax: c.PortMax,
		Control: d.apart, Insecure: c.Insecure, StateDir: filepath.Join(d.cfg.StateDir, "consoles"), Pages: web.Dist(), PagesVersion: web.Version(), Logger: d.log.With("part", "console"),
	}
	if d.cfg.has(roleConductor) {
		s.OnPrompt = d.sawPrompt
	}
	if d.cert != nil {
		s.TLS = d.cert.config()
	}
	if err := s.Listen(ctx); err != nil {
		return fmt.Errorf("%w; choose another address with console.listen", err)
	}
	d.consoles = s
	d.onClose(s.Close)
	return nil
}

// sawPrompt notes a system that asks for a login on its serial console.
func (d *daemon) sawPrompt(nodeID string) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), wakeTimeout)
		defer cancel()
		if err := d.service.Seen(ctx, nodeID, pxe.SignLogin); err != nil {
			d.log.Warn("noting a login prompt failed", "node", nodeID, "err", err)
			return
		}
		d.wake(nodeID)
	}()
}
