package conductor

import (
	"context"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// verify talks to the hardware for the first time: enroll → manageable.
func (w *work) verify(ctx context.Context) (bool, error) {
	t, err := w.task(ctx)
	if err != nil {
		return true, err
	}
	state, err := w.readPower(ctx, t)
	switch {
	case err != nil && ctx.Err() != nil:
		return true, err
	case err != nil:
		return false, w.fail(ctx, "Failed to get power state for node "+w.node.UUID+". Error: "+err.Error(), "")
	}
	documents, err := w.lookAround(ctx, t)
	if err == nil {
		err = w.keep(ctx, documents)
	}
	switch {
	case err != nil && (ctx.Err() != nil || baremetal.IsKind(err, baremetal.ClaimLost)):
		return true, err
	case err != nil: // the machine answers: what its firmware says can be read later
		w.log.Warn("reading firmware settings and versions failed", "err", err)
	}
	health := w.health(ctx, t)
	return false, w.reach(ctx, baremetal.EventDone, func(n *baremetal.Node, _ time.Time) {
		n.Health = health
		if state != baremetal.PowerUnknown {
			n.PowerState = state
		}
	})
}

// readPower validates the power interface and reads the state.
func (w *work) readPower(ctx context.Context, t *drivers.Task) (baremetal.PowerState, error) {
	impl, err := drivers.As[drivers.Power](w.c.Registry, &w.node, "power", "power")
	if err != nil {
		return "", err
	}
	if err := impl.Validate(ctx, t); err != nil {
		return "", err
	}
	pctx, cancel := context.WithTimeout(ctx, w.c.PowerTimeout)
	defer cancel()
	return impl.PowerState(pctx, t)
}

// adopt marks a running machine active without deploying.
func (w *work) adopt(ctx context.Context) (bool, error) {
	t, err := w.task(ctx)
	if err != nil {
		return true, err
	}
	state, err := w.readPower(ctx, t)
	if err == nil {
		var boot drivers.Validator
		if boot, err = drivers.As[drivers.Validator](w.c.Registry, &w.node, "boot", "boot"); err == nil {
			err = boot.Validate(ctx, t)
		}
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return true, err
	case err != nil:
		return false, w.fail(ctx, "Error while attempting to adopt node "+w.node.UUID+": "+err.Error(), "")
	}
	m, moves := w.c.mover(&w.node)
	return false, w.reach(ctx, baremetal.EventDone, func(n *baremetal.Node, _ time.Time) {
		if moves { // it runs, and is left where it is
			n.SetNetwork(baremetal.NetworkState{Kind: m.InstanceNetwork(t)})
		}
		if state != baremetal.PowerUnknown {
			n.PowerState = state
		}
	})
}

// inspect finds out what the machine is.
func (w *work) inspect(ctx context.Context) (bool, error) {
	return w.single(ctx, "Failed to inspect hardware", func(ctx context.Context, t *drivers.Task) (drivers.Result, error) {
		impl, err := drivers.As[drivers.Inspect](w.c.Registry, &w.node, "inspect", "inspection")
		if err != nil {
			return drivers.Result{}, err
		}
		if err := w.enterFor(ctx, t, baremetal.Inspecting, baremetal.InspectionNetwork); err != nil {
			return drivers.Result{}, err
		}
		result, err := impl.Inspect(ctx, t)
		if err != nil || result.Wait != nil {
			return result, err
		}
		if err := w.leave(ctx, t, baremetal.InspectionNetwork, restingNetwork(t)); err != nil {
			return drivers.Result{}, err
		}
		return w.process(ctx, t, result)
	}, func(n *baremetal.Node, now time.Time) { n.InspectionFinishedAt = now })
}

// rescue boots the machine into its helper system.
func (w *work) rescue(ctx context.Context) (bool, error) {
	return w.single(ctx, "Failed to rescue", func(ctx context.Context, t *drivers.Task) (drivers.Result, error) {
		impl, err := drivers.As[drivers.Rescue](w.c.Registry, &w.node, "rescue", "rescue")
		if err != nil {
			return drivers.Result{}, err
		}
		if err := w.enterFor(ctx, t, baremetal.Rescuing, baremetal.RescuingNetwork); err != nil {
			return drivers.Result{}, err
		}
		return impl.Rescue(ctx, t)
	}, func(n *baremetal.Node, _ time.Time) {
		n.InstanceInfo = withoutKey(n.InstanceInfo, drivers.RescueHashKey)
	})
}

// unrescue brings the machine back to its own system.
func (w *work) unrescue(ctx context.Context) (bool, error) {
	return w.single(ctx, "Failed to unrescue", func(ctx context.Context, t *drivers.Task) (drivers.Result, error) {
		impl, err := drivers.As[drivers.Rescue](w.c.Registry, &w.node, "rescue", "rescue")
		if err != nil {
			return drivers.Result{}, err
		}
		if m, moves := w.c.mover(&w.node); moves {
			if err := w.leave(ctx, t, baremetal.RescuingNetwork, m.InstanceNetwork(t)); err != nil {
				return drivers.Result{}, err
			}
		}
		return impl.Unrescue(ctx, t)
	}, nil)
}

// single runs a verb that is one piece of work of one interface.
func (w *work) single(ctx context.Context, failing string,
	call func(ctx context.Context, t *drivers.Task) (drivers.Result, error), also func(n *baremetal.Node, now time.Time)) (bool, error) {
	w.seenWake = w.node.Work.WakeAt
	t, err := w.task(ctx)
	if err != nil {
		return true, err
	}
	var result drivers.Result
	if w.cycling() {
		err = w.cycle(ctx, t)
		t.Node = w.node
	}
	if err == nil {
		result, err = call(ctx, t)
	}
	switch {
	case err != nil && (ctx.Err() != nil || baremetal.IsKind(err, baremetal.ClaimLost)):
		return true, err
	case err != nil:
		return false, w.fail(ctx, failing+": "+err.Error(), "")
	case result.Wait != nil && result.Wait.Callback:
		out, err := w.waitStep(ctx, stepList{failing: failing}, baremetal.Step{}, result.Wait)
		return out == stepsGoOn, err
	case result.Wait != nil:
		return w.waitHere(ctx, failing, result.Wait)
	}
	if err := w.keep(ctx, result.Documents); err != nil {
		return true, err
	}
	if w.node.ProvisionState.Waiting() {
		if err := w.write(ctx, resume); err != nil {
			return true, err
		}
	}
	return false, w.reach(ctx, baremetal.EventDone, func(n *baremetal.Node, now time.Time) {
		if result.Change != nil {
			result.Change(n)
		}
		if result.Note != "" {
			w.c.note(n, baremetal.SeverityInfo, "boot", result.Note, 0)
		}
		if also != nil {
			also(n, now)
		}
	})
}
