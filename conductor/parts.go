package conductor

import (
	"context"

	"caddyshack/baremetal"
)

// guarded is a collection whose resources are written only while nobody works
// on their node.
type guarded[T any] struct {
	baremetal.Collection[T]
	c *Conductor
	// mayChange and mayDelete are the rules of the kind; nil allows all.
	mayChange, mayDelete func(*T, *baremetal.Node) error
}

// Portgroups are the port groups, under the lock rules.
func (c *Conductor) Portgroups() baremetal.Collection[baremetal.Portgroup] {
	return guarded[baremetal.Portgroup]{Collection: c.Store.Portgroups(), c: c, mayDelete: func(p *baremetal.Portgroup, n *baremetal.Node) error {
		if vif := p.InternalInfo.Str(baremetal.TenantVIF); vif != "" && !n.Maintenance {
			return baremetal.Errorf(baremetal.Conflict, "Cannot delete the portgroup %s as there is a VIF %s attached to it; detach it first.", p.UUID, vif)
		}
		return nil
	}}
}

// VolumeConnectors are the volume connectors, under the lock rules.
func (c *Conductor) VolumeConnectors() baremetal.Collection[baremetal.VolumeConnector] {
	rule := func(v *baremetal.VolumeConnector, n *baremetal.Node) error {
		return poweredOff("volume connector", v.UUID, n)
	}
	return guarded[baremetal.VolumeConnector]{c.Store.VolumeConnectors(), c, rule, rule}
}

// VolumeTargets are the volume targets, under the lock rules.
func (c *Conductor) VolumeTargets() baremetal.Collection[baremetal.VolumeTarget] {
	rule := func(v *baremetal.VolumeTarget, n *baremetal.Node) error {
		return poweredOff("volume target", v.UUID, n)
	}
	return guarded[baremetal.VolumeTarget]{c.Store.VolumeTargets(), c, rule, rule}
}

// poweredOff refuses to take a volume away under a running machine.
func poweredOff(what, uuid string, n *baremetal.Node) error {
	if n.PowerState == baremetal.PowerOff {
		return nil
	}
	return baremetal.Errorf(baremetal.Invalid,
		"The requested action on %s %s can not be performed on node \"%s\" while its power state is \"%s\"; switch it off first.", what, uuid, n.UUID, n.PowerState)
}

// both runs free, rule and check one after another.
func both[T any](free func(*baremetal.Node) error, rule, check func(*T, *baremetal.Node) error) func(*T, *baremetal.Node) error {
	return func(t *T, n *baremetal.Node) error {
		if n != nil {
			if err := free(n); err != nil {
				return err
			}
			if rule != nil {
				if err := rule(t, n); err != nil {
					return err
				}
			}
		}
		if check != nil {
			return check(t, n)
		}
		return nil
	}
}

// Create implements baremetal.Collection.
func (g guarded[T]) Create(ctx context.Context, t *T, check func(*T, *baremetal.Node) error) error {
	return g.c.whenNodeFree(ctx, func(free func(*baremetal.Node) error) error {
		return g.Collection.Create(ctx, t, both(free, nil, check))
	})
}

// Update implements baremetal.Collection.
func (g guarded[T]) Update(ctx context.Context, ident string, change func(*T, *baremetal.Node) error) (t T, err error) {
	err = g.c.whenNodeFree(ctx, func(free func(*baremetal.Node) error) error {
		t, err = g.Collection.Update(ctx, ident, both(free, g.mayChange, change))
		return err
	})
	return t, err
}

// Delete implements baremetal.Collection.
func (g guarded[T]) Delete(ctx context.Context, ident string, check func(*T, *baremetal.Node) error) error {
	return g.c.whenNodeFree(ctx, func(free func(*baremetal.Node) error) error {
		return g.Collection.Delete(ctx, ident, both(free, g.mayDelete, check))
	})
}
