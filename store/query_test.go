package store_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"caddyshack/baremetal"
	"caddyshack/store"
	"caddyshack/store/storetest"
)

func uuids(t testing.TB, s *store.Store, q baremetal.NodeQuery) []string {
	t.Helper()
	var got, again []string
	if err := s.Nodes(t.Context(), q, func(n *baremetal.Node) error { got = append(got, n.UUID); return nil }); err != nil {
		t.Fatalf("listing: %v", err)
	}
	if err := s.Nodes(t.Context(), q, func(n *baremetal.Node) error { again = append(again, n.UUID); return nil }); err != nil {
		t.Fatalf("listing from memory: %v", err)
	}
	if !slices.Equal(got, again) {
		t.Fatalf("nodes %v, and from memory %v", got, again)
	}
	return got
}

// various makes nodes whose values repeat, so that each filter selects some.
func various(t testing.TB, s *store.Store, count int) []baremetal.Node {
	t.Helper()
	var chassis []string
	for range 2 {
		c := baremetal.Chassis{UUID: baremetal.NewUUID()}
		if err := s.CreateChassis(t.Context(), &c); err != nil {
			t.Fatal(err)
		}
		chassis = append(chassis, c.UUID)
	}
	r := rand.New(rand.NewPCG(1, 2))
	some := func(values ...string) string { return values[r.IntN(len(values))] }
	var all []baremetal.Node
	for i := range count {
		n := newNode(fmt.Sprintf("%s%d", some("a", "B", "c"), i))
		if r.IntN(3) == 0 {
			n.InstanceUUID = baremetal.NewUUID()
		}
		n.InstanceName = some("", "vm", "VM")
		n.ChassisUUID = some("", chassis[0], chassis[1])
		n.Maintenance, n.Retired = r.IntN(3) == 0, r.IntN(3) == 0
		n.ProvisionState = baremetal.ProvisionState(some("active", "available", "enroll"))
		n.Driver = some("caddy", "fake-hardware")
		n.ResourceClass = some("", "rpi4", "RPi4", "rpi5")
		n.Fault = some("", "power failure")
		n.ConductorGroup = some("", "east")
		n.Owner, n.Lessee = some("", "p1", "p2"), some("", "p1", "p2")
		n.Description = some("", "100% sure", "100 % sure", "a_b", "aXb", `back\slash`, "SURE", "it's")
		n.Shard = some("", "s1", "s2", "S1")
		if i > 3 && r.IntN(4) == 0 {
			n.ParentNode = all[r.IntN(3)].UUID
		}
		n.Work.Reservation = some("", "", "host-b", "host-z")
		n.Work.Place = some("", "east-place")
		all = append(all, create(t, s, n))
	}
	return all
}

func TestEveryFilter(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		all := various(t, s, 200)
		for _, c := range []baremetal.Conductor{
			{Hostname: "host-a", Places: []string{"x"}, Drivers: []string{"caddy"}, Alive: true},
			{Hostname: "host-b", Places: []string{"east-place"}, Drivers: []string{"caddy", "fake-hardware"}, Alive: true},
			{Hostname: "host-c", ConductorGroup: "east", Places: []string{"east-place"}, Drivers: []string{"caddy"}, Alive: true},
			{Hostname: "host-d", ConductorGroup: "east", Places: []string{"east-place"}, Drivers: []string{"caddy"}, Alive: false},
		} {
			if err := s.Heartbeat(t.Context(), &c); err != nil {
				t.Fatal(err)
			}
		}
		conductors, err := s.Conductors(t.Context(), baremetal.Page{})
		if err != nil {
			t.Fatal(err)
		}
		type node = baremetal.Node
		q := func(change func(*baremetal.NodeQuery)) baremetal.NodeQuery {
			q := baremetal.NodeQuery{IncludeChildren: true}
			change(&q)
			return q
		}
		yes, no := true, false
		p := func(s string) *string { return &s }
		tests := map[string]struct {
			q    baremetal.NodeQuery
			want func(n *node) bool
		}{
			"everything":      {q(func(*baremetal.NodeQuery) {}), func(*node) bool { return true }},
			"no children":     {baremetal.NodeQuery{}, func(n *node) bool { return n.ParentNode == "" }},
			"parent":          {baremetal.NodeQuery{ParentNode: &all[0].UUID}, func(n *node) bool { return n.ParentNode == all[0].UUID }},
			"no associated":   {q(func(q *baremetal.NodeQuery) { q.Associated = &no }), func(n *node) bool { return n.InstanceUUID == "" }},
			"associated":      {q(func(q *baremetal.NodeQuery) { q.Associated = &yes }), func(n *node) bool { return n.InstanceUUID != "" }},
			"maintenance":     {q(func(q *baremetal.NodeQuery) { q.Maintenance = &yes }), func(n *node) bool { return n.Maintenance }},
			"no maintenance":  {q(func(q *baremetal.NodeQuery) { q.Maintenance = &no }), func(n *node) bool { return !n.Maintenance }},
			"retired":         {q(func(q *baremetal.NodeQuery) { q.Retired = &yes }), func(n *node) bool { return n.Retired }},
			"sharded":         {q(func(q *baremetal.NodeQuery) { q.Sharded = &yes }), func(n *node) bool { return n.Shard != "" }},
			"not sharded":     {q(func(q *baremetal.NodeQuery) { q.Sharded = &no }), func(n *node) bool { return n.Shard == "" }},
			"shards":          {q(func(q *baremetal.NodeQuery) { q.Shards = []string{"s1", "s2"} }), func(n *node) bool { return n.Shard == "s1" || n.Shard == "s2" }},
			"shard or none":   {q(func(q *baremetal.NodeQuery) { q.Shards = []string{"s1", ""} }), func(n *node) bool { return n.Shard == "s1" || n.Shard == "" }},
			"empty shards":    {q(func(q *baremetal.NodeQuery) { q.Shards = []string{} }), func(*node) bool { return false }},
			"driver":          {q(func(q *baremetal.NodeQuery) { q.Driver = p("caddy") }), func(n *node) bool { return n.Driver == "caddy" }},
			"class":           {q(func(q *baremetal.NodeQuery) { q.ResourceClass = p("rpi4") }), func(n *node) bool { return n.ResourceClass == "rpi4" }},
			"no class":        {q(func(q *baremetal.NodeQuery) { q.ResourceClass = p("") }), func(n *node) bool { return n.ResourceClass == "" }},
			"fault":           {q(func(q *baremetal.NodeQuery) { q.Fault = p("power failure") }), func(n *node) bool { return n.Fault == "power failure" }},
			"group":           {q(func(q *baremetal.NodeQuery) { q.ConductorGroup = p("east") }), func(n *node) bool { return n.ConductorGroup == "east" }},
			"default group":   {q(func(q *baremetal.NodeQuery) { q.ConductorGroup = p("") }), func(n *node) bool { return n.ConductorGroup == "" }},
			"owner":           {q(func(q *baremetal.NodeQuery) { q.Owner = p("p1") }), func(n *node) bool { return n.Owner == "p1" }},
			"lessee":          {q(func(q *baremetal.NodeQuery) { q.Lessee = p("p1") }), func(n *node) bool { return n.Lessee == "p1" }},
			"project":         {q(func(q *baremetal.NodeQuery) { q.Project = p("p1") }), func(n *node) bool { return n.Owner == "p1" || n.Lessee == "p1" }},
			"no project":      {q(func(q *baremetal.NodeQuery) { q.Project = p("") }), func(*node) bool { return false }},
			"instance":        {q(func(q *baremetal.NodeQuery) { q.InstanceUUID = p("x") }), func(n *node) bool { return false }},
			"instance name":   {q(func(q *baremetal.NodeQuery) { q.InstanceName = p("vm") }), func(n *node) bool { return n.InstanceName == "vm" }},
			"percent":         {q(func(q *baremetal.NodeQuery) { q.DescriptionContains = p("0% s") }), func(n *node) bool { return strings.Contains(n.Description, "0% s") }},
			"underscore":      {q(func(q *baremetal.NodeQuery) { q.DescriptionContains = p("a_b") }), func(n *node) bool { return n.Description == "a_b" }},
			"backslash":       {q(func(q *baremetal.NodeQuery) { q.DescriptionContains = p(`k\s`) }), func(n *node) bool { return strings.Contains(n.Description, `k\s`) }},
			"case of letters": {q(func(q *baremetal.NodeQuery) { q.DescriptionContains = p("sure") }), func(n *node) bool { return strings.Contains(n.Description, "sure") }},
			"quote":           {q(func(q *baremetal.NodeQuery) { q.DescriptionContains = p("t's") }), func(n *node) bool { return n.Description == "it's" }},
			"combined": {q(func(q *baremetal.NodeQuery) { q.Owner, q.Maintenance, q.Driver = p("p1"), &no, p("caddy") }),
				func(n *node) bool { return n.Owner == "p1" && !n.Maintenance && n.Driver == "caddy" }},
		}
		for _, state := range []baremetal.ProvisionState{"active", "clean failed"} {
			tests["state "+string(state)] = struct {
				q    baremetal.NodeQuery
				want func(n *node) bool
			}{q(func(q *baremetal.NodeQuery) { q.ProvisionState = &state }), func(n *node) bool { return n.ProvisionState == state }}
		}
		for _, host := range []string{"host-a", "host-b", "host-c", "host-d", "host-z", "nobody"} {
			tests["conductor "+host] = struct {
				q    baremetal.NodeQuery
				want func(n *node) bool
			}{q(func(q *baremetal.NodeQuery) { q.ConductorHost = &host }), func(n *node) bool { return store.HostOf(conductors, n) == host }}
		}
		for name, test := range tests {
			var want []string
			for i := range all {
				if test.want(&all[i]) {
					want = append(want, all[i].UUID)
				}
			}
			if got := uuids(t, s, test.q); !slices.Equal(got, want) {
				t.Errorf("%s: %d nodes, want %d", name, len(got), len(want))
			}
		}
		shards, err := s.Shards(t.Context())
		if err != nil || shards["s1"]+shards["s2"]+shards["S1"]+shards[""] != len(all) || len(shards) != 4 {
			t.Errorf("shards %v (%v)", shards, err)
		}
	})
}

func TestSorting(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		all := various(t, s, 50)
		for _, desc := range []bool{false, true} {
			want := slices.Clone(all)
			slices.SortFunc(want, func(a, b baremetal.Node) int {
				c := cmp.Or(cmp.Compare(a.ResourceClass, b.ResourceClass), cmp.Compare(a.ID, b.ID))
				if desc {
					return -c
				}
				return c
			})
			q := baremetal.NodeQuery{IncludeChildren: true, Page: baremetal.Page{SortBy: "resource_class", Desc: desc}}
			for i, uuid := range uuids(t, s, q) {
				if uuid != want[i].UUID {
					t.Fatalf("desc %v: place %d is wrong", desc, i)
				}
			}
		}
		for _, key := range []string{"driver_info", "extra", "uuid; DROP TABLE nodes", "nosuch", "claim_owner"} {
			err := s.Nodes(t.Context(), baremetal.NodeQuery{Page: baremetal.Page{SortBy: key}}, nil)
			wantError(t, err, baremetal.Invalid, `The sort_key value "`+key+`" is an invalid field for sorting`)
		}
		err := s.Nodes(t.Context(), baremetal.NodeQuery{Page: baremetal.Page{Marker: "x"}}, nil)
		wantError(t, err, baremetal.NotFound, "Node x could not be found.")
	})
}

// Any sort order, page size and filter; nodes come and go between the pages:
// each node that is there all the time is seen exactly once, and in order.
func TestPagingWhileNodesComeAndGo(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			s := storetest.Open(t, e.Config(t))
			various(t, s, 60)
			count := 0
			rapid.Check(t, func(rt *rapid.T) {
				keys := []string{"", "id", "uuid", "name", "provision_state", "resource_class", "maintenance", "created_at", "automated_clean", "owner"}
				q := baremetal.NodeQuery{IncludeChildren: rapid.Bool().Draw(rt, "children"), Page: baremetal.Page{
					Limit: rapid.IntRange(1, 20).Draw(rt, "limit"), SortBy: rapid.SampledFrom(keys).Draw(rt, "key"), Desc: rapid.Bool().Draw(rt, "desc")}}
				if rapid.Bool().Draw(rt, "filter") {
					driver := "caddy"
					q.Driver = &driver
				}
				whole := q
				whole.Limit = 0
				before := uuids(t, s, whole)
				gone := map[string]bool{}
				var seen, extra []string
				for {
					page := uuids(t, s, q)
					seen = append(seen, page...)
					if len(page) < q.Limit {
						break
					}
					q.Marker = page[len(page)-1]
					if len(extra) < 5 { // or the list grows as fast as it is read
						count++
						extra = append(extra, create(t, s, newNode(fmt.Sprintf("%s-%d", rapid.SampledFrom([]string{"A", "b", "z"}).Draw(rt, "name"), count))).UUID)
					}
					if victim := rapid.SampledFrom(before).Draw(rt, "victim"); victim != q.Marker && !gone[victim] && len(gone) < 10 {
						gone[victim] = true
						remove(t, s, victim)
					}
				}
				var want, got []string
				for _, uuid := range before {
					if !gone[uuid] {
						want = append(want, uuid)
					}
				}
				for _, uuid := range seen {
					if slices.Contains(before, uuid) && !gone[uuid] {
						got = append(got, uuid)
					}
				}
				if !slices.Equal(got, want) {
					rt.Fatalf("seen %d of %d nodes, or in another order", len(got), len(want))
				}
				for _, uuid := range extra[:max(0, len(extra)-len(gone))] { // as many as before
					remove(t, s, uuid)
				}
			})
		})
	}
}

func remove(t testing.TB, s *store.Store, uuid string) {
	t.Helper()
	if err := s.DeleteNode(t.Context(), uuid, func(*baremetal.Node) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

// Every filter of NodeQuery is known to the store: a new one must be added to the test above.
func TestNoFilterIsForgotten(t *testing.T) {
	t.Parallel()
	if fields := reflect.TypeFor[baremetal.NodeQuery]().NumField(); fields != 21 {
		t.Errorf("NodeQuery has %d fields, the store was written for 21", fields)
	}
}

func TestAListEndsWithAnErrorOfItsCaller(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		various(t, s, 10)
		enough := fmt.Errorf("enough at %s", time.Now())
		calls := 0
		err := s.Nodes(t.Context(), baremetal.NodeQuery{}, func(*baremetal.Node) error { calls++; return enough })
		if err != enough || calls != 1 { //nolint:errorlint // as it is
			t.Errorf("%d calls, error %v", calls, err)
		}
	})
}
