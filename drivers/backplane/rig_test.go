package backplane

import (
	"context"
	"sync"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/bus"
	"caddyshack/bus/bustest"
	"caddyshack/drivers"
	"caddyshack/sim/unit"
)

// rig is a broker, simulated units and a fleet.
type rig struct {
	t     testing.TB
	url   string
	fleet *Fleet
	units map[string]*unit.Unit
	power Power

	mu   sync.Mutex
	seen []drivers.Observation
	news chan struct{} // closed with the next of them
}

func brokers(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	bustest.Each(t, func(t *testing.T, start func(...string) string) { test(t, newRig(t, start("bpu-1", "bpu-2"))) })
}

func newRig(t testing.TB, url string) *rig {
	r := &rig{t: t, url: url, units: map[string]*unit.Unit{}, news: make(chan struct{})}
	for i, id := range []string{"bpu-1", "bpu-2"} {
		u, err := unit.New(unit.Config{
			ID: id, Index: i, Broker: url, Password: bustest.Password(id), BackOff: 5 * time.Millisecond, Log: bustest.Log(t),
			Slots: []unit.SlotConfig{
				{Type: bus.TypePi, Device: &unit.Load{}}, {}, {Type: bus.TypeSwitch, AlwaysOn: true, Device: &unit.Load{}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(u.Close)
		if err := u.PowerOn(); err != nil {
			t.Fatal(err)
		}
		r.units[id] = u
	}
	r.fleet = r.newFleet(Config{})
	r.power = Power{&Driver{Fleet: r.fleet, Confirm: 3 * time.Second}}
	for id := range r.units {
		if _, err := r.fleet.Slot(bustest.Context(t), id, 1); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *rig) newFleet(cfg Config) *Fleet {
	cfg.Broker, cfg.User, cfg.Password = r.url, bustest.ControllerUser, bustest.Password(bustest.ControllerUser)
	cfg.BackOff, cfg.Settle, cfg.Log = 5*time.Millisecond, 5*time.Second, bustest.Log(r.t)
	if cfg.ClientID == "" {
		cfg.ClientID = "fleet-" + NewID()
	}
	if cfg.AckTimeout == 0 {
		cfg.AckTimeout = 2 * time.Second
	}
	cfg.Observe = func(_ context.Context, o drivers.Observation) {
		r.mu.Lock()
		r.seen = append(r.seen, o)
		close(r.news)
		r.news = make(chan struct{})
		r.mu.Unlock()
	}
	f, err := Start(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(f.Close)
	if err := f.WaitConnected(bustest.Context(r.t)); err != nil {
		r.t.Fatal(err)
	}
	return f
}

// observed waits for an observation and returns it; those before it are dropped.
func (r *rig) observed(key string, ok func(drivers.Observation) bool) drivers.Observation {
	r.t.Helper()
	late := time.After(bustest.Patience)
	for {
		r.mu.Lock()
		for i, o := range r.seen {
			if o.Key == key && ok(o) {
				r.seen = r.seen[i+1:]
				r.mu.Unlock()
				return o
			}
		}
		news := r.news
		r.mu.Unlock()
		select {
		case <-news:
		case <-late:
			r.t.Fatalf("no such observation of %s within %v", key, bustest.Patience)
		}
	}
}

// waitFor polls what nothing tells of: counters of a fleet, and a simulated board.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(bustest.Patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// journal is a Journal in memory; lost makes it behave as after a lost claim.
type journal struct {
	kept map[string]string
	lost bool
}

func (j *journal) Get(key string) string { return j.kept[key] }

func (j *journal) Put(_ context.Context, key, value string) error {
	if j.lost {
		return baremetal.Errorf(baremetal.ClaimLost, "the claim is lost")
	}
	if j.kept == nil {
		j.kept = map[string]string{}
	}
	j.kept[key] = value
	return nil
}

func task(unit string, slot int, epoch int64) *drivers.Task {
	return &drivers.Task{
		Node:  baremetal.Node{DriverInfo: baremetal.MustObject(map[string]any{UnitProperty: unit, SlotProperty: slot})},
		Epoch: epoch, Journal: &journal{},
	}
}
