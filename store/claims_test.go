package store_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"caddyshack/baremetal"
	"caddyshack/store"
)

// lease is longer than any of these tests takes.
const lease = time.Hour

func claim(t testing.TB, s *store.Store, uuid, owner string, lease time.Duration) baremetal.Node {
	t.Helper()
	n, err := s.Claim(t.Context(), uuid, owner, owner+"-host", lease)
	if err != nil {
		t.Fatalf("claiming for %s: %v", owner, err)
	}
	return n
}

func now(t testing.TB, s *store.Store) time.Time {
	t.Helper()
	now, err := s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func TestOneOfManyWinsAClaim(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		n := create(t, s, newNode("n"))
		for round := range 5 {
			var won, locked atomic.Int64
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					_, err := s.Claim(t.Context(), n.UUID, fmt.Sprintf("owner-%d-%d", round, i), "host", lease)
					switch {
					case err == nil:
						won.Add(1)
					case baremetal.IsKind(err, baremetal.Locked):
						locked.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 || locked.Load() != 19 {
				t.Fatalf("%d won, %d found it locked", won.Load(), locked.Load())
			}
			got := read(t, s, n.UUID)
			if got.Work.ClaimEpoch != int64(round+1) || got.Work.Reservation != "host" {
				t.Fatalf("claim %+v", got.Work)
			}
			update(t, s, n.UUID, func(n *baremetal.Node) { n.Work.ClaimOwner, n.Work.Reservation = "", "" })
		}
	})
}

func TestLockedMessage(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		n := create(t, s, newNode("n"))
		claim(t, s, n.UUID, "a", lease)
		_, err := s.Claim(t.Context(), n.UUID, "b", "b-host", lease)
		wantError(t, err, baremetal.Locked, "Node "+n.UUID+" is locked by host a-host, please retry after the current operation is completed.")
		_, err = s.Claim(t.Context(), n.UUID, "a", "a-host", lease)
		wantError(t, err, baremetal.Locked, "Node "+n.UUID+" is locked by host a-host, please retry after the current operation is completed.")
	})
}

func TestALostClaimWritesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		n := create(t, s, newNode("n"))
		old := claim(t, s, n.UUID, "a", -time.Second) // its lease is over at once
		if _, err := s.UpdateClaimed(t.Context(), n.UUID, old.Work.ClaimEpoch, func(n *baremetal.Node) error { n.LastError = "late but first"; return nil }); err != nil {
			t.Errorf("nobody else took the claim, yet: %v", err)
		}
		late := func(what string) {
			t.Helper()
			before := read(t, s, n.UUID)
			_, err := s.UpdateClaimed(t.Context(), n.UUID, old.Work.ClaimEpoch, func(n *baremetal.Node) error { n.LastError = "too late"; return nil })
			if !baremetal.IsKind(err, baremetal.ClaimLost) {
				t.Errorf("%s: error %v, want claim lost", what, err)
			}
			if diff := cmp.Diff(before, read(t, s, n.UUID)); diff != "" {
				t.Errorf("%s: written after the loss:\n%s", what, diff)
			}
		}
		b := claim(t, s, n.UUID, "b", lease)
		if b.Work.ClaimEpoch != old.Work.ClaimEpoch+1 {
			t.Errorf("epoch %d after %d", b.Work.ClaimEpoch, old.Work.ClaimEpoch)
		}
		late("another holds it")
		if _, err := s.UpdateClaimed(t.Context(), n.UUID, b.Work.ClaimEpoch, func(n *baremetal.Node) error {
			n.Work.ClaimOwner, n.Work.Reservation = "", ""
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		late("nobody holds it")
		_, err := s.UpdateClaimed(t.Context(), n.UUID, b.Work.ClaimEpoch, func(*baremetal.Node) error { return nil })
		if !baremetal.IsKind(err, baremetal.ClaimLost) {
			t.Errorf("after the release: %v", err)
		}
	})
}

func TestRenew(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		mine, taken, gone := create(t, s, newNode("mine")), create(t, s, newNode("taken")), create(t, s, newNode("gone"))
		epochs := map[string]int64{}
		for _, n := range []baremetal.Node{mine, taken, gone} {
			epochs[n.UUID] = claim(t, s, n.UUID, "a", -time.Second).Work.ClaimEpoch
		}
		claim(t, s, taken.UUID, "b", lease)
		if err := s.DeleteNode(t.Context(), gone.UUID, func(*baremetal.Node) error { return nil }); err != nil {
			t.Fatal(err)
		}
		lost, err := s.Renew(t.Context(), "a", epochs, lease)
		want := []string{taken.UUID, gone.UUID}
		slices.Sort(want)
		if err != nil || !slices.Equal(lost, want) {
			t.Errorf("lost %v, want %v (%v)", lost, want, err)
		}
		if got := read(t, s, mine.UUID); !got.ClaimHeld(now(t, s).Add(lease / 2)) {
			t.Errorf("not renewed: ends %s", got.Work.ClaimExpires)
		}
		if _, err := s.Claim(t.Context(), mine.UUID, "b", "b-host", lease); !baremetal.IsKind(err, baremetal.Locked) {
			t.Errorf("claiming what was renewed: %v", err)
		}
	})
}

func TestVoidClaims(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		old, own, other := create(t, s, newNode("old")), create(t, s, newNode("own")), create(t, s, newNode("other"))
		for _, c := range []struct{ uuid, owner, host string }{{old.UUID, "h/1", "h"}, {own.UUID, "h/2", "h"}, {other.UUID, "x/1", "x"}} {
			if _, err := s.Claim(t.Context(), c.uuid, c.owner, c.host, lease); err != nil {
				t.Fatal(err)
			}
		}
		if count, err := s.VoidClaims(t.Context(), "h", "h/2"); err != nil || count != 1 {
			t.Errorf("voided %d, %v", count, err)
		}
		if got := read(t, s, old.UUID); got.Work.Reservation != "" || got.Work.ClaimOwner != "" || !got.Work.ClaimExpires.IsZero() {
			t.Errorf("not voided: %+v", got.Work)
		}
		if read(t, s, own.UUID).Work.ClaimOwner != "h/2" || read(t, s, other.UUID).Work.ClaimOwner != "x/1" {
			t.Error("voided too much")
		}
	})
}

func TestClaimableAndNextWake(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		at := now(t, s)
		if next, err := s.NextWake(t.Context()); err != nil || !next.IsZero() {
			t.Errorf("next wake of an empty store %s, %v", next, err)
		}
		node := func(name, place, driver string, wake time.Time) baremetal.Node {
			n := newNode(name)
			n.Driver, n.Work.Place, n.Work.WakeAt = driver, place, wake
			return create(t, s, n)
		}
		later := node("later", "", "caddy", at.Add(24*time.Hour))
		if next, err := s.NextWake(t.Context()); err != nil || next.Sub(later.Work.WakeAt).Abs() > time.Microsecond {
			t.Errorf("next wake %s, %v", next, err)
		}
		second := node("second", "here", "caddy", at.Add(-time.Minute))
		first := node("first", "", "caddy", at.Add(-time.Hour))
		node("no work", "here", "caddy", time.Time{})
		node("elsewhere", "there", "caddy", at.Add(-time.Hour))
		node("not ours", "here", "ipmi", at.Add(-time.Hour))
		claimed := node("claimed", "here", "caddy", at.Add(-2*time.Hour))
		claim(t, s, claimed.UUID, "x", lease)
		dead := node("claimant died", "here", "caddy", at.Add(-time.Second))
		claim(t, s, dead.UUID, "x", -time.Second)

		got, err := s.Claimable(t.Context(), []string{"here"}, []string{"caddy", "fake-hardware"}, 10)
		if want := []string{first.UUID, second.UUID, dead.UUID}; err != nil || !slices.Equal(got, want) {
			t.Errorf("claimable %v, want %v (%v)", got, want, err)
		}
		if got, err := s.Claimable(t.Context(), []string{"here"}, []string{"caddy"}, 1); err != nil || !slices.Equal(got, []string{first.UUID}) {
			t.Errorf("limited to one: %v (%v)", got, err)
		}
		if got, err := s.Claimable(t.Context(), nil, nil, 10); err != nil || len(got) != 0 {
			t.Errorf("nothing can be served, yet %v (%v)", got, err)
		}
		for _, n := range []baremetal.Node{first, second, dead} {
			update(t, s, n.UUID, func(n *baremetal.Node) { n.Work.WakeAt = time.Time{} })
		}
		for _, name := range []string{"elsewhere", "not ours"} {
			update(t, s, name, func(n *baremetal.Node) { n.Work.WakeAt = time.Time{} })
		}
		end := read(t, s, claimed.UUID).Work.ClaimExpires
		if next, err := s.NextWake(t.Context()); err != nil || !next.Equal(end) {
			t.Errorf("next wake %s, want the end of the claim %s (%v)", next, end, err)
		}
	})
}

// A lease ends by itself.
func TestLeaseExpires(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		n := create(t, s, newNode("n"))
		claim(t, s, n.UUID, "a", 30*time.Millisecond)
		for deadline := time.Now().Add(patience); ; {
			_, err := s.Claim(t.Context(), n.UUID, "b", "b-host", lease)
			if err == nil {
				return
			}
			if !baremetal.IsKind(err, baremetal.Locked) || time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	})
}
