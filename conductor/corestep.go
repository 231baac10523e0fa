package conductor

import (
	"context"
	"slices"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// runStep runs a step of the conductor itself or of a driver.
func (w *work) runStep(ctx context.Context, t *drivers.Task, kind baremetal.StepKind, step baremetal.Step) (drivers.Result, error) {
	if step.OnChildren {
		return drivers.Done(), w.onChildren(ctx, kind, step)
	}
	if target, ok := powerSteps[step.Name]; ok {
		return drivers.Done(), w.powerStep(ctx, t, target)
	}
	if step.Name == baremetal.StepWait {
		return w.waitAwhile(ctx, t, step)
	}
	if step.Interface == "network" {
		return drivers.Done(), w.runNetworkStep(ctx, t, step.Name)
	}
	impl, err := drivers.As[drivers.Stepper](w.c.Registry, &w.node, step.Interface, step.Interface+" steps")
	if err != nil {
		return drivers.Result{}, err
	}
	return impl.RunStep(ctx, t, kind, step)
}

var powerSteps = map[string]baremetal.PowerTarget{
	baremetal.StepPowerOff: baremetal.TargetOff,
	baremetal.StepPowerOn:  baremetal.TargetOn,
	baremetal.StepReboot:   baremetal.TargetReboot,
}

// standStill puts the node into its hold state and gives the claim back; unhold
// goes on with the next step.
func (w *work) standStill(ctx context.Context) error {
	err := w.write(ctx, func(n *baremetal.Node, now time.Time) error {
		if next, ok := n.ProvisionState.Next(baremetal.EventHold); ok {
			n.SetState(next, now)
		}
		clearWait(n)
		drop(n, time.Time{})
		return nil
	})
	if err == nil {
		w.history(ctx, baremetal.SeverityInfo, "transition", "Node stands still in "+string(w.node.ProvisionState)+" until unhold")
	}
	return err
}

const (
	waitUntilKey = "wait_until"
	shortPause   = 100 * time.Millisecond
	longestPause = 24 * time.Hour
)

// waitAwhile is the step wait: for args.seconds; else until the agent reports,
// or a short moment on a node that has none.
func (w *work) waitAwhile(ctx context.Context, t *drivers.Task, step baremetal.Step) (drivers.Result, error) {
	seconds, timed := baremetal.MustObject(step.Args).Int("seconds")
	if !timed && w.c.expectsAgent(&w.node) {
		if t.Journal.Get(drivers.HeartbeatKey) != "" {
			return drivers.Done(), nil
		}
		return drivers.WaitFor(drivers.Wait{Reason: "the agent's next heartbeat", Callback: true}), nil
	}
	pause := shortPause
	if timed {
		pause = min(time.Duration(max(seconds, 0))*time.Second, longestPause)
	}
	now, err := w.c.Store.Now(ctx)
	if err != nil {
		return drivers.Result{}, err
	}
	until, err := time.Parse(time.RFC3339Nano, t.Journal.Get(waitUntilKey))
	if err != nil {
		until = now.Add(pause)
		if err := t.Journal.Put(ctx, waitUntilKey, until.UTC().Format(time.RFC3339Nano)); err != nil {
			return drivers.Result{}, err
		}
	}
	if !now.Before(until) {
		return drivers.Done(), nil
	}
	return drivers.WaitFor(drivers.Wait{Reason: "the time of the step wait", Within: until.Sub(now) + time.Minute, Poll: until.Sub(now), Callback: true}), nil
}

// abortAfter ends a list whose running step could not be interrupted when abort
// was asked for.
func (w *work) abortAfter(ctx context.Context, step baremetal.Step) (outcome, error) {
	msg := "Operation was aborted by request after the step " + step.Interface + "." + step.Name + " was done."
	return stepsFailed, w.fail(ctx, msg, "")
}

// onChildren runs a step on the nodes inside of this one, one after another.
func (w *work) onChildren(ctx context.Context, kind baremetal.StepKind, step baremetal.Step) error {
	children, err := w.c.children(ctx, w.node.UUID)
	if err != nil {
		return err
	}
	own := step
	own.OnChildren, own.Children = false, nil
	for _, child := range children {
		if len(step.Children) > 0 && !slices.Contains(step.Children, child.UUID) {
			continue
		}
		if err := w.c.stepOn(ctx, child.UUID, kind, own); err != nil {
			return baremetal.Errorf(baremetal.KindOf(err), "on child node %s: %w", child.UUID, err)
		}
	}
	return nil
}

// stepOn runs one step on another node under a claim of its own.
func (c *Conductor) stepOn(ctx context.Context, uuid string, kind baremetal.StepKind, step baremetal.Step) error {
	return c.borrow(ctx, uuid, func(ctx context.Context, w *work) error {
		ctx, cancel := context.WithTimeout(ctx, c.WaitTimeout)
		defer cancel()
		for {
			t, err := w.task(ctx)
			if err != nil {
				return err
			}
			result, err := w.runStep(ctx, t, kind, step)
			if err == nil && result.Wait == nil {
				err = w.keep(ctx, result.Documents)
			}
			switch {
			case err != nil:
				return err
			case result.Wait == nil && result.Change == nil:
				return nil
			case result.Wait == nil:
				return w.write(ctx, func(n *baremetal.Node, _ time.Time) error { result.Change(n); return nil })
			}
			poll := result.Wait.Poll
			setDefault(&poll, time.Second)
			if !sleep(ctx, poll) {
				return timeoutError(result.Wait)
			}
		}
	})
}

// children are the nodes inside of a node.
func (c *Conductor) children(ctx context.Context, uuid string) ([]baremetal.Node, error) {
	var all []baremetal.Node
	err := c.Store.Nodes(ctx, baremetal.NodeQuery{ParentNode: &uuid}, func(n *baremetal.Node) error {
		all = append(all, *n)
		return nil
	})
	return all, err
}
