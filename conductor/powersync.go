package conductor

import (
	"context"
	"fmt"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// failuresAllowed is how many times in a row a machine may fail to tell its
// power before the node is taken out of service (Ironic's default).
const failuresAllowed = 3

const powerFault = "power failure"

// syncLoop compares, now and then, the power of machines that do not report by
// themselves with what is recorded, and looks whether machines that failed
// answer again. It reads; it writes only what has changed.
func (c *Conductor) syncLoop(ctx context.Context) error {
	sync, recovery := time.NewTicker(c.PowerSync), time.NewTicker(c.PowerRecovery)
	defer sync.Stop()
	defer recovery.Stop()
	failures := map[string]int{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-sync.C:
			c.syncPower(ctx, failures)
		case <-recovery.C:
			c.recoverPower(ctx)
		}
	}
}

// ours lists the nodes of a query whose power this conductor has to ask for.
func (c *Conductor) ours(ctx context.Context, q baremetal.NodeQuery, want func(n *baremetal.Node) bool) []baremetal.Node {
	var all []baremetal.Node
	q.IncludeChildren, q.ConductorGroup = true, &c.Group
	err := c.Store.Nodes(ctx, q, func(n *baremetal.Node) error {
		if c.serves(n) && c.HostFor(n) == c.Host && want(n) {
			all = append(all, *n)
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		c.Log.Warn("looking for nodes whose power to read failed", "err", err)
	}
	return all
}

// quietForSync are states in which a machine's power says nothing about the node.
func quietForSync(s baremetal.ProvisionState) bool {
	switch s {
	case baremetal.DeployWait, baremetal.CleanWait, baremetal.Enroll, baremetal.AdoptFailed:
		return true
	}
	return false
}

func (c *Conductor) syncPower(ctx context.Context, failures map[string]int) {
	now, err := c.Store.Now(ctx)
	if err != nil {
		return
	}
	out := false
	notMaintained := baremetal.NodeQuery{Maintenance: &out}
	seen := map[string]bool{}
	for _, n := range c.ours(ctx, notMaintained, func(n *baremetal.Node) bool {
		impl, err := c.Registry.Interface(n, "power")
		p, ok := impl.(drivers.PolledPower)
		return err == nil && ok && p.Polled(n) && !n.Locked(now) && !quietForSync(n.ProvisionState)
	}) {
		seen[n.UUID] = true
		state, err := c.askPower(ctx, n)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if failures[n.UUID]++; failures[n.UUID] > failuresAllowed {
				c.powerFailed(ctx, n.UUID, err)
				delete(failures, n.UUID)
			}
			continue
		}
		delete(failures, n.UUID)
		if state != baremetal.PowerUnknown && state != n.PowerState {
			c.powerDiffers(ctx, n, state)
		}
	}
	for uuid := range failures { // gone, or in maintenance meanwhile
		if !seen[uuid] {
			delete(failures, uuid)
		}
	}
}

func (c *Conductor) askPower(ctx context.Context, n baremetal.Node) (baremetal.PowerState, error) {
	impl, err := drivers.As[drivers.Power](c.Registry, &n, "power", "power")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, c.PowerTimeout)
	defer cancel()
	return impl.PowerState(ctx, c.readTask(ctx, n))
}

// powerFailed takes a node whose power cannot be read out of service.
func (c *Conductor) powerFailed(ctx context.Context, uuid string, cause error) {
	msg := fmt.Sprintf("During sync_power_state, max retries exceeded for node %s, node state does not match expected state. Error: %s", uuid, cause)
	n, err := c.Store.UpdateNode(ctx, uuid, func(n *baremetal.Node) error {
		if n.TargetPowerState == "" {
			n.PowerState = baremetal.PowerUnknown
			n.Maintenance, n.MaintenanceReason, n.Fault = true, msg, powerFault
			n.LastError = msg
		}
		return nil
	})
	if err != nil {
		c.Log.Warn("recording a power failure failed", "node", uuid, "err", err)
		return
	}
	c.Log.Error("power failure", "node", uuid, "err", cause)
	c.seen(ctx, &n, baremetal.SeverityError, "power", msg)
}

// powerDiffers records what a machine shows, or imposes what is recorded.
func (c *Conductor) powerDiffers(ctx context.Context, n baremetal.Node, state baremetal.PowerState) {
	if c.ForcePowerState && n.PowerState != baremetal.PowerUnknown {
		target := baremetal.PowerTarget(n.PowerState)
		if err := c.SetPower(ctx, Caller{User: "power sync"}, n.UUID, PowerRequest{Target: target}); err != nil && ctx.Err() == nil {
			c.Log.Warn("imposing the recorded power failed", "node", n.UUID, "err", err)
		}
		return
	}
	was := n.PowerState
	after, err := c.Store.UpdateNode(ctx, n.UUID, func(n *baremetal.Node) error {
		if n.TargetPowerState == "" && n.PowerState == was {
			n.PowerState = state
		}
		return nil
	})
	if err == nil && after.PowerState == state {
		c.seen(ctx, &after, baremetal.SeverityInfo, "power", fmt.Sprintf("Power state changed from %q to %q", was, state))
	}
}

// recoverPower brings nodes back into service that were taken out by
// powerFailed; a person's maintenance is left alone.
func (c *Conductor) recoverPower(ctx context.Context) {
	fault := powerFault
	for _, n := range c.ours(ctx, baremetal.NodeQuery{Fault: &fault}, func(n *baremetal.Node) bool { return n.Maintenance }) {
		state, err := c.askPower(ctx, n)
		if err != nil {
			continue
		}
		after, err := c.Store.UpdateNode(ctx, n.UUID, func(n *baremetal.Node) error {
			if n.Fault != powerFault {
				return nil
			}
			n.Maintenance, n.MaintenanceReason, n.Fault = false, "", ""
			if n.TargetPowerState == "" {
				n.PowerState = state
			}
			return nil
		})
		if err == nil {
			c.Log.Info("power answers again", "node", n.UUID)
			c.seen(ctx, &after, baremetal.SeverityInfo, "power", "The power answers again; the node is out of maintenance")
		}
	}
}
