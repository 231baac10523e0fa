package conductor

import (
	"context"
	"fmt"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// CreateNode fills what the caller left out and stores the node.
func (c *Conductor) CreateNode(ctx context.Context, who Caller, n *baremetal.Node) error {
	if n.UUID == "" {
		n.UUID = baremetal.NewUUID()
	}
	if n.ProvisionState == "" {
		n.ProvisionState = baremetal.Enroll
	}
	if err := c.SetInterfaces(n); err != nil {
		return err
	}
	if err := c.knownGroup(n); err != nil {
		return err
	}
	n.Work.HardwareKey = c.hardwareKey(n)
	Caller{}.asks(&n.Work.Intent)
	if err := c.Store.CreateNode(ctx, n); err != nil {
		return err
	}
	c.Log.Info("node created", "node", n.UUID, "name", n.Name, "driver", n.Driver, "request_id", who.RequestID)
	c.lookAtPower(*n)
	return nil
}

// knownGroup refuses a conductor group that nobody serves.
func (c *Conductor) knownGroup(n *baremetal.Node) error {
	if n.ConductorGroup == c.Group {
		return nil
	}
	c.mu.Lock()
	peers := c.peers
	c.mu.Unlock()
	for _, p := range peers {
		if p.ConductorGroup == n.ConductorGroup {
			return nil
		}
	}
	return baremetal.Errorf(baremetal.Invalid,
		"No valid host was found. Reason: No conductor service registered which supports driver %s for conductor group %q.", n.Driver, n.ConductorGroup)
}

// SetInterfaces fills the node's empty interface fields and checks the others.
func (c *Conductor) SetInterfaces(n *baremetal.Node) error { return c.Registry.SetDefaults(n) }

func (c *Conductor) hardwareKey(n *baremetal.Node) string {
	impl, err := c.Registry.Interface(n, "power")
	if err != nil {
		return ""
	}
	if k, ok := impl.(drivers.Keyed); ok {
		return k.HardwareKey(n)
	}
	return ""
}

// UpdateNode applies change under the lock rules.
func (c *Conductor) UpdateNode(ctx context.Context, who Caller, ident string, change func(*baremetal.Node) error) (baremetal.Node, error) {
	newKey := false
	n, err := c.whenFree(ctx, ident, func(n *baremetal.Node, _ time.Time) error {
		driver, group := n.Driver, n.ConductorGroup
		if err := change(n); err != nil {
			return err
		}
		if n.InstanceUUID == "" {
			n.AllocationUUID = "" // the allocation ends with its instance
		}
		if err := c.SetInterfaces(n); err != nil {
			return err
		}
		if driver != n.Driver || group != n.ConductorGroup {
			if err := c.knownGroup(n); err != nil {
				return err
			}
		}
		key := c.hardwareKey(n)
		newKey = key != n.Work.HardwareKey
		if newKey {
			n.Work.HardwareKey, n.Work.ObservedBoot, n.Work.ObservedSeq = key, 0, 0
		}
		return nil
	})
	if err == nil {
		c.Log.Debug("node updated", "node", n.UUID, "request_id", who.RequestID)
		if newKey {
			c.lookAtPower(n)
		}
	}
	return n, err
}

// lookAtPower reads the power of a node whose device became known, without
// keeping the caller waiting; from then on the device reports by itself.
func (c *Conductor) lookAtPower(n baremetal.Node) {
	if n.Work.HardwareKey == "" || c.room() != nil {
		return
	}
	c.mu.Lock()
	base := c.base
	c.workers.Add(1)
	c.mu.Unlock()
	go func() {
		defer c.workers.Done()
		ctx, cancel := context.WithTimeout(base, 10*time.Second)
		defer cancel()
		impl, err := drivers.As[drivers.Power](c.Registry, &n, "power", "power")
		if err != nil {
			return
		}
		state, err := impl.PowerState(ctx, c.readTask(ctx, n))
		if err != nil {
			c.Log.Info("power of a new node is not known yet", "node", n.UUID, "err", err)
			return
		}
		set := false
		after, err := c.Store.UpdateNode(ctx, n.UUID, func(n *baremetal.Node) error {
			set = n.PowerState == baremetal.PowerUnknown && n.Work.Intent.Idle() // else somebody knows better by now
			if set {
				n.PowerState = state
			}
			return nil
		})
		switch {
		case err == nil && set:
			c.seen(ctx, &after, baremetal.SeverityInfo, "power", fmt.Sprintf("Power state changed from unknown to %s: first look", state))
		case err != nil && ctx.Err() == nil:
			c.Log.Warn("recording the power of a new node failed", "node", n.UUID, "err", err)
		}
	}()
}

var deletable = map[baremetal.ProvisionState]bool{
	baremetal.Enroll: true, baremetal.Manageable: true, baremetal.AdoptFailed: true, baremetal.Available: true,
}

// DeleteNode removes a node; one whose machine lives on a root here loses the root first.
func (c *Conductor) DeleteNode(ctx context.Context, who Caller, ident string) error {
	n, err := c.Store.Node(ctx, ident)
	if err != nil {
		return err
	}
	if err := checkDelete(&n); err != nil {
		return err
	}
	if err := c.childless(ctx, &n); err != nil {
		return err
	}
	if err := c.takeDown(ctx, n); err != nil {
		return err
	}
	giveUp := time.Now().Add(c.LockWait)
	for {
		freed := c.freed()
		now, err := c.Store.Now(ctx)
		if err != nil {
			return err
		}
		err = c.Store.DeleteNode(ctx, n.UUID, func(n *baremetal.Node) error {
			if n.Locked(now) {
				return lockedError(n)
			}
			return checkDelete(n)
		})
		if !baremetal.IsKind(err, baremetal.Locked) || time.Now().After(giveUp) {
			if err == nil {
				c.Log.Info("node deleted", "node", n.UUID, "name", n.Name, "request_id", who.RequestID)
			}
			return err
		}
		select {
		case <-freed:
		case <-time.After(otherProcessPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// takeDown ends what a node has at its place: its console, and the root of a
// node that is deleted in maintenance without a teardown.
func (c *Conductor) takeDown(ctx context.Context, n baremetal.Node) error {
	deploy, err := drivers.As[drivers.Deploy](c.Registry, &n, "deploy", "deploy")
	rooted := err == nil && holdsRoot(deploy) && n.Work.Place != ""
	if !rooted && !n.ConsoleEnabled {
		return nil
	}
	return c.borrow(ctx, n.UUID, func(ctx context.Context, w *work) error {
		t, err := w.task(ctx)
		if err != nil {
			return err
		}
		if w.node.ConsoleEnabled {
			if con, err := drivers.As[drivers.Console](c.Registry, &w.node, "console", "console"); err == nil {
				if err := con.StopConsole(ctx, t); err != nil {
					w.log.Warn("stopping the console of a deleted node failed", "err", err)
				}
			}
		}
		if rooted {
			if _, err := deploy.TearDown(ctx, t); err != nil {
				return baremetal.Errorf(baremetal.Conflict, "Node %s cannot be deleted yet: removing its root failed: %w", n.UUID, err)
			}
		}
		return nil
	})
}

func checkDelete(n *baremetal.Node) error {
	switch {
	case n.Protected:
		return baremetal.Errorf(baremetal.Forbidden, "Node %s is protected and can not be undeployed, rebuilt or deleted. Unset protected first.", n.UUID)
	case n.Maintenance:
		return nil
	case n.InstanceUUID != "":
		return baremetal.Errorf(baremetal.Conflict, "Node %s is associated with instance %s.", n.UUID, n.InstanceUUID)
	case !deletable[n.ProvisionState]:
		return baremetal.Errorf(baremetal.Conflict,
			"Can not delete node \"%s\" while it is in provision state \"%s\". Valid provision states to perform deletion are: \"available\", \"manageable\", \"enroll\", \"adopt failed\".",
			n.UUID, n.ProvisionState)
	}
	return nil
}

// SetMaintenance sets or clears maintenance; clearing also clears reason and fault.
func (c *Conductor) SetMaintenance(ctx context.Context, who Caller, ident string, on bool, reason string) error {
	n, err := c.whenFree(ctx, ident, func(n *baremetal.Node, _ time.Time) error {
		n.Maintenance, n.MaintenanceReason = on, reason
		if !on {
			n.MaintenanceReason, n.Fault = "", ""
		}
		return nil
	})
	if err == nil {
		c.Log.Info("maintenance set", "node", n.UUID, "maintenance", on, "reason", reason, "request_id", who.RequestID)
	}
	return err
}

// CreatePort stores a port of an existing node.
func (c *Conductor) CreatePort(ctx context.Context, _ Caller, p *baremetal.Port) error {
	if p.UUID == "" {
		p.UUID = baremetal.NewUUID()
	}
	if _, err := c.whenFree(ctx, p.NodeUUID, func(*baremetal.Node, time.Time) error { return nil }); err != nil {
		return err
	}
	return c.Store.CreatePort(ctx, p)
}

// UpdatePort applies change to a port of a node that nobody works on.
func (c *Conductor) UpdatePort(ctx context.Context, _ Caller, ident string, change func(p *baremetal.Port, n *baremetal.Node) error) (baremetal.Port, error) {
	var out baremetal.Port
	err := c.whenNodeFree(ctx, func(free func(*baremetal.Node) error) (err error) {
		out, err = c.Store.UpdatePort(ctx, ident, func(p *baremetal.Port, n *baremetal.Node) error {
			if err := free(n); err != nil {
				return err
			}
			return change(p, n)
		})
		return err
	})
	return out, err
}

// DeletePort removes a port that carries no VIF (or whose node is in maintenance).
func (c *Conductor) DeletePort(ctx context.Context, _ Caller, ident string) error {
	return c.whenNodeFree(ctx, func(free func(*baremetal.Node) error) error {
		return c.Store.DeletePort(ctx, ident, func(p *baremetal.Port, n *baremetal.Node) error {
			if err := free(n); err != nil {
				return err
			}
			if vif := p.InternalInfo.Str("tenant_vif_port_id"); vif != "" && !n.Maintenance {
				return baremetal.Errorf(baremetal.Conflict, "Cannot delete the port %s as there is a VIF %s attached to it; detach it first.", p.UUID, vif)
			}
			return nil
		})
	})
}

// whenNodeFree tries until the node of a resource is not locked, up to LockWait.
func (c *Conductor) whenNodeFree(ctx context.Context, try func(free func(*baremetal.Node) error) error) error {
	giveUp := time.Now().Add(c.LockWait)
	for {
		freed := c.freed()
		now, err := c.Store.Now(ctx)
		if err != nil {
			return err
		}
		err = try(func(n *baremetal.Node) error {
			if n.Locked(now) {
				return lockedError(n)
			}
			return nil
		})
		if !baremetal.IsKind(err, baremetal.Locked) || time.Now().After(giveUp) {
			return err
		}
		select {
		case <-freed:
		case <-time.After(otherProcessPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
