package conductor

import (
	"context"
	"fmt"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// SetPower accepts a power action; the work goes on in the background.
func (c *Conductor) SetPower(ctx context.Context, who Caller, ident string, r PowerRequest) error {
	n, err := c.Store.Node(ctx, ident)
	if err != nil {
		return err
	}
	impl, err := drivers.As[drivers.Power](c.Registry, &n, "power", "power")
	if err != nil {
		return err
	}
	t := c.readTask(ctx, n)
	if r.Target.Soft() {
		soft, ok := impl.(drivers.SoftPower)
		if !ok || !soft.SupportsSoftPower(t) {
			return baremetal.Errorf(baremetal.Invalid,
				"The driver %s does not support the power state, %s.", n.Driver, r.Target)
		}
	}
	if err := impl.Validate(ctx, t); err != nil {
		return err
	}
	if n.DisablePowerOff && r.Target == baremetal.TargetReboot { // which must not cut the power
		soft, ok := impl.(drivers.SoftPower)
		if !ok || !soft.SupportsSoftPower(t) {
			return baremetal.Errorf(baremetal.Conflict,
				"Rebooting node %s would cut its power, and disable_power_off is set; its driver %s cannot ask the operating system instead.", n.UUID, n.Driver)
		}
		r.Target = baremetal.TargetSoftReboot
	}
	_, err = c.accept(ctx, ident, func(n *baremetal.Node, _ time.Time) error {
		if n.ProvisionState == baremetal.Cleaning || n.ProvisionState == baremetal.CleanWait {
			return baremetal.Errorf(baremetal.Invalid,
				"The requested action %q can not be performed on node %q while it is in state %q.", r.Target, n.UUID, n.ProvisionState)
		}
		if n.DisablePowerOff && r.Target.Outcome() == baremetal.PowerOff {
			return baremetal.Errorf(baremetal.Conflict, "Power off of node %s is disabled (disable_power_off is set).", n.UUID)
		}
		n.LastError = ""
		n.TargetPowerState = r.Target.Outcome()
		n.Work.Intent.Power = r.Target
		n.Work.Intent.PowerTimeout = int(r.Timeout / time.Second)
		if n.DriverInternalInfo.Has(bootCyclesKey) { // a person's turn
			n.DriverInternalInfo = n.DriverInternalInfo.Without(bootCyclesKey)
		}
		who.asks(&n.Work.Intent)
		return nil
	})
	return err
}

// power carries out the asked power action.
func (w *work) power(ctx context.Context) (bool, error) {
	t, err := w.task(ctx)
	if err != nil {
		return true, err
	}
	target := w.node.Work.Intent.Power
	timeout := time.Duration(w.node.Work.Intent.PowerTimeout) * time.Second
	before := w.node.PowerState
	var state baremetal.PowerState
	perr := w.family(ctx, target)
	if perr == nil {
		state, perr = w.switchPower(ctx, t, target, timeout)
	}
	if perr != nil && (ctx.Err() != nil || baremetal.IsKind(perr, baremetal.ClaimLost)) {
		return true, perr
	}
	var failure string
	if perr != nil {
		failure = fmt.Sprintf("Failed to change power state to '%s' by '%s': %s", target.Outcome(), target, perr)
	}
	more := false
	err = w.write(ctx, func(n *baremetal.Node, _ time.Time) error {
		n.Work.Intent.Power, n.Work.Intent.PowerTimeout = "", 0
		n.TargetPowerState = ""
		n.Work.Journal = ""
		switch {
		case failure != "":
			n.LastError = failure
			w.c.note(n, baremetal.SeverityError, "power", failure, 0)
		case before != state || target.Outcome() == baremetal.PowerOn && target != baremetal.TargetOn:
			w.c.note(n, baremetal.SeverityInfo, "power", fmt.Sprintf("Power state is %q after %q", state, target), 0)
		}
		if failure == "" {
			n.PowerState = state
		}
		more = n.ProvisionState.Working() || n.Work.Intent.Console != nil
		if !more {
			drop(n, w.laterWakeIfBusy(n))
		}
		return nil
	})
	if err != nil {
		return true, err
	}
	if failure != "" {
		w.log.Error("power action failed", "target", target, "err", perr)
	} else {
		w.log.Info("power action done", "target", target)
	}
	return more, nil
}

// powerStep switches power within a step and records the state read back.
func (w *work) powerStep(ctx context.Context, t *drivers.Task, target baremetal.PowerTarget) error {
	if w.node.DisablePowerOff { // its power is not ours to cut
		switch target {
		case baremetal.TargetOff:
			return nil
		case baremetal.TargetReboot:
			target = baremetal.TargetSoftReboot
		}
	}
	if err := w.family(ctx, target); err != nil {
		return err
	}
	state, err := w.switchPower(ctx, t, target, 0)
	for baremetal.IsKind(err, baremetal.Unavailable) && w.c.mayArrive(ctx) {
		state, err = w.switchPower(ctx, t, target, 0)
	}
	if err != nil {
		return err
	}
	return w.write(ctx, func(n *baremetal.Node, _ time.Time) error {
		n.PowerState = state
		return nil
	})
}

// arrivalPause is between two attempts to reach a machine after a start.
const arrivalPause = 500 * time.Millisecond

// mayArrive waits a little, and tells whether what did not answer may still come
// back after the start of this process: units on the bus try to reach a broker that
// was away less and less often.
func (c *Conductor) mayArrive(ctx context.Context) bool {
	if time.Since(c.began) >= c.Arrival {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(arrivalPause):
		return true
	}
}

// switchPower asks the driver, unless the machine is already as wanted, and
// returns the state reached.
func (w *work) switchPower(ctx context.Context, t *drivers.Task, target baremetal.PowerTarget, timeout time.Duration) (baremetal.PowerState, error) {
	impl, err := drivers.As[drivers.Power](w.c.Registry, &w.node, "power", "power")
	if err != nil {
		return "", err
	}
	pctx, cancel := context.WithTimeout(ctx, w.c.PowerTimeout+timeout)
	defer cancel()
	reboot := target == baremetal.TargetReboot || target == baremetal.TargetSoftReboot
	if !reboot && w.node.Work.Journal.IsEmpty() { // with a journal, an earlier claimant's command may be on its way
		state, err := impl.PowerState(pctx, t)
		if err != nil {
			return "", err
		}
		if state == target.Outcome() {
			return state, nil
		}
	}
	if target.Outcome() == baremetal.PowerOn {
		w.c.powerComes(pctx, &w.node)
	}
	if err := impl.SetPower(pctx, t, target, timeout); err != nil {
		return "", err
	}
	return target.Outcome(), nil
}

// Observe records what a device reported by itself. The world wins: it is
// written down with history, and not undone.
func (c *Conductor) Observe(ctx context.Context, o drivers.Observation) error {
	if c.stopped() {
		return nil // the end of this process says nothing about the machines
	}
	before, changed, err := c.Store.ObservePower(ctx, o.Key, o.Power, o.Boot, o.Seq)
	if baremetal.IsKind(err, baremetal.NotFound) {
		return nil // a slot that is no node yet
	}
	if err != nil || !changed {
		return err
	}
	if o.Power == baremetal.PowerOn && before.PowerState == baremetal.PowerOff && before.Work.Reservation == "" {
		c.powerComes(ctx, &before)
	}
	was, is := string(before.PowerState), string(o.Power)
	if was == "" {
		was = "unknown"
	}
	severity := baremetal.SeverityInfo
	if is == "" {
		is, severity = "unknown", baremetal.SeverityError
	}
	event := fmt.Sprintf("Power state changed from %s to %s", was, is)
	if o.Reason != "" {
		event += ": " + o.Reason
	}
	c.Log.Info("power observed", "node", before.UUID, "from", was, "to", is, "reason", o.Reason)
	c.seen(ctx, &before, severity, "power", event)
	return nil
}

// Wake makes the conductors look at a node: an event came that it may wait for.
func (c *Conductor) Wake(ctx context.Context, uuid string) error { return c.Store.Wake(ctx, uuid) }
