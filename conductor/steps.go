package conductor

import (
	"context"
	"fmt"
	"sort"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// stepList says which list of steps runs.
type stepList struct {
	kind    baremetal.StepKind
	failing string // how last_error begins: "Failed to deploy"
}

// outcome says how far a list of steps came.
type outcome int

const (
	stepsGoOn     outcome = iota // call again
	stepsReleased                // the node waits, the claim is given back
	stepsDone
	stepsFailed // the failure has been written, the claim is given back
)

// runSteps does the next thing of the node's list of steps. plan makes the list
// when there is none yet; the list is written before its first step starts, and
// each result before the next step starts.
func (w *work) runSteps(ctx context.Context, s stepList, plan func(ctx context.Context, t *drivers.Task) ([]baremetal.Step, error)) (outcome, error) {
	w.seenWake = w.node.Work.WakeAt
	if w.node.ProvisionState.Waiting() && w.node.Work.WaitDeadline.IsZero() { // nothing is waited for any more, as after unhold
		return stepsGoOn, w.write(ctx, resume)
	}
	t, err := w.task(ctx)
	if err != nil {
		return stepsGoOn, err
	}
	if len(w.node.Work.Steps) == 0 {
		steps, err := plan(ctx, t)
		if err != nil {
			return w.failStep(ctx, s, nil, err)
		}
		if len(steps) == 0 {
			return stepsDone, nil
		}
		return stepsGoOn, w.write(ctx, func(n *baremetal.Node, _ time.Time) error {
			n.Work.Steps, n.Work.StepIndex, n.Work.Journal = steps, 0, ""
			showStep(n, s.kind)
			return nil
		})
	}
	if w.node.Work.StepIndex >= len(w.node.Work.Steps) {
		return stepsDone, nil
	}
	step := w.node.Work.Steps[w.node.Work.StepIndex]
	if step.Local && w.node.Work.Place == "" {
		if err := w.write(ctx, func(n *baremetal.Node, _ time.Time) error { n.Work.Place = w.c.Places[0]; return nil }); err != nil {
			return stepsGoOn, err
		}
		t.Node = w.node
	}
	if step.Name == baremetal.StepHold {
		return stepsReleased, w.standStill(ctx)
	}
	if w.cycling() {
		if err := w.cycle(ctx, t); err != nil {
			return w.cycleFailed(ctx, s, step, err)
		}
		t.Node = w.node
	}
	result, err := w.runStep(ctx, t, s.kind, step)
	if err == nil && result.Wait == nil {
		err = w.keep(ctx, result.Documents)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return stepsGoOn, err
	case baremetal.IsKind(err, baremetal.ClaimLost):
		return stepsGoOn, err
	case err != nil:
		return w.failStep(ctx, s, &step, err)
	case result.Wait != nil:
		return w.waitStep(ctx, s, step, result.Wait)
	}
	w.log.Info("step done", "step", step.Interface+"."+step.Name)
	if w.node.Work.Intent.AbortAfter {
		return w.abortAfter(ctx, step)
	}
	return stepsGoOn, w.write(ctx, func(n *baremetal.Node, now time.Time) error {
		if err := resume(n, now); err != nil {
			return err
		}
		if result.Change != nil {
			result.Change(n)
		}
		if result.Note != "" {
			w.c.note(n, baremetal.SeverityInfo, "boot", result.Note, 0)
		}
		n.Work.StepIndex++
		n.Work.Journal = ""
		clearWait(n)
		showStep(n, s.kind)
		return nil
	})
}

// resume takes a node out of its wait state, if it is in one.
func resume(n *baremetal.Node, now time.Time) error {
	if next, ok := n.ProvisionState.Next(baremetal.EventResume); ok {
		n.SetState(next, now)
	}
	return nil
}

// waitStep writes down what the step waits for; the deadline counts from the
// first time it had to wait.
func (w *work) waitStep(ctx context.Context, s stepList, step baremetal.Step, wait *drivers.Wait) (outcome, error) {
	if wait.Cycle != "" {
		return stepsGoOn, w.planCycle(ctx, wait.Cycle)
	}
	now, err := w.c.Store.Now(ctx)
	if err != nil {
		return stepsGoOn, err
	}
	deadline := w.node.Work.WaitDeadline
	if !deadline.IsZero() && !now.Before(deadline) {
		return w.failStep(ctx, s, &step, timeoutError(wait))
	}
	first := deadline.IsZero()
	within := wait.Within
	setDefault(&within, w.c.WaitTimeout)
	if first {
		deadline = now.Add(within)
	}
	if first || wait.Reason != w.node.Work.WaitReason || wait.Callback {
		err := w.write(ctx, func(n *baremetal.Node, now time.Time) error {
			n.Work.WaitDeadline, n.Work.WaitReason, n.Work.WaitHint = deadline, wait.Reason, wait.Hint
			n.DriverInternalInfo = n.DriverInternalInfo.With(waitingKey, map[string]any{
				"for": wait.Reason, "hint": wait.Hint, "until": deadline.UTC().Format(time.RFC3339)})
			if wait.Callback {
				if next, ok := n.ProvisionState.Next(baremetal.EventWait); ok {
					n.SetState(next, now)
				}
				wake := deadline
				if wait.Poll > 0 && now.Add(wait.Poll).Before(wake) {
					wake = now.Add(wait.Poll)
				}
				drop(n, w.laterWake(n, wake))
			}
			return nil
		})
		if err != nil {
			return stepsGoOn, err
		}
		if first {
			w.history(ctx, baremetal.SeverityInfo, "waiting", "Waiting: "+wait.Reason)
			w.log.Info("waiting", "step", step.Interface+"."+step.Name, "for", wait.Reason, "until", deadline)
		}
	}
	if wait.Callback {
		return stepsReleased, nil
	}
	poll := wait.Poll
	setDefault(&poll, time.Second)
	timer := time.NewTimer(min(poll, max(deadline.Sub(now), time.Millisecond)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.claim.nudge:
	case <-ctx.Done():
		return stepsGoOn, ctx.Err()
	}
	return stepsGoOn, nil
}

// waitingKey is the key of driver_internal_info that tells people what a node waits for.
const waitingKey = "waiting"

func timeoutError(wait *drivers.Wait) error {
	msg := "Timeout reached while waiting: " + wait.Reason
	if wait.Hint != "" {
		msg += ". " + wait.Hint
	}
	return baremetal.Errorf(baremetal.Unavailable, "%s", msg)
}

func clearWait(n *baremetal.Node) {
	n.Work.WaitDeadline, n.Work.WaitReason, n.Work.WaitHint = time.Time{}, "", ""
	if n.DriverInternalInfo.Has(waitingKey) {
		n.DriverInternalInfo = n.DriverInternalInfo.Without(waitingKey)
	}
}

// showStep shows the step under work in clean_step, deploy_step or service_step.
func showStep(n *baremetal.Node, kind baremetal.StepKind) {
	shown := baremetal.Object("")
	if n.Work.StepIndex < len(n.Work.Steps) {
		s := n.Work.Steps[n.Work.StepIndex]
		args := s.Args
		if args == nil {
			args = map[string]any{}
		}
		shown = baremetal.MustObject(map[string]any{
			"interface": s.Interface, "step": s.Name, "args": args, "priority": s.Priority, "abortable": s.Abortable})
		if n.Work.Intent.AbortAfter {
			shown = shown.With("abort_after", true)
		}
	}
	n.DeployStep, n.CleanStep, n.ServiceStep = "", "", ""
	switch kind {
	case baremetal.DeployStep:
		n.DeployStep = shown
	case baremetal.CleanStep:
		n.CleanStep = shown
	case baremetal.ServiceStep:
		n.ServiceStep = shown
	}
}

// failStep ends the list: the node goes to its failed state with the reason.
func (w *work) failStep(ctx context.Context, s stepList, step *baremetal.Step, cause error) (outcome, error) {
	msg := fmt.Sprintf("%s: %s", s.failing, cause)
	if step != nil && step.Interface != "" {
		msg = fmt.Sprintf("%s: step %s.%s: %s", s.failing, step.Interface, step.Name, cause)
	}
	fault := ""
	if step != nil {
		fault = faultOf[s.kind]
	}
	return stepsFailed, w.fail(ctx, msg, fault)
}

// faultOf is the fault that takes a node out of service when a step of its list fails.
var faultOf = map[baremetal.StepKind]string{baremetal.CleanStep: "clean failure", baremetal.ServiceStep: "service failure"}

// fail moves the node to the failed state of what it is doing; with a fault it
// also goes into maintenance.
func (w *work) fail(ctx context.Context, msg, fault string) error {
	since := w.node.ProvisionUpdatedAt
	err := w.finish(ctx, func(n *baremetal.Node, now time.Time) {
		if next, ok := n.ProvisionState.Next(baremetal.EventFail); ok {
			n.SetState(next, now)
		}
		n.LastError = msg
		if fault != "" {
			n.Maintenance, n.MaintenanceReason, n.Fault = true, msg, fault
		}
		w.c.note(n, baremetal.SeverityError, "provisioning", msg, now.Sub(since))
		endWork(n)
	})
	if err != nil {
		return err
	}
	w.log.Error("failed", "state", w.node.ProvisionState, "err", msg)
	return nil
}

// endWork clears the intent and the journal of a finished verb.
func endWork(n *baremetal.Node) {
	n.Work.Intent.Verb, n.Work.Intent.Steps, n.Work.Intent.Manual = "", nil, false
	n.Work.Intent.DisableRamdisk, n.Work.Intent.AbortAfter = false, false
	n.Work.Steps, n.Work.StepIndex, n.Work.Journal = nil, 0, ""
	n.DeployStep, n.CleanStep, n.ServiceStep = "", "", ""
	clearWait(n)
	forgetAgent(n)
}

// reach ends a verb in a stable state.
func (w *work) reach(ctx context.Context, event baremetal.Event, also func(n *baremetal.Node, now time.Time)) error {
	from, since := w.node.ProvisionState, w.node.ProvisionUpdatedAt
	err := w.finish(ctx, func(n *baremetal.Node, now time.Time) {
		if next, ok := n.ProvisionState.Next(event); ok {
			n.SetState(next, now)
		}
		if also != nil {
			also(n, now)
		}
		n.TargetProvisionState = ""
		w.c.note(n, baremetal.SeverityInfo, "transition",
			fmt.Sprintf("Node moved to provision state %q from state %q", n.ProvisionState, from), now.Sub(since))
		endWork(n)
	})
	if err != nil {
		return err
	}
	w.log.Info("state reached", "state", w.node.ProvisionState, "from", from)
	return nil
}

// bySchedule drops steps of priority 0 and sorts: high priority first, ties by
// the interface order of the API reference, section 8.15.
func bySchedule(steps []baremetal.Step) []baremetal.Step {
	var kept []baremetal.Step
	for _, s := range steps {
		if s.Priority > 0 {
			kept = append(kept, s)
		}
	}
	sort.SliceStable(kept, func(i, j int) bool {
		if kept[i].Priority != kept[j].Priority {
			return kept[i].Priority > kept[j].Priority
		}
		return interfaceOrder[kept[i].Interface] < interfaceOrder[kept[j].Interface]
	})
	return kept
}

var interfaceOrder = map[string]int{"vendor": 0, "power": 1, "management": 2, "firmware": 3, "deploy": 4, "bios": 5, "raid": 6}

// driverSteps collects the steps of a kind that the node's interfaces offer.
func (c *Conductor) driverSteps(ctx context.Context, t *drivers.Task, kind baremetal.StepKind) ([]baremetal.Step, error) {
	var all []baremetal.Step
	for _, ifc := range []string{"vendor", "power", "management", "firmware", "deploy", "bios", "raid", "network"} {
		impl, err := c.Registry.Interface(&t.Node, ifc)
		if err != nil {
			return nil, err
		}
		if s, ok := impl.(drivers.Stepper); ok {
			steps, err := s.Steps(ctx, t, kind)
			if err != nil {
				return nil, err
			}
			all = append(all, steps...)
		}
	}
	return all, nil
}
