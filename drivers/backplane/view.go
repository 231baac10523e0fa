package backplane

import (
	"context"
	"time"

	"caddyshack/bus"
)

// unitView is what is known of one unit.
type unitView struct {
	id     string
	online bool
	since  time.Time // of online or offline; zero = offline as long as we know
	heard  time.Time // the last message that was not retained (or, after a new connection, that connection)
	live   bool      // heard, not only retained, since we are connected
	info   bus.Info  // zero before the first
	up     uint32    // uptime at upAt, of boot info.Boot
	upAt   time.Time // zero = unknown
	slots  [bus.MaxSlots + 1]slotView
	lives  int // times it came online, so that a command can be sent again
	meter  bus.Telemetry
}

type slotView struct {
	known   bool // state is of the unit's present boot
	state   bus.State
	changes int // of its type
	meter   bus.SlotTelemetry
}

// message handles what the bus delivers, one at a time.
func (f *Fleet) message(m bus.Message) {
	if m.Topic == bus.ControllerStatusTopic {
		f.controllerStatus(m)
		return
	}
	t, err := bus.ParseTopic(m.Topic)
	if err != nil || t.Kind == bus.KindCommand {
		if err != nil {
			f.malformed(m, err)
		}
		return // commands are ours, or another controller's
	}
	f.mu.Lock()
	u := f.units[t.Unit]
	if u == nil {
		u = &unitView{id: t.Unit}
	}
	if !m.Retained {
		u.heard, u.live = time.Now(), true
	}
	if m.Retained && u.live && u.info.Slots != 0 && !u.since.IsZero() && t.Slot == 0 {
		f.mu.Unlock()
		return // what the broker kept is not newer than what the unit said
	}
	err = f.take(u, t, m)
	if err == nil {
		f.units[t.Unit] = u
		f.changed()
	}
	ask := u.online && u.info.Boot != 0 && u.upAt.IsZero() && t.Kind == bus.KindStatus
	greet := f.ready && u.online && t.Kind == bus.KindStatus && !m.Retained
	f.mu.Unlock()
	if err != nil {
		f.malformed(m, err)
		return
	}
	if ask {
		f.askUptime(t.Unit)
	}
	if greet {
		f.greet()
	}
}

// greet says again that the controller is ready, to a unit that just said that
// it is there: what the broker keeps may have been published at the very moment
// it subscribed, and then it would hold its caddies off for minutes.
func (f *Fleet) greet() {
	ctx, cancel := context.WithTimeout(context.Background(), f.cfg.AckTimeout)
	f.work.Go(func() {
		defer cancel()
		if err := f.sayReady(ctx); err != nil {
			f.log.Debug("greeting a backplane unit", "error", err)
		}
	})
}

func (f *Fleet) malformed(m bus.Message, err error) {
	f.mu.Lock()
	f.stats.Malformed++
	f.mu.Unlock()
	f.log.Warn("ignoring a message that breaks the contract", "topic", m.Topic, "bytes", len(m.Payload), "error", err)
}

// take updates a view; the lock is held.
func (f *Fleet) take(u *unitView, t bus.Topic, m bus.Message) error {
	switch t.Kind {
	case bus.KindStatus:
		s, err := bus.DecodeStatus(m.Payload)
		if err != nil {
			return err
		}
		if s == bus.Offline {
			f.goOffline(u, time.Now())
			return nil
		}
		if m.Retained {
			// We could not hear the unit before; it has from now on to speak up.
			u.heard = time.Now()
		}
		f.goOnline(u, !m.Retained)
	case bus.KindInfo:
		i, err := bus.DecodeInfo(m.Payload)
		if err != nil {
			return err
		}
		u.setBoot(i.Boot)
		u.info = i
	case bus.KindTelemetry:
		if t.Slot != 0 {
			meter, err := bus.DecodeSlotTelemetry(m.Payload)
			u.slots[t.Slot].meter = meter
			return err
		}
		meter, err := bus.DecodeTelemetry(m.Payload)
		if err == nil {
			u.meter, u.up, u.upAt = meter, meter.Up, time.Now()
		}
		return err
	case bus.KindState:
		s, err := bus.DecodeState(m.Payload)
		if err != nil {
			return err
		}
		f.takeState(u, t.Slot, s)
	case bus.KindEvent:
		e, err := bus.DecodeEvent(m.Payload)
		if err == nil {
			f.log.Info("backplane event", "unit", t.Unit, "slot", t.Slot, "event", e.Name)
		}
		return err
	case bus.KindAck:
		if m.Retained {
			f.stats.UnmatchedAcks++
			return nil
		}
		a, err := bus.DecodeAck(m.Payload)
		if err != nil {
			return err
		}
		f.takeAck(t, a)
	}
	return nil
}

func (u *unitView) setBoot(boot uint32) {
	if u.info.Boot == boot {
		return
	}
	u.info.Boot, u.upAt = boot, time.Time{}
	for i := range u.slots {
		s := &u.slots[i]
		s.known = s.known && s.state.Boot == boot
	}
}

func (f *Fleet) takeState(u *unitView, slot int, s bus.State) {
	switch {
	case s.Boot < u.info.Boot:
		f.stats.OldStates++ // of an earlier life
		return
	case s.Boot > u.info.Boot:
		u.setBoot(s.Boot)
	}
	v := &u.slots[slot]
	if v.known && s.Seq < v.state.Seq {
		f.stats.OldStates++
		return
	}
	if s.Type != v.state.Type {
		v.changes++
	}
	v.known, v.state = true, s
	if u.online {
		f.observeSlot(u, slot)
	}
}

func (f *Fleet) goOnline(u *unitView, live bool) {
	if live {
		u.lives++
	}
	if !u.online {
		u.online, u.since = true, time.Now()
		f.log.Info("backplane unit is online", "unit", u.id)
	}
	for slot := range u.slots {
		f.observeSlot(u, slot)
	}
}

func (f *Fleet) goOffline(u *unitView, since time.Time) {
	if !u.online {
		return
	}
	u.online, u.since, u.upAt = false, since, time.Time{}
	f.log.Warn("backplane unit is offline", "unit", u.id, "last_heard", u.heard)
	for slot := range u.slots {
		f.observeSlot(u, slot)
	}
	f.changed()
}

// controllerStatus repeats that we are ready when another controller's will says the contrary.
func (f *Fleet) controllerStatus(m bus.Message) {
	s, err := bus.DecodeControllerStatus(m.Payload)
	f.mu.Lock()
	ready := f.ready
	f.mu.Unlock()
	if err != nil {
		f.malformed(m, err)
		return
	}
	if !ready || s == bus.Ready || m.Retained {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), f.cfg.AckTimeout)
	defer cancel()
	if err := f.sayReady(ctx); err != nil {
		f.log.Warn("telling the backplane units that a controller is left", "error", err)
	}
}

// Slot is a snapshot of what is known of a slot.
type Slot struct {
	Info  bus.Info
	State bus.State
	// Unit and Meter are the last measurements, zero if there were none.
	Unit  bus.Telemetry
	Meter bus.SlotTelemetry
}

// Slot returns the slot of a unit that is online. For a unit that was never
// heard it waits a little, as the program may just have started.
func (f *Fleet) Slot(ctx context.Context, unit string, slot int) (Slot, error) {
	settle := time.Now().Add(f.cfg.Settle)
	ctx, cancel := context.WithDeadline(ctx, settle)
	defer cancel()
	for {
		f.mu.Lock()
		change := f.change
		s, err := f.snapshot(unit, slot)
		wait := err != nil && f.mayStillCome(unit, slot)
		f.mu.Unlock()
		if !wait {
			return s, err
		}
		select {
		case <-change:
		case <-ctx.Done():
			return s, err
		}
	}
}

// mayStillCome tells whether nothing was heard yet that explains why a slot is
// not there; the lock is held.
func (f *Fleet) mayStillCome(unit string, slot int) bool {
	u := f.units[unit]
	return u == nil || u.since.IsZero() || (u.online && (u.info.Slots == 0 || (slot <= u.info.Slots && !u.slots[slot].known)))
}

func (f *Fleet) snapshot(unit string, slot int) (Slot, error) {
	if err := f.trouble(unit, slot); err != nil {
		return Slot{}, err
	}
	u := f.units[unit]
	v := u.slots[slot]
	return Slot{Info: u.info, State: v.state, Unit: u.meter, Meter: v.meter}, nil
}
