package store_test

import (
	"testing"

	"caddyshack/baremetal"
	"caddyshack/store"
	"caddyshack/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// onEach runs a test on every engine.
func onEach(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Helper()
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			test(t, storetest.Open(t, e.Config(t)))
		})
	}
}

func TestFirst(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		n := baremetal.Node{UUID: baremetal.NewUUID(), Name: "a", Driver: "fake"}
		if err := s.CreateNode(ctx, &n); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Node(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.UpdateNode(ctx, "a", func(n *baremetal.Node) error { n.LastError = "x"; return nil }); err != nil {
			t.Fatal(err)
		}
	})
}
