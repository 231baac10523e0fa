package conductor_test

import (
	"context"
	"strings"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/drivers"
	"caddyshack/drivers/fake"
)

// TestAsynchronousVendorMethod: it is accepted before it is done, holds the node
// meanwhile, and its failure is in the row.
func TestAsynchronousVendorMethod(t *testing.T) {
	t.Parallel()
	slow := &slowVendor{began: make(chan struct{}), end: make(chan error)}
	r := start(t, openStore(t, t.TempDir()), func(s *conductor.Settings) { s.LockWait = 1 }, slow.hardwareType())
	n := r.node(t, "n", func(n *baremetal.Node) { n.Driver = "slow" })
	who := conductor.Caller{RequestID: "req-1", User: "ann", Project: "p1"}
	call := func(method string) (conductor.VendorResult, error) {
		return r.VendorCall(t.Context(), who, n.UUID, method, "POST", nil)
	}
	got, err := call("work")
	if err != nil || !got.Async || got.Value != nil {
		t.Fatalf("answered %+v %v", got, err)
	}
	<-slow.began
	if held := r.await(t, n.UUID, "held", func(n *baremetal.Node) bool { return n.Work.Reservation != "" }); held.Work.Reservation != "shack" {
		t.Errorf("held by %q", held.Work.Reservation)
	}
	if _, err := call("work"); !baremetal.IsKind(err, baremetal.Locked) {
		t.Errorf("a second call at once: %v", err)
	}
	slow.end <- baremetal.Errorf(baremetal.Invalid, "out of paper")
	after := r.await(t, n.UUID, "free", func(n *baremetal.Node) bool { return n.Work.Reservation == "" })
	const failure = "Failed to run the vendor method work: out of paper"
	if after.LastError != failure {
		t.Errorf("last_error %q", after.LastError)
	}
	history, err := r.store.History(t.Context(), baremetal.HistoryQuery{NodeUUID: n.UUID})
	if err != nil {
		t.Fatal(err)
	}
	last := history[len(history)-1]
	if last.Event != failure || last.User != "ann" || last.Project != "p1" || last.EventType != "vendor" {
		t.Errorf("history: %+v", last)
	}

	if _, err := call("work"); err != nil {
		t.Fatal(err)
	}
	<-slow.began
	slow.end <- nil
	r.await(t, n.UUID, "free", func(n *baremetal.Node) bool { return n.Work.Reservation == "" })
	for method, want := range map[string]string{"rest": "Method rest not found", "refused": "no such argument"} {
		if _, err := call(method); !baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// TestAsynchronousVendorMethodEndsWithTheConductor: a stop does not wait for it, and leaves no claim.
func TestAsynchronousVendorMethodEndsWithTheConductor(t *testing.T) {
	t.Parallel()
	slow := &slowVendor{began: make(chan struct{}), end: make(chan error)}
	s := openStore(t, t.TempDir())
	r := start(t, s, nil, slow.hardwareType())
	n := r.node(t, "n", func(n *baremetal.Node) { n.Driver = "slow" })
	if _, err := r.VendorCall(t.Context(), who, n.UUID, "work", "POST", nil); err != nil {
		t.Fatal(err)
	}
	<-slow.began
	r.stop(t)
	after, err := s.Node(t.Context(), n.UUID)
	if err != nil || after.Work.Reservation != "" {
		t.Errorf("after the stop: reservation %q, %v", after.Work.Reservation, err)
	}
}

// TestHistoryTellsWhoAsked, and asks nobody for what happened by itself.
func TestHistoryTellsWhoAsked(t *testing.T) {
	t.Parallel()
	r := start(t, openStore(t, t.TempDir()), nil)
	n := r.node(t, "n", func(n *baremetal.Node) { n.ProvisionState = baremetal.Available })
	ann := conductor.Caller{RequestID: "req-1", User: "ann", Project: "p1"}
	if err := r.SetProvision(t.Context(), ann, n.UUID, conductor.ProvisionRequest{Verb: baremetal.VerbActive, Minor: 115}); err != nil {
		t.Fatal(err)
	}
	r.awaitState(t, n.UUID, baremetal.Active)
	bob := conductor.Caller{RequestID: "req-2", User: "bob"}
	if err := r.SetProvision(t.Context(), bob, n.UUID, conductor.ProvisionRequest{Verb: baremetal.VerbDeleted, Minor: 115}); err != nil {
		t.Fatal(err)
	}
	r.awaitState(t, n.UUID, baremetal.Available)
	history, err := r.store.History(t.Context(), baremetal.HistoryQuery{NodeUUID: n.UUID})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, h := range history {
		if h.EventType == "transition" {
			seen[string(h.State)+" "+h.User+"/"+h.Project] = true
		} else if h.EventType == "power" && strings.Contains(h.Event, "first look") && h.User != "" {
			t.Errorf("%s is said to be asked for: %+v", h.Event, h)
		}
	}
	for _, want := range []string{"active ann/p1", "available bob/"} {
		if !seen[want] {
			t.Errorf("%s is not in %v", want, seen)
		}
	}
}

// slowVendor is a vendor interface whose method "work" the test ends.
type slowVendor struct {
	began chan struct{}
	end   chan error
}

func (s *slowVendor) hardwareType() *drivers.HardwareType {
	h := fake.HardwareType()
	h.Name = "slow"
	h.Interfaces["vendor"] = map[string]any{"slow": s}
	h.Defaults["vendor"] = "slow"
	return h
}

func (*slowVendor) Validate(context.Context, *drivers.Task) error { return nil }

func (*slowVendor) VendorMethods(*drivers.Task) map[string]drivers.VendorMethod {
	m := drivers.VendorMethod{HTTPMethods: []string{"POST"}, Async: true}
	return map[string]drivers.VendorMethod{"work": m, "refused": m}
}

func (*slowVendor) CheckVendorCall(_ *drivers.Task, method string, _ map[string]any) error {
	if method == "refused" {
		return baremetal.Errorf(baremetal.Invalid, "no such argument")
	}
	return nil
}

func (s *slowVendor) VendorCall(ctx context.Context, _ *drivers.Task, _, _ string, _ map[string]any) (any, error) {
	s.began <- struct{}{}
	select {
	case err := <-s.end:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
