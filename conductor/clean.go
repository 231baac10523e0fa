package conductor

import (
	"context"
	"slices"

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
	steps, err := w.driverSteps(ctx, t, baremetal.CleanStep)
	if err != nil {
		return nil, err
	}
	if !intent.Manual {
		return bySchedule(steps), nil
	}
	return givenSteps(steps, intent.Steps, "clean")
}

func (w *work) automatedClean() bool {
	if w.node.AutomatedClean != nil {
		return *w.node.AutomatedClean
	}
	return !w.c.NoAutomatedClean
}

// givenSteps keeps the caller's order and takes what else is known of the steps from the driver.
func givenSteps(known, given []baremetal.Step, what string) ([]baremetal.Step, error) {
	var list []baremetal.Step
	for _, g := range given {
		i := slices.IndexFunc(known, func(k baremetal.Step) bool { return k.Interface == g.Interface && k.Name == g.Name })
		_, power := powerSteps[g.Name]
		switch {
		case i >= 0:
			s := known[i]
			s.Args = g.Args
			list = append(list, s)
		case g.Interface == "power" && power:
			list = append(list, g)
		default:
			return nil, baremetal.Errorf(baremetal.Invalid, "Node does not support %s step: %s.%s", what, g.Interface, g.Name)
		}
	}
	return list, nil
}

// service runs the steps the caller gave on an active node.
func (w *work) service(ctx context.Context) (bool, error) {
	s := stepList{kind: baremetal.ServiceStep, failing: "Failed to service"}
	out, err := w.runSteps(ctx, s, func(ctx context.Context, t *drivers.Task) ([]baremetal.Step, error) {
		steps, err := w.driverSteps(ctx, t, baremetal.ServiceStep)
		if err != nil {
			return nil, err
		}
		return givenSteps(steps, w.node.Work.Intent.Steps, "service")
	})
	if err != nil || out == stepsGoOn {
		return true, err
	}
	if out != stepsDone {
		return false, nil
	}
	return false, w.reach(ctx, baremetal.EventDone, nil)
}
