// Package fake drives nothing: a hardware type whose interfaces touch no
// machine and settle at once, so that clients and tests can exercise the API
// at scale. Interface names and steps are those of Ironic's fake-hardware.
package fake

import (
	"context"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// HardwareType returns fake-hardware.
func HardwareType() *drivers.HardwareType {
	const name = "fake-hardware"
	absent := func(what string) any { return drivers.Absent{Driver: name, What: what} }
	return &drivers.HardwareType{
		Name: name,
		Interfaces: map[string]map[string]any{
			"bios":       {"fake": drivers.NoOp{}, "no-bios": absent("bios")},
			"boot":       {"fake": drivers.NoOp{}},
			"console":    {"fake": Console{}, "no-console": absent("console")},
			"deploy":     {"fake": Deploy{}},
			"firmware":   {"fake": drivers.NoOp{}, "no-firmware": absent("firmware")},
			"inspect":    {"fake": Inspect{}, "no-inspect": absent("inspection")},
			"management": {"fake": Management{}},
			"network":    {"noop": drivers.NoOp{}, "flat": drivers.NoOp{}},
			"power":      {"fake": Power{}},
			"raid":       {"fake": drivers.NoOp{}, "no-raid": absent("raid")},
			"rescue":     {"fake": Rescue{}, "no-rescue": absent("rescue")},
			"storage":    {"noop": drivers.NoOp{}, "fake": drivers.NoOp{}},
			"vendor":     {"fake": Vendor{}, "no-vendor": drivers.NoOp{}},
		},
		Defaults: map[string]string{
			"bios": "fake", "boot": "fake", "console": "fake", "deploy": "fake", "firmware": "no-firmware",
			"inspect": "fake", "management": "fake", "network": "noop", "power": "fake", "raid": "fake",
			"rescue": "fake", "storage": "noop", "vendor": "fake",
		},
		Properties: map[string]string{},
	}
}

// Power remembers what it was told in the node's row: unknown until then.
type Power struct{ drivers.NoOp }

// PowerState is what the row says.
func (Power) PowerState(_ context.Context, t *drivers.Task) (baremetal.PowerState, error) {
	return t.Node.PowerState, nil
}

// SetPower succeeds at once.
func (Power) SetPower(context.Context, *drivers.Task, baremetal.PowerTarget, time.Duration) error {
	return nil
}

// SupportsSoftPower is true for every fake machine.
func (Power) SupportsSoftPower(*drivers.Task) bool { return true }

// Management boots from PXE, whatever it is told.
type Management struct{ drivers.NoOp }

// SupportedBootDevices has the one Ironic's fake has.
func (Management) SupportedBootDevices(context.Context, *drivers.Task) ([]string, error) {
	return []string{"pxe"}, nil
}

// BootDevice is PXE, not persistent.
func (Management) BootDevice(context.Context, *drivers.Task) (drivers.BootDevice, error) {
	return drivers.BootDevice{Device: "pxe"}, nil
}

// SetBootDevice changes nothing.
func (Management) SetBootDevice(context.Context, *drivers.Task, drivers.BootDevice) error { return nil }

// InjectNMI interrupts nothing.
func (Management) InjectNMI(context.Context, *drivers.Task) error { return nil }

// Deploy has one deploy step and one clean step that do nothing.
type Deploy struct{ drivers.NoOp }

// Steps lists the deploy step; cleaning has none that run by themselves.
func (Deploy) Steps(_ context.Context, _ *drivers.Task, kind baremetal.StepKind) ([]baremetal.Step, error) {
	if kind == baremetal.DeployStep {
		return []baremetal.Step{{Interface: "deploy", Name: "deploy", Priority: 100}}, nil
	}
	return []baremetal.Step{{Interface: "deploy", Name: "deploy", Abortable: true}}, nil
}

// RunStep is done at once.
func (Deploy) RunStep(context.Context, *drivers.Task, baremetal.StepKind, baremetal.Step) (drivers.Result, error) {
	return drivers.Done(), nil
}

// TearDown has nothing to remove.
func (Deploy) TearDown(context.Context, *drivers.Task) (drivers.Result, error) {
	return drivers.Done(), nil
}

// Console has nothing behind it.
type Console struct{ drivers.NoOp }

// StartConsole succeeds.
func (Console) StartConsole(context.Context, *drivers.Task) error { return nil }

// StopConsole succeeds.
func (Console) StopConsole(context.Context, *drivers.Task) error { return nil }

// Console names no place, as nothing listens.
func (Console) Console(context.Context, *drivers.Task) (drivers.ConsoleInfo, error) {
	return drivers.ConsoleInfo{Type: "fake", URL: ""}, nil
}

// Inspect finds nothing new.
type Inspect struct{ drivers.NoOp }

// Inspect is done at once.
func (Inspect) Inspect(context.Context, *drivers.Task) (drivers.Result, error) {
	return drivers.Done(), nil
}

// Rescue changes no machine.
type Rescue struct{ drivers.NoOp }

// Rescue is done at once.
func (Rescue) Rescue(context.Context, *drivers.Task) (drivers.Result, error) {
	return drivers.Done(), nil
}

// Unrescue is done at once.
func (Rescue) Unrescue(context.Context, *drivers.Task) (drivers.Result, error) {
	return drivers.Done(), nil
}
