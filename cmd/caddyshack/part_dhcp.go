package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"caddyshack/pxe"
	"caddyshack/pxe/bootlog"
	"caddyshack/pxe/dhcpd"
	"caddyshack/pxe/dnsmasq"
)

// addressFile keeps who has which address, below the state folder.
const addressFile = "dhcp/reservations.json"

// openAddresses opens what is known of the machines and their addresses.
func (d *daemon) openAddresses() (*pxe.Addresses, error) {
	c := &d.cfg.DHCP
	own, err := netip.ParseAddr(d.cfg.Boot.Address)
	if err != nil {
		return nil, bad("boot.address", "%q is not an address", d.cfg.Boot.Address)
	}
	mode := pxe.AddressMode(c.Mode)
	subnet, err := c.subnet()
	if err != nil {
		return nil, err
	}
	_, there, err := interfaceWith(own)
	if err != nil {
		return nil, err
	}
	if !subnet.IsValid() {
		subnet = there
	}
	cfg := dhcpd.TableConfig{
		File: filepath.Join(d.cfg.StateDir, addressFile), Subnet: subnet, Exclude: []netip.Addr{own}, Guests: *c.Guests,
		Loose: mode != pxe.AddressesServer,
	}
	if cfg.First, cfg.Last, err = c.bounds(); err != nil {
		return nil, err
	}
	if r, err := netip.ParseAddr(c.Router); err == nil {
		cfg.Exclude = append(cfg.Exclude, r)
	}
	if mode == pxe.AddressesElsewhere && c.Range == "" {
		// There is nothing to keep, and others say what goes in their network.
		cfg.File, cfg.Exclude, cfg.Subnet = "", nil, netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	switch {
	case !cfg.Subnet.IsValid():
		return nil, bad("dhcp.subnet", "no interface of this machine has boot.address %s: correct that, or set the Pis' network, for example \"192.168.77.0/24\"", own)
	case cfg.First.IsValid() && (!cfg.Subnet.Contains(cfg.First) || !cfg.Subnet.Contains(cfg.Last)):
		return nil, bad("dhcp.range", "%s is not in %s, the network of boot.address", c.Range, cfg.Subnet)
	}
	if cfg.File != "" {
		if err := os.MkdirAll(filepath.Dir(cfg.File), 0o750); err != nil {
			return nil, fmt.Errorf("making the folder of addresses: %w", err)
		}
	}
	table, err := dhcpd.OpenTable(cfg)
	if err != nil {
		return nil, err
	}
	a := &pxe.Addresses{Mode: mode, Table: table}
	if mode == pxe.AddressesDnsmasq {
		files := c.dnsmasq(own)
		a.Changed = func(_ context.Context, list []dhcpd.Reservation) error { return files.Write(list) }
		if err := files.Write(table.List()); err != nil {
			d.log.Warn("dnsmasq is told the addresses later", "err", err)
		}
	}
	return a, nil
}

// dnsmasq are the files of a dnsmasq, of which it is told.
func (d *DHCPConfig) dnsmasq(tftp netip.Addr) *dnsmasq.Files {
	return &dnsmasq.Files{Hosts: d.DnsmasqHosts, Options: d.DnsmasqOptions, PIDFile: d.DnsmasqPID, TFTP: tftp}
}

// dhcpDir keeps the reservations in networks of their own, below the state folder.
const dhcpDir = "dhcp/networks"

// openOwnAddresses opens what is known of the machines in networks of their own.
func (d *daemon) openOwnAddresses() (map[netip.Addr]*pxe.Addresses, error) {
	dir := filepath.Join(d.cfg.StateDir, dhcpDir)
	own := map[netip.Addr]*pxe.Addresses{}
	for i := range d.cfg.Networks {
		n := &d.cfg.Networks[i]
		if n.Address == "" {
			continue
		}
		server, err := netip.ParsePrefix(n.Address)
		if err != nil {
			return nil, err // check has looked
		}
		cfg, err := n.table(server, dir)
		if err != nil {
			return nil, err
		}
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return nil, fmt.Errorf("making the folder of addresses: %w", err)
		}
		table, err := dhcpd.OpenTable(cfg)
		if err != nil {
			return nil, fmt.Errorf("network %q: %w", n.Name, err)
		}
		mode := pxe.AddressesElsewhere
		if n.DHCP {
			mode = pxe.AddressesServer
		}
		own[server.Addr()] = &pxe.Addresses{Mode: mode, Table: table}
	}
	return own, nil
}

// openOwnDHCP binds a DHCP server in each network of its own that has one; all
// at once, since each looks for other servers first, for seconds.
func (d *daemon) openOwnDHCP(ctx context.Context) error {
	if d.boot == nil {
		return nil
	}
	servers := make([]*dhcpd.Server, len(d.cfg.Networks))
	g, gctx := errgroup.WithContext(ctx)
	for i := range d.cfg.Networks {
		if n := &d.cfg.Networks[i]; n.DHCP {
			g.Go(func() (err error) {
				servers[i], err = d.listenOwnDHCP(gctx, n)
				return err
			})
		}
	}
	err := g.Wait()
	for _, s := range servers {
		if s != nil {
			d.dhcp = append(d.dhcp, s)
			d.onClose(s.Close)
		}
	}
	return err
}

func (d *daemon) listenOwnDHCP(ctx context.Context, n *NetworkConfig) (*dhcpd.Server, error) {
	server, err := netip.ParsePrefix(n.Address)
	if err != nil {
		return nil, err // check has looked
	}
	name, _, err := interfaceWith(server.Addr())
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, bad("networks.address", "network %q: no interface of this machine has the address %s (`ip -br addr` lists them)", n.Name, server.Addr())
	}
	c := &d.cfg.DHCP
	s, err := dhcpd.Listen(ctx, dhcpd.Config{Interface: name, Mode: dhcpd.Full,
		Given:    dhcpd.Given{Server: server.Addr(), Subnet: server.Masked(), Lease: c.LeaseTime.Duration},
		Machines: d.boot.service.Own[server.Addr()].Table, Force: c.Force, ProbeEvery: c.ProbeInterval.Duration,
		OnEvent: d.dhcpEvent, Log: d.log.With("part", "dhcp", "network", n.Name)})
	if err != nil {
		return nil, fmt.Errorf("network %q: %w", n.Name, err)
	}
	return s, nil
}

// openDHCP binds the DHCP servers that this process has.
func (d *daemon) openDHCP(ctx context.Context) error {
	if err := d.openOwnDHCP(ctx); err != nil {
		return err
	}
	c := &d.cfg.DHCP
	mode := pxe.AddressMode(c.Mode)
	if d.boot == nil || mode != pxe.AddressesServer && mode != pxe.AddressesProxy {
		return nil
	}
	own, err := netip.ParseAddr(d.cfg.Boot.Address)
	if err != nil {
		return bad("boot.address", "%q is not an address", d.cfg.Boot.Address)
	}
	name, subnet, err := interfaceWith(own)
	if err != nil {
		return err
	}
	if c.Interface != "" && name != c.Interface {
		return bad("dhcp.interface", "%s does not have boot.address %s (it is on %q): name the interface that has it (`ip -br addr` lists them)", c.Interface, own, name)
	}
	if s, err := c.subnet(); err == nil && s.IsValid() {
		subnet = s
	}
	cfg := dhcpd.Config{
		Interface: c.Interface, Listen: c.Listen, Mode: map[pxe.AddressMode]dhcpd.Mode{pxe.AddressesServer: dhcpd.Full, pxe.AddressesProxy: dhcpd.Proxy}[mode],
		Given:    dhcpd.Given{Server: own, Subnet: subnet, Lease: c.LeaseTime.Duration},
		Machines: d.boot.service.Addresses.Table, Force: c.Force, ProbeEvery: c.ProbeInterval.Duration,
		OnEvent: d.dhcpEvent, Log: d.log.With("part", "dhcp"),
	}
	if a, err := netip.ParseAddr(c.Router); err == nil {
		cfg.Given.Router = a
	}
	for _, s := range c.DNS {
		if a, err := netip.ParseAddr(s); err == nil {
			cfg.Given.DNS = append(cfg.Given.DNS, a)
		}
	}
	s, err := dhcpd.Listen(ctx, cfg)
	if err != nil {
		return err
	}
	d.dhcp = append(d.dhcp, s)
	d.onClose(s.Close)
	return nil
}

// runDHCP serves all DHCP servers of this process.
func (d *daemon) runDHCP(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, s := range d.dhcp {
		g.Go(func() error { return s.Serve(gctx) })
	}
	return g.Wait()
}

// dhcpEvent enters what a DHCP server reports into the boot log and the
// sightings.
func (d *daemon) dhcpEvent(e dhcpd.Event) {
	d.dhcpEvents.WithLabelValues(string(e.Kind)).Inc()
	if b, ok := bootlog.FromDHCP(e); ok {
		d.boot.log.Record(b)
	}
	d.boot.service.HearDHCP(e)
	if e.ID == "" && e.Boot {
		d.machinesDue() // it may have been registered since we looked
	}
}

// machinesDue has the machines looked through soon.
func (d *daemon) machinesDue() {
	select {
	case d.due <- struct{}{}:
	default: // it is going to be done anyway
	}
}

// dhcpAddr is where simulated Pis ask for their addresses, "" if there is no such place.
func (d *daemon) dhcpAddr() string {
	for _, s := range d.dhcp {
		if d.cfg.DHCP.Listen != "" {
			return s.Addr().String()
		}
	}
	return ""
}
