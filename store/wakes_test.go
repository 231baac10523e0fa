package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/store"
	"caddyshack/store/storetest"
)

const patience = time.Minute

func wantWake(t testing.TB, wakes <-chan string, uuid string) {
	t.Helper()
	select {
	case got, ok := <-wakes:
		if !ok || got != uuid {
			t.Fatalf("woken for %q (open %v), want %q", got, ok, uuid)
		}
	case <-time.After(patience):
		t.Fatalf("not woken for %q", uuid)
	}
}

func TestWakes(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		wakes, others := s.Wakes(ctx), s.Wakes(t.Context())
		n := create(t, s, newNode("n"))
		both := func() {
			t.Helper()
			wantWake(t, wakes, n.UUID)
			wantWake(t, others, n.UUID)
		}
		if err := s.Wake(t.Context(), n.UUID); err != nil {
			t.Fatal(err)
		}
		both()
		if at := read(t, s, n.UUID).Work.WakeAt; at.IsZero() || at.After(now(t, s).Add(time.Second)) { // the clock may have been asked anew in between
			t.Errorf("wakes at %s", at)
		}
		if err := s.Wake(t.Context(), n.UUID); err != nil { // an event for a node that is due already
			t.Fatal(err)
		}
		both()
		claimed := claim(t, s, n.UUID, "a", lease) // the claimant knows: no wake
		update(t, s, n.UUID, func(n *baremetal.Node) { n.Work.WakeAt = now(t, s).Add(time.Hour) })
		both()
		if _, err := s.UpdateClaimed(t.Context(), n.UUID, claimed.Work.ClaimEpoch, func(n *baremetal.Node) error {
			n.Work.ClaimOwner, n.Work.Reservation = "", "" // with work left
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		both()
		update(t, s, n.UUID, func(n *baremetal.Node) { n.LastError = "not a wake" })
		update(t, s, n.UUID, func(n *baremetal.Node) { n.Work.WakeAt = time.Time{} })
		if err := s.Wake(t.Context(), "00000000-0000-0000-0000-000000000000"); err != nil {
			t.Errorf("waking a missing node: %v", err)
		}
		wantWake(t, wakes, "00000000-0000-0000-0000-000000000000") // and nothing before it
		cancel()
		if _, open := <-wakes; open {
			t.Error("the channel outlives its context")
		}
	})
}

// A listener that does not listen holds nobody up, and is then told to look at all.
func TestASlowListener(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		wakes := s.Wakes(t.Context())
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 500 { // many more than are kept, so that it does not matter how many were taken before
					if err := s.Wake(t.Context(), fmt.Sprintf("node-%d-%d", i, j)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for deadline := time.After(patience); ; {
			select {
			case uuid := <-wakes:
				if uuid == "" {
					return
				}
			case <-deadline:
				t.Fatal("never told to look at all")
			}
		}
	})
}

func TestWakesAcrossProcesses(t *testing.T) {
	t.Parallel()
	cfg := store.Config{PostgresURL: storetest.Postgres(t), MaxConns: 3}
	a, b := storetest.Open(t, cfg), storetest.Open(t, cfg)
	wakesA, wakesB := a.Wakes(t.Context()), b.Wakes(t.Context())
	n := create(t, a, newNode("n"))
	if err := a.Wake(t.Context(), n.UUID); err != nil {
		t.Fatal(err)
	}
	wantWake(t, wakesB, n.UUID)
	wantWake(t, wakesA, n.UUID)

	// The connections that listen break; both come back and look at all.
	admin, err := sql.Open("pgx", cfg.PostgresURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	var killed int
	if err := admin.QueryRowContext(t.Context(), `SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND query LIKE 'LISTEN%'`).Scan(&killed); err != nil || killed != 2 {
		t.Fatalf("broke %d connections, %v", killed, err)
	}
	wantWake(t, wakesA, "")
	wantWake(t, wakesB, "")
	if err := b.Wake(t.Context(), n.UUID); err != nil {
		t.Fatal(err)
	}
	wantWake(t, wakesA, n.UUID)
}

// Two processes claim the same nodes at once on PostgreSQL: one wins each.
func TestTwoProcessesClaim(t *testing.T) {
	t.Parallel()
	cfg := store.Config{PostgresURL: storetest.Postgres(t), MaxConns: 5}
	stores := []*store.Store{storetest.Open(t, cfg), storetest.Open(t, cfg)}
	for i := range 10 {
		n := create(t, stores[0], newNode(fmt.Sprint("n", i)))
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for p, s := range stores {
			wg.Go(func() { _, errs[p] = s.Claim(t.Context(), n.UUID, fmt.Sprint("p", p), "host", lease) })
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("both won or both lost: %v", errs)
		}
	}
}

// Ports that change places between two nodes lock the nodes in opposite order:
// PostgreSQL ends the deadlock by an error, which is retried.
func TestDeadlocksAreRetried(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, store.Config{PostgresURL: storetest.Postgres(t), MaxConns: 5})
	a, b := create(t, s, newNode("a")), create(t, s, newNode("b"))
	one, two := port(t, s, a.UUID, "02:00:00:00:00:01"), port(t, s, b.UUID, "02:00:00:00:00:02")
	meet := make(chan struct{}, 2)
	move := func(p, to string) error {
		first := true
		_, err := s.UpdatePort(t.Context(), p, func(p *baremetal.Port, _ *baremetal.Node) error {
			if first { // both hold the lock on their node now
				first = false
				meet <- struct{}{}
				for deadline := time.Now().Add(patience); len(meet) < 2 && time.Now().Before(deadline); {
					time.Sleep(time.Millisecond)
				}
			}
			p.NodeUUID = to
			return nil
		})
		return err
	}
	errs := make(chan error)
	go func() { errs <- move(one.UUID, b.UUID) }()
	go func() { errs <- move(two.UUID, a.UUID) }()
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
