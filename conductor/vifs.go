package conductor

import (
	"context"
	"sort"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// VIFRequest is POST vifs: a virtual interface, and the port or port group it
// shall go to, "" = whichever is free.
type VIFRequest struct {
	ID, PortUUID, PortgroupUUID string
}

// socket is a port or a port group that can carry a virtual interface.
type socket struct {
	drivers.VIF // its ID is the one attached, "" if it is free
}

func (s *socket) uuid() string {
	if s.Port != nil {
		return s.Port.UUID
	}
	return s.Portgroup.UUID
}

// sockets lists what of a node can carry virtual interfaces, the preferred
// first: port groups with ports before ports outside of groups, those that
// boot before others. A port within a group carries one only by itself being
// asked for.
func (c *Conductor) sockets(ctx context.Context, node string) (all []socket, inGroups []socket, err error) {
	ports, err := c.Store.Ports(ctx, baremetal.PortQuery{NodeUUID: &node})
	if err != nil {
		return nil, nil, err
	}
	groups, err := c.Store.Portgroups().List(ctx, baremetal.Query{NodeUUID: &node})
	if err != nil {
		return nil, nil, err
	}
	type group struct{ ports, booting, used int }
	members := map[string]*group{}
	for i := range ports {
		p := &ports[i]
		s := socket{drivers.VIF{ID: p.InternalInfo.Str(baremetal.TenantVIF), Port: p}}
		if p.PortgroupUUID == "" {
			all = append(all, s)
			continue
		}
		g := members[p.PortgroupUUID]
		if g == nil {
			g = &group{}
			members[p.PortgroupUUID] = g
		}
		g.ports++
		if p.PXEEnabled {
			g.booting++
		}
		if s.ID != "" {
			g.used++
		}
		inGroups = append(inGroups, s)
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Port.PXEEnabled && !all[j].Port.PXEEnabled })
	var before []socket
	for i := range groups {
		s := socket{drivers.VIF{ID: groups[i].InternalInfo.Str(baremetal.TenantVIF), Portgroup: &groups[i]}}
		if g := members[groups[i].UUID]; s.ID == "" && (g == nil || g.used > 0) {
			continue // empty, or one of its ports is on its own
		}
		before = append(before, s)
	}
	boots := func(s socket) bool { g := members[s.Portgroup.UUID]; return g != nil && g.booting > 0 }
	sort.SliceStable(before, func(i, j int) bool { return boots(before[i]) && !boots(before[j]) })
	return append(before, all...), inGroups, nil
}

// VIFs lists the virtual interfaces attached to the node.
func (c *Conductor) VIFs(ctx context.Context, ident string) ([]string, error) {
	n, err := c.Store.Node(ctx, ident)
	if err != nil {
		return nil, err
	}
	impl, err := c.Registry.Interface(&n, "network")
	if err != nil {
		return nil, err
	}
	if _, keeps := impl.(drivers.VIFs); !keeps {
		return nil, nil
	}
	free, grouped, err := c.sockets(ctx, n.UUID)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, s := range append(free, grouped...) {
		if s.ID != "" {
			ids = append(ids, s.ID)
		}
	}
	return ids, nil
}

// withVIFs runs use under a claim on the node, unless its network keeps no virtual interfaces.
func (c *Conductor) withVIFs(ctx context.Context, ident string, use func(ctx context.Context, w *work, t *drivers.Task, network drivers.VIFs) error) error {
	n, err := c.Store.Node(ctx, ident)
	if err != nil {
		return err
	}
	impl, err := c.Registry.Interface(&n, "network")
	if err != nil {
		return err
	}
	if _, keeps := impl.(drivers.VIFs); !keeps {
		_, err = c.whenFree(ctx, ident, func(*baremetal.Node, time.Time) error { return nil })
		return err
	}
	return c.borrow(ctx, ident, func(ctx context.Context, w *work) error {
		network, err := drivers.As[drivers.VIFs](c.Registry, &w.node, "network", "virtual interfaces")
		if err != nil {
			return err
		}
		t, err := w.task(ctx)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, c.PowerTimeout)
		defer cancel()
		return use(ctx, w, t, network)
	})
}

// AttachVIF attaches a virtual interface: kind Conflict if it is attached
// already, Invalid if no port is free for it.
func (c *Conductor) AttachVIF(ctx context.Context, _ Caller, ident string, r VIFRequest) error {
	return c.withVIFs(ctx, ident, func(ctx context.Context, w *work, t *drivers.Task, network drivers.VIFs) error {
		free, grouped, err := c.sockets(ctx, w.node.UUID)
		if err != nil {
			return err
		}
		chosen, err := chooseSocket(&w.node, free, grouped, r)
		if err != nil {
			return err
		}
		v := drivers.VIF{ID: r.ID, Port: chosen.Port, Portgroup: chosen.Portgroup}
		return w.changeVIF(ctx, t, network, v, true)
	})
}

// changeVIF attaches or detaches a virtual interface of a port that was chosen.
func (w *work) changeVIF(ctx context.Context, t *drivers.Task, network drivers.VIFs, v drivers.VIF, attach bool) error {
	change, is := network.AttachVIF, v.ID
	if !attach {
		change, is = network.DetachVIF, ""
	}
	if err := change(ctx, t, v); err != nil {
		return err
	}
	if m, moves := network.(drivers.NetworkMover); moves && movesNow(&w.node) {
		return w.switchVIF(ctx, m, t, v, attach)
	}
	return w.noteVIF(ctx, v, is)
}

// chooseSocket finds the first free one that the request allows.
func chooseSocket(n *baremetal.Node, free, grouped []socket, r VIFRequest) (*socket, error) {
	all := append(free, grouped...)
	for i := range all {
		if all[i].ID == r.ID {
			return nil, baremetal.Errorf(baremetal.Conflict, "Unable to attach VIF because VIF %s is already attached to Ironic Port %s", r.ID, all[i].uuid())
		}
	}
	wanted := first(r.PortUUID, r.PortgroupUUID)
	if wanted == "" {
		all = free
	}
	known := false
	for i := range all {
		s := &all[i]
		if wanted != "" {
			if s.uuid() != wanted || (s.Port != nil) != (r.PortUUID != "") {
				continue
			}
			known = true
		}
		if s.ID == "" {
			return s, nil
		}
	}
	if wanted != "" && !known {
		return nil, baremetal.Errorf(baremetal.Invalid, "Unable to attach VIF %s: node %s has no usable port or port group %s.", r.ID, n.UUID, wanted)
	}
	return nil, baremetal.Errorf(baremetal.Invalid, "Unable to attach VIF %s, not enough free physical ports.", r.ID)
}

// DetachVIF detaches a virtual interface; kind Invalid if it is not attached.
func (c *Conductor) DetachVIF(ctx context.Context, _ Caller, ident, vif string) error {
	return c.withVIFs(ctx, ident, func(ctx context.Context, w *work, t *drivers.Task, network drivers.VIFs) error {
		free, grouped, err := c.sockets(ctx, w.node.UUID)
		if err != nil {
			return err
		}
		for _, s := range append(free, grouped...) {
			if s.ID == vif {
				return w.changeVIF(ctx, t, network, s.VIF, false)
			}
		}
		return baremetal.Errorf(baremetal.Invalid, "Unable to detach VIF %s from node %s because it is not attached to it.", vif, w.node.UUID)
	})
}

// detachAll detaches whatever is attached to a node that is torn down.
func (w *work) detachAll(ctx context.Context, t *drivers.Task) error {
	free, grouped, err := w.c.sockets(ctx, w.node.UUID)
	if err != nil {
		return err
	}
	impl, err := w.c.Registry.Interface(&w.node, "network")
	if err != nil {
		return err
	}
	network, keeps := impl.(drivers.VIFs)
	for _, s := range append(free, grouped...) {
		if s.ID == "" {
			continue
		}
		if keeps {
			if err := network.DetachVIF(ctx, t, s.VIF); err != nil {
				return err
			}
		}
		if err := w.noteVIF(ctx, s.VIF, ""); err != nil {
			return err
		}
	}
	return nil
}

// noteVIF keeps what is attached to a port or port group, under the claim.
func (w *work) noteVIF(ctx context.Context, v drivers.VIF, id string) error {
	note := func(info *baremetal.Object, n *baremetal.Node) error {
		if n.Work.ClaimEpoch != w.claim.epoch || n.Work.ClaimOwner == "" {
			return errClaimLost
		}
		if id == "" {
			*info = info.Without(baremetal.TenantVIF)
		} else {
			*info = info.With(baremetal.TenantVIF, id)
		}
		return nil
	}
	if v.Port != nil {
		_, err := w.c.Store.UpdatePort(ctx, v.Port.UUID, func(p *baremetal.Port, n *baremetal.Node) error { return note(&p.InternalInfo, n) })
		return err
	}
	_, err := w.c.Store.Portgroups().Update(ctx, v.Portgroup.UUID, func(p *baremetal.Portgroup, n *baremetal.Node) error {
		return note(&p.InternalInfo, n)
	})
	return err
}
