package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"caddyshack/pxe"
)

// completeDHCP fills in what depends on who gives the addresses.
func (c *Config) completeDHCP() {
	d := &c.DHCP
	orDefault(&d.Mode, string(pxe.AddressesElsewhere))
	if d.Guests == nil {
		const guests = 8
		n := guests
		d.Guests = &n
	}
	if d.LeaseTime.Duration == 0 {
		d.LeaseTime.Duration = 24 * time.Hour
	}
	if d.ProbeInterval.Duration == 0 {
		d.ProbeInterval.Duration = 5 * time.Minute
	}
	if pxe.AddressMode(d.Mode) == pxe.AddressesDnsmasq {
		orDefault(&d.DnsmasqHosts, "/etc/caddyshack/dnsmasq.hosts")
		orDefault(&d.DnsmasqOptions, "/etc/caddyshack/dnsmasq.options")
		orDefault(&d.DnsmasqPID, "/run/dnsmasq/dnsmasq.pid")
	}
}

// hears tells whether this program hears the DHCP requests of the Pis.
func (d *DHCPConfig) hears() bool {
	return d.Mode == string(pxe.AddressesServer) || d.Mode == string(pxe.AddressesProxy)
}

func (c *Config) checkDHCP() error {
	d := &c.DHCP
	mode := pxe.AddressMode(d.Mode)
	switch mode {
	case pxe.AddressesElsewhere, pxe.AddressesDnsmasq:
	case pxe.AddressesServer, pxe.AddressesProxy:
		switch {
		case !c.has(roleBoot):
			return bad("dhcp.mode", "%q needs the role boot in this process; leave [dhcp] to the process that has it", d.Mode)
		case d.Interface == "" && d.Listen == "":
			return bad("dhcp.interface", "must name the interface of the Pis' network, for example \"eth1\" (`ip -br addr` lists them): DHCP is served there and nowhere else")
		case d.Interface != "" && d.Listen != "":
			return bad("dhcp.listen", "is for simulated Pis, which have no interface: leave out interface or listen")
		case d.Listen != "" && mode == pxe.AddressesProxy:
			return bad("dhcp.listen", "a proxy needs an interface, on which the other server is")
		}
		if d.Listen != "" {
			if err := checkListen("dhcp.listen", d.Listen); err != nil {
				return err
			}
			if beyondLoopback(d.Listen) {
				return bad("dhcp.listen", "%s is not on loopback: it is for simulated Pis only; name the interface of real ones with dhcp.interface", d.Listen)
			}
		}
		if a, err := netip.ParseAddr(c.Boot.Address); err != nil || !a.Is4() {
			return bad("boot.address", "%q is not an IPv4 address, and a Pi boots over IPv4 only", c.Boot.Address)
		}
	default:
		return bad("dhcp.mode", "%q is not known; use \"off\", \"server\", \"proxy\" or \"dnsmasq\"", d.Mode)
	}
	return c.checkAddresses()
}

// checkAddresses checks what is given as addresses.
func (c *Config) checkAddresses() error {
	d := &c.DHCP
	subnet, err := d.subnet()
	if err != nil {
		return err
	}
	first, last, err := d.bounds()
	if err != nil {
		return err
	}
	if first.IsValid() && subnet.IsValid() && (!subnet.Contains(first) || !subnet.Contains(last)) {
		return bad("dhcp.range", "%s is not in the network %s", d.Range, subnet)
	}
	if d.Router != "" {
		if a, err := netip.ParseAddr(d.Router); err != nil || !a.Is4() {
			return bad("dhcp.router", "%q is not an IPv4 address", d.Router)
		}
	}
	for _, s := range d.DNS {
		if a, err := netip.ParseAddr(s); err != nil || !a.Is4() {
			return bad("dhcp.dns", "%q is not an IPv4 address", s)
		}
	}
	if *d.Guests < 0 {
		return bad("dhcp.guests", "%d: use 0 for none", *d.Guests)
	}
	return nil
}

// subnet is the configured network, or the zero value.
func (d *DHCPConfig) subnet() (netip.Prefix, error) {
	if d.Subnet == "" {
		return netip.Prefix{}, nil
	}
	p, err := netip.ParsePrefix(d.Subnet)
	if err != nil || !p.Addr().Is4() {
		return p, bad("dhcp.subnet", "%q is not an IPv4 network like \"192.168.77.0/24\"", d.Subnet)
	}
	return p.Masked(), nil
}

// bounds are the first and the last address of the range; zero values = none.
func (d *DHCPConfig) bounds() (first, last netip.Addr, err error) {
	if d.Range == "" {
		return first, last, nil
	}
	a, b, ok := strings.Cut(d.Range, "-")
	first, err = netip.ParseAddr(strings.TrimSpace(a))
	last, lerr := netip.ParseAddr(strings.TrimSpace(b))
	if !ok || err != nil || lerr != nil || !first.Is4() || !last.Is4() || last.Less(first) {
		return first, last, bad("dhcp.range", "%q is not FIRST-LAST, for example \"192.168.77.100-192.168.77.199\"", d.Range)
	}
	return first, last, nil
}

// interfaceWith finds the interface of this machine that has an address, and
// the network there.
func interfaceWith(a netip.Addr) (name string, subnet netip.Prefix, err error) {
	list, err := net.Interfaces()
	if err != nil {
		return "", subnet, fmt.Errorf("listing the network interfaces: %w", err)
	}
	for _, i := range list {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, x := range addrs {
			p, err := netip.ParsePrefix(x.String())
			if err == nil && p.Addr().Unmap() == a {
				return i.Name, p.Masked(), nil
			}
		}
	}
	return "", subnet, nil
}
