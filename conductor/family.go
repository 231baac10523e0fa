package conductor

import (
	"context"
	"strings"
	"time"

	"caddyshack/baremetal"
)

// dedicatedSupplyKey of driver_info says that a child node has a power supply of its own.
const dedicatedSupplyKey = "has_dedicated_power_supply"

// ownSupply takes every spelling of yes that the API takes, as what is in driver_info is kept as it came.
func ownSupply(n *baremetal.Node) bool {
	switch strings.ToLower(strings.TrimSpace(n.DriverInfo.Str(dedicatedSupplyKey))) {
	case "1", "t", "true", "on", "y", "yes":
		return true
	}
	return false
}

// childless refuses to take away a node in which others are: they would be in
// no list any more, and their power would wait for one that is gone.
func (c *Conductor) childless(ctx context.Context, n *baremetal.Node) error {
	children, err := c.children(ctx, n.UUID)
	if err != nil || len(children) == 0 {
		return err
	}
	return baremetal.Errorf(baremetal.Conflict, "Node %s can not be deleted: %d nodes are inside of it, node %s among them; delete them or change their parent_node first.",
		n.UUID, len(children), children[0].UUID)
}

// family makes the nodes around this one fit for a power action: a child gets its
// power from its parent, which is switched on first; and the children of a node
// that is switched off go first.
func (w *work) family(ctx context.Context, target baremetal.PowerTarget) error {
	if target.Outcome() == baremetal.PowerOn {
		if w.node.ParentNode == "" || ownSupply(&w.node) {
			return nil
		}
		return w.c.bring(ctx, w.node.ParentNode, baremetal.TargetOn)
	}
	children, err := w.c.children(ctx, w.node.UUID)
	if err != nil {
		return err
	}
	for i := range children {
		if !ownSupply(&children[i]) && !children[i].DisablePowerOff {
			if err := w.c.bring(ctx, children[i].UUID, baremetal.TargetOff); err != nil {
				return err
			}
		}
	}
	return nil
}

// bring switches another node and waits until it is as wanted.
func (c *Conductor) bring(ctx context.Context, uuid string, target baremetal.PowerTarget) error {
	ctx, cancel := context.WithTimeout(ctx, c.PowerTimeout)
	defer cancel()
	n, err := c.Store.Node(ctx, uuid)
	if err != nil {
		return err
	}
	if n.PowerState == target.Outcome() && n.TargetPowerState == "" {
		return nil
	}
	if err := c.SetPower(ctx, Caller{RequestID: n.Work.Intent.RequestID}, uuid, PowerRequest{Target: target}); err != nil {
		return baremetal.Errorf(baremetal.KindOf(err), "switching node %s to %q first: %w", uuid, target, err)
	}
	for {
		freed := c.freed()
		if n, err = c.Store.Node(ctx, uuid); err != nil {
			return err
		}
		if n.TargetPowerState == "" {
			if n.PowerState != target.Outcome() {
				return baremetal.Errorf(baremetal.Unavailable, "node %s had to be switched to %q first, and is not: %s", uuid, target, n.LastError)
			}
			return nil
		}
		select {
		case <-freed:
		case <-time.After(otherProcessPoll):
		case <-ctx.Done():
			return baremetal.Errorf(baremetal.Unavailable, "node %s had to be switched to %q first, and was not within %s", uuid, target, c.PowerTimeout)
		}
	}
}
