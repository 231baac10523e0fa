package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/bus"
	"caddyshack/conductor"
	"caddyshack/conductor/conductortest"
	"caddyshack/pxe/images"
	"caddyshack/pxe/images/demo"
	"caddyshack/sim/chassis"
	"caddyshack/sim/unit"
)

var tester = conductor.Caller{RequestID: "req-test", User: "tester"}

// plugRig is the whole program with a simulated chassis into which the test
// plugs things.
type plugRig struct {
	*daemon
	writes  *conductortest.Changes
	chassis *chassis.Chassis
}

// startPlugRig runs it until the test ends; it has the units of so many caddies.
func startPlugRig(t *testing.T, caddies int, change func(*Config), device func(chassis.SlotInfo) (unit.Device, error)) *plugRig {
	t.Helper()
	cfg, err := demoConfig("127.0.0.1:0", t.TempDir(), caddies)
	if err != nil {
		t.Fatal(err)
	}
	anyPorts(cfg)
	if change != nil {
		change(cfg)
	}
	tiny := demo.New(demo.Config{Dir: t.TempDir(), Go: "/nonexistent", Log: slog.New(slog.DiscardHandler)})
	if err := tiny.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	writes := new(conductortest.Changes)
	d := &daemon{cfg: cfg, log: slog.New(slog.DiscardHandler), builtins: map[string]images.Builtin{demo.Name: tiny}, wrapStore: writes.Watch}
	if err := d.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	c, err := chassis.Start(chassis.Config{Caddies: caddies, Broker: d.brokerURL, Password: unitPassword(cfg), Device: device})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx, cancel := context.WithCancel(context.Background())
	ended, up := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- d.run(ctx, func(ready) error {
			close(up)
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("running: %v", err)
		}
	})
	select {
	case <-up:
	case err := <-ended:
		ended <- nil
		t.Fatalf("it ended at once: %v", err)
	}
	if err := c.Online(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &plugRig{daemon: d, writes: writes, chassis: c}
}

// insert puts something into a slot, and waits until the program knows.
func (r *plugRig) insert(t *testing.T, unit string, slot, typ int) {
	t.Helper()
	r.chassis.Unit(unit).Insert(slot, typ)
	for deadline := time.After(patient); ; {
		_, change := r.fleet.Contents()
		if c, ok := r.fleet.Content(unit, slot); ok && c.Type == typ {
			return
		}
		select {
		case <-change:
		case <-deadline:
			t.Fatalf("slot %d of unit %s is not known to hold type %d after %s", slot, unit, typ, patient)
		}
	}
}

// nodes lists all caddies by name.
func (r *plugRig) nodes(t *testing.T) map[string]baremetal.Node {
	t.Helper()
	all := map[string]baremetal.Node{}
	err := r.store.Nodes(t.Context(), baremetal.NodeQuery{}, func(n *baremetal.Node) error {
		all[n.Name] = *n
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// await looks at the nodes after each write of the conductor until ok.
func (r *plugRig) await(t *testing.T, what string, ok func(nodes map[string]baremetal.Node) bool) (all map[string]baremetal.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	if r.writes.Await(ctx, func() bool { all = r.nodes(t); return ok(all) }) {
		return all
	}
	for name, n := range all {
		t.Logf("%s: %q %q, %q, maintenance %v %q", name, n.PowerState, n.ProvisionState, n.LastError, n.Maintenance, n.MaintenanceReason)
	}
	t.Fatalf("not within %s: %s", patient, what)
	return nil
}

func TestPluggedCaddiesBecomeNodes(t *testing.T) {
	t.Parallel()
	// Unit 4 has a Pi, a switch and an Odroid in its last slots.
	r := startPlugRig(t, 13, func(c *Config) { c.Enroll.ConsolePort = "tcp://10.0.0.1:70{slot}" }, nil)
	all := r.await(t, "13 nodes whose power is known", func(all map[string]baremetal.Node) bool {
		for _, n := range all {
			if n.PowerState != baremetal.PowerOff {
				return false
			}
		}
		return len(all) == 13
	})
	n := all["caddy-bpu-2-3"]
	if slot, _ := n.DriverInfo.Int("slot"); n.Driver != typeCaddy || n.ProvisionState != baremetal.Enroll || n.DriverInfo.Str("backplane_unit") != "bpu-2" || slot != 3 ||
		n.DriverInfo.Str("console_port") != "tcp://10.0.0.1:703" || n.Description != "a Raspberry Pi" {
		t.Errorf("the node of a Pi: %+v", n)
	}
	if n := all["caddy-bpu-4-3"]; n.Description != "a network switch" {
		t.Errorf("the node of a switch is described as %q", n.Description)
	}
	events, err := r.store.History(t.Context(), baremetal.HistoryQuery{NodeUUID: n.UUID})
	if err != nil {
		t.Fatal(err)
	}
	var told bool
	for _, e := range events {
		told = told || strings.Contains(e.Event, "Found by its backplane unit: a Raspberry Pi")
	}
	if !told {
		t.Errorf("the history does not tell where it comes from: %+v", events)
	}
	// Taken out and put back it is the same node; a person may rename it.
	if _, err := r.conductor.UpdateNode(t.Context(), tester, n.UUID, func(n *baremetal.Node) error { n.Name = "mine"; return nil }); err != nil {
		t.Fatal(err)
	}
	r.chassis.Unit("bpu-2").Insert(3, bus.TypeEmpty)
	r.await(t, "an empty slot", func(all map[string]baremetal.Node) bool { return all["mine"].PowerState == baremetal.PowerUnknown })
	r.chassis.Unit("bpu-2").Insert(3, bus.TypePi5)
	all = r.await(t, "the caddy is back", func(all map[string]baremetal.Node) bool { return all["mine"].PowerState == baremetal.PowerOff })
	// A deleted node comes back when the caddy is plugged in, and not before.
	other := all["caddy-bpu-1-1"]
	if err := r.conductor.DeleteNode(t.Context(), tester, other.UUID); err != nil {
		t.Fatal(err)
	}
	if got := len(r.nodes(t)); got != 12 {
		t.Errorf("%d nodes after one was deleted", got)
	}
	r.chassis.Unit("bpu-1").Insert(1, bus.TypeEmpty)
	r.chassis.Unit("bpu-1").Insert(1, bus.TypePi)
	all = r.await(t, "the deleted one is back", func(all map[string]baremetal.Node) bool { return all["caddy-bpu-1-1"].UUID != "" })
	if len(all) != 13 || all["caddy-bpu-1-1"].UUID == other.UUID || all["mine"].UUID != n.UUID {
		t.Errorf("%d nodes, want 13", len(all))
	}
}

func TestOnlyKnownUnitsEnrol(t *testing.T) {
	t.Parallel()
	d := &daemon{cfg: &Config{}}
	d.cfg.Broker.Units = []UnitConfig{{ID: "bpu-1"}}
	for mode, want := range map[string][2]bool{enrolOff: {false, false}, enrolKnown: {true, false}, enrolAll: {true, true}} {
		d.cfg.Enroll.Automatic = mode
		if got := [2]bool{d.enrols("bpu-1"), d.enrols("bpu-2")}; got != want {
			t.Errorf("%s: a known unit and another enrol: %v, want %v", mode, got, want)
		}
	}
}
