package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"caddyshack/baremetal"
	"caddyshack/bus"
	"caddyshack/drivers/backplane"
)

const (
	// enrolPause lets what comes together be looked at together.
	enrolPause = 250 * time.Millisecond
	// enrolRetry is the pause after a failure.
	enrolRetry = 30 * time.Second
)

// runEnrolment makes nodes of the caddies that units report, until ctx ends.
func (d *daemon) runEnrolment(ctx context.Context) error {
	for _, c := range []<-chan struct{}{d.working, d.enrolAfter} {
		if c == nil {
			continue
		}
		select {
		case <-c:
		case <-ctx.Done():
			return nil
		}
	}
	seen := map[place]backplane.Content{} // what was entered, or need not be
	for {
		list, change := d.fleet.Contents()
		pause := enrolPause
		if err := d.enrol(ctx, list, seen); err != nil && ctx.Err() == nil {
			d.log.Warn("entering caddies that were plugged in as nodes; tried again", "err", err, "in", enrolRetry)
			pause = enrolRetry
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// place is a slot of a unit.
type place struct {
	unit string
	slot int
}

// enrol enters the caddies that were put in since it looked last; those that it
// fails to enter stay unseen.
func (d *daemon) enrol(ctx context.Context, list []backplane.Content, seen map[place]backplane.Content) error {
	var fresh []place
	var wanted []baremetal.Node
	for _, c := range list {
		c.Powered = false // it does not matter here
		at := place{c.Unit, c.Slot}
		if seen[at] == c {
			continue
		}
		seen[at] = c
		if c.Type != bus.TypeEmpty && d.enrols(c.Unit) {
			fresh, wanted = append(fresh, at), append(wanted, d.plugged(c))
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	err := d.conductor.Enrol(ctx, wanted, "Found by its backplane unit: ")
	if err != nil {
		for _, at := range fresh {
			delete(seen, at)
		}
	}
	return err
}

// enrols tells whether caddies of a unit are entered.
func (d *daemon) enrols(unit string) bool {
	switch d.cfg.Enroll.Automatic {
	case enrolAll:
		return true
	case enrolKnown:
		return slices.ContainsFunc(d.cfg.Broker.Units, func(u UnitConfig) bool { return u.ID == unit })
	}
	return false
}

// plugged is the node of a caddy.
func (d *daemon) plugged(c backplane.Content) baremetal.Node {
	info := map[string]any{backplane.UnitProperty: c.Unit, backplane.SlotProperty: c.Slot}
	if port := d.cfg.Enroll.ConsolePort; port != "" {
		info["console_port"] = strings.NewReplacer("{unit}", c.Unit, "{slot}", strconv.Itoa(c.Slot)).Replace(port)
	}
	return baremetal.Node{
		Name: fmt.Sprintf("caddy-%s-%d", c.Unit, c.Slot), Driver: typeCaddy, Description: holds(c.Type),
		DriverInfo: baremetal.MustObject(info),
		Extra:      baremetal.MustObject(map[string]any{backplane.UnitProperty: c.Unit, backplane.SlotProperty: c.Slot}),
	}
}

// holds says what a type code of a slot means.
func holds(typ int) string {
	switch typ {
	case bus.TypeEmpty:
		return "nothing"
	case bus.TypePi:
		return "a Raspberry Pi"
	case bus.TypePi5:
		return "a Raspberry Pi 5"
	case bus.TypeSwitch:
		return "a network switch"
	case bus.TypeRouter:
		return "a router"
	case bus.TypeOdroid:
		return "an Odroid HC1, which boots from its own disk"
	default:
		return fmt.Sprintf("something that is no Raspberry Pi (type code %d)", typ)
	}
}
