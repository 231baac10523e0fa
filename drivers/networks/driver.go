package networks

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"caddyshack/baremetal"
	"caddyshack/drivers"
	"caddyshack/drivers/switches"
)

// Name is what the interface is called in network_interface.
const Name = "switch"

// Rows are what a Driver reads of the database.
type Rows interface {
	Node(ctx context.Context, ident string) (baremetal.Node, error)
	Nodes(ctx context.Context, q baremetal.NodeQuery, each func(*baremetal.Node) error) error
	Ports(ctx context.Context, q baremetal.PortQuery) ([]baremetal.Port, error)
}

// Driver implements drivers.NetworkMover on the switches of the configuration.
type Driver struct {
	Catalog *Catalog
	Fleet   *switches.Fleet
	Rows    Rows
}

// link is where a port is plugged in.
type link struct {
	sw   *switches.Switch
	port string
}

// link reads local_link_connection; nil if the port says nothing.
func (d *Driver) link(p *baremetal.Port) (*link, error) {
	id, port := p.LocalLinkConnection.Str("switch_id"), p.LocalLinkConnection.Str("port_id")
	if id == "" && port == "" {
		return nil, nil
	}
	sw, err := d.Fleet.Switch(id)
	if err != nil {
		return nil, baremetal.Errorf(baremetal.Invalid, "port %s: %w", p.UUID, err)
	}
	if err := sw.Validate(port, switches.Idle()); err != nil {
		return nil, baremetal.Errorf(baremetal.Invalid, "port %s: %w", p.UUID, err)
	}
	return &link{sw, port}, nil
}

// Validate checks that every port is plugged into a switch of the configuration
// that no other port claims, and that the switch may carry what the port gets.
func (d *Driver) Validate(ctx context.Context, t *drivers.Task) error {
	_, err := d.wishes(ctx, &t.Node, t.Ports, d.InstanceNetwork(t))
	return err
}

// wishes is what the node's ports shall be, by switch.
func (d *Driver) wishes(ctx context.Context, n *baremetal.Node, ports []baremetal.Port, kind baremetal.NetworkKind) (map[*switches.Switch]switches.Wanted, error) {
	all := map[*switches.Switch]switches.Wanted{}
	for i := range ports {
		p := &ports[i]
		l, err := d.link(p)
		if err != nil {
			return nil, err
		}
		if l == nil {
			if !p.PXEEnabled && p.InternalInfo.Str(baremetal.TenantVIF) == "" {
				continue // nobody wants it to be anywhere
			}
			return nil, baremetal.Errorf(baremetal.Invalid, "port %s (%s) does not say where it is plugged in: set switch_id and port_id of its "+
				"local_link_connection (openstack baremetal port set %s --local-link-connection switch_id=… --local-link-connection port_id=…)", p.UUID, p.Address, p.UUID)
		}
		config, err := d.Wanted(n, p, kind)
		if err != nil {
			return nil, err
		}
		if err := l.sw.Validate(l.port, config); err != nil {
			return nil, err
		}
		w, ok := all[l.sw]
		if !ok {
			w = switches.Wanted{Ports: map[string]switches.PortConfig{}}
			all[l.sw] = w
		}
		if _, twice := w.Ports[l.port]; twice {
			return nil, baremetal.Errorf(baremetal.Invalid, "two ports of node %s say that they are plugged into port %s of switch %s: correct their local_link_connection",
				n.UUID, l.port, l.sw.Name)
		}
		w.Ports[l.port] = config
	}
	if err := d.unclaimed(ctx, n, all); err != nil {
		return nil, err
	}
	return all, d.unshared(ctx, n, all)
}

// unshared refuses a native boot network that another node has as well, unless
// a switch keeps their ports apart: in it they would reach each other, and by
// frames with two tags each other's tenants.
func (d *Driver) unshared(ctx context.Context, n *baremetal.Node, all map[*switches.Switch]switches.Wanted) error {
	boot, err := d.Catalog.Resolve(n.DriverInfo.Str(bootNetworkKey))
	if n.DriverInfo.Str(bootNetworkKey) == "" || err != nil || d.Catalog.byVLAN[boot.NativeVLAN] == nil {
		return nil //nolint:nilerr // what is wrong with it has been said
	}
	network := d.Catalog.byVLAN[boot.NativeVLAN]
	var others []baremetal.Node
	err = d.Rows.Nodes(ctx, baremetal.NodeQuery{IncludeChildren: true}, func(o *baremetal.Node) error {
		if theirs, err := d.Catalog.Resolve(o.DriverInfo.Str(bootNetworkKey)); o.UUID != n.UUID && err == nil && theirs.NativeVLAN == boot.NativeVLAN {
			others = append(others, *o)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range others {
		if !network.Isolated {
			return baremetal.Errorf(baremetal.Invalid, "network %s is the boot network of node %s already: give each node one of its own, "+
				"or, on a switch that can isolate ports, set isolated = true for the network", network.Name, others[i].UUID)
		}
		ports, err := d.Rows.Ports(ctx, baremetal.PortQuery{NodeUUID: &others[i].UUID})
		if err != nil {
			return err
		}
		for k := range ports {
			l, err := d.link(&ports[k])
			if err != nil || l == nil || ports[k].NodeUUID != others[i].UUID || !ports[k].PXEEnabled {
				continue //nolint:nilerr // its own node's trouble
			}
			if _, same := all[l.sw]; !same {
				return baremetal.Errorf(baremetal.Invalid, "network %s is also the boot network of node %s, on switch %s: ports are isolated within one switch only; "+
					"give each switch a boot network of its own", network.Name, others[i].UUID, l.sw.Name)
			}
		}
	}
	return nil
}

// unclaimed refuses switch ports that a port of another node claims too.
func (d *Driver) unclaimed(ctx context.Context, n *baremetal.Node, all map[*switches.Switch]switches.Wanted) error {
	ports, err := d.Rows.Ports(ctx, baremetal.PortQuery{})
	if err != nil {
		return err
	}
	for i := range ports {
		p := &ports[i]
		if p.NodeUUID == n.UUID {
			continue
		}
		l, err := d.link(p)
		if err != nil || l == nil {
			continue //nolint:nilerr // its own node's trouble
		}
		if _, wanted := all[l.sw].Ports[l.port]; wanted {
			return baremetal.Errorf(baremetal.Invalid, "port %s of switch %s is also that of port %s of node %s: correct one of the two local_link_connections",
				l.port, l.sw.Name, p.UUID, p.NodeUUID)
		}
	}
	return nil
}

// InstanceNetwork implements drivers.NetworkMover.
func (d *Driver) InstanceNetwork(t *drivers.Task) baremetal.NetworkKind {
	for i := range t.Ports {
		p := &t.Ports[i]
		if !p.PXEEnabled {
			continue
		}
		if config, err := d.tenantPort(&t.Node, p); err != nil || config.Mode != switches.ModeIdle {
			return baremetal.TenantNetwork // with an error: it says so when it is used
		}
	}
	return baremetal.ProvisioningNetwork
}

// HasNetwork implements drivers.NetworkMover.
func (d *Driver) HasNetwork(t *drivers.Task, kind baremetal.NetworkKind) bool {
	if kind == baremetal.IdleNetwork || kind == baremetal.TenantNetwork {
		return true
	}
	_, found, _ := d.phase(&t.Node, kind)
	return found
}

// BootVLANs implements drivers.NetworkMover.
func (d *Driver) BootVLANs(t *drivers.Task, kind baremetal.NetworkKind) []int {
	var vlans []int
	for i := range t.Ports {
		if p := &t.Ports[i]; p.PXEEnabled {
			config, err := d.Wanted(&t.Node, p, kind)
			if err != nil {
				config = switches.Idle()
			}
			vlans = append(vlans, config.NativeVLAN)
		}
	}
	return vlans
}

// InNetwork implements drivers.NetworkMover.
func (d *Driver) InNetwork(ctx context.Context, t *drivers.Task, kind baremetal.NetworkKind) (bool, error) {
	all, err := d.wishes(ctx, &t.Node, t.Ports, kind)
	if err != nil {
		return false, err
	}
	for _, sw := range inOrder(all) {
		plan, err := sw.Plan(ctx, all[sw])
		if err != nil || !plan.Empty() {
			return false, err
		}
	}
	return true, nil
}

// MoveNetwork implements drivers.NetworkMover. What the ports shall be is read
// from the rows under the lock of each switch: whoever has lost the claim on the
// node touches nothing.
func (d *Driver) MoveNetwork(ctx context.Context, t *drivers.Task, kind baremetal.NetworkKind) error {
	all, err := d.wishes(ctx, &t.Node, t.Ports, kind)
	if err != nil {
		return err
	}
	for _, sw := range inOrder(all) {
		plan, err := sw.Settle(ctx, func(ctx context.Context) (switches.Wanted, error) {
			n, err := d.Rows.Node(ctx, t.Node.UUID)
			if err != nil {
				return switches.Wanted{}, err
			}
			if n.Work.ClaimEpoch != t.Epoch || n.Network().Kind != kind {
				return switches.Wanted{}, baremetal.Errorf(baremetal.ClaimLost, "somebody else works on node %s", n.UUID)
			}
			return all[sw], nil
		})
		if err != nil {
			return fmt.Errorf("moving port %s of switch %s to the network of kind %s: %w",
				strings.Join(slices.Sorted(maps.Keys(all[sw].Ports)), " and "), sw.Name, kind, err)
		}
		for _, line := range plan.Words() {
			t.Log.Info("network", "kind", kind, "change", line)
		}
	}
	return nil
}

// inOrder sorts switches by id, so that all moves take their locks alike.
func inOrder(all map[*switches.Switch]switches.Wanted) []*switches.Switch {
	return slices.SortedFunc(maps.Keys(all), func(a, b *switches.Switch) int {
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		}
		return 0
	})
}

// AttachVIF checks that a virtual interface names a network that the port's
// switch may carry; the move follows.
func (d *Driver) AttachVIF(_ context.Context, t *drivers.Task, v drivers.VIF) error {
	if v.Port == nil {
		return baremetal.Errorf(baremetal.Invalid, "Unable to attach VIF %s: the network interface %s does not serve port groups: name a port that is in none.", v.ID, Name)
	}
	if v.Port.PortgroupUUID != "" {
		return baremetal.Errorf(baremetal.Invalid, "Unable to attach VIF %s: port %s is in a port group, which the network interface %s does not serve.", v.ID, v.Port.UUID, Name)
	}
	l, err := d.link(v.Port)
	if err == nil && l == nil {
		err = baremetal.Errorf(baremetal.Invalid, "port %s does not say where it is plugged in: set switch_id and port_id of its local_link_connection", v.Port.UUID)
	}
	var config switches.PortConfig
	if err == nil {
		with := *v.Port
		with.InternalInfo = with.InternalInfo.With(baremetal.TenantVIF, v.ID)
		if config, err = d.tenantPort(&t.Node, &with); err == nil {
			err = l.sw.Validate(l.port, config)
		}
	}
	if err != nil {
		return baremetal.Errorf(baremetal.Invalid, "Unable to attach VIF %s: %w", v.ID, err)
	}
	return nil
}

// DetachVIF has nothing to check.
func (d *Driver) DetachVIF(context.Context, *drivers.Task, drivers.VIF) error { return nil }

// Intent is what all ports of a switch shall be, as the rows say: for the
// comparison with what it is, and for a switch that has forgotten. Ports of the
// switch that no row names are idle, unless nodes with another network interface
// are plugged in there.
func (d *Driver) Intent(ctx context.Context, id string) (switches.Wanted, error) {
	sw, err := d.Fleet.Switch(id)
	if err != nil {
		return switches.Wanted{}, err
	}
	ports, err := d.Rows.Ports(ctx, baremetal.PortQuery{})
	if err != nil {
		return switches.Wanted{}, err
	}
	byNode := map[string][]*baremetal.Port{}
	for i := range ports {
		l, err := d.link(&ports[i])
		if err != nil || l == nil || l.sw != sw {
			continue //nolint:nilerr // validate says so
		}
		byNode[ports[i].NodeUUID] = append(byNode[ports[i].NodeUUID], &ports[i])
	}
	w := switches.Wanted{Ports: map[string]switches.PortConfig{}, RestIdle: true}
	claimed := map[string]int{}
	for _, uuid := range slices.Sorted(maps.Keys(byNode)) {
		n, err := d.Rows.Node(ctx, uuid)
		if baremetal.IsKind(err, baremetal.NotFound) {
			continue // deleted since
		}
		if err != nil {
			return w, err
		}
		if n.Interfaces["network"] != Name {
			w.RestIdle = false
			continue
		}
		for _, p := range byNode[uuid] {
			l, err := d.link(p)
			if err != nil {
				return w, err
			}
			config, err := d.Wanted(&n, p, n.Network().Kind)
			if err == nil {
				err = sw.Validate(l.port, config)
			}
			if claimed[l.port]++; err != nil || claimed[l.port] > 1 {
				config = switches.Idle() // what cannot be, and what two claim, joins nothing
			}
			w.Ports[l.port] = config
		}
	}
	return w, nil
}

// Unsettled lists the nodes whose ports a crash has left between two networks.
func (d *Driver) Unsettled(ctx context.Context) ([]string, error) {
	var all []string
	err := d.Rows.Nodes(ctx, baremetal.NodeQuery{IncludeChildren: true}, func(n *baremetal.Node) error {
		if n.Interfaces["network"] == Name && n.Network().Moving {
			all = append(all, n.UUID)
		}
		return nil
	})
	return all, err
}
