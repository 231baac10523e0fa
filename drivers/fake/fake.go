// Package fake drives nothing: hardware types whose interfaces touch no
// machine and settle at once, so that clients and tests can exercise the API
// at scale. Interface names and steps are those of Ironic's fake-hardware;
// keys of driver_info (see options.go) make it slow, wait, or fail.
package fake

import (
	"context"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// Name is the hardware type's.
const Name = "fake-hardware"

// HardwareType returns fake-hardware.
func HardwareType() *drivers.HardwareType {
	absent := func(what string) any { return drivers.Absent{Driver: Name, What: what} }
	return &drivers.HardwareType{
		Name: Name,
		Interfaces: map[string]map[string]any{
			"bios":       {"fake": BIOS{}, "no-bios": absent("bios")},
			"boot":       {"fake": validated{"boot"}},
			"console":    {"fake": Console{}, "no-console": absent("console")},
			"deploy":     {"fake": Deploy{}},
			"firmware":   {"fake": Firmware{}, "no-firmware": absent("firmware")},
			"inspect":    {"fake": Inspect{}, "no-inspect": absent("inspection")},
			"management": {"fake": Management{}},
			"network":    {"noop": drivers.NoOp{}, "flat": drivers.Flat{}},
			"power":      {"fake": Power{}},
			"raid":       {"fake": RAID{}, "no-raid": absent("raid")},
			"rescue":     {"fake": Rescue{}, "no-rescue": absent("rescue")},
			"storage":    {"noop": drivers.NoOp{}, "fake": validated{"storage"}},
			"vendor":     {"fake": Vendor{}, "no-vendor": drivers.NoOp{}},
		},
		Defaults: map[string]string{
			"bios": "fake", "boot": "fake", "console": "fake", "deploy": "fake", "firmware": "no-firmware",
			"inspect": "fake", "management": "fake", "network": "noop", "power": "fake", "raid": "fake",
			"rescue": "fake", "storage": "noop", "vendor": "fake",
		},
		Properties: properties(),
	}
}

// validated is an interface that is valid unless the node asks for a failure.
type validated struct{ kind string }

// Validate fails on request.
func (v validated) Validate(_ context.Context, t *drivers.Task) error {
	return failing(&t.Node, "validate."+v.kind)
}

// Console has nothing behind it.
type Console struct{ drivers.NoOp }

// StartConsole succeeds unless a failure is asked for.
func (Console) StartConsole(_ context.Context, t *drivers.Task) error {
	return failing(&t.Node, "console")
}

// StopConsole is StartConsole's twin.
func (Console) StopConsole(_ context.Context, t *drivers.Task) error {
	return failing(&t.Node, "console")
}

// Console names no place, as nothing listens.
func (Console) Console(context.Context, *drivers.Task) (drivers.ConsoleInfo, error) {
	return drivers.ConsoleInfo{Type: "fake", URL: ""}, nil
}

// Rescue changes no machine.
type Rescue struct{}

// Validate fails on request.
func (Rescue) Validate(_ context.Context, t *drivers.Task) error {
	return failing(&t.Node, "validate.rescue")
}

// ExpectsAgent tells whether the node waits for an agent in rescue.
func (Rescue) ExpectsAgent(n *baremetal.Node) bool { return waits(n, "rescue") }

// Rescue is done at once, or when the node's options say.
func (Rescue) Rescue(ctx context.Context, t *drivers.Task) (drivers.Result, error) {
	return work(ctx, t, "rescue", "rescue")
}

// Unrescue is Rescue's way back.
func (Rescue) Unrescue(ctx context.Context, t *drivers.Task) (drivers.Result, error) {
	return work(ctx, t, "rescue", "unrescue")
}

// AbortRescue has nothing to tidy up, but can fail at it.
func (Rescue) AbortRescue(_ context.Context, t *drivers.Task) error {
	return failing(&t.Node, "rescue_abort")
}
