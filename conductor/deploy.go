package conductor

import (
	"context"
	"slices"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// deploy runs the deploy steps; it is called in deploying and in wait call-back.
func (w *work) deploy(ctx context.Context) (bool, error) {
	s := stepList{kind: baremetal.DeployStep, failing: "Failed to deploy"}
	out, err := w.runSteps(ctx, s, w.planDeploy)
	if err != nil || out == stepsGoOn {
		return true, err
	}
	if out != stepsDone {
		return false, nil
	}
	t, err := w.task(ctx)
	if err != nil {
		return true, err
	}
	if w.node.PowerState != baremetal.PowerOn { // a deployed machine runs
		if err := w.powerStep(ctx, t, baremetal.TargetOn); err != nil {
			if ctx.Err() != nil || baremetal.IsKind(err, baremetal.ClaimLost) {
				return true, err
			}
			return false, w.fail(ctx, "Failed to deploy: "+err.Error(), "")
		}
	}
	return false, w.reach(ctx, baremetal.EventDone, nil)
}

// planDeploy merges the driver's steps with those the caller gave.
func (w *work) planDeploy(ctx context.Context, t *drivers.Task) ([]baremetal.Step, error) {
	steps, err := w.c.deployPlan(ctx, t, w.node.Work.Intent.Steps)
	return w.c.withDeployNetwork(&w.node, steps), err
}

// deployPlan is the list of a deploy: a step of a template, and then a
// caller's, replaces the default of the same name, and priority 0 removes it.
func (c *Conductor) deployPlan(ctx context.Context, t *drivers.Task, given []baremetal.Step) ([]baremetal.Step, error) {
	steps, err := c.driverSteps(ctx, t, baremetal.DeployStep)
	if err != nil {
		return nil, err
	}
	templates, err := c.templateSteps(ctx, &t.Node)
	if err != nil {
		return nil, err
	}
	for _, g := range append(templates, given...) {
		s, err := findStep(steps, g, "deploy")
		if err != nil && g.Priority > 0 {
			return nil, err
		}
		s.Priority = g.Priority
		i := slices.IndexFunc(steps, func(k baremetal.Step) bool { return k.Interface == g.Interface && k.Name == g.Name })
		switch {
		case i >= 0:
			steps[i] = s
		case err != nil:
			return nil, err
		default:
			steps = append(steps, s)
		}
	}
	return bySchedule(steps), nil
}

// tearDown undoes a deploy and goes on to cleaning.
func (w *work) tearDown(ctx context.Context) (bool, error) {
	t, err := w.task(ctx)
	if err != nil {
		return true, err
	}
	impl, err := drivers.As[drivers.Deploy](w.c.Registry, &w.node, "deploy", "deploy")
	if err != nil {
		return false, w.fail(ctx, "Failed to tear down: "+err.Error(), "")
	}
	if holdsRoot(impl) {
		err = w.powerStep(ctx, t, baremetal.TargetOff)
	}
	if err == nil {
		err = w.enterNetwork(ctx, t, baremetal.IdleNetwork)
	}
	var result drivers.Result
	if err == nil {
		result, err = impl.TearDown(ctx, t)
	}
	switch {
	case err != nil && (ctx.Err() != nil || baremetal.IsKind(err, baremetal.ClaimLost)):
		return true, err
	case err != nil:
		return false, w.fail(ctx, "Failed to tear down: "+err.Error(), "")
	case result.Wait != nil:
		return w.waitHere(ctx, "Failed to tear down", result.Wait)
	}
	if err := w.detachAll(ctx, t); err != nil {
		if ctx.Err() != nil || baremetal.IsKind(err, baremetal.ClaimLost) {
			return true, err
		}
		return false, w.fail(ctx, "Failed to tear down: "+err.Error(), "")
	}
	return true, w.write(ctx, func(n *baremetal.Node, now time.Time) error {
		n.InstanceInfo, n.InstanceUUID, n.InstanceName, n.AllocationUUID = "", "", "", ""
		if n.DriverInternalInfo.Has(automaticLesseeKey) {
			n.Lessee, n.DriverInternalInfo = "", n.DriverInternalInfo.Without(automaticLesseeKey)
		}
		n.Work.Journal, n.Work.Steps, n.Work.StepIndex = "", nil, 0
		n.Work.Intent.Steps, n.Work.Intent.Manual = nil, false
		clearWait(n)
		n.SetState(baremetal.Cleaning, now)
		return nil
	})
}

// automaticLesseeKey is the key of driver_internal_info that says that the
// lessee came with the instance, and goes with it.
const automaticLesseeKey = "automatic_lessee"

func holdsRoot(impl drivers.Deploy) bool {
	h, ok := impl.(drivers.RootHolder)
	return ok && h.HoldsRoot()
}

// waitHere waits within a working state that has no list of steps, keeping the claim.
func (w *work) waitHere(ctx context.Context, failing string, wait *drivers.Wait) (bool, error) {
	if wait.Callback { // only lists of steps have wait states of that kind
		wait.Callback = false
	}
	now, err := w.c.Store.Now(ctx)
	if err != nil {
		return true, err
	}
	if d := w.node.Work.WaitDeadline; !d.IsZero() && !now.Before(d) {
		return false, w.fail(ctx, failing+": "+timeoutError(wait).Error(), "")
	}
	out, err := w.waitStep(ctx, stepList{failing: failing}, baremetal.Step{}, wait)
	return out == stepsGoOn, err
}
