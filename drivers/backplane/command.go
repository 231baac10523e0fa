package backplane

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"caddyshack/baremetal"
	"caddyshack/bus"
)

// ErrRebooted is returned when the unit is in another life than the command was
// meant for: whether the command was executed must be decided from the state.
var ErrRebooted = errors.New("the unit has restarted since the command was made")

// expiry is how long beyond the wait for its answer a command stays valid.
const expiry = 5 * time.Second

// uptimeWait is how long a command waits for the unit's uptime to become known.
const uptimeWait = time.Second

type pending struct {
	topic bus.Topic // of the ack
	ack   chan bus.Ack
}

// NewID makes a command id.
func NewID() string { return uuid.NewString() }

// takeAck hands an ack to who waits for it; the lock is held. An ack must come
// from the slot that was asked, whatever its id says.
func (f *Fleet) takeAck(t bus.Topic, a bus.Ack) {
	p := f.pending[a.ID]
	if p == nil || p.topic != t {
		f.stats.UnmatchedAcks++
		f.log.Debug("ignoring an ack that answers no command of ours", "unit", t.Unit, "slot", t.Slot, "id", a.ID, "code", a.Code)
		return
	}
	delete(f.pending, a.ID)
	p.ack <- a
}

// Command sends a command to a slot and returns the unit's answer, whatever it
// is. cmd.ID is made if empty; Exp is filled in; Boot is filled in if 0, and if
// it is not the unit's present boot the error is ErrRebooted. When the
// connection to the broker or to the unit comes back during the wait the same
// command is sent again (the unit answers it once with its result or with dup).
func (f *Fleet) Command(ctx context.Context, unit string, slot int, cmd bus.SlotCommand) (bus.Ack, error) {
	if cmd.ID == "" {
		cmd.ID = NewID()
	}
	s, err := f.Slot(ctx, unit, slot)
	if err != nil {
		return bus.Ack{}, fmt.Errorf("sending %q to slot %d of unit %s: %w", cmd.Op, slot, unit, err)
	}
	if cmd.Boot == 0 {
		cmd.Boot = s.Info.Boot
	}
	ctx, cancel := context.WithTimeout(ctx, f.cfg.AckTimeout)
	defer cancel()
	topic := bus.Topic{Unit: unit, Slot: slot, Kind: bus.KindAck}
	p, err := f.expect(cmd.ID, topic)
	if err != nil {
		return bus.Ack{}, err
	}
	defer f.forget(cmd.ID, p)
	f.waitUptime(ctx, unit)
	var sent path // over which it was sent
	for {
		f.mu.Lock()
		change := f.change
		now, boot := f.path(unit)
		f.mu.Unlock()
		if boot != cmd.Boot {
			return bus.Ack{}, fmt.Errorf("sending %q to slot %d of unit %s: %w", cmd.Op, slot, unit, ErrRebooted)
		}
		if now.stands && now != sent {
			// Without a connection the next change tells when to try again.
			err := f.send(ctx, topic, cmd)
			if err != nil && !errors.Is(err, bus.ErrNotConnected) && ctx.Err() == nil {
				return bus.Ack{}, err
			}
			if err == nil {
				sent = now
			}
		}
		select {
		case a := <-p.ack:
			return a, nil
		case <-change:
		case <-ctx.Done():
			return bus.Ack{}, f.noAnswer(unit, slot, cmd)
		}
	}
}

// path tells two connections apart: ours to the broker, and the unit's.
type path struct {
	stands       bool
	conns, lives int
}

// path returns the present path to a unit and the unit's boot; the lock is held.
func (f *Fleet) path(unit string) (path, uint32) {
	u := f.units[unit]
	if u == nil {
		return path{}, 0
	}
	return path{stands: u.online && f.broken.IsZero(), conns: f.conns, lives: u.lives}, u.info.Boot
}

func (f *Fleet) send(ctx context.Context, ack bus.Topic, cmd bus.SlotCommand) error {
	f.mu.Lock()
	cmd.Exp = f.expires(ack.Unit)
	f.mu.Unlock()
	payload, err := bus.Encode(cmd)
	if err != nil {
		return err
	}
	to := bus.Topic{Unit: ack.Unit, Slot: ack.Slot, Kind: bus.KindCommand}
	return f.client.Publish(ctx, bus.Message{Topic: to.String(), Payload: payload, QoS: 1})
}

// expires computes a command's exp from the unit's uptime; the lock is held. A
// unit that does not tell its uptime gets commands that do not expire.
func (f *Fleet) expires(unit string) uint32 {
	u := f.units[unit]
	if u == nil || u.upAt.IsZero() {
		return math.MaxUint32
	}
	valid := time.Since(u.upAt) + f.cfg.AckTimeout + expiry
	return u.up + uint32(valid/time.Second) + 1
}

func (f *Fleet) waitUptime(ctx context.Context, unit string) {
	ctx, cancel := context.WithTimeout(ctx, min(uptimeWait, f.cfg.AckTimeout/2))
	defer cancel()
	for {
		f.mu.Lock()
		u, change := f.units[unit], f.change
		known := u == nil || !u.upAt.IsZero()
		f.mu.Unlock()
		if known {
			return
		}
		select {
		case <-change:
		case <-ctx.Done():
			f.log.Warn("the backplane unit does not tell its uptime: the command will not expire", "unit", unit)
			return
		}
	}
}

// forgetUptime is called when a command was found expired: what we believe is wrong.
func (f *Fleet) forgetUptime(unit string) {
	f.mu.Lock()
	u := f.units[unit]
	if u != nil {
		u.upAt = time.Time{}
	}
	f.mu.Unlock()
	if u != nil {
		f.askUptime(unit)
	}
}

// askUptime makes a unit tell its uptime, without waiting for it.
func (f *Fleet) askUptime(unit string) {
	f.mu.Lock()
	boot := f.units[unit].info.Boot
	f.mu.Unlock()
	cmd := bus.UnitCommand{ID: NewID(), Op: bus.OpResync, Boot: boot, Exp: math.MaxUint32}
	payload, err := bus.Encode(cmd)
	if err != nil {
		f.log.Error("asking a backplane unit for its uptime", "unit", unit, "error", err)
		return
	}
	ack := bus.Topic{Unit: unit, Kind: bus.KindAck}
	p, err := f.expect(cmd.ID, ack)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), f.cfg.AckTimeout)
	f.work.Go(func() {
		defer cancel()
		defer f.forget(cmd.ID, p)
		m := bus.Message{Topic: bus.Topic{Unit: unit, Kind: bus.KindCommand}.String(), Payload: payload, QoS: 1}
		if err := f.client.Publish(ctx, m); err != nil {
			f.log.Debug("asking a backplane unit for its uptime", "unit", unit, "error", err)
			return
		}
		select {
		case <-p.ack:
		case <-ctx.Done():
		}
	})
}

func (f *Fleet) expect(id string, ack bus.Topic) (*pending, error) {
	if err := bus.CheckCommandID(id); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pending[id] != nil {
		return nil, fmt.Errorf("command %q is on its way already", id)
	}
	p := &pending{topic: ack, ack: make(chan bus.Ack, 1)}
	f.pending[id] = p
	return p, nil
}

func (f *Fleet) forget(id string, p *pending) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pending[id] == p {
		delete(f.pending, id)
	}
}

func (f *Fleet) noAnswer(unit string, slot int, cmd bus.SlotCommand) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.trouble(unit, slot); err != nil {
		return fmt.Errorf("sending %q to slot %d of unit %s: no answer within %v: %w", cmd.Op, slot, unit, f.cfg.AckTimeout, err)
	}
	return baremetal.Errorf(baremetal.Unavailable,
		"sending %q to slot %d of unit %s: no answer within %v although the unit is online: check its Wi-Fi; restart it if this goes on (no caddy loses power by that)",
		cmd.Op, slot, unit, f.cfg.AckTimeout)
}

// WaitState returns the slot's state as soon as ok accepts it. ok may end the
// wait with an error. what names the goal for the error that tells of a deadline.
func (f *Fleet) WaitState(ctx context.Context, unit string, slot int, what string, ok func(bus.State) (bool, error)) (bus.State, error) {
	began := time.Now()
	for {
		f.mu.Lock()
		change := f.change
		s, err := f.snapshot(unit, slot)
		f.mu.Unlock()
		if err == nil {
			done, err := ok(s.State)
			if done || err != nil {
				return s.State, err
			}
			err = baremetal.Errorf(baremetal.Unavailable, "%s: check the caddy and the unit", describe(s.State))
			if lying(s.State) {
				err = baremetal.Errorf(baremetal.Unavailable, "the unit contradicts itself, %s: check the unit", describe(s.State))
			}
			if werr := await(ctx, change); werr != nil {
				return s.State, waited(unit, slot, what, began, err)
			}
			continue
		}
		if werr := await(ctx, change); werr != nil {
			return s.State, waited(unit, slot, what, began, err)
		}
	}
}

func await(ctx context.Context, change <-chan struct{}) error {
	select {
	case <-change:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func waited(unit string, slot int, what string, began time.Time, err error) error {
	return baremetal.Errorf(baremetal.Unavailable, "waiting for %s of slot %d of unit %s: not within %v: %w",
		what, slot, unit, time.Since(began).Round(100*time.Millisecond), err)
}
