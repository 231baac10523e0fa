package main

import (
	"net/netip"
	"path/filepath"
	"strings"

	"caddyshack/baremetal"
	"caddyshack/drivers/networks"
	"caddyshack/drivers/switches"
	"caddyshack/drivers/switches/linuxbridge"
	"caddyshack/drivers/switches/ovs"
	"caddyshack/pxe"
	"caddyshack/pxe/dhcpd"
)

// NetworkConfig is a VLAN with a name.
type NetworkConfig struct {
	Name     string   `toml:"name"`
	VLAN     int      `toml:"vlan"`
	Address  string   `toml:"address"`
	Purposes []string `toml:"purposes"`
	Isolated bool     `toml:"isolated"`
	Routed   bool     `toml:"routed"`
	DHCP     bool     `toml:"dhcp"`
	Range    string   `toml:"dhcp_range"`
}

// table is what is known of the machines in the network, and of their addresses.
func (n *NetworkConfig) table(server netip.Prefix, dir string) (dhcpd.TableConfig, error) {
	cfg := dhcpd.TableConfig{Subnet: server.Masked(), Exclude: []netip.Addr{server.Addr()}}
	if n.DHCP {
		cfg.File = filepath.Join(dir, n.Name+".json")
	}
	if n.Range == "" {
		return cfg, nil
	}
	d := DHCPConfig{Range: n.Range}
	var err error
	if cfg.First, cfg.Last, err = d.bounds(); err != nil || !server.Contains(cfg.First) || !server.Contains(cfg.Last) {
		return cfg, bad("networks.dhcp_range", "network %q: %q is not FIRST-LAST in %s", n.Name, n.Range, server.Masked())
	}
	return cfg, nil
}

// SwitchConfig is one switch.
type SwitchConfig struct {
	ID         string           `toml:"id"`
	Name       string           `toml:"name"`
	Kind       string           `toml:"kind"`
	Uplinks    []string         `toml:"uplinks"`
	Management []string         `toml:"management"`
	Allowed    switches.VLANSet `toml:"allowed_vlans"`
	IdleVLAN   int              `toml:"idle_vlan"`
	// RepairDrift: nil = true.
	RepairDrift *bool `toml:"repair_drift"`

	Bridge        string `toml:"bridge"`
	OVSDB         string `toml:"ovsdb"`
	ControlSocket string `toml:"control_socket"`
	Certificate   string `toml:"certificate"`
	PrivateKey    string `toml:"private_key"`
	CACertificate string `toml:"ca_certificate"`
}

// The kinds of switches.
const (
	kindOVS    = "openvswitch"
	kindBridge = "linux-bridge"
)

func (c *Config) completeNetworks() {
	for i := range c.Switches {
		if s := &c.Switches[i]; s.Kind == kindOVS {
			orDefault(&s.OVSDB, "unix:/var/run/openvswitch/db.sock")
		}
	}
}

func (s *SwitchConfig) ovs() ovs.Config {
	return ovs.Config{Address: s.OVSDB, Bridge: s.Bridge, ControlSocket: s.ControlSocket,
		Certificate: s.Certificate, PrivateKey: s.PrivateKey, CACertificate: s.CACertificate}
}

// backend makes what speaks to the switch; it does not connect yet.
func (s *SwitchConfig) backend() (switches.Backend, error) {
	switch s.Kind {
	case kindOVS:
		if err := s.ovs().Check(); err != nil {
			return nil, bad("switches.ovsdb", "switch %q: %v", s.ID, err)
		}
		return ovs.New(s.ovs()), nil
	case kindBridge:
		if s.Bridge == "" {
			return nil, bad("switches.bridge", "switch %q: name the bridge of this machine, for example \"br0\"", s.ID)
		}
		return linuxbridge.New(s.Bridge)
	case "":
		return nil, bad("switches.kind", "switch %q needs a kind: %q or %q", s.ID, kindOVS, kindBridge)
	}
	return nil, bad("switches.kind", "switch %q: %q is not known; use %q or %q", s.ID, s.Kind, kindOVS, kindBridge)
}

// fleet makes the switches of the configuration; it connects to none yet.
func (c *Config) fleet() (*switches.Fleet, error) {
	var all []*switches.Switch
	for i := range c.Switches {
		s := &c.Switches[i]
		if len(s.Uplinks) == 0 {
			return nil, bad("switches.uplinks", "switch %q: name the ports that lead to this controller and to other switches; they are never touched", s.ID)
		}
		b, err := s.backend()
		if err != nil {
			return nil, err
		}
		sw, err := switches.New(switches.Config{ID: s.ID, Name: s.Name, Uplinks: s.Uplinks, Management: s.Management,
			Allowed: s.Allowed, IdleVLAN: s.IdleVLAN, ReportOnly: s.RepairDrift != nil && !*s.RepairDrift}, b)
		if err != nil {
			return nil, bad("switches.id", "%v", err)
		}
		all = append(all, sw)
	}
	fleet, err := switches.NewFleet(all...)
	if err != nil {
		return nil, bad("switches.id", "%v", err)
	}
	return fleet, nil
}

// catalog is the networks of the configuration.
func (c *Config) catalog() (*networks.Catalog, error) {
	var all []networks.Network
	for _, n := range c.Networks {
		out := networks.Network{Name: n.Name, VLAN: n.VLAN, Isolated: n.Isolated, Routed: n.Routed}
		for _, p := range n.Purposes {
			out.Purposes = append(out.Purposes, baremetal.NetworkKind(p))
		}
		if n.Address != "" {
			var err error
			if out.Server, err = netip.ParsePrefix(n.Address); err != nil {
				return nil, bad("networks.address", "network %q: %q is not an address with the length of its network, like \"10.20.0.1/24\"", n.Name, n.Address)
			}
			if _, err := n.table(out.Server, ""); err != nil {
				return nil, err
			}
		} else if n.DHCP || n.Range != "" {
			return nil, bad("networks.address", "network %q: DHCP needs the address of this machine in it", n.Name)
		}
		all = append(all, out)
	}
	catalog, err := networks.NewCatalog(all)
	if err != nil {
		return nil, bad("networks.name", "%v", err)
	}
	return catalog, nil
}

// bootNetworks are the networks in which this controller has an address.
func (c *Config) bootNetworks() []networks.Network {
	catalog, err := c.catalog()
	if err != nil {
		return nil // check has said so
	}
	var all []networks.Network
	for _, n := range catalog.All() {
		if n.Server.IsValid() {
			all = append(all, n)
		}
	}
	return all
}

// ownNetworks are the addresses of this controller in them.
func (c *Config) ownNetworks() pxe.Networks {
	var own pxe.Networks
	for _, n := range c.bootNetworks() {
		own = append(own, n.Server)
	}
	return own
}

func (c *Config) checkNetworks() error {
	if _, err := c.fleet(); err != nil {
		return err
	}
	if _, err := c.catalog(); err != nil {
		return err
	}
	boots := c.bootNetworks()
	if len(boots) == 0 {
		return nil
	}
	// Tenants reach this machine's addresses in their networks: only what boots
	// them may listen there.
	listens := [][2]string{{"api.listen", c.API.Listen}, {"console.listen", c.Console.Listen}}
	if c.Broker.URL == "" {
		listens = append(listens, [2]string{"broker.listen", c.Broker.Listen}, [2]string{"broker.tls_listen", c.Broker.TLSListen})
	}
	for _, l := range listens {
		if l[1] == "" {
			continue
		}
		if strings.HasPrefix(l[1], ":") || everywhere(l[1]) {
			return bad(l[0], "%q listens on all addresses, also on those in the networks of tenants (%s in %s): name an address of the management network",
				l[1], boots[0].Server.Addr(), boots[0].Name)
		}
		for _, n := range boots {
			if inNetwork(l[1], n.Server) {
				return bad(l[0], "%q is an address in the network %s, whose machines may only boot from this controller: name an address of the management network", l[1], n.Name)
			}
		}
	}
	return nil
}

func everywhere(listen string) bool {
	a, err := netip.ParseAddrPort(listen)
	return err == nil && a.Addr().IsUnspecified()
}

func inNetwork(listen string, p netip.Prefix) bool {
	a, err := netip.ParseAddrPort(listen)
	return err == nil && p.Contains(a.Addr().Unmap())
}
