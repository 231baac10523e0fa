package conductor_test

import (
	"context"
	"sync"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
	"caddyshack/drivers/fake"
)

// script is a hardware type whose deploy steps do what a test says.
type script struct {
	fake.Deploy
	mu    sync.Mutex
	steps []baremetal.Step
	run   func(ctx context.Context, t *drivers.Task, step baremetal.Step) (drivers.Result, error)
	runs  []string
	torn  int
}

func (s *script) Steps(_ context.Context, _ *drivers.Task, kind baremetal.StepKind) ([]baremetal.Step, error) {
	if kind != baremetal.DeployStep {
		return nil, nil
	}
	return s.steps, nil
}

func (s *script) RunStep(ctx context.Context, t *drivers.Task, _ baremetal.StepKind, step baremetal.Step) (drivers.Result, error) {
	s.mu.Lock()
	s.runs = append(s.runs, step.Name)
	s.mu.Unlock()
	if s.run == nil {
		return drivers.Done(), nil
	}
	return s.run(ctx, t, step)
}

func (s *script) HoldsRoot() bool { return true }

func (s *script) TearDown(context.Context, *drivers.Task) (drivers.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.torn++
	return drivers.Done(), nil
}

func (s *script) ran() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.runs...)
}

// power remembers what it was told, outside of the node's row, and under which epoch.
type power struct {
	drivers.NoOp
	mu     sync.Mutex
	state  baremetal.PowerState
	epochs []int64
	fail   error
	enter  chan struct{} // if set, receives when SetPower begins
	gate   chan struct{} // if set, SetPower waits for it, deaf to its context
}

func (p *power) HardwareKey(n *baremetal.Node) string { return n.DriverInfo.Str("slot") }

func (p *power) PowerState(context.Context, *drivers.Task) (baremetal.PowerState, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state, p.fail
}

func (p *power) SetPower(_ context.Context, t *drivers.Task, target baremetal.PowerTarget, _ time.Duration) error {
	p.mu.Lock()
	enter, gate := p.enter, p.gate
	p.mu.Unlock()
	if enter != nil {
		enter <- struct{}{}
	}
	if gate != nil {
		<-gate
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.epochs = append(p.epochs, t.Epoch)
	if p.fail != nil {
		return p.fail
	}
	p.state = target.Outcome()
	return nil
}

// scripted makes the hardware type "scripted" of a script and a power.
func scripted(s *script, p *power) *drivers.HardwareType {
	h := fake.HardwareType()
	h.Name = "scripted"
	h.Interfaces["deploy"] = map[string]any{"script": s}
	h.Defaults["deploy"] = "script"
	h.Interfaces["power"] = map[string]any{"script": p}
	h.Defaults["power"] = "script"
	return h
}

func steps(names ...string) []baremetal.Step {
	var list []baremetal.Step
	for i, n := range names {
		list = append(list, baremetal.Step{Interface: "deploy", Name: n, Priority: 100 - i})
	}
	return list
}
