package conductor_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/drivers"
)

func available(n *baremetal.Node) {
	n.Driver, n.ProvisionState = "scripted", baremetal.Available
	n.DriverInfo = baremetal.MustObject(map[string]any{"slot": "u/1"})
}

func TestStepsRunInOrderAndOnce(t *testing.T) {
	t.Parallel()
	s, sc := openStore(t, t.TempDir()), &script{steps: steps("a", "b", "c")}
	r := start(t, s, nil, scripted(sc, &power{state: baremetal.PowerOff}))
	n := r.node(t, "n", available)
	r.verb(t, n.UUID, baremetal.VerbActive)
	got := r.awaitState(t, n.UUID, baremetal.Active)
	if want := []string{"a", "b", "c"}; !slices.Equal(sc.ran(), want) {
		t.Errorf("ran %v, want %v", sc.ran(), want)
	}
	if got.PowerState != baremetal.PowerOn {
		t.Errorf("power is %q", got.PowerState)
	}
	r.verb(t, n.UUID, baremetal.VerbDeleted)
	got = r.awaitState(t, n.UUID, baremetal.Available)
	if sc.torn != 1 || got.PowerState != baremetal.PowerOff {
		t.Errorf("torn down %d times, power %q", sc.torn, got.PowerState)
	}
}

// A stop in the middle parks the work; the next conductor goes on from the
// first unfinished step.
func TestStopParksAndNextGoesOn(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	reached := make(chan struct{}, 1)
	sc := &script{steps: steps("a", "b", "c")}
	sc.run = func(ctx context.Context, _ *drivers.Task, step baremetal.Step) (drivers.Result, error) {
		if step.Name == "b" {
			reached <- struct{}{}
			<-ctx.Done()
			return drivers.Result{}, ctx.Err()
		}
		return drivers.Done(), nil
	}
	r := start(t, s, nil, scripted(sc, &power{state: baremetal.PowerOff}))
	n := r.node(t, "n", available)
	r.verb(t, n.UUID, baremetal.VerbActive)
	<-reached
	r.stop(t)
	parked, err := s.Node(t.Context(), n.UUID)
	if err != nil || parked.ProvisionState != baremetal.Deploying || parked.Work.Reservation != "" || parked.LastError != "" {
		t.Fatalf("parked as %q, reservation %q, error %q (%v)", parked.ProvisionState, parked.Work.Reservation, parked.LastError, err)
	}
	next := &script{steps: steps("x")} // the list in the row counts, not a new one
	r2 := start(t, s, nil, scripted(next, &power{state: baremetal.PowerOff}))
	r2.awaitState(t, n.UUID, baremetal.Active)
	if want := []string{"b", "c"}; !slices.Equal(next.ran(), want) {
		t.Errorf("the next conductor ran %v, want %v", next.ran(), want)
	}
}

// A conductor that hangs loses its claim; another finishes, and the first
// writes nothing more when it wakes up.
func TestHangingConductorIsFenced(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	hung, wake := make(chan struct{}), make(chan struct{})
	isHung := sync.OnceFunc(func() { close(hung) })
	slow := &script{steps: steps("a")}
	slow.run = func(context.Context, *drivers.Task, baremetal.Step) (drivers.Result, error) {
		isHung()
		<-wake // deaf to its context, as a stopped process is
		return drivers.Result{}, errors.New("the late one must not be heard")
	}
	r1 := start(t, s, func(c *conductor.Settings) {
		c.Host, c.Lease, c.Renew = "one", 300*time.Millisecond, time.Hour
		c.MaxWorkers = 1 // it has none left to claim the node a second time with
	}, scripted(slow, &power{state: baremetal.PowerOff}))
	n := r1.node(t, "n", available)
	r1.verb(t, n.UUID, baremetal.VerbActive)
	<-hung
	before, err := s.Node(t.Context(), n.UUID)
	if err != nil {
		t.Fatal(err)
	}
	quick := &power{state: baremetal.PowerOff}
	r2 := start(t, s, func(c *conductor.Settings) { c.Host = "two" }, scripted(&script{steps: steps("a")}, quick))
	done := r2.awaitState(t, n.UUID, baremetal.Active)
	if len(quick.epochs) == 0 || quick.epochs[0] <= before.Work.ClaimEpoch {
		t.Errorf("the second conductor commanded with epochs %v, the first held %d", quick.epochs, before.Work.ClaimEpoch)
	}
	close(wake)
	r1.stop(t)
	after, err := s.Node(t.Context(), n.UUID)
	if err != nil || after.Work.Version != done.Work.Version || after.LastError != "" || after.ProvisionState != baremetal.Active {
		t.Errorf("the late conductor wrote: version %d → %d, state %q, error %q, %v",
			done.Work.Version, after.Work.Version, after.ProvisionState, after.LastError, err)
	}
}

func TestWaitForMachine(t *testing.T) {
	t.Parallel()
	var booted atomic.Bool
	sc := &script{steps: steps("boot", "after")}
	sc.run = func(_ context.Context, _ *drivers.Task, step baremetal.Step) (drivers.Result, error) {
		if step.Name == "boot" && !booted.Load() {
			return drivers.WaitFor(drivers.Wait{Reason: "no root yet", Hint: "look at the cable", Within: time.Hour, Callback: true}), nil
		}
		return drivers.Done(), nil
	}
	s := openStore(t, t.TempDir())
	r := start(t, s, nil, scripted(sc, &power{state: baremetal.PowerOff}))
	n := r.node(t, "n", available)
	r.verb(t, n.UUID, baremetal.VerbActive)
	w := r.awaitState(t, n.UUID, baremetal.DeployWait)
	if w.Work.WaitReason != "no root yet" || w.Work.WaitDeadline.IsZero() || w.TargetProvisionState != baremetal.Active {
		t.Errorf("waits for %q until %v, target %q", w.Work.WaitReason, w.Work.WaitDeadline, w.TargetProvisionState)
	}
	// The node is free meanwhile: it can be changed and switched.
	if _, err := r.UpdateNode(t.Context(), who, n.UUID, func(n *baremetal.Node) error { n.Description = "x"; return nil }); err != nil {
		t.Errorf("changing a waiting node: %v", err)
	}
	booted.Store(true)
	if err := r.Wake(t.Context(), n.UUID); err != nil {
		t.Fatal(err)
	}
	got := r.awaitState(t, n.UUID, baremetal.Active)
	if got.DriverInternalInfo.Has("waiting") || got.Work.WaitReason != "" {
		t.Errorf("still waits for %q", got.Work.WaitReason)
	}
}

func TestWaitEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	sc := &script{steps: steps("boot")}
	sc.run = func(context.Context, *drivers.Task, baremetal.Step) (drivers.Result, error) {
		return drivers.WaitFor(drivers.Wait{Reason: "no root yet", Hint: "look at the cable", Within: 300 * time.Millisecond, Callback: true}), nil
	}
	s := openStore(t, t.TempDir())
	r := start(t, s, nil, scripted(sc, &power{state: baremetal.PowerOff}))
	n := r.node(t, "n", available)
	r.verb(t, n.UUID, baremetal.VerbActive)
	got := r.awaitState(t, n.UUID, baremetal.DeployFailed)
	for _, want := range []string{"deploy.boot", "no root yet", "look at the cable"} {
		if !strings.Contains(got.LastError, want) {
			t.Errorf("last_error %q lacks %q", got.LastError, want)
		}
	}
	r.verb(t, n.UUID, baremetal.VerbDeleted) // the node stays usable
	r.awaitState(t, n.UUID, baremetal.Available)
}

func TestAbortInWait(t *testing.T) {
	t.Parallel()
	sc := &script{steps: steps("boot")}
	sc.run = func(context.Context, *drivers.Task, baremetal.Step) (drivers.Result, error) {
		return drivers.WaitFor(drivers.Wait{Reason: "r", Callback: true}), nil
	}
	s := openStore(t, t.TempDir())
	r := start(t, s, nil, scripted(sc, &power{state: baremetal.PowerOff}))
	n := r.node(t, "n", available)
	r.verb(t, n.UUID, baremetal.VerbActive)
	r.awaitState(t, n.UUID, baremetal.DeployWait)
	if err := r.SetProvision(t.Context(), who, n.UUID, conductor.ProvisionRequest{Verb: baremetal.VerbAbort, Minor: 109}); !baremetal.IsKind(err, baremetal.NotAcceptable) {
		t.Errorf("abort below its version: %v", err)
	}
	r.verb(t, n.UUID, baremetal.VerbAbort)
	got := r.awaitState(t, n.UUID, baremetal.DeployFailed)
	if got.Work.WaitReason != "" || !got.Work.WakeAt.IsZero() || !got.Work.Intent.Idle() {
		t.Errorf("work is left: %+v", got.Work)
	}
}

func TestFailedStepNamesItself(t *testing.T) {
	t.Parallel()
	sc := &script{steps: steps("unpack")}
	sc.run = func(context.Context, *drivers.Task, baremetal.Step) (drivers.Result, error) {
		return drivers.Result{}, errors.New("the archive is cut off")
	}
	s := openStore(t, t.TempDir())
	r := start(t, s, nil, scripted(sc, &power{state: baremetal.PowerOff}))
	n := r.node(t, "n", available)
	r.verb(t, n.UUID, baremetal.VerbActive)
	got := r.awaitState(t, n.UUID, baremetal.DeployFailed)
	if want := "Failed to deploy: step deploy.unpack: the archive is cut off"; got.LastError != want {
		t.Errorf("last_error %q, want %q", got.LastError, want)
	}
	if got.TargetProvisionState != baremetal.Active {
		t.Errorf("target %q", got.TargetProvisionState)
	}
	r.await(t, n.UUID, "in the history with its failure", func(*baremetal.Node) bool { // written after the state
		h, err := s.History(t.Context(), baremetal.HistoryQuery{NodeUUID: n.UUID})
		return err == nil && slices.ContainsFunc(h, func(e baremetal.HistoryEntry) bool {
			return e.Severity == baremetal.SeverityError && e.Event == got.LastError
		})
	})
}
