package conductor

import (
	"context"
	"slices"
	"strings"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// clean runs the automated steps (on the way to available) or those the caller
// gave (back to manageable).
func (w *work) clean(ctx context.Context) (bool, error) {
	s := stepList{kind: baremetal.CleanStep, failing: "Failed to clean"}
	out, err := w.runSteps(ctx, s, w.planClean)
	if err != nil || out == stepsGoOn {
		return true, err
	}
	if out != stepsDone {
		return false, nil
	}
	if w.node.Work.Intent.Manual || w.node.Retired { // a retired node is not offered again
		return false, w.reach(ctx, baremetal.EventManage, nil)
	}
	return false, w.reach(ctx, baremetal.EventDone, nil)
}

func (w *work) planClean(ctx context.Context, t *drivers.Task) ([]baremetal.Step, error) {
	intent := w.node.Work.Intent
	if !intent.Manual && !w.automatedClean() {
		return nil, nil
	}
	steps, err := w.c.driverSteps(ctx, t, baremetal.CleanStep)
	if err != nil {
		return nil, err
	}
	if !intent.Manual {
		return w.withCleaningNetwork(bySchedule(steps)), nil
	}
	steps, err = givenSteps(steps, intent, "clean")
	return w.withCleaningNetwork(steps), err
}

func (w *work) automatedClean() bool {
	if w.node.AutomatedClean != nil {
		return *w.node.AutomatedClean
	}
	return !w.c.NoAutomatedClean
}

// givenSteps keeps the caller's order and takes what else is known of the steps from the driver.
func givenSteps(known []baremetal.Step, intent baremetal.Intent, what string) ([]baremetal.Step, error) {
	var list []baremetal.Step
	for _, g := range intent.Steps {
		s, err := findStep(known, g, what)
		if err != nil {
			return nil, err
		}
		if s.NeedsRamdisk && intent.DisableRamdisk {
			return nil, baremetal.Errorf(baremetal.Invalid, "The %s step %s.%s needs a ramdisk, and disable_ramdisk is set", what, s.Interface, s.Name)
		}
		list = append(list, s)
	}
	return list, nil
}

// findStep joins a step that was asked for with what is known of it.
func findStep(known []baremetal.Step, g baremetal.Step, what string) (baremetal.Step, error) {
	if baremetal.CoreStep(g.Name) { // whatever the interface
		if g.Name == baremetal.StepHold && g.OnChildren {
			return g, baremetal.Errorf(baremetal.Invalid, "The step hold cannot be executed on child nodes")
		}
		g.Abortable = true
		return g, nil
	}
	i := slices.IndexFunc(known, func(k baremetal.Step) bool { return k.Interface == g.Interface && k.Name == g.Name })
	if i < 0 {
		if g.OnChildren { // their interfaces know
			return g, nil
		}
		return g, baremetal.Errorf(baremetal.Invalid, "Node does not support %s step: %s.%s", what, g.Interface, g.Name)
	}
	s := known[i]
	s.Args, s.OnChildren, s.Children = g.Args, g.OnChildren, g.Children
	var missing []string
	for _, arg := range s.RequiredArgs {
		if _, ok := g.Args[arg]; !ok {
			missing = append(missing, arg)
		}
	}
	if missing != nil {
		return s, baremetal.Errorf(baremetal.Invalid, "Missing the required arguments %s of the %s step %s.%s",
			strings.Join(missing, ", "), what, g.Interface, g.Name)
	}
	return s, nil
}

// service runs the steps the caller gave on an active node.
func (w *work) service(ctx context.Context) (bool, error) {
	s := stepList{kind: baremetal.ServiceStep, failing: "Failed to service"}
	out, err := w.runSteps(ctx, s, func(ctx context.Context, t *drivers.Task) ([]baremetal.Step, error) {
		steps, err := w.c.driverSteps(ctx, t, baremetal.ServiceStep)
		if err != nil {
			return nil, err
		}
		steps, err = givenSteps(steps, w.node.Work.Intent, "service")
		return w.withServicingNetwork(t, steps), err
	})
	if err != nil || out == stepsGoOn {
		return true, err
	}
	if out != stepsDone {
		return false, nil
	}
	return false, w.reach(ctx, baremetal.EventDone, nil)
}
