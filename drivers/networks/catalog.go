package networks

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"caddyshack/baremetal"
	"caddyshack/drivers/switches"
)

// Network is a VLAN with a name.
type Network struct {
	// Name is what people call it: "blue".
	Name string
	// VLAN is its id, 1 to 4094.
	VLAN int
	// Server is this controller's address in the network, from which the nodes
	// in it boot, with the network's prefix; the zero value = nothing boots there.
	Server netip.Prefix
	// Purposes are the kinds of networks it serves as for nodes that say nothing
	// else; none = it is for tenants.
	Purposes []baremetal.NetworkKind
	// Isolated networks are for nodes that boot from it for good (NativeBoot) and
	// that share it: their ports cannot send to each other. One that is not
	// isolated is the boot network of one node.
	Isolated bool
	// Routed: what nodes in it send to other networks is forwarded on purpose, by
	// who keeps them apart himself.
	Routed bool
}

// NativeBoot is the purpose of networks that nodes boot from for good, without
// tags, while their tenants' networks are tagged (driver_info.boot_network).
// There may be many of them.
const NativeBoot baremetal.NetworkKind = "boot"

// Purposes are the kinds that a network can be configured for.
func Purposes() []baremetal.NetworkKind {
	return []baremetal.NetworkKind{baremetal.ProvisioningNetwork, baremetal.CleaningNetwork, baremetal.RescuingNetwork,
		baremetal.InspectionNetwork, baremetal.ServicingNetwork, NativeBoot}
}

// Catalog is all networks of the configuration. It does not change.
type Catalog struct {
	all    []Network
	byName map[string]*Network
	byVLAN map[int]*Network
	byKind map[baremetal.NetworkKind]*Network
}

// NewCatalog refuses networks without a usable name, and those that share a
// name, a VLAN, an address range or a purpose. The error names the network.
func NewCatalog(all []Network) (*Catalog, error) {
	c := &Catalog{all: slices.Clone(all), byName: map[string]*Network{}, byVLAN: map[int]*Network{}, byKind: map[baremetal.NetworkKind]*Network{}}
	for i := range c.all {
		n := &c.all[i]
		if err := c.add(n); err != nil {
			return nil, fmt.Errorf("network %q: %w", n.Name, err)
		}
	}
	return c, nil
}

func (c *Catalog) add(n *Network) error {
	_, number := strconv.Atoi(n.Name)
	switch {
	case !baremetal.ValidName(n.Name) || number == nil || baremetal.IsUUID(n.Name):
		return fmt.Errorf("a name is of letters, digits, hyphens, dots and underscores, and no number, which would be a VLAN")
	case c.byName[n.Name] != nil:
		return fmt.Errorf("there is another of this name")
	case n.VLAN < switches.FirstVLAN || n.VLAN > switches.LastVLAN:
		return fmt.Errorf("vlan %d cannot be: VLANs go from %d to %d", n.VLAN, switches.FirstVLAN, switches.LastVLAN)
	case c.byVLAN[n.VLAN] != nil:
		return fmt.Errorf("it has VLAN %d, as %q has: each network has its own", n.VLAN, c.byVLAN[n.VLAN].Name)
	}
	if n.Server.IsValid() {
		if a := n.Server.Addr(); !a.Is4() || a == n.Server.Masked().Addr() {
			return fmt.Errorf("address %s must be an IPv4 address of this machine with the length of the network's prefix, like \"10.20.0.1/24\"", n.Server)
		}
		for i := range c.all {
			if o := &c.all[i]; c.byName[o.Name] == o && o.Server.IsValid() && o.Server.Overlaps(n.Server) {
				return fmt.Errorf("its addresses %s are also those of %q (%s): each network has its own range", n.Server.Masked(), o.Name, o.Server.Masked())
			}
		}
	}
	if n.Isolated && !slices.Equal(n.Purposes, []baremetal.NetworkKind{NativeBoot}) {
		return fmt.Errorf("only a network with the one purpose %q can be isolated", NativeBoot)
	}
	for _, kind := range n.Purposes {
		if !slices.Contains(Purposes(), kind) {
			return fmt.Errorf("purpose %q is not known; there are %v", kind, Purposes())
		}
		if kind == NativeBoot {
			continue
		}
		if o := c.byKind[kind]; o != nil {
			return fmt.Errorf("%q is for %s already", o.Name, kind)
		}
		c.byKind[kind] = n
	}
	c.byName[n.Name], c.byVLAN[n.VLAN] = n, n
	return nil
}

// All lists the networks in the order of the configuration.
func (c *Catalog) All() []Network { return slices.Clone(c.all) }

// Resolve reads what driver_info and virtual interfaces say of a network: the
// name of one, a VLAN, or Ironic's form "access/native_vlan=100". The error is
// of kind Invalid and lists the networks.
func (c *Catalog) Resolve(text string) (switches.PortConfig, error) {
	if n := c.byName[text]; n != nil {
		return switches.Access(n.VLAN), nil
	}
	if vlan, err := strconv.Atoi(text); err == nil {
		if vlan < switches.FirstVLAN || vlan > switches.LastVLAN {
			return switches.PortConfig{}, baremetal.Errorf(baremetal.Invalid, "VLAN %d cannot be: VLANs go from %d to %d", vlan, switches.FirstVLAN, switches.LastVLAN)
		}
		return switches.Access(vlan), nil
	}
	if strings.ContainsAny(text, "/=") {
		return switches.ParseNetwork(text)
	}
	var names []string
	for _, n := range c.all {
		names = append(names, n.Name)
	}
	known := "the configuration names none"
	if names != nil {
		known = "the configuration names " + strings.Join(names, ", ")
	}
	return switches.PortConfig{}, baremetal.Errorf(baremetal.Invalid,
		"%.80q is neither a network (%s) nor a VLAN (%d to %d): write one of them, or add a [[networks]] block", text, known, switches.FirstVLAN, switches.LastVLAN)
}

// tenant is Resolve for virtual interfaces, which never get a network that is
// for something else.
func (c *Catalog) tenant(vif string) (switches.PortConfig, error) {
	config, err := c.Resolve(vif)
	if err != nil {
		return config, err
	}
	for _, id := range config.VLANs().IDs() {
		if n := c.byVLAN[id]; n != nil && len(n.Purposes) > 0 {
			return config, baremetal.Errorf(baremetal.Invalid, "VLAN %d is the network %s, which is for %v and for no tenant: attach another one", id, n.Name, n.Purposes)
		}
	}
	return config, nil
}
