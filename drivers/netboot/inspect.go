package netboot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
	"caddyshack/pxe"
)

// Slot is what is known of a node's slot.
type Slot struct {
	// Name is for people: slot 2 of unit bpu-1.
	Name string
	// Pi tells whether it holds a Raspberry Pi, Five whether it is one of the
	// fifth generation; Holds says what it holds.
	Pi, Five       bool
	Holds          string
	Empty, Powered bool
}

// Inspect implements drivers.Inspect.
type Inspect struct {
	// Power switches the slot.
	Power drivers.Power
	// Slot reads the node's slot.
	Slot func(ctx context.Context, n *baremetal.Node) (Slot, error)
	// Sightings lists who was noticed on the network at or after a time.
	Sightings func(ctx context.Context, since time.Time) ([]pxe.Sighting, error)
	// Nodes lists all nodes that may have a Pi.
	Nodes func(ctx context.Context) ([]Known, error)
	// Misplace takes a node out of service whose Pi was found elsewhere.
	Misplace func(ctx context.Context, uuid, reason string) error
	// BootTimeout is how long a Pi may take from power-on to its first request
	// for a file; 0 = 2 min.
	BootTimeout time.Duration
	// Tries is how often a Pi is power-cycled that has not asked for a file by
	// then, before the inspection fails; 0 = 2, negative = never.
	Tries int
	// Grace is how long to wait for the rest once something of the Pi is known;
	// 0 = 5 s, or 20 s without a serial number: a Pi 3B starts its network card
	// anew and asks DHCP again before it tells that.
	Grace time.Duration
}

// How often the network is looked at, and how long a slot may wait for its turn.
const (
	lookEvery = 500 * time.Millisecond
	turnWait  = time.Hour
)

// Keys of the journal.
const (
	sinceKey   = "netboot.since"   // the newest sighting before power came on
	poweredKey = "netboot.powered" // when it did, or was cycled last
	firstKey   = "netboot.first"   // when something was known first
	foundKey   = "netboot.found"   // the Pi; only the power is left to be taken away
)

// Validate checks what the power interface needs, and that there is a Pi.
func (i *Inspect) Validate(ctx context.Context, t *drivers.Task) error {
	if err := i.Power.Validate(ctx, t); err != nil {
		return err
	}
	s, err := i.Slot(ctx, &t.Node)
	if err != nil {
		return nil //nolint:nilerr // the unit is not there now, and may be when it matters
	}
	return s.check()
}

// check refuses what cannot be inspected.
func (s Slot) check() error {
	switch {
	case s.Empty:
		return baremetal.Errorf(baremetal.Invalid, "%s is empty: put a caddy in, then inspect again", s.Name)
	case !s.Pi:
		return baremetal.Errorf(baremetal.Invalid, "%s holds %s: there is no Raspberry Pi to inspect", s.Name, s.Holds)
	}
	return nil
}

// Inspect goes on with an inspection, and is called until it is done.
func (i *Inspect) Inspect(ctx context.Context, t *drivers.Task) (drivers.Result, error) {
	s, err := i.Slot(ctx, &t.Node)
	if err != nil {
		return drivers.Result{}, err
	}
	if err := s.check(); err != nil {
		return drivers.Result{}, err
	}
	all, err := i.Nodes(ctx)
	if err != nil {
		return drivers.Result{}, err
	}
	others := without(all, t.Node.UUID)
	if t.Journal.Get(poweredKey) == "" {
		if wait, err := i.begin(ctx, t, s, all); err != nil || wait != nil {
			return drivers.Result{Wait: wait}, err
		}
		s.Powered = true
	}
	var p Pi
	if text := t.Journal.Get(foundKey); text != "" {
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			return drivers.Result{}, fmt.Errorf("reading what was found before: %w", err)
		}
		return i.finish(ctx, t, s, p)
	}
	p, wait, err := i.look(ctx, t, s, others)
	switch {
	case err != nil && ctx.Err() == nil:
		return drivers.Result{}, errors.Join(err, i.Power.SetPower(ctx, t, baremetal.TargetOff, 0))
	case err != nil || wait != nil:
		return drivers.Result{Wait: wait}, err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return drivers.Result{}, err
	}
	if err := t.Journal.Put(ctx, foundKey, string(text)); err != nil {
		return drivers.Result{}, err
	}
	return i.finish(ctx, t, s, p)
}

// begin gives the slot power when it is its turn.
func (i *Inspect) begin(ctx context.Context, t *drivers.Task, s Slot, all []Known) (*drivers.Wait, error) {
	if t.Journal.Get(sinceKey) == "" {
		if s.Powered {
			return nil, baremetal.Errorf(baremetal.Conflict,
				"%s is on, and an inspection would cut its power: switch it off first (`caddyshack adopt --yes` does so), then inspect again", s.Name)
		}
		if k := inTurn(all, t.Node.UUID); k != nil {
			return &drivers.Wait{
				Reason: fmt.Sprintf("%s is being inspected, and one slot at a time is", k.Name),
				Hint:   "It ends by itself within minutes.", Within: turnWait, Poll: lookEvery,
			}, nil
		}
		for _, k := range without(all, t.Node.UUID) {
			if k.Powered && k.Stranger() {
				return nil, baremetal.Errorf(baremetal.Conflict,
					"%s (%s) is on, and its Pi is not known either, so that their requests could not be told apart: switch it off, or enter its MAC as a port", k.Name, k.Slot)
			}
		}
		newest, err := i.newest(ctx)
		if err != nil {
			return nil, err
		}
		if err := t.Journal.Put(ctx, sinceKey, newest.Format(time.RFC3339Nano)); err != nil {
			return nil, err
		}
	}
	if err := i.Power.SetPower(ctx, t, baremetal.TargetOn, 0); err != nil {
		return nil, err
	}
	return nil, t.Journal.Put(ctx, poweredKey, time.Now().Format(time.RFC3339Nano))
}

// newest is the time of the latest sighting, by the clock of who saw it.
func (i *Inspect) newest(ctx context.Context) (time.Time, error) {
	list, err := i.Sightings(ctx, time.Time{})
	if err != nil || len(list) == 0 {
		return time.Time{}, err
	}
	return list[len(list)-1].Time, nil
}

// look tells which Pi has asked since the power came on, or what is waited for.
func (i *Inspect) look(ctx context.Context, t *drivers.Task, s Slot, others []Known) (Pi, *drivers.Wait, error) {
	since, err := time.Parse(time.RFC3339Nano, t.Journal.Get(sinceKey))
	if err != nil {
		return Pi{}, nil, fmt.Errorf("reading the journal: %w", err)
	}
	seen, err := i.Sightings(ctx, time.Time{})
	if err != nil {
		return Pi{}, nil, err
	}
	if !s.Powered {
		return Pi{}, nil, baremetal.Errorf(baremetal.Conflict, "%s was switched off while it was inspected: inspect it again", s.Name)
	}
	p, err := i.whose(ctx, t, s, seen, since, others)
	if err != nil {
		return p, nil, err
	}
	patience := or(i.BootTimeout, 2*time.Minute)
	over := elapsed(t, poweredKey) >= patience
	switch {
	case p.known(), p.enough() && (over || elapsed(t, firstKey) >= i.grace(p)):
		return p, nil, nil
	case over:
		wait, err := i.again(ctx, t, silent(s, p, patience))
		return p, wait, err
	case p.enough() && t.Journal.Get(firstKey) == "":
		if err := t.Journal.Put(ctx, firstKey, time.Now().Format(time.RFC3339Nano)); err != nil {
			return p, nil, err
		}
	}
	return p, &drivers.Wait{
		Reason: fmt.Sprintf("the Pi in %s has not told all of itself yet (%s)", s.Name, p), Hint: "Its console shows what it does.",
		Within: turnWait, Poll: lookEvery,
	}, nil
}

func (i *Inspect) grace(p Pi) time.Duration {
	if p.Serial == "" {
		return or(i.Grace, 20*time.Second)
	}
	return or(i.Grace, 5*time.Second)
}

// silent says what the lack of requests means.
func silent(s Slot, p Pi, patience time.Duration) string {
	if p.MAC == "" {
		return fmt.Sprintf("nothing was heard of the Pi in %s for %s: its EEPROM's BOOT_ORDER may lack network boot (0xf2, or 0xf21), "+
			"a Pi 3B may not be allowed to boot from the network, or its cable, switch port or DHCP server is not right", s.Name, patience)
	}
	return fmt.Sprintf("the Pi in %s (%s) asked for an address, and for no file within %s: "+
		"the DHCP server must name this machine as TFTP server (option 66)", s.Name, p, patience)
}

// again has a Pi power-cycled that is silent, as a Pi 3B's ROM gives up for good
// when nobody has answered it for 25 s. Once the tries are used up it is an
// error.
func (i *Inspect) again(ctx context.Context, t *drivers.Task, why string) (*drivers.Wait, error) {
	tries := i.Tries
	if tries == 0 {
		tries = 2
	}
	cycles, _ := strconv.Atoi(t.Journal.Get(drivers.CyclesKey)) // none is 0
	if cycles >= tries {
		return nil, baremetal.Errorf(baremetal.Unavailable, "%s%s", why, drivers.AfterCycles(cycles))
	}
	if err := t.Journal.Put(ctx, poweredKey, time.Now().Format(time.RFC3339Nano)); err != nil {
		return nil, err
	}
	return &drivers.Wait{Reason: "the Pi is power-cycled", Hint: why, Within: turnWait, Poll: lookEvery, Cycle: why}, nil
}

// elapsed is the time since the moment under key; 0 if there is none, or if the
// clock has been set back since.
func elapsed(t *drivers.Task, key string) time.Duration {
	at, err := time.Parse(time.RFC3339Nano, t.Journal.Get(key))
	if err != nil {
		return 0
	}
	return max(time.Since(at), 0)
}

func or(v, otherwise time.Duration) time.Duration {
	if v == 0 {
		return otherwise
	}
	return v
}

// finish takes the power away and hands over what was found.
func (i *Inspect) finish(ctx context.Context, t *drivers.Task, s Slot, p Pi) (drivers.Result, error) {
	if err := i.Power.SetPower(ctx, t, baremetal.TargetOff, 0); err != nil {
		return drivers.Result{}, err
	}
	if p.Model == "" && s.Five {
		p.Model = "pi5"
	}
	body, err := baremetal.NewObject(p.inventory())
	if err != nil {
		return drivers.Result{}, err
	}
	return drivers.Result{
		Change:    p.enter,
		Documents: map[baremetal.DocumentKind]baremetal.Object{baremetal.InventoryDocument: body},
	}, nil
}
