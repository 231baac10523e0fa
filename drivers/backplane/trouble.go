package backplane

import (
	"fmt"
	"time"

	"caddyshack/baremetal"
	"caddyshack/bus"
)

// trouble says why nothing can be known or done about a slot now, nil if there
// is no reason. The lock is held.
func (f *Fleet) trouble(unit string, slot int) error {
	unavailable := func(format string, args ...any) error {
		return baremetal.Errorf(baremetal.Unavailable, format, args...)
	}
	u := f.units[unit]
	switch {
	case !f.broken.IsZero() && time.Since(f.broken) > f.cfg.Settle:
		return unavailable("the controller has no connection to the MQTT broker at %s since %s: check the broker and the password",
			f.cfg.Broker, clock(f.broken))
	case u == nil || (u.since.IsZero() && u.info.Slots == 0):
		return unavailable("unit %s has never been heard on the bus: check backplane_unit in driver_info, and the unit's power and Wi-Fi", unit)
	case !u.online && u.since.IsZero():
		return unavailable("unit %s is offline: check its power and Wi-Fi", unit)
	case !u.online:
		return unavailable("unit %s is offline since %s: check its power and Wi-Fi", unit, clock(u.since))
	case u.info.Slots != 0 && slot > u.info.Slots:
		return baremetal.Errorf(baremetal.Invalid, "unit %s has %d slots, there is no slot %d: correct slot in driver_info", unit, u.info.Slots, slot)
	case !u.slots[slot].known:
		return unavailable("unit %s is online but has not told the state of slot %d: if it stays so, restart the unit (no caddy loses power by that)", unit, slot)
	}
	return nil
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05 MST") }

// describe puts a state into words.
func describe(s bus.State) string {
	pgood := "no 5 V"
	if s.PGood {
		pgood = "5 V"
	}
	return fmt.Sprintf("it reports %s (%s) and reads %s", s.Power, s.Why, pgood)
}

// lying tells whether a state contradicts itself for good: on without power.
// (Off with power passes by while capacitors empty, and ends in a fault.)
func lying(s bus.State) bool { return s.Power == bus.PowerOn && !s.PGood }

// faultHint says what a fault means and what to do.
func faultHint(why bus.Why) string {
	switch why {
	case bus.WhyOverload:
		return "the slot's switch cut out by overload: check the caddy for a short, switch it off, then on"
	case bus.WhyBackfed:
		return "the caddy is powered from somewhere else: remove its second supply, switch it off, then on"
	case bus.WhyNoPower:
		return "no 5 V arrived after switching on: check the slot's fuse and connector, switch it off, then on"
	case bus.WhyStuckOn:
		return "the 5 V stayed after switching off: the slot's switch is broken or the caddy is powered from somewhere else"
	default:
		return "switch it off, then on"
	}
}
