package store_test

import (
	"context"
	"path/filepath"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/store"
)

func TestFirst(t *testing.T) {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Config{Path: filepath.Join(t.TempDir(), "x.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
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
}
