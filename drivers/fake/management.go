package fake

import (
	"context"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// Management boots from PXE, whatever it is told, and has all that a management
// interface can have.
type Management struct{ runner }

// Validate fails on request.
func (Management) Validate(_ context.Context, t *drivers.Task) error {
	return failing(&t.Node, "validate.management")
}

// Steps lists the interface's.
func (Management) Steps(_ context.Context, t *drivers.Task, kind baremetal.StepKind) ([]baremetal.Step, error) {
	return listSteps("management", t, kind), nil
}

// SupportedBootDevices has the one Ironic's fake has.
func (Management) SupportedBootDevices(context.Context, *drivers.Task) ([]string, error) {
	return []string{"pxe"}, nil
}

// BootDevice is PXE, not persistent.
func (Management) BootDevice(context.Context, *drivers.Task) (drivers.BootDevice, error) {
	return drivers.BootDevice{Device: "pxe"}, nil
}

// SetBootDevice changes nothing.
func (Management) SetBootDevice(ctx context.Context, t *drivers.Task, _ drivers.BootDevice) error {
	return pause(ctx, &t.Node, "management")
}

// InjectNMI interrupts nothing.
func (Management) InjectNMI(ctx context.Context, t *drivers.Task) error {
	return pause(ctx, &t.Node, "management")
}

// SupportedBootModes are both.
func (Management) SupportedBootModes(context.Context, *drivers.Task) ([]string, error) {
	return []string{"uefi", "bios"}, nil
}

// SetBootMode succeeds unless a failure is asked for.
func (Management) SetBootMode(ctx context.Context, t *drivers.Task, _ string) error {
	if err := pause(ctx, &t.Node, "management"); err != nil {
		return err
	}
	return failing(&t.Node, "boot_mode")
}

// SetSecureBoot succeeds unless a failure is asked for.
func (Management) SetSecureBoot(ctx context.Context, t *drivers.Task, _ bool) error {
	if err := pause(ctx, &t.Node, "management"); err != nil {
		return err
	}
	return failing(&t.Node, "secure_boot")
}

// AttachMedium fetches nothing.
func (Management) AttachMedium(_ context.Context, t *drivers.Task, _ baremetal.VirtualMedium) error {
	return failing(&t.Node, "vmedia")
}

// DetachMedia has nothing to take away.
func (Management) DetachMedia(_ context.Context, t *drivers.Task, _ []string) error {
	return failing(&t.Node, "vmedia")
}

// Health is what the node's options say.
func (Management) Health(_ context.Context, t *drivers.Task) (string, error) {
	if plain(&t.Node) {
		return "", nil
	}
	switch s := t.Node.DriverInfo.Str(HealthKey); s {
	case "OK", "Warning", "Critical":
		return s, nil
	}
	return "", nil
}
