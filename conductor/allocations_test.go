package conductor_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/drivers"
	"caddyshack/drivers/fake"
	"caddyshack/store/storetest"
)

// pair is two conductors on one database: two processes on PostgreSQL, and two
// on one open file on SQLite, which takes no second process.
func pair(t *testing.T, e storetest.Engine, lease time.Duration) (one, two *rig) {
	t.Helper()
	cfg := e.Config(t)
	a := storetest.Open(t, cfg)
	b := a
	if cfg.Path == "" {
		b = storetest.Open(t, cfg)
	}
	named := func(host string) func(*conductor.Settings) {
		return func(s *conductor.Settings) { s.Host, s.Lease = host, lease }
	}
	return start(t, a, named("one")), start(t, b, named("two"))
}

// free makes a node that allocations may take.
func (r *rig) free(t *testing.T, name string) baremetal.Node {
	t.Helper()
	return r.node(t, name, func(n *baremetal.Node) {
		n.ProvisionState, n.PowerState, n.ResourceClass = baremetal.Available, baremetal.PowerOff, "pi"
	})
}

func (r *rig) awaitAllocation(t *testing.T, uuid string, ok func(*baremetal.Allocation) bool) (a baremetal.Allocation) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	there := r.changes.Await(ctx, func() bool {
		var err error
		if a, err = r.store.Allocations().One(t.Context(), uuid); err != nil {
			t.Fatal(err)
		}
		return ok(&a)
	})
	if !there {
		t.Fatalf("allocation is still %q on %q after %s: %s", a.State, a.NodeUUID, patience, a.LastError)
	}
	return a
}

func onEngines(t *testing.T, test func(t *testing.T, e storetest.Engine)) {
	t.Helper()
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			test(t, e)
		})
	}
}

// TestAllocationRace: more wishes than nodes, at two conductors at once. Each
// node is given once, and the wishes left over fail.
func TestAllocationRace(t *testing.T) {
	onEngines(t, func(t *testing.T, e storetest.Engine) {
		one, two := pair(t, e, time.Second)
		const nodes, wishes = 12, 16
		for i := range nodes {
			one.free(t, fmt.Sprintf("n%d", i))
		}
		var wg sync.WaitGroup
		made := make([]baremetal.Allocation, wishes)
		for i := range made {
			r := one
			if i%2 == 1 {
				r = two
			}
			made[i].ResourceClass = "pi"
			wg.Go(func() {
				if err := r.Allocations().Create(t.Context(), &made[i], nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got := map[string]bool{}
		failed := 0
		for _, m := range made {
			a := two.awaitAllocation(t, m.UUID, func(a *baremetal.Allocation) bool { return a.State != baremetal.Allocating })
			if a.State == baremetal.AllocationError {
				failed++
				continue
			}
			n, err := one.store.Node(t.Context(), a.NodeUUID)
			if err != nil {
				t.Fatal(err)
			}
			if got[n.UUID] || n.AllocationUUID != a.UUID || n.InstanceUUID != a.UUID {
				t.Errorf("allocation %s got node %s of allocation %s, instance %s (taken twice: %v)", a.UUID, n.UUID, n.AllocationUUID, n.InstanceUUID, got[n.UUID])
			}
			got[n.UUID] = true
		}
		if len(got) != nodes || failed != wishes-nodes {
			t.Errorf("%d nodes given and %d wishes failed, want %d and %d", len(got), failed, nodes, wishes-nodes)
		}
	})
}

// TestAllocationOfDead: what a conductor that is gone had accepted is done by another.
func TestAllocationOfDead(t *testing.T) {
	onEngines(t, func(t *testing.T, e storetest.Engine) {
		one, _ := pair(t, e, time.Minute) // so that nobody takes it from the one who took it
		n := one.free(t, "n1")
		now, err := one.store.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		dead := baremetal.Allocation{ResourceClass: "pi", State: baremetal.Allocating, ClaimOwner: "gone/boot/1", ClaimHost: "gone",
			ClaimEpoch: 1, ClaimExpires: now.Add(300 * time.Millisecond)}
		if err := one.store.Allocations().Create(t.Context(), &dead, nil); err != nil {
			t.Fatal(err)
		}
		a := one.awaitAllocation(t, dead.UUID, func(a *baremetal.Allocation) bool { return a.State == baremetal.AllocationDone })
		if a.NodeUUID != n.UUID || a.ClaimEpoch != 2 {
			t.Errorf("got node %s at claim %d, want %s at 2", a.NodeUUID, a.ClaimEpoch, n.UUID)
		}
		// the dead one wakes up: nothing of it counts any more
		err = one.store.Allocate(t.Context(), dead.UUID, 1, n.UUID, func(*baremetal.Node) error { return nil })
		if !baremetal.IsKind(err, baremetal.ClaimLost) {
			t.Errorf("allocating under an old claim: %v", err)
		}
		if err := one.store.FailAllocation(t.Context(), dead.UUID, 1, "late"); !baremetal.IsKind(err, baremetal.ClaimLost) {
			t.Errorf("failing under an old claim: %v", err)
		}
	})
}

// TestAllocationOfEarlierLife: a restart does not wait for the lease of its own earlier life.
func TestAllocationOfEarlierLife(t *testing.T) {
	onEngines(t, func(t *testing.T, e storetest.Engine) {
		s := storetest.Open(t, e.Config(t))
		now, err := s.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n := baremetal.Node{UUID: baremetal.NewUUID(), Driver: "fake-hardware", ProvisionState: baremetal.Available, PowerState: baremetal.PowerOff, ResourceClass: "pi"}
		if err := s.CreateNode(t.Context(), &n); err != nil {
			t.Fatal(err)
		}
		old := baremetal.Allocation{ResourceClass: "pi", State: baremetal.Allocating, ClaimOwner: "shack/boot/1", ClaimHost: "shack",
			ClaimEpoch: 1, ClaimExpires: now.Add(time.Hour)}
		if err := s.Allocations().Create(t.Context(), &old, nil); err != nil {
			t.Fatal(err)
		}
		start(t, s, nil).awaitAllocation(t, old.UUID, func(a *baremetal.Allocation) bool { return a.NodeUUID == n.UUID })
	})
}

// TestAllocationPrefersNamesake: of many nodes the one of the allocation's name.
func TestAllocationPrefersNamesake(t *testing.T) {
	t.Parallel()
	r := start(t, storetest.New(t), nil)
	var want string
	for i := range 20 {
		n := r.free(t, fmt.Sprintf("n%d", i))
		if i == 13 {
			want = n.UUID
		}
	}
	a := baremetal.Allocation{Name: "n13", ResourceClass: "pi"}
	if err := r.Allocations().Create(t.Context(), &a, nil); err != nil {
		t.Fatal(err)
	}
	r.awaitAllocation(t, a.UUID, func(a *baremetal.Allocation) bool { return a.NodeUUID == want })
}

// tried tells of the first attempt to give a node away, when it has failed.
type tried struct {
	conductor.Store
	once   sync.Once
	failed func()
}

func (s *tried) Allocate(ctx context.Context, uuid string, epoch int64, node string, check func(*baremetal.Node) error) error {
	err := s.Store.Allocate(ctx, uuid, epoch, node, check)
	if err != nil {
		s.once.Do(s.failed)
	}
	return err
}

// TestAllocationWaitsForLock: a node that is locked for a moment is taken in a
// later round, also one whose power is being set for the first time.
func TestAllocationWaitsForLock(t *testing.T) {
	t.Parallel()
	for name, power := range map[string]baremetal.PowerState{"power known": baremetal.PowerOff, "power being set": baremetal.PowerUnknown} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := storetest.New(t)
			var n baremetal.Node
			lock := func(console *bool, power, target baremetal.PowerState) {
				if _, err := s.UpdateNode(context.Background(), n.UUID, func(n *baremetal.Node) error {
					n.Work.Intent.Console, n.PowerState, n.TargetPowerState = console, power, target
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
			var refused atomic.Bool
			r := start(t, s, func(c *conductor.Settings) {
				c.Store = &tried{Store: s, failed: func() { refused.Store(true); lock(nil, baremetal.PowerOff, "") }}
			})
			n = r.free(t, "n1")
			lock(new(bool), power, baremetal.PowerOff)
			a := baremetal.Allocation{ResourceClass: "pi"}
			if err := r.Allocations().Create(t.Context(), &a, nil); err != nil {
				t.Fatal(err)
			}
			r.awaitAllocation(t, a.UUID, func(a *baremetal.Allocation) bool { return a.State != baremetal.Allocating })
			if a, err := s.Allocations().One(t.Context(), a.UUID); err != nil || a.State != baremetal.AllocationDone {
				t.Errorf("the allocation is %q: %s %v", a.State, a.LastError, err)
			}
			if !refused.Load() {
				t.Error("the node was given away while it was locked")
			}
		})
	}
}

// TestAllocationBeforeRun: nothing is accepted that nobody would do.
func TestAllocationBeforeRun(t *testing.T) {
	t.Parallel()
	registry, err := drivers.NewRegistry(fake.HardwareType())
	if err != nil {
		t.Fatal(err)
	}
	s := storetest.New(t)
	c, err := conductor.New(conductor.Settings{Store: s, Registry: registry, Host: "shack", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	a := baremetal.Allocation{ResourceClass: "pi"}
	if err := c.Allocations().Create(context.Background(), &a, nil); !baremetal.IsKind(err, baremetal.Unavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
	if list, err := s.Allocations().List(context.Background(), baremetal.Query{}); err != nil || len(list) != 0 {
		t.Errorf("stored: %v %v", list, err)
	}
}
