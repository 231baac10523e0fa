package main

import (
	"context"
	"fmt"
	"path/filepath"

	"caddyshack/drivers/console"
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
		Insecure: c.Insecure, StateDir: filepath.Join(d.cfg.StateDir, "consoles"), Pages: web.Dist(), PagesVersion: web.Version(), Logger: d.log.With("part", "console"),
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
