package backplane

import (
	"context"
	"fmt"

	"caddyshack/baremetal"
	"caddyshack/bus"
	"caddyshack/drivers"
)

// observeSlot queues what is known of a slot for Observe; the lock is held. A
// slot that was never heard is left out.
func (f *Fleet) observeSlot(u *unitView, slot int) {
	v := u.slots[slot]
	if f.cfg.Observe == nil || !v.known {
		return
	}
	if u.online && passing(v.state) {
		return
	}
	key := slotKey{u.id, slot}
	o := drivers.Observation{Key: key.String(), Boot: int64(v.state.Boot), Seq: int64(v.state.Seq)}
	if u.online {
		o.Power, o.Reason = powerOf(u.id, slot, v.state)
	} else {
		o.Reason = fmt.Sprintf("unit %s is offline since %s: check its power and Wi-Fi", u.id, clock(u.since))
	}
	if _, waiting := f.observe[key]; !waiting {
		f.order = append(f.order, key)
	}
	f.observe[key] = o
	select {
	case f.ring <- struct{}{}:
	default:
	}
}

// passing tells whether another state follows within seconds by itself: only
// where it ends is worth a write and a line of history.
func passing(s bus.State) bool {
	return (s.Power == bus.PowerStarting && s.Why != bus.WhyHold) || s.Power == bus.PowerStopping
}

// powerOf translates a slot's state; the reason is for people.
func powerOf(unit string, slot int, s bus.State) (baremetal.PowerState, string) {
	switch {
	case lying(s):
		return baremetal.PowerUnknown, fmt.Sprintf("unit %s contradicts itself about slot %d: %s", unit, slot, describe(s))
	case s.Power == bus.PowerFault:
		return baremetal.PowerError, fmt.Sprintf("slot %d of unit %s is in fault (%s): %s", slot, unit, s.Why, faultHint(s.Why))
	case s.Power == bus.PowerEmpty:
		return baremetal.PowerUnknown, fmt.Sprintf("slot %d of unit %s is empty: put the caddy back", slot, unit)
	case s.PGood:
		return baremetal.PowerOn, reasons[s.Why]
	default:
		return baremetal.PowerOff, reasons[s.Why]
	}
}

// reasons of changes that nobody asked for over the API.
var reasons = map[bus.Why]string{
	bus.WhyButton:   "the button on the caddy",
	bus.WhyPolicy:   "switched on after a power loss",
	bus.WhyHold:     "waits for its turn after a power loss",
	bus.WhyInserted: "the caddy was put in",
	bus.WhyHalted:   "the operating system has halted",
	bus.WhyForced:   "it did not halt when asked, so the power was cut",
	bus.WhyOverload: "after an overload",
}

// tell calls Observe for what is queued.
func (f *Fleet) tell(ctx context.Context) {
	for {
		select {
		case <-f.ring:
		case <-ctx.Done():
			return
		}
		for {
			f.mu.Lock()
			if len(f.order) == 0 {
				f.mu.Unlock()
				break
			}
			key := f.order[0]
			f.order = f.order[1:]
			o := f.observe[key]
			delete(f.observe, key)
			f.mu.Unlock()
			f.cfg.Observe(ctx, o)
		}
	}
}
