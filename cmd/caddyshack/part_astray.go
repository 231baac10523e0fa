package main

import (
	"context"
	"fmt"
	"time"

	"caddyshack/baremetal"
)

// astray is a machine that asks for boot files while its slot has no power: it
// sits somewhere else.
type astray struct {
	nodeID, reason string
	unit           string
	slot           int
	at             time.Time
}

const (
	// powerLag is how much later than a machine's first request the report of
	// its power may come.
	powerLag = 2 * time.Second
	// unitSpeaks is how long a unit may take to say something, after which it
	// is believed.
	unitSpeaks = 90 * time.Second
)

// isAstray tells whether a node's machine asks from somewhere else than its
// slot, and why that is so. It then gets nothing: the node's root and config
// drive are for the machine in its slot.
func (d *daemon) isAstray(ctx context.Context, nodeID string) (string, bool) {
	if d.fleet == nil || d.store == nil {
		return "", false // nothing is known of slots here
	}
	n, err := d.store.Node(ctx, nodeID)
	if err != nil || n.Driver != typeCaddy {
		return "", false
	}
	unit, slot := slotNames(&n)
	if c, ok := d.fleet.Content(unit, slot); !ok || c.Powered {
		return "", false
	}
	a := astray{nodeID: nodeID, unit: unit, slot: slot, at: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, powerLag)
	defer cancel()
	if !d.fleet.Unpowered(ctx, unit, slot) {
		return "", false
	}
	a.reason = fmt.Sprintf("Its Pi asks for boot files while %s, where it belongs, has no power: it was put into another slot, or has power from elsewhere. "+
		"It gets nothing; put it back and end the maintenance, or delete this node and inspect the slot that it is in now", slotText(unit, slot))
	select {
	case d.strays <- a:
	default: // it will ask again
	}
	return a.reason, true
}

// runStrays takes nodes out of service whose machines are astray, until ctx ends.
func (d *daemon) runStrays(ctx context.Context) error {
	for {
		select {
		case a := <-d.strays:
			if err := d.misplace(ctx, a); err != nil && ctx.Err() == nil {
				d.log.Warn("a machine is astray", "err", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// misplace does so once the slot's unit has confirmed that it has no power.
func (d *daemon) misplace(ctx context.Context, a astray) error {
	speaks, cancel := context.WithTimeout(ctx, unitSpeaks)
	defer cancel()
	if !d.fleet.Spoke(speaks, a.unit, a.at) {
		return nil // the unit is not there, and its report is old
	}
	if c, ok := d.fleet.Content(a.unit, a.slot); !ok || c.Powered {
		return nil
	}
	return d.conductor.TakeOut(ctx, a.nodeID, baremetal.FaultMisplaced, a.reason)
}
