package conductor_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/conductor/conductortest"
	"caddyshack/drivers"
	"caddyshack/drivers/fake"
	"caddyshack/store"
)

// rig is a conductor on a store of its own.
type rig struct {
	*conductor.Conductor
	store   *store.Store
	changes *conductortest.Changes // of its conductor
	cancel  context.CancelFunc
	done    chan error
}

func openStore(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(dir, "caddyshack.db"), Synchronous: store.Off})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return s
}

// start runs a conductor on the store until the test ends or stop is called.
func start(t *testing.T, s *store.Store, change func(*conductor.Settings), types ...*drivers.HardwareType) *rig {
	t.Helper()
	reg, err := drivers.NewRegistry(append(types, fake.HardwareType())...)
	if err != nil {
		t.Fatal(err)
	}
	settings := conductor.Settings{Store: s, Registry: reg, Host: "shack", Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&settings)
	}
	changes := new(conductortest.Changes)
	settings.Store = changes.Watch(settings.Store)
	c, err := conductor.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &rig{Conductor: c, store: s, changes: changes, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- c.Run(ctx) }()
	select {
	case <-c.Ready():
	case err := <-r.done:
		t.Fatalf("conductor ended at once: %v", err)
	case <-time.After(patience):
		t.Fatalf("conductor is not ready after %s", patience)
	}
	t.Cleanup(func() { r.stop(t) })
	return r
}

func (r *rig) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	select {
	case err, ok := <-r.done:
		if ok && err != nil {
			t.Errorf("conductor ended with %v", err)
		}
	case <-time.After(patience):
		t.Errorf("conductor did not stop within %s", patience)
	}
	select {
	case <-r.done:
	default:
		close(r.done)
	}
}

var who = conductor.Caller{RequestID: "req-test", User: "tester"}

// node makes a node of fake-hardware, or of the driver given.
func (r *rig) node(t *testing.T, name string, change func(*baremetal.Node)) baremetal.Node {
	t.Helper()
	n := baremetal.Node{Name: name, Driver: "fake-hardware"}
	if change != nil {
		change(&n)
	}
	if err := r.CreateNode(t.Context(), who, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// verb asks for a verb at the newest version.
func (r *rig) verb(t *testing.T, uuid string, v baremetal.Verb) {
	t.Helper()
	if err := r.SetProvision(t.Context(), who, uuid, conductor.ProvisionRequest{Verb: v, Minor: 115}); err != nil {
		t.Fatalf("%s: %v", v, err)
	}
}

// patience is how long tests wait for what must come, on a slow machine too.
const patience = time.Minute

// await waits until the node is as wanted.
func (r *rig) await(t *testing.T, uuid, what string, ok func(*baremetal.Node) bool) (n baremetal.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	there := r.changes.Await(ctx, func() bool {
		var err error
		if n, err = r.store.Node(t.Context(), uuid); err != nil {
			t.Fatal(err)
		}
		return ok(&n)
	})
	if !there {
		t.Fatalf("node is not %s after %s: state %q target %q power %q/%q reservation %q error %q wait %q", what, patience,
			n.ProvisionState, n.TargetProvisionState, n.PowerState, n.TargetPowerState, n.Work.Reservation, n.LastError, n.Work.WaitReason)
	}
	return n
}

func (r *rig) awaitState(t *testing.T, uuid string, s baremetal.ProvisionState) baremetal.Node {
	t.Helper()
	return r.await(t, uuid, string(s), func(n *baremetal.Node) bool { return n.ProvisionState == s && n.Work.Reservation == "" })
}
