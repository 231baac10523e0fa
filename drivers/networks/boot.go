package networks

import (
	"net/netip"

	"caddyshack/baremetal"
	"caddyshack/drivers"
	"caddyshack/drivers/switches"
)

// BootServer implements nfsroot.Networks: it is this controller's address in
// the network that the node's first port that boots is in without tags, or will
// be once it is deployed; in rescue it is that for rescue.
func (d *Driver) BootServer(t *drivers.Task) (netip.Prefix, error) {
	if t.Node.Interfaces["network"] != Name {
		return netip.Prefix{}, nil
	}
	kind := t.Node.Network().Kind
	if kind != baremetal.TenantNetwork && kind != baremetal.ProvisioningNetwork && kind != baremetal.RescuingNetwork {
		kind = d.InstanceNetwork(t)
	}
	for i := range t.Ports {
		p := &t.Ports[i]
		if !p.PXEEnabled {
			continue
		}
		config, err := d.Wanted(&t.Node, p, kind)
		if err != nil {
			return netip.Prefix{}, err
		}
		return d.serverFor(&t.Node, p, config)
	}
	return netip.Prefix{}, nil // the boot interface says that there is no such port
}

func (d *Driver) serverFor(node *baremetal.Node, p *baremetal.Port, config switches.PortConfig) (netip.Prefix, error) {
	if config.NativeVLAN == 0 {
		return netip.Prefix{}, baremetal.Errorf(baremetal.Invalid, "port %s of node %s is in no network from which it could boot: attach one "+
			"(openstack baremetal node vif attach %s NETWORK), or configure a network for provisioning", p.UUID, node.UUID, node.UUID)
	}
	n := d.Catalog.byVLAN[config.NativeVLAN]
	if n == nil || !n.Server.IsValid() {
		return netip.Prefix{}, baremetal.Errorf(baremetal.Invalid, "node %s would boot in VLAN %d, where this controller has no address: "+
			"give it one, and name it as the address of a [[networks]] block with that vlan", node.UUID, config.NativeVLAN)
	}
	return n.Server, nil
}
