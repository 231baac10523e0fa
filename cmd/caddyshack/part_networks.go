package main

import (
	"context"
	"net/http"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers/networks"
	"caddyshack/drivers/switches"
	"caddyshack/switchapi"
)

// openNetworks makes the switches and networks of the configuration known; no
// switch is asked anything yet.
func (d *daemon) openNetworks(context.Context) error {
	if d.store == nil || len(d.cfg.Switches) == 0 {
		return nil
	}
	catalog, err := d.cfg.catalog()
	if err != nil {
		return err
	}
	fleet, err := d.cfg.fleet()
	if err != nil {
		return err
	}
	d.onClose(fleet.Close)
	d.networks = &networks.Driver{Catalog: catalog, Fleet: fleet, Rows: d.store}
	d.drift = &switches.Drift{Fleet: fleet, Intent: d.networks.Intent, Log: d.log.With("part", "switches")}
	d.metrics.MustRegister(newDriftMetrics(d.drift))
	return nil
}

// withSwitches serves the API of the switches beside Ironic's.
func withSwitches(api, fleet http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(switchapi.Prefix, fleet)
	mux.Handle("/", api)
	return mux
}

// runDrift compares the switches with what the database wants.
func (d *daemon) runDrift(ctx context.Context) error {
	select {
	case <-d.conductor.Ready():
		return d.drift.Run(ctx)
	case <-ctx.Done():
		return nil
	}
}

// unsettledEvery is how often nodes are looked for whose move was broken off.
const unsettledEvery = time.Minute

// runNetworks ends the moves of ports that a crash has broken off, now and
// then: those that a deploy or cleaning was in the middle of are gone on with
// by that.
func (d *daemon) runNetworks(ctx context.Context) error {
	select {
	case <-d.conductor.Ready():
	case <-ctx.Done():
		return nil
	}
	tick := time.NewTicker(unsettledEvery)
	defer tick.Stop()
	for {
		d.settleMoves(ctx)
		d.watchForwarding()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (d *daemon) settleMoves(ctx context.Context) {
	moving, err := d.networks.Unsettled(ctx)
	if err != nil {
		if ctx.Err() == nil {
			d.log.Warn("looking for ports between two networks failed", "err", err)
		}
		return
	}
	for _, uuid := range moving {
		err := d.conductor.RestoreNetwork(ctx, uuid)
		switch {
		case err == nil:
			d.log.Info("the ports of a node are where they belong again", "node", uuid)
		case ctx.Err() != nil:
			return
		case !baremetal.IsKind(err, baremetal.Locked) && !baremetal.IsKind(err, baremetal.Unavailable):
			d.log.Error("the ports of a node cannot be moved to where they belong", "node", uuid, "err", err)
		default:
			d.log.Warn("the ports of a node are not where they belong yet", "node", uuid, "err", err)
		}
	}
}
