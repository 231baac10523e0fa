package conductor_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/drivers"
)

func ask(t *testing.T, r *rig, uuid string, target baremetal.PowerTarget) error {
	t.Helper()
	return r.SetPower(t.Context(), who, uuid, conductor.PowerRequest{Target: target})
}

func powered(s baremetal.PowerState) func(*baremetal.Node) bool {
	return func(n *baremetal.Node) bool {
		return n.PowerState == s && n.TargetPowerState == "" && n.Work.Reservation == ""
	}
}

func TestPower(t *testing.T) {
	t.Parallel()
	p := &power{state: baremetal.PowerOff}
	s := openStore(t, t.TempDir())
	r := start(t, s, nil, scripted(&script{}, p))
	n := r.node(t, "n", available)
	r.await(t, n.UUID, "seen to be off", powered(baremetal.PowerOff)) // at creation
	if err := ask(t, r, n.UUID, baremetal.TargetOn); err != nil {
		t.Fatal(err)
	}
	r.await(t, n.UUID, "on", powered(baremetal.PowerOn))
	sets := len(p.epochs)
	if err := ask(t, r, n.UUID, baremetal.TargetOn); err != nil { // already so: success, no action
		t.Fatal(err)
	}
	r.await(t, n.UUID, "on", powered(baremetal.PowerOn))
	if len(p.epochs) != sets {
		t.Errorf("a machine that is on was switched on again")
	}
	if err := ask(t, r, n.UUID, baremetal.TargetSoftOff); !baremetal.IsKind(err, baremetal.Invalid) {
		t.Errorf("soft power off without the ability: %v, want 400", err)
	}
}

func TestPowerFailure(t *testing.T) {
	t.Parallel()
	p := &power{state: baremetal.PowerOff}
	s := openStore(t, t.TempDir())
	r := start(t, s, nil, scripted(&script{}, p))
	n := r.node(t, "n", available)
	r.await(t, n.UUID, "seen to be off", powered(baremetal.PowerOff))
	p.mu.Lock()
	p.fail = errors.New("unit u is offline: check its cable")
	p.mu.Unlock()
	if err := ask(t, r, n.UUID, baremetal.TargetReboot); err != nil {
		t.Fatal(err)
	}
	got := r.await(t, n.UUID, "failed", func(n *baremetal.Node) bool { return n.LastError != "" && n.Work.Reservation == "" })
	if want := "Failed to change power state to 'power on' by 'rebooting': unit u is offline: check its cable"; got.LastError != want {
		t.Errorf("last_error %q, want %q", got.LastError, want)
	}
	if got.PowerState != baremetal.PowerOff || got.TargetPowerState != "" || got.Maintenance {
		t.Errorf("power %q target %q maintenance %v", got.PowerState, got.TargetPowerState, got.Maintenance)
	}
}

func TestLockedNode(t *testing.T) {
	t.Parallel()
	p := &power{state: baremetal.PowerOff, enter: make(chan struct{}, 1), gate: make(chan struct{})}
	s := openStore(t, t.TempDir())
	r := start(t, s, func(c *conductor.Settings) { c.LockWait = 50 * time.Millisecond }, scripted(&script{}, p))
	n := r.node(t, "n", available)
	if err := ask(t, r, n.UUID, baremetal.TargetOn); err != nil {
		t.Fatal(err)
	}
	<-p.enter
	now, err := s.Node(t.Context(), n.UUID)
	if err != nil || now.TargetPowerState != baremetal.PowerOn || now.Work.Reservation != "shack" {
		t.Errorf("while it works: target %q, reservation %q, %v", now.TargetPowerState, now.Work.Reservation, err)
	}
	if err := ask(t, r, n.UUID, baremetal.TargetOff); !baremetal.IsKind(err, baremetal.Locked) {
		t.Errorf("second power action: %v, want locked", err)
	}
	_, err = r.UpdateNode(t.Context(), who, n.UUID, func(n *baremetal.Node) error { n.Name = "m"; return nil })
	if !baremetal.IsKind(err, baremetal.Locked) {
		t.Errorf("patch: %v, want locked", err)
	}
	if err := r.DeleteNode(t.Context(), who, n.UUID); !baremetal.IsKind(err, baremetal.Locked) {
		t.Errorf("delete: %v, want locked", err)
	}
	// What is observed meanwhile is the claimant's business.
	if err := r.Observe(t.Context(), drivers.Observation{Key: "u/1", Power: baremetal.PowerError, Boot: 1, Seq: 1}); err != nil {
		t.Fatal(err)
	}
	close(p.gate)
	r.await(t, n.UUID, "on", powered(baremetal.PowerOn))
	if err := r.DeleteNode(t.Context(), who, n.UUID); err != nil {
		t.Errorf("delete after the end: %v", err)
	}
}

func TestTheWorldWins(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	r := start(t, s, nil, scripted(&script{}, &power{state: baremetal.PowerOff}))
	n := r.node(t, "n", available)
	r.await(t, n.UUID, "seen to be off", powered(baremetal.PowerOff))
	for _, o := range []struct {
		drivers.Observation
		want baremetal.PowerState
	}{
		{drivers.Observation{Power: baremetal.PowerOn, Boot: 1, Seq: 5, Reason: "button"}, baremetal.PowerOn},
		{drivers.Observation{Power: baremetal.PowerOff, Boot: 1, Seq: 4}, baremetal.PowerOn}, // late
		{drivers.Observation{Power: baremetal.PowerUnknown, Boot: 1, Seq: 5, Reason: "unit is offline"}, baremetal.PowerUnknown},
		{drivers.Observation{Power: baremetal.PowerOn, Boot: 1, Seq: 5}, baremetal.PowerOn}, // back, unchanged
		{drivers.Observation{Power: baremetal.PowerOff, Boot: 2, Seq: 1, Reason: "overload"}, baremetal.PowerOff},
	} {
		o.Key = "u/1"
		if err := r.Observe(t.Context(), o.Observation); err != nil {
			t.Fatal(err)
		}
		got, err := s.Node(t.Context(), n.UUID)
		if err != nil || got.PowerState != o.want {
			t.Errorf("after %+v the power is %q, want %q (%v)", o.Observation, got.PowerState, o.want, err)
		}
	}
	h, err := s.History(t.Context(), baremetal.HistoryQuery{NodeUUID: n.UUID})
	if err != nil || len(h) < 4 {
		t.Errorf("history has %d entries, want each change: %v", len(h), err)
	}
}

// lateUnit is not on the bus yet for some questions.
type lateUnit struct {
	*power
	away atomic.Int32
}

func (l *lateUnit) PowerState(ctx context.Context, t *drivers.Task) (baremetal.PowerState, error) {
	if l.away.Add(-1) >= 0 {
		return baremetal.PowerUnknown, baremetal.Errorf(baremetal.Unavailable, "unit u has never been heard")
	}
	return l.power.PowerState(ctx, t)
}

// After a start steps wait for units that have not found the way back to the bus.
func TestStepsWaitForUnitsAfterAStart(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		arrival time.Duration
		want    baremetal.ProvisionState
	}{
		"soon after it": {time.Hour, baremetal.Available},
		"long after it": {0, baremetal.ErrorState},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			unit := &lateUnit{power: &power{state: baremetal.PowerOff}}
			h := scripted(&script{}, unit.power)
			h.Interfaces["power"] = map[string]any{"script": unit}
			r := start(t, openStore(t, t.TempDir()), func(c *conductor.Settings) { c.Arrival = test.arrival }, h)
			n := r.node(t, "n", available)
			r.await(t, n.UUID, "seen to be off", powered(baremetal.PowerOff))
			r.verb(t, n.UUID, baremetal.VerbActive)
			r.awaitState(t, n.UUID, baremetal.Active)
			unit.away.Store(2)
			r.verb(t, n.UUID, baremetal.VerbDeleted)
			if got := r.awaitState(t, n.UUID, test.want); test.arrival == 0 && !strings.Contains(got.LastError, "never been heard") {
				t.Errorf("last_error %q", got.LastError)
			}
		})
	}
}
