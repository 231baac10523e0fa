package store_test

import (
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"caddyshack/baremetal"
	"caddyshack/store"
)

// kindTest is what every kind of resource can do.
type kindTest[T any] struct {
	what string
	make func(i int) T
	// touch changes something.
	touch func(*T)
	uuid  func(*T) *string
	// twin is a second one that clashes with the given one, and the text of the conflict; nil = none clashes.
	twin func(T) (T, string)
	sort string // a column to sort by, in which the ones made ascend
}

func (k kindTest[T]) run(t *testing.T, c baremetal.Collection[T]) {
	t.Helper()
	ctx := t.Context()
	var made []T
	for i := range 3 {
		one := k.make(i)
		if err := c.Create(ctx, &one, nil); err != nil {
			t.Fatalf("%s: %v", k.what, err)
		}
		if !baremetal.IsUUID(*k.uuid(&one)) {
			t.Errorf("%s: no uuid was given", k.what)
		}
		made = append(made, one)
	}
	ids := func(q baremetal.Query) []string {
		t.Helper()
		list, err := c.List(ctx, q)
		if err != nil {
			t.Fatalf("%s: %v", k.what, err)
		}
		var out []string
		for i := range list {
			out = append(out, *k.uuid(&list[i]))
		}
		return out
	}
	a, b, z := *k.uuid(&made[0]), *k.uuid(&made[1]), *k.uuid(&made[2])
	for name, test := range map[string]struct {
		q    baremetal.Page
		want []string
	}{
		"all":    {baremetal.Page{}, []string{a, b, z}},
		"first":  {baremetal.Page{Limit: 2}, []string{a, b}},
		"second": {baremetal.Page{Limit: 2, Marker: b}, []string{z}},
		"sorted": {baremetal.Page{SortBy: k.sort, Desc: true}, []string{z, b, a}},
		"after":  {baremetal.Page{SortBy: k.sort, Desc: true, Marker: z}, []string{b, a}},
	} {
		if got := ids(baremetal.Query{Page: test.q}); !slices.Equal(got, test.want) {
			t.Errorf("%s: %s: %v, want %v", k.what, name, got, test.want)
		}
	}
	got, err := c.One(ctx, b)
	if diff := cmp.Diff(made[1], got); err != nil || diff != "" {
		t.Errorf("%s: kept as another: %v %s", k.what, err, diff)
	}
	missing := k.what + " 00000000-0000-4000-8000-000000000000 could not be found."
	_, err = c.One(ctx, "00000000-0000-4000-8000-000000000000")
	wantError(t, err, baremetal.NotFound, missing)
	_, err = c.List(ctx, baremetal.Query{Page: baremetal.Page{Marker: "00000000-0000-4000-8000-000000000000"}})
	wantError(t, err, baremetal.NotFound, missing)
	_, err = c.List(ctx, baremetal.Query{Page: baremetal.Page{SortBy: "nothing"}})
	wantError(t, err, baremetal.Invalid, `The sort_key value "nothing" is an invalid field for sorting`)
	if k.twin != nil {
		twin, text := k.twin(made[0])
		wantError(t, c.Create(ctx, &twin, nil), baremetal.Conflict, text)
	}

	changed, err := c.Update(ctx, b, func(t *T, _ *baremetal.Node) error { k.touch(t); return nil })
	if err != nil {
		t.Fatalf("%s: %v", k.what, err)
	}
	same, err := c.Update(ctx, b, func(*T, *baremetal.Node) error { return nil })
	if diff := cmp.Diff(changed, same); err != nil || diff != "" {
		t.Errorf("%s: a change of nothing: %v %s", k.what, err, diff)
	}
	if cmp.Equal(made[1], changed) {
		t.Errorf("%s: nothing was changed", k.what)
	}
	refusal := baremetal.Errorf(baremetal.Conflict, "no")
	_, err = c.Update(ctx, b, func(t *T, _ *baremetal.Node) error { *t = k.make(9); return refusal })
	wantError(t, err, baremetal.Conflict, "no")
	wantError(t, c.Delete(ctx, b, func(*T, *baremetal.Node) error { return refusal }), baremetal.Conflict, "no")
	if again, err := c.One(ctx, b); err != nil || !cmp.Equal(again, changed) {
		t.Errorf("%s: a refused change left its mark: %v %s", k.what, err, cmp.Diff(changed, again))
	}
	if err := c.Delete(ctx, b, nil); err != nil {
		t.Errorf("%s: %v", k.what, err)
	}
	wantError(t, c.Delete(ctx, b, nil), baremetal.NotFound, k.what+" "+b+" could not be found.")
}

var letters = []string{"A", "B", "C", "D", "E", "F", "G", "H", "I", "J"}

func TestCollections(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		n := create(t, s, newNode("n"))
		steps, err := baremetal.NewSteps([]baremetal.Step{{Interface: "deploy", Name: "x", Args: map[string]any{"a": "b"}, Priority: 5}})
		if err != nil {
			t.Fatal(err)
		}
		kindTest[baremetal.Portgroup]{what: "Portgroup", sort: "name",
			make: func(i int) baremetal.Portgroup {
				return baremetal.Portgroup{NodeUUID: n.UUID, Name: letters[i], Address: "02:00:00:00:00:0" + strconv.Itoa(i), Extra: `{"a":1}`,
					InternalInfo: `{"b":2}`, Mode: "802.3ad", Properties: `{"miimon":1}`, PhysicalNetwork: "p", Category: "c", StandalonePortsSupported: true, DynamicPortgroup: true}
			},
			touch: func(p *baremetal.Portgroup) { p.Mode = "active-backup" },
			uuid:  func(p *baremetal.Portgroup) *string { return &p.UUID },
			twin: func(p baremetal.Portgroup) (baremetal.Portgroup, string) {
				p.UUID, p.Address = "", ""
				return p, "A portgroup with name A already exists."
			}}.run(t, s.Portgroups())
		kindTest[baremetal.VolumeConnector]{what: "Volume connector", sort: "connector_id",
			make: func(i int) baremetal.VolumeConnector {
				return baremetal.VolumeConnector{NodeUUID: n.UUID, Type: "iqn", ConnectorID: letters[i], Extra: `{"a":1}`}
			},
			touch: func(c *baremetal.VolumeConnector) { c.Type = "ip" },
			uuid:  func(c *baremetal.VolumeConnector) *string { return &c.UUID },
			twin: func(c baremetal.VolumeConnector) (baremetal.VolumeConnector, string) {
				c.UUID = ""
				return c, "A volume connector with type iqn and connector ID A already exists."
			}}.run(t, s.VolumeConnectors())
		kindTest[baremetal.VolumeTarget]{what: "Volume target", sort: "boot_index",
			make: func(i int) baremetal.VolumeTarget {
				return baremetal.VolumeTarget{NodeUUID: n.UUID, VolumeType: "iscsi", BootIndex: int64(i), VolumeID: "v", Properties: `{"a":1}`, Extra: `{"a":1}`}
			},
			touch: func(v *baremetal.VolumeTarget) { v.VolumeID = "w" },
			uuid:  func(v *baremetal.VolumeTarget) *string { return &v.UUID },
			twin: func(v baremetal.VolumeTarget) (baremetal.VolumeTarget, string) {
				v.UUID = ""
				return v, "A volume target with that boot index already exists on node " + n.UUID + "."
			}}.run(t, s.VolumeTargets())
		kindTest[baremetal.DeployTemplate]{what: "Deploy template", sort: "name",
			make: func(i int) baremetal.DeployTemplate {
				return baremetal.DeployTemplate{Name: letters[i], Steps: steps, Extra: `{"a":1}`}
			},
			touch: func(d *baremetal.DeployTemplate) { d.Extra = "" },
			uuid:  func(d *baremetal.DeployTemplate) *string { return &d.UUID },
			twin: func(d baremetal.DeployTemplate) (baremetal.DeployTemplate, string) {
				d.UUID = ""
				return d, "A deploy template with name A already exists."
			}}.run(t, s.DeployTemplates())
		kindTest[baremetal.Runbook]{what: "Runbook", sort: "name",
			make: func(i int) baremetal.Runbook {
				return baremetal.Runbook{Name: letters[i], Description: "d", Steps: steps, DisableRamdisk: true, Public: true, Owner: "o",
					Traits: baremetal.NewStrings("CUSTOM_A", "CUSTOM_B"), Extra: `{"a":1}`}
			},
			touch: func(r *baremetal.Runbook) { r.Traits = "" },
			uuid:  func(r *baremetal.Runbook) *string { return &r.UUID },
			twin: func(r baremetal.Runbook) (baremetal.Runbook, string) {
				r.Name = "other"
				return r, "A runbook with UUID " + r.UUID + " already exists."
			}}.run(t, s.Runbooks())
		kindTest[baremetal.InspectionRule]{what: "Inspection rule", sort: "priority",
			make: func(i int) baremetal.InspectionRule {
				return baremetal.InspectionRule{Description: "d", Priority: int64(i), Sensitive: true, Phase: "main", Conditions: `[{"op":"eq"}]`, Actions: `[{"op":"fail"}]`}
			},
			touch: func(r *baremetal.InspectionRule) { r.Description = "" },
			uuid:  func(r *baremetal.InspectionRule) *string { return &r.UUID }}.run(t, s.InspectionRules())
		kindTest[baremetal.Allocation]{what: "Allocation", sort: "name",
			make: func(i int) baremetal.Allocation {
				return baremetal.Allocation{Name: letters[i], ResourceClass: "pi", Traits: baremetal.NewStrings("CUSTOM_A"), CandidateNodes: baremetal.NewStrings(n.UUID),
					Extra: `{"a":"b"}`, Owner: "o", State: baremetal.AllocationError, LastError: "e", ClaimOwner: "w", ClaimHost: "h", ClaimEpoch: 3}
			},
			touch: func(a *baremetal.Allocation) { a.Name = "" },
			uuid:  func(a *baremetal.Allocation) *string { return &a.UUID },
			twin: func(a baremetal.Allocation) (baremetal.Allocation, string) {
				a.UUID = ""
				return a, "An allocation with name A already exists."
			}}.run(t, s.Allocations())
	})
}

// TestPartsOfNode: what belongs to a node is found by it and goes with it.
func TestPartsOfNode(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		first := newNode("a")
		first.Shard, first.ConductorGroup = "s", "g"
		a, b := create(t, s, first), create(t, s, newNode("b"))
		group := baremetal.Portgroup{NodeUUID: a.UUID, Name: "pg"}
		lost := baremetal.Portgroup{NodeUUID: baremetal.NewUUID()}
		if err := s.Portgroups().Create(ctx, &group, nil); err != nil {
			t.Fatal(err)
		}
		wantError(t, s.Portgroups().Create(ctx, &lost, nil), baremetal.Invalid, "Node "+lost.NodeUUID+" could not be found.")
		_, err := s.Portgroups().Update(ctx, group.UUID, func(p *baremetal.Portgroup, n *baremetal.Node) error {
			if n.UUID != a.UUID {
				t.Errorf("shown node %s, want %s", n.UUID, a.UUID)
			}
			p.NodeUUID = lost.NodeUUID
			return nil
		})
		wantError(t, err, baremetal.Invalid, "Node "+lost.NodeUUID+" could not be found.")
		for name, test := range map[string]struct {
			q    baremetal.Query
			want int
		}{
			"node":        {baremetal.Query{NodeUUID: &a.UUID}, 1},
			"other node":  {baremetal.Query{NodeUUID: &b.UUID}, 0},
			"shard":       {baremetal.Query{Shards: []string{"s"}}, 1},
			"other shard": {baremetal.Query{Shards: []string{"x"}}, 0},
			"group":       {baremetal.Query{ConductorGroups: []string{"g", "h"}}, 1},
			"other group": {baremetal.Query{ConductorGroups: []string{""}}, 0},
			"name":        {baremetal.Query{Names: []string{"pg", "x"}}, 1},
		} {
			if list, err := s.Portgroups().List(ctx, test.q); err != nil || len(list) != test.want {
				t.Errorf("%s: %d %v, want %d", name, len(list), err, test.want)
			}
		}
		if _, err := s.Portgroups().List(ctx, baremetal.Query{ResourceClass: &a.UUID}); !baremetal.IsKind(err, baremetal.Invalid) {
			t.Errorf("a filter on what port groups do not have: %v", err)
		}
		p := baremetal.Port{UUID: baremetal.NewUUID(), NodeUUID: b.UUID, Address: "02:00:00:00:00:01", PortgroupUUID: group.UUID}
		wantError(t, s.CreatePort(ctx, &p), baremetal.Invalid, "Portgroup "+group.UUID+" doesn't belong to node "+b.UUID+".")
		p.NodeUUID = a.UUID
		if err := s.CreatePort(ctx, &p); err != nil {
			t.Fatal(err)
		}
		if ports, err := s.Ports(ctx, baremetal.PortQuery{PortgroupUUID: &group.UUID, ConductorGroups: []string{"g"}}); err != nil || len(ports) != 1 {
			t.Errorf("ports of the group: %v %v", ports, err)
		}
		_, err = s.UpdatePort(ctx, p.UUID, func(p *baremetal.Port, _ *baremetal.Node) error { p.NodeUUID = b.UUID; return nil })
		wantError(t, err, baremetal.Invalid, "Portgroup "+group.UUID+" doesn't belong to node "+b.UUID+".")
		if err := s.Portgroups().Delete(ctx, "pg", nil); !baremetal.IsKind(err, baremetal.Invalid) {
			t.Errorf("deleting a port group with ports: %v", err)
		}
		if err := s.DeleteNode(ctx, "a", func(*baremetal.Node) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if list, err := s.Portgroups().List(ctx, baremetal.Query{}); err != nil || len(list) != 0 {
			t.Errorf("port groups of a deleted node: %v %v", list, err)
		}
	})
}

// TestAllocationAndNode: the two rows never disagree.
func TestAllocationAndNode(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		n := create(t, s, newNode("n"))
		accept := func(*baremetal.Node) error { return nil }
		begin := func() baremetal.Allocation {
			t.Helper()
			a := baremetal.Allocation{State: baremetal.Allocating, ClaimEpoch: 1}
			if err := s.Allocations().Create(ctx, &a, nil); err != nil {
				t.Fatal(err)
			}
			return a
		}
		agree := func(a *baremetal.Allocation) {
			t.Helper()
			got, err := s.Node(ctx, n.UUID)
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			if a != nil {
				want = a.UUID
				if kept, err := s.Allocations().One(ctx, a.UUID); err != nil || kept.NodeUUID != n.UUID || kept.State != baremetal.AllocationDone {
					t.Errorf("allocation: %+v %v", kept, err)
				}
			} else if list, err := s.Allocations().List(ctx, baremetal.Query{NodeUUID: &n.UUID}); err != nil || len(list) != 0 {
				t.Errorf("allocations left: %v %v", list, err)
			}
			if got.AllocationUUID != want || got.InstanceUUID != want {
				t.Errorf("node has allocation %q, instance %q, want %q", got.AllocationUUID, got.InstanceUUID, want)
			}
		}
		give := func(a baremetal.Allocation) {
			t.Helper()
			if err := s.Allocate(ctx, a.UUID, 1, n.UUID, accept); err != nil {
				t.Fatal(err)
			}
			agree(&a)
		}
		a := begin()
		refusal := baremetal.Errorf(baremetal.Conflict, "no")
		wantError(t, s.Allocate(ctx, a.UUID, 1, n.UUID, func(*baremetal.Node) error { return refusal }), baremetal.Conflict, "no")
		agree(nil)
		give(a)
		if err := s.Allocate(ctx, a.UUID, 1, n.UUID, accept); !baremetal.IsKind(err, baremetal.ClaimLost) {
			t.Errorf("allocating twice: %v", err)
		}
		if err := s.Allocations().Delete(ctx, a.UUID, nil); err != nil {
			t.Fatal(err)
		}
		agree(nil)
		a = begin()
		give(a)
		if _, err := s.UpdateNode(ctx, n.UUID, func(n *baremetal.Node) error { n.AllocationUUID, n.InstanceUUID = "", ""; return nil }); err != nil {
			t.Fatal(err)
		}
		agree(nil)
		filled := baremetal.Allocation{NodeUUID: n.UUID, State: baremetal.AllocationDone}
		if err := s.Allocations().Create(ctx, &filled, nil); err != nil {
			t.Fatal(err)
		}
		agree(&filled)
		if err := s.DeleteNode(ctx, n.UUID, accept); err != nil {
			t.Fatal(err)
		}
		if list, err := s.Allocations().List(ctx, baremetal.Query{NodeUUID: &n.UUID}); err != nil || len(list) != 0 {
			t.Errorf("allocations of a deleted node: %v %v", list, err)
		}
	})
}

func TestCandidates(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		make := func(name string, change func(*baremetal.Node)) {
			t.Helper()
			n := newNode(name)
			n.InstanceUUID, n.Maintenance, n.Owner, n.Lessee = "", false, "", ""
			n.ResourceClass, n.ProvisionState, n.PowerState = "pi", baremetal.Available, baremetal.PowerOff
			change(&n)
			create(t, s, n)
		}
		make("good", func(n *baremetal.Node) { n.Traits = baremetal.NewStrings("CUSTOM_A") })
		make("owned", func(n *baremetal.Node) { n.Owner = "p" })
		make("lent", func(n *baremetal.Node) { n.Lessee = "p" })
		make("class", func(n *baremetal.Node) { n.ResourceClass = "x" })
		make("state", func(n *baremetal.Node) { n.ProvisionState = baremetal.Manageable })
		make("taken", func(n *baremetal.Node) { n.InstanceUUID = baremetal.NewUUID() })
		make("maintenance", func(n *baremetal.Node) { n.Maintenance = true })
		make("power", func(n *baremetal.Node) { n.PowerState, n.TargetPowerState = "", "" })
		make("switched", func(n *baremetal.Node) { n.PowerState, n.TargetPowerState = "", baremetal.PowerOff })
		good, err := s.Node(t.Context(), "good")
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			a    baremetal.Allocation
			want []string
		}{
			{baremetal.Allocation{ResourceClass: "pi"}, []string{"good", "owned", "lent", "switched"}},
			{baremetal.Allocation{ResourceClass: "pi", Owner: "p"}, []string{"owned", "lent"}},
			{baremetal.Allocation{ResourceClass: "pi", CandidateNodes: baremetal.NewStrings(good.UUID)}, []string{"good"}},
			{baremetal.Allocation{ResourceClass: "none"}, nil},
		} {
			list, err := s.Candidates(t.Context(), &test.a)
			var names []string
			for _, c := range list {
				names = append(names, c.Name)
				if c.Name == "good" && !c.Traits.Has("CUSTOM_A") {
					t.Errorf("traits of the candidate: %s", c.Traits)
				}
			}
			if err != nil || !slices.Equal(names, test.want) {
				t.Errorf("%+v: %v %v, want %v", test.a, names, err, test.want)
			}
		}
	})
}
