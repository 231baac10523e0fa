package backplane

import (
	"fmt"
	"math"
	"time"

	"caddyshack/baremetal"
	"caddyshack/bus"
	"caddyshack/drivers"
)

// Keys of driver_info.
const (
	UnitProperty = "backplane_unit"
	SlotProperty = "slot"
)

// Properties describes the keys of driver_info that the backplane drivers read.
func Properties() map[string]string {
	return map[string]string{
		UnitProperty: "id of the backplane unit on the bus, such as bpu-1. Required.",
		SlotProperty: "slot of the unit that holds the caddy, 1 to 4. Required.",
	}
}

// Driver implements the interfaces of the name "backplane"; each kind is a view of it.
type Driver struct {
	// Fleet is the bus.
	Fleet *Fleet
	// Confirm is how long a slot may take until it reads back what was asked,
	// beyond the time the action itself takes; 0 = 10 s.
	Confirm time.Duration
	// SoftTimeout is how long an operating system may take to halt if the caller
	// sets no limit; then its power is cut. 0 = 60 s.
	SoftTimeout time.Duration
}

// place reads where a node's caddy is; the error is of kind Invalid and says what to set.
func place(n *baremetal.Node) (slotKey, error) {
	for _, key := range []string{UnitProperty, SlotProperty} {
		if n.DriverInfo.Str(key) == "" {
			return slotKey{}, baremetal.Errorf(baremetal.Invalid, "missing %q in driver_info: %s", key, Properties()[key])
		}
	}
	k := slotKey{unit: n.DriverInfo.Str(UnitProperty)}
	if err := bus.CheckUnitID(k.unit); err != nil {
		return slotKey{}, baremetal.Errorf(baremetal.Invalid, "%q in driver_info: %w", UnitProperty, err)
	}
	slot, ok := n.DriverInfo.Int(SlotProperty)
	if !ok || slot < 1 || slot > bus.MaxSlots {
		return slotKey{}, baremetal.Errorf(baremetal.Invalid, "%q in driver_info is %q: want a number from 1 to %d",
			SlotProperty, n.DriverInfo.Str(SlotProperty), bus.MaxSlots)
	}
	k.slot = slot
	return k, nil
}

// validate checks driver_info, and the slot's number against a unit that is known.
func (d *Driver) validate(t *drivers.Task) error {
	k, err := place(&t.Node)
	if err != nil {
		return err
	}
	d.Fleet.mu.Lock()
	defer d.Fleet.mu.Unlock()
	if err := d.Fleet.trouble(k.unit, k.slot); baremetal.IsKind(err, baremetal.Invalid) {
		return err
	}
	return nil
}

// epoch for a command: that of the claim, but never below what the slot has seen.
// A database that was made anew counts claims from 1 while units remember more;
// raising it is safe because a claimant that lost its claim cannot write the
// journal entry that comes before each power command.
func epoch(t *drivers.Task, least int64) (uint32, error) {
	e := max(t.Epoch, least)
	if e < 0 || e > math.MaxUint32 {
		return 0, fmt.Errorf("epoch %d does not fit the bus", e)
	}
	return uint32(e), nil
}

func refusal(k slotKey, op bus.Op, a bus.Ack, s bus.State) error {
	conflict := func(format string, args ...any) error {
		return baremetal.Errorf(baremetal.Conflict, "slot %d of unit %s refuses %q: %s", k.slot, k.unit, op, fmt.Sprintf(format, args...))
	}
	switch a.Code {
	case bus.CodeEmpty:
		return conflict("it is empty: put the caddy in")
	case bus.CodeAlwaysOn:
		return conflict("its always-on jumper is set, as for a device that others depend on: remove the jumper to switch it off")
	case bus.CodeFault:
		if s.Power != bus.PowerFault {
			return conflict("it has just gone into fault, or the unit cannot read its shift chain: look at the slot's state and at the cables between the shift units")
		}
		return conflict("it is in fault (%s): %s", s.Why, faultHint(s.Why))
	case bus.CodeBusy:
		return conflict("it is busy with another action, %s: try again when that is done", describe(s))
	case bus.CodeStale:
		return conflict("a later claimant has spoken to it (epoch %d)", s.Epoch)
	case bus.CodeExpired:
		return conflict("the command arrived too late: check the network between controller and unit")
	default:
		return conflict("it answers %q, %s", a.Code, describe(s))
	}
}
