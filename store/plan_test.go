package store_test

import (
	"context"
	"fmt"
	"regexp"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/store"
)

// fleet makes nodes as a large installation has them: most are active, some
// are idle, few are in trouble.
func fleet(t *testing.T, s *store.Store, count int) []baremetal.Node {
	t.Helper()
	all := make([]baremetal.Node, count)
	chassis := make([]string, count/50)
	for i := range chassis {
		c := baremetal.Chassis{UUID: baremetal.NewUUID()}
		if err := s.CreateChassis(t.Context(), &c); err != nil {
			t.Fatal(err)
		}
		chassis[i] = c.UUID
	}
	// One after another: all of them count in one row, and on a slow machine one of
	// several may wait for it longer than the store waits.
	for i := range all {
		n := newNode(fmt.Sprintf("node-%d", i))
		n.ProvisionState, n.InstanceUUID, n.InstanceName = baremetal.Active, baremetal.NewUUID(), fmt.Sprintf("vm-%d", i)
		if i%50 == 0 {
			n.ProvisionState, n.InstanceUUID = baremetal.Available, ""
		}
		n.ResourceClass = fmt.Sprintf("class-%d", i%40)
		n.Owner, n.Lessee = fmt.Sprintf("p%d", i%60), fmt.Sprintf("p%d", i%70)
		n.Shard, n.ConductorGroup = fmt.Sprintf("s%d", i%30), fmt.Sprintf("g%d", i%30)
		n.ChassisUUID = chassis[i/50%len(chassis)]
		n.Maintenance, n.Retired = i%100 == 1, i%100 == 2
		if i%100 == 3 {
			n.Fault = "power failure"
		}
		if i%100 == 4 {
			n.Work.Reservation = "host-a"
		}
		all[i] = create(t, s, n)
		p := baremetal.Port{UUID: baremetal.NewUUID(), NodeUUID: n.UUID, Address: fmt.Sprintf("02:00:00:00:%02x:%02x", i>>8, i&255)}
		if err := s.CreatePort(t.Context(), &p); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Exec(t.Context(), "ANALYZE"); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestListsUseIndexes: what clients ask for often is found by an index, and
// what a page needs comes in the order of one, without looking at all nodes.
func TestListsUseIndexes(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		all := fleet(t, s, 3000)
		some := all[len(all)/2+1]
		yes := true
		p := func(s string) *string { return &s }
		available := baremetal.Available
		page := func(by string, desc bool) baremetal.Page { return baremetal.Page{Limit: 100, SortBy: by, Desc: desc} }
		after := func(p baremetal.Page) baremetal.Page { p.Marker = some.UUID; return p }
		nodes := func(q baremetal.NodeQuery) string { return planOf(t, s.PlanOfNodes, q) }
		ports := func(q baremetal.PortQuery) string { return planOf(t, s.PlanOfPorts, q) }
		for name, plan := range map[string]string{
			"instance":         nodes(baremetal.NodeQuery{InstanceUUID: &some.InstanceUUID}),
			"instance name":    nodes(baremetal.NodeQuery{InstanceName: p("vm-77")}),
			"available":        nodes(baremetal.NodeQuery{ProvisionState: &available, Page: page("", false)}),
			"class":            nodes(baremetal.NodeQuery{ResourceClass: p("class-7"), Page: page("", false)}),
			"class, available": nodes(baremetal.NodeQuery{ResourceClass: p("class-7"), ProvisionState: &available, Page: page("", false)}),
			"owner":            nodes(baremetal.NodeQuery{Owner: p("p7")}),
			"lessee":           nodes(baremetal.NodeQuery{Lessee: p("p7")}),
			"project":          nodes(baremetal.NodeQuery{Project: p("p7")}),
			"shards":           nodes(baremetal.NodeQuery{Shards: []string{"s1", "s2"}}),
			"group":            nodes(baremetal.NodeQuery{ConductorGroup: p("g3")}),
			"chassis":          nodes(baremetal.NodeQuery{ChassisUUID: &some.ChassisUUID}),
			"maintenance":      nodes(baremetal.NodeQuery{Maintenance: &yes}),
			"retired":          nodes(baremetal.NodeQuery{Retired: &yes}),
			"fault":            nodes(baremetal.NodeQuery{Fault: p("power failure")}),
			"children":         nodes(baremetal.NodeQuery{ParentNode: &some.UUID}),
			"ports of a node":  ports(baremetal.PortQuery{NodeUUID: &some.UUID}),
			"port by address":  ports(baremetal.PortQuery{Address: p("02:00:00:00:01:01")}),
			"ports of a group": ports(baremetal.PortQuery{PortgroupUUID: &some.UUID}),
		} {
			if scans.MatchString(plan) {
				t.Errorf("%s looks at everything:\n%s", name, plan)
			}
		}
		for name, plan := range map[string]string{
			"first":            nodes(baremetal.NodeQuery{Page: page("", false)}),
			"next":             nodes(baremetal.NodeQuery{Page: after(page("", false))}),
			"last":             nodes(baremetal.NodeQuery{Page: page("", true)}),
			"by name":          nodes(baremetal.NodeQuery{Page: page("name", false)}),
			"by name, next":    nodes(baremetal.NodeQuery{Page: after(page("name", false))}),
			"by name, down":    nodes(baremetal.NodeQuery{Page: after(page("name", true))}),
			"by state":         nodes(baremetal.NodeQuery{Page: page("provision_state", false)}),
			"associated":       nodes(baremetal.NodeQuery{Associated: &yes, Page: page("", false)}),
			"first ports":      ports(baremetal.PortQuery{Page: page("", false)}),
			"the next ports":   ports(baremetal.PortQuery{Page: baremetal.Page{Limit: 100, Marker: portOf(t, s, some.UUID)}}),
			"ports by address": ports(baremetal.PortQuery{Page: page("address", false)}),
		} {
			if sorts.MatchString(plan) {
				t.Errorf("the page %q is sorted after all was read:\n%s", name, plan)
			}
		}
		// the test can tell: these have no index
		if plan := nodes(baremetal.NodeQuery{DescriptionContains: p("x")}); !scans.MatchString(plan) {
			t.Errorf("a search in descriptions does not look at everything:\n%s", plan)
		}
		if plan := nodes(baremetal.NodeQuery{Page: page("updated_at", false)}); !sorts.MatchString(plan) {
			t.Errorf("a list by updated_at is not sorted:\n%s", plan)
		}
	})
}

var (
	// scans is in a plan that reads a whole table.
	scans = regexp.MustCompile(`(?m)^SCAN (nodes|ports)$|Seq Scan on (nodes|ports)`)
	// sorts is in a plan that sorts what it read before the page is cut off.
	sorts = regexp.MustCompile(`(?m)TEMP B-TREE|(^|->  )Sort  \(`)
)

func planOf[Q any](t *testing.T, explain func(context.Context, Q) (string, error), q Q) string {
	t.Helper()
	plan, err := explain(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func portOf(t *testing.T, s *store.Store, node string) string {
	t.Helper()
	ports, err := s.Ports(t.Context(), baremetal.PortQuery{NodeUUID: &node})
	if err != nil || len(ports) != 1 {
		t.Fatalf("ports of %s: %v %v", node, ports, err)
	}
	return ports[0].UUID
}
