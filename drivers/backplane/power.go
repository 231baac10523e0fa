package backplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"caddyshack/baremetal"
	"caddyshack/bus"
	"caddyshack/drivers"
)

// Power switches a slot and believes what is read back.
type Power struct{ *Driver }

// Validate checks driver_info.
func (p Power) Validate(_ context.Context, t *drivers.Task) error { return p.validate(t) }

// HardwareKey is "unit/slot", under which the fleet reports.
func (p Power) HardwareKey(n *baremetal.Node) string {
	k, err := place(n)
	if err != nil {
		return ""
	}
	return k.String()
}

// SupportsSoftPower is false for devices without an operating system that could be asked.
func (p Power) SupportsSoftPower(t *drivers.Task) bool {
	k, err := place(&t.Node)
	if err != nil {
		return false
	}
	p.Fleet.mu.Lock()
	defer p.Fleet.mu.Unlock()
	u := p.Fleet.units[k.unit]
	if u == nil || !u.slots[k.slot].known {
		return true
	}
	switch u.slots[k.slot].state.Type {
	case bus.TypeSwitch, bus.TypeRouter, bus.TypeOther:
		return false
	}
	return true
}

// PowerState is what the unit reads back.
func (p Power) PowerState(ctx context.Context, t *drivers.Task) (baremetal.PowerState, error) {
	k, err := place(&t.Node)
	if err != nil {
		return baremetal.PowerUnknown, err
	}
	s, err := p.Fleet.Slot(ctx, k.unit, k.slot)
	if err != nil {
		return baremetal.PowerUnknown, fmt.Errorf("reading the power of slot %d of unit %s: %w", k.slot, k.unit, err)
	}
	state, reason := powerOf(k.unit, k.slot, s.State)
	if state == baremetal.PowerUnknown {
		return state, baremetal.Errorf(baremetal.Unavailable, "%s", reason)
	}
	return state, nil
}

// SetPower switches the slot and waits until the read-back confirms it.
func (p Power) SetPower(ctx context.Context, t *drivers.Task, target baremetal.PowerTarget, timeout time.Duration) error {
	k, err := place(&t.Node)
	if err != nil {
		return err
	}
	a := action{Driver: p.Driver, task: t, key: k}
	switch target {
	case baremetal.TargetOn:
		return a.run(ctx, bus.OpOn, 0)
	case baremetal.TargetOff:
		return a.run(ctx, bus.OpOff, 0)
	case baremetal.TargetReboot:
		return a.run(ctx, bus.OpCycle, 0)
	case baremetal.TargetSoftOff:
		return a.run(ctx, bus.OpShutdown, p.softWait(ctx, timeout))
	case baremetal.TargetSoftReboot:
		if !a.began(bus.OpOn) { // else the first half is behind us
			if err := a.run(ctx, bus.OpShutdown, p.softWait(ctx, timeout)); err != nil {
				return err
			}
		}
		return a.run(ctx, bus.OpOn, 0)
	default:
		return baremetal.Errorf(baremetal.Invalid, "power target %q is unknown", target)
	}
}

// softWait is how long the operating system may take: as asked, but so that
// cutting the power afterwards still falls into the caller's deadline.
func (d *Driver) softWait(ctx context.Context, timeout time.Duration) time.Duration {
	const least, most = time.Second, 600 * time.Second // the contract's range
	wait := timeout
	if wait == 0 {
		wait = orDefault(d.SoftTimeout, 60*time.Second)
	}
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)-d.confirm()-d.Fleet.cfg.AckTimeout)
	}
	return min(max(wait, least), most).Truncate(time.Second)
}

func (d *Driver) confirm() time.Duration { return orDefault(d.Confirm, 10*time.Second) }

func orDefault(v, otherwise time.Duration) time.Duration {
	if v == 0 {
		return otherwise
	}
	return v
}

// action is one power action under work.
type action struct {
	*Driver
	task *drivers.Task
	key  slotKey
}

// entry is a command in the journal: written before it is sent, so that whoever
// goes on after a crash sends the same id and the unit executes it once.
type entry struct {
	ID    string `json:"id"`
	Boot  uint32 `json:"boot"`  // of the unit
	Epoch uint32 `json:"epoch"` // as sent
	Claim int64  `json:"claim"` // of the claimant that wrote it
}

// A command is made anew when the unit has restarted, or refused it for a
// reason that passes.
const attempts = 4

// busyPause is the shortest wait before a slot that refused is asked again.
const busyPause = 200 * time.Millisecond

func (a action) run(ctx context.Context, op bus.Op, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait+a.confirm()+a.Fleet.cfg.AckTimeout+slack[op])
	defer cancel()
	fresh := false // a new command is needed: the journalled one will not be executed
	for range attempts {
		s, err := a.Fleet.Slot(ctx, a.key.unit, a.key.slot)
		if err != nil {
			return fmt.Errorf("power %s: %w", op, err)
		}
		e, resent, err := a.journal(ctx, op, s, fresh)
		if err != nil {
			return err
		}
		if resent && e.Boot != s.Info.Boot {
			// The unit has forgotten the command; its state tells whether it was executed.
			if op != bus.OpCycle && reached(op, "", s.State) {
				return nil
			}
			fresh = true
			continue
		}
		cmd := bus.SlotCommand{ID: e.ID, Op: op, Epoch: e.Epoch, Boot: e.Boot, WaitS: int(wait / time.Second)}
		ack, err := a.Fleet.Command(ctx, a.key.unit, a.key.slot, cmd)
		switch {
		case errors.Is(err, ErrRebooted):
			fresh = false // decide from the state, as above
			continue
		case err != nil:
			return err
		case ack.OK:
			err := a.confirmed(ctx, op, e)
			if errors.Is(err, ErrRebooted) {
				fresh = false
				continue
			}
			return err
		case ack.Code == bus.CodeBusy:
			if err := a.settled(ctx); err != nil {
				return err
			}
		case ack.Code == bus.CodeExpired:
			a.Fleet.forgetUptime(a.key.unit)
		case ack.Code == bus.CodeStale:
			pause(ctx) // what the unit knows better is on its way to us
		default:
			return a.refused(ctx, op, ack)
		}
		fresh = true
	}
	return baremetal.Errorf(baremetal.Unavailable, "slot %d of unit %s did not take %q in %d attempts: the unit restarts again and again, or somebody else switches the slot",
		a.key.slot, a.key.unit, op, attempts)
}

// slack is what an action takes beyond its confirmation.
var slack = map[bus.Op]time.Duration{
	bus.OpCycle:    10 * time.Second, // off, 5 s without power, on
	bus.OpShutdown: 5 * time.Second,
}

func journalKey(op bus.Op) string { return "backplane." + string(op) }

// began tells whether a command with op was journalled.
func (a action) began(op bus.Op) bool {
	return a.task.Journal != nil && a.task.Journal.Get(journalKey(op)) != ""
}

// journal returns the command that is to be sent: the journalled one if there is
// one and it is still good (resent), otherwise a new one, journalled.
func (a action) journal(ctx context.Context, op bus.Op, s Slot, fresh bool) (e entry, resent bool, err error) {
	key := journalKey(op)
	least := int64(s.State.Epoch)
	if a.task.Journal != nil {
		if text := a.task.Journal.Get(key); text != "" {
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				return e, false, fmt.Errorf("reading the journal of a power command %q: %w", text, err)
			}
			resent = !fresh
			// Above the epoch of an earlier claimant, so that the unit refuses it from now on.
			least = max(least, int64(e.Epoch))
			if e.Claim != a.task.Epoch {
				least = max(least, int64(e.Epoch)+1)
			}
			if resent && (e.Claim == a.task.Epoch || e.Boot != s.Info.Boot) {
				return e, true, nil
			}
		}
	}
	if !resent {
		e.ID, e.Boot = NewID(), s.Info.Boot
	}
	e.Claim = a.task.Epoch
	if e.Epoch, err = epoch(a.task, least); err != nil {
		return e, false, err
	}
	if a.task.Journal != nil {
		text, err := json.Marshal(e)
		if err != nil {
			return e, false, fmt.Errorf("journalling a power command: %w", err)
		}
		if err := a.task.Journal.Put(ctx, key, string(text)); err != nil {
			return e, false, fmt.Errorf("journalling a power command: %w", err)
		}
	}
	return e, resent, nil
}

// reached tells whether a state is what op leads to. A cycle is over when the
// slot is on by that very command.
func reached(op bus.Op, id string, s bus.State) bool {
	switch op {
	case bus.OpOff, bus.OpShutdown:
		return (s.Power == bus.PowerOff && s.Want == bus.PowerOff && !s.PGood) || s.Power == bus.PowerEmpty
	case bus.OpCycle:
		return s.Power == bus.PowerOn && s.PGood && s.Last == id
	default:
		return s.Power == bus.PowerOn && s.PGood
	}
}

// confirmed waits until the read-back agrees.
func (a action) confirmed(ctx context.Context, op bus.Op, e entry) error {
	_, err := a.Fleet.WaitState(ctx, a.key.unit, a.key.slot, goals[op], func(s bus.State) (bool, error) {
		switch {
		case s.Boot != e.Boot:
			return false, ErrRebooted
		case reached(op, e.ID, s):
			return true, nil
		case s.Power == bus.PowerFault && s.Last == e.ID:
			return false, baremetal.Errorf(baremetal.Unavailable, "power %s of slot %d of unit %s: fault %s: %s",
				op, a.key.slot, a.key.unit, s.Why, faultHint(s.Why))
		}
		return false, nil
	})
	return err
}

var goals = map[bus.Op]string{
	bus.OpOn: "power on", bus.OpOff: "power off", bus.OpShutdown: "power off after a shutdown", bus.OpCycle: "power on after a cycle",
}

func pause(ctx context.Context) {
	select {
	case <-time.After(busyPause):
	case <-ctx.Done():
	}
}

// settled waits until the slot is no longer between two states.
func (a action) settled(ctx context.Context) error {
	pause(ctx)
	_, err := a.Fleet.WaitState(ctx, a.key.unit, a.key.slot, "the end of another action", func(s bus.State) (bool, error) {
		cycling := s.Power == bus.PowerOff && s.Want == bus.PowerOn
		return s.Power != bus.PowerStarting && s.Power != bus.PowerStopping && !cycling, nil
	})
	return err
}

func (a action) refused(ctx context.Context, op bus.Op, ack bus.Ack) error {
	s, err := a.Fleet.Slot(ctx, a.key.unit, a.key.slot)
	if err != nil {
		return err
	}
	return refusal(a.key, op, ack, s.State)
}
