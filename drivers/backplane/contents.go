package backplane

import (
	"cmp"
	"context"
	"slices"
	"time"

	"caddyshack/bus"
)

// Content is what a unit reports of one of its slots.
type Content struct {
	Unit string
	Slot int
	// Type is the type code of the caddy in it (bus.TypePi…), bus.TypeEmpty for none.
	Type int
	// Changes counts how often something else was put in, since this process runs.
	Changes int
	// Powered tells whether it has power, or gets it.
	Powered bool
}

// Contents lists the slots of the units that are online, in order, and returns
// a channel that is closed when something about a unit changes.
func (f *Fleet) Contents() ([]Content, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []Content
	if !f.broken.IsZero() {
		return nil, f.change // what is known may be old
	}
	for _, u := range f.units {
		for slot := range u.slots {
			if c, ok := u.content(slot); ok {
				list = append(list, c)
			}
		}
	}
	slices.SortFunc(list, func(a, b Content) int { return cmp.Or(cmp.Compare(a.Unit, b.Unit), a.Slot-b.Slot) })
	return list, f.change
}

// Content returns what is known of one slot without waiting; ok is false if its
// unit is not online or has not told, or if there is no connection to the bus.
func (f *Fleet) Content(unit string, slot int) (c Content, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.units[unit]
	if u == nil || slot < 0 || slot >= len(u.slots) || !f.broken.IsZero() {
		return Content{}, false
	}
	return u.content(slot)
}

func (u *unitView) content(slot int) (Content, bool) {
	v := u.slots[slot]
	if !u.online || !v.known || slot == 0 {
		return Content{}, false
	}
	s := v.state
	return Content{Unit: u.id, Slot: slot, Type: s.Type, Changes: v.changes, Powered: s.PGood || s.Power == bus.PowerStarting}, true
}

// Unpowered tells whether a slot has no power, for certain: its unit is online,
// and does not report power until ctx ends. (What a machine does with its first
// power may be seen before its unit's report.)
func (f *Fleet) Unpowered(ctx context.Context, unit string, slot int) bool {
	for {
		f.mu.Lock()
		change := f.change
		f.mu.Unlock()
		if c, ok := f.Content(unit, slot); !ok || c.Powered {
			return false
		}
		select {
		case <-change:
		case <-ctx.Done():
			return true
		}
	}
}

// Spoke waits until a unit has said something after a moment, so that what is
// known of it is not older; false if it has not until ctx ends.
func (f *Fleet) Spoke(ctx context.Context, unit string, after time.Time) bool {
	for {
		f.mu.Lock()
		change, u := f.change, f.units[unit]
		spoke := u != nil && u.live && u.heard.After(after)
		f.mu.Unlock()
		if spoke {
			return true
		}
		select {
		case <-change:
		case <-ctx.Done():
			return false
		}
	}
}
