package conductor_test

import (
	"context"

	"caddyshack/baremetal"
	"caddyshack/drivers"
	"caddyshack/drivers/fake"
)

// plainDeploy is a deploy interface that has none of the optional abilities.
type plainDeploy struct{ drivers.NoOp }

func (plainDeploy) Steps(context.Context, *drivers.Task, baremetal.StepKind) ([]baremetal.Step, error) {
	return nil, nil
}

func (plainDeploy) RunStep(context.Context, *drivers.Task, baremetal.StepKind, baremetal.Step) (drivers.Result, error) {
	return drivers.Done(), nil
}

func (plainDeploy) TearDown(context.Context, *drivers.Task) (drivers.Result, error) {
	return drivers.Done(), nil
}

func (p *plainDeploy) hardwareType() *drivers.HardwareType {
	h := fake.HardwareType()
	h.Name = "plain"
	h.Interfaces["deploy"] = map[string]any{"plain": *p}
	h.Defaults["deploy"] = "plain"
	return h
}
