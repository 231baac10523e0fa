package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"caddyshack/baremetal"
	"caddyshack/store"
	"caddyshack/store/storetest"
)

// TestIDsFollowTheOrder: no number is given twice, whatever is refused, panics
// or is written together, and over restarts; and rows keep the order in which
// they were made.
func TestIDsFollowTheOrder(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			cfg := e.Config(t)
			seen := map[int64]string{}
			last := int64(0)
			for life := range 3 {
				s, err := store.Open(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				last = oneLife(t, s, life, last, seen)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// oneLife makes nodes one by one and many at once, between changes that fail,
// and returns the highest number.
func oneLife(t *testing.T, s *store.Store, life int, last int64, seen map[int64]string) int64 {
	t.Helper()
	note := func(n *baremetal.Node) {
		if other, twice := seen[n.ID]; twice {
			t.Errorf("node %s has the number %d of node %s", n.Name, n.ID, other)
		}
		seen[n.ID] = n.Name
	}
	for i := range 80 { // more than are taken at once
		n := newNode(fmt.Sprintf("life-%d-%d", life, i))
		if err := s.CreateNode(t.Context(), &n); err != nil {
			t.Fatal(err)
		}
		note(&n)
		if n.ID <= last {
			t.Errorf("node %s has the number %d after %d", n.Name, n.ID, last)
		}
		last = n.ID
		if i%7 == 0 { // may be the one that takes new numbers
			same := newNode(n.Name)
			if err := s.CreateNode(t.Context(), &same); !baremetal.IsKind(err, baremetal.Conflict) {
				t.Errorf("a second node %s: %v", n.Name, err)
			}
			refused := errors.New("no")
			if _, err := s.UpdateNode(t.Context(), n.UUID, func(*baremetal.Node) error { return refused }); !errors.Is(err, refused) {
				t.Error(err)
			}
		}
	}
	many := make([]baremetal.Node, 200)
	var g errgroup.Group
	g.SetLimit(16)
	for i := range many {
		many[i] = newNode(fmt.Sprintf("many-%d-%d", life, i))
		if i%5 == 4 {
			many[i].Name = fmt.Sprintf("life-%d-0", life) // which there is
		}
		g.Go(func() error {
			err := s.CreateNode(context.Background(), &many[i])
			if conflict := baremetal.IsKind(err, baremetal.Conflict); conflict != (i%5 == 4) || err != nil && !conflict {
				return fmt.Errorf("node %d: %w", i, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for i := range many {
		if i%5 != 4 {
			note(&many[i])
			last = max(last, many[i].ID)
		}
	}
	return last
}

func TestUnnamed(t *testing.T) {
	t.Parallel()
	eleven := "a IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
	for query, want := range map[string]string{
		"SELECT 1":                                 "SELECT 1",
		"SELECT a FROM t WHERE b = $1":             "SELECT a FROM t WHERE b = ?",
		"UPDATE t SET a = $1, b = $2 WHERE c = $3": "UPDATE t SET a = ?, b = ? WHERE c = ?",
		"UPDATE t SET a = $2 WHERE c = $1":         "UPDATE t SET a = $2 WHERE c = $1",
		"SELECT a FROM t WHERE b = $1 OR c = $1":   "SELECT a FROM t WHERE b = $1 OR c = $1",
		"SELECT a FROM t WHERE b = $1 AND c = $12": "SELECT a FROM t WHERE b = $1 AND c = $12",
		"SELECT a FROM t WHERE b = $10 AND c = $2": "SELECT a FROM t WHERE b = $10 AND c = $2",
		eleven: "a IN (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	} {
		if got := store.Unnamed(query); got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
}
