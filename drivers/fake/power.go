package fake

import (
	"context"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// Power remembers what it was told in the node's row: unknown until then.
type Power struct{ runner }

// Validate fails on request.
func (Power) Validate(_ context.Context, t *drivers.Task) error {
	return failing(&t.Node, "validate.power")
}

// Steps lists the interface's.
func (Power) Steps(_ context.Context, t *drivers.Task, kind baremetal.StepKind) ([]baremetal.Step, error) {
	return listSteps("power", t, kind), nil
}

// PowerState is what the row says.
func (Power) PowerState(_ context.Context, t *drivers.Task) (baremetal.PowerState, error) {
	n := &t.Node
	if plain(n) {
		return n.PowerState, nil
	}
	for state, what := range map[baremetal.ProvisionState]string{baremetal.Verifying: "verify", baremetal.Adopting: "adopt"} {
		if n.ProvisionState == state {
			if err := failing(n, what); err != nil {
				return "", err
			}
		}
	}
	if err := failing(n, "power_state"); err != nil {
		return "", err
	}
	if s := n.DriverInfo.Str(PowerKey); s != "" {
		return baremetal.PowerState(s), nil
	}
	return n.PowerState, nil
}

// SetPower succeeds at once, or after the node's delay.
func (Power) SetPower(ctx context.Context, t *drivers.Task, _ baremetal.PowerTarget, _ time.Duration) error {
	if err := pause(ctx, &t.Node, "power"); err != nil {
		return err
	}
	return failing(&t.Node, "power")
}

// SupportsSoftPower is true for every fake machine.
func (Power) SupportsSoftPower(*drivers.Task) bool { return true }

// Polled is true for machines that may show something else than they were told.
func (Power) Polled(n *baremetal.Node) bool { return !plain(n) }
