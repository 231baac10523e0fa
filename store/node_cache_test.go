package store

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"caddyshack/baremetal"
)

// TestListsFromMemoryAreRight changes nodes in every way there is, in any
// order, and compares what is answered from memory with the rows.
func TestListsFromMemoryAreRight(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "caddyshack.db"), Synchronous: Off})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	ctx := t.Context()
	owner, made := "bench", 0
	rapid.Check(t, func(t *rapid.T) {
		var uuids []string
		check := func(err error) {
			if err != nil && !baremetal.IsKind(err, baremetal.Locked) {
				t.Fatal(err)
			}
		}
		pick := func(t *rapid.T) string { return rapid.SampledFrom(uuids).Draw(t, "node") }
		add := func(t *rapid.T) {
			made++
			n := baremetal.Node{UUID: baremetal.NewUUID(), Name: fmt.Sprint("n", made), Driver: "fake", Owner: owner,
				Work: baremetal.Work{HardwareKey: fmt.Sprint("unit/", made),
					WakeAt: time.Now().Add(rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "wake"))}}
			check(s.CreateNode(ctx, &n))
			uuids = append(uuids, n.UUID)
		}
		for range rapid.IntRange(1, 2*fewMissing).Draw(t, "nodes") {
			add(t)
		}
		t.Repeat(map[string]func(*rapid.T){
			"create": add,
			"update": func(t *rapid.T) {
				_, err := s.UpdateNode(ctx, pick(t), func(n *baremetal.Node) error {
					n.LastError = rapid.StringN(0, 9, -1).Draw(t, "last_error")
					n.Owner = rapid.SampledFrom([]string{owner, "other"}).Draw(t, "owner")
					return nil
				})
				check(err)
			},
			"claim": func(t *rapid.T) {
				n, err := s.Claim(ctx, pick(t), "me", "here", time.Hour)
				check(err)
				if err == nil {
					_, err = s.Renew(ctx, "me", map[string]int64{n.UUID: n.Work.ClaimEpoch}, 2*time.Hour)
					check(err)
				}
			},
			"void": func(*rapid.T) { _, err := s.VoidClaims(ctx, "here", "a later me"); check(err) },
			"wake": func(t *rapid.T) { check(s.Wake(ctx, pick(t))) },
			"observe": func(t *rapid.T) {
				_, _, err := s.ObservePower(ctx, fmt.Sprint("unit/", made), rapid.SampledFrom([]baremetal.PowerState{"power on", "power off"}).Draw(t, "power"), 1, int64(made))
				check(err)
			},
			"delete": func(t *rapid.T) {
				if len(uuids) > 1 {
					check(s.DeleteNode(ctx, uuids[0], func(*baremetal.Node) error { return nil }))
					uuids = uuids[1:]
				}
			},
			"": func(t *rapid.T) {
				q := baremetal.NodeQuery{Owner: &owner}
				var got, want []baremetal.Node
				check(s.Nodes(ctx, q, func(n *baremetal.Node) error { got = append(got, *n); return nil }))
				sel, err := s.nodeSelection(ctx, q)
				check(err)
				check(s.readNodes(ctx, sel, func(n *baremetal.Node) error { want = append(want, *n); return nil }))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("list (-rows +from memory):\n%s", diff)
				}
				if len(want) > 0 {
					one, err := s.Node(ctx, want[0].Name)
					check(err)
					if diff := cmp.Diff(want[0], one); diff != "" {
						t.Fatalf("node (-row +from memory):\n%s", diff)
					}
				}
			},
		})
		for _, uuid := range uuids {
			check(s.DeleteNode(ctx, uuid, func(*baremetal.Node) error { return nil }))
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := newNodeCache()
	long := baremetal.Object(`{"a":"` + strings.Repeat("x", largestCached/2) + `"}`)
	for id := range int64(3 * cachedBytes / len(long)) {
		c.put(baremetal.Node{ID: id, Extra: long})
		if c.bytes > cachedBytes {
			t.Fatalf("%d bytes are kept after %d nodes", c.bytes, id+1)
		}
		if c.get(rowVersion{id: id}) == nil {
			t.Fatalf("node %d is not kept", id)
		}
	}
	for id := range c.nodes {
		c.put(baremetal.Node{ID: id, Extra: long + long}) // too large to be kept
	}
	if len(c.nodes) != 0 || c.bytes != 0 {
		t.Errorf("%d nodes of %d bytes are left", len(c.nodes), c.bytes)
	}
}
