package backplane

import (
	"context"
	"fmt"

	"caddyshack/baremetal"
	"caddyshack/bus"
	"caddyshack/drivers"
)

// Management of a caddy: it always boots from the network, and its slot has a light.
type Management struct{ *Driver }

const (
	bootDevice   = "pxe"
	ledName      = "led"
	ledComponent = "chassis"
)

// ledStates maps Ironic's names to the bus's.
var ledStates = map[string]bus.LED{"on": bus.LEDOn, "off": bus.LEDOff, "blinking": bus.LEDBlink}

// Validate checks driver_info.
func (m Management) Validate(_ context.Context, t *drivers.Task) error { return m.validate(t) }

// SupportedBootDevices are the network alone.
func (m Management) SupportedBootDevices(context.Context, *drivers.Task) ([]string, error) {
	return []string{bootDevice}, nil
}

// BootDevice is the network, always.
func (m Management) BootDevice(context.Context, *drivers.Task) (drivers.BootDevice, error) {
	return drivers.BootDevice{Device: bootDevice, Persistent: true}, nil
}

// SetBootDevice accepts the network and changes nothing.
func (m Management) SetBootDevice(_ context.Context, _ *drivers.Task, d drivers.BootDevice) error {
	if d.Device != bootDevice {
		return baremetal.Errorf(baremetal.Invalid, "Invalid boot device %s specified. A caddy boots from the network: use %s.", d.Device, bootDevice)
	}
	return nil
}

// Indicators has the slot's light.
func (m Management) Indicators(context.Context, *drivers.Task) ([]drivers.Indicator, error) {
	return []drivers.Indicator{{Name: ledName, Component: ledComponent, States: []string{"off", "on", "blinking"}}}, nil
}

// IndicatorState is what the light shows.
func (m Management) IndicatorState(ctx context.Context, t *drivers.Task, component, name string) (string, error) {
	k, err := m.light(t, component, name)
	if err != nil {
		return "", err
	}
	s, err := m.Fleet.Slot(ctx, k.unit, k.slot)
	if err != nil {
		return "", err
	}
	for state, led := range ledStates {
		if led == s.State.LED {
			return state, nil
		}
	}
	return "unknown", nil // a unit that does not tell
}

// SetIndicatorState sets the light.
func (m Management) SetIndicatorState(ctx context.Context, t *drivers.Task, component, name, state string) error {
	k, err := m.light(t, component, name)
	if err != nil {
		return err
	}
	led, ok := ledStates[state]
	if !ok {
		return baremetal.Errorf(baremetal.Invalid, "Invalid state %q for indicator %s@%s: want on, off or blinking.", state, name, component)
	}
	return m.lamp(ctx, t, k, bus.SlotCommand{Op: bus.OpLED, LED: led})
}

func (m Management) light(t *drivers.Task, component, name string) (slotKey, error) {
	if component != ledComponent || name != ledName {
		return slotKey{}, baremetal.Errorf(baremetal.NotFound, "Indicator %s@%s could not be found.", name, component)
	}
	return place(&t.Node)
}

// lamp sends a command that has no effect on power and is done when acknowledged.
func (d *Driver) lamp(ctx context.Context, t *drivers.Task, k slotKey, cmd bus.SlotCommand) error {
	s, err := d.Fleet.Slot(ctx, k.unit, k.slot)
	if err != nil {
		return fmt.Errorf("%s: %w", cmd.Op, err)
	}
	if cmd.Epoch, err = epoch(t, int64(s.State.Epoch)); err != nil {
		return err
	}
	ack, err := d.Fleet.Command(ctx, k.unit, k.slot, cmd)
	if err != nil {
		return err
	}
	if !ack.OK {
		if cmd.Op == bus.OpReset && ack.Code == bus.CodeBad && s.State.Power != bus.PowerOn {
			return baremetal.Errorf(baremetal.Conflict, "slot %d of unit %s is %s: there is nothing to reset", k.slot, k.unit, s.State.Power)
		}
		return refusal(k, cmd.Op, ack, s.State)
	}
	return nil
}
