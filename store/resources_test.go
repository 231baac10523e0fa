package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"caddyshack/baremetal"
	"caddyshack/store"
	"caddyshack/store/storetest"
)

func port(t testing.TB, s *store.Store, node, address string) baremetal.Port {
	t.Helper()
	p := baremetal.Port{UUID: baremetal.NewUUID(), NodeUUID: node, Address: address, Name: "port " + address, Description: "d", Vendor: "v",
		Category: "c", Extra: `{"a":1}`, InternalInfo: `{"b":2}`, LocalLinkConnection: `{"switch_id":"x"}`, PXEEnabled: true, IsSmartNIC: true,
		PhysicalNetwork: "net"}
	if err := s.CreatePort(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPorts(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		sharded := newNode("a")
		sharded.Shard, sharded.Owner = "s", "p"
		a, b := create(t, s, sharded), create(t, s, newNode("b"))
		one, two := port(t, s, a.UUID, "02:00:00:00:00:01"), port(t, s, b.UUID, "02:00:00:00:00:02")
		for _, ident := range []string{one.UUID, one.Name} {
			if got, err := s.Port(t.Context(), ident); err != nil || cmp.Diff(one, got) != "" {
				t.Errorf("port %q: %v, %s", ident, err, cmp.Diff(one, got))
			}
		}
		dup := baremetal.Port{UUID: baremetal.NewUUID(), NodeUUID: a.UUID, Address: one.Address}
		wantError(t, s.CreatePort(t.Context(), &dup), baremetal.Conflict, "A port with MAC address 02:00:00:00:00:01 already exists.")
		dup = baremetal.Port{UUID: one.UUID, NodeUUID: a.UUID, Address: "02:00:00:00:00:03"}
		wantError(t, s.CreatePort(t.Context(), &dup), baremetal.Conflict, "A port with UUID "+one.UUID+" already exists.")
		dup = baremetal.Port{UUID: baremetal.NewUUID(), NodeUUID: a.UUID, Address: "02:00:00:00:00:03", Name: one.Name}
		wantError(t, s.CreatePort(t.Context(), &dup), baremetal.Conflict, "A port with name "+one.Name+" already exists.")
		dup = baremetal.Port{UUID: baremetal.NewUUID(), NodeUUID: "nowhere", Address: "02:00:00:00:00:03"}
		wantError(t, s.CreatePort(t.Context(), &dup), baremetal.Invalid, "Node nowhere could not be found.")

		list := func(q baremetal.PortQuery) []string {
			t.Helper()
			ports, err := s.Ports(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			var uuids []string
			for _, p := range ports {
				uuids = append(uuids, p.UUID)
			}
			return uuids
		}
		text, project, none := "d", "p", ""
		for name, test := range map[string]struct {
			q    baremetal.PortQuery
			want []string
		}{
			"all":         {baremetal.PortQuery{}, []string{one.UUID, two.UUID}},
			"node":        {baremetal.PortQuery{NodeUUID: &b.UUID}, []string{two.UUID}},
			"address":     {baremetal.PortQuery{Address: &one.Address}, []string{one.UUID}},
			"shard":       {baremetal.PortQuery{Shards: []string{"s"}}, []string{one.UUID}},
			"project":     {baremetal.PortQuery{Project: &project}, []string{one.UUID}},
			"no project":  {baremetal.PortQuery{Project: &none}, nil},
			"description": {baremetal.PortQuery{DescriptionContains: &text}, []string{one.UUID, two.UUID}},
			"page":        {baremetal.PortQuery{Page: baremetal.Page{Limit: 1, Marker: one.UUID}}, []string{two.UUID}},
			"sorted":      {baremetal.PortQuery{Page: baremetal.Page{SortBy: "address", Desc: true}}, []string{two.UUID, one.UUID}},
		} {
			if got := list(test.q); !slices.Equal(got, test.want) {
				t.Errorf("%s: %v, want %v", name, got, test.want)
			}
		}
		_, err := s.Ports(t.Context(), baremetal.PortQuery{Page: baremetal.Page{SortBy: "extra"}})
		wantError(t, err, baremetal.Invalid, `The sort_key value "extra" is an invalid field for sorting`)

		got, err := s.UpdatePort(t.Context(), one.UUID, func(p *baremetal.Port, n *baremetal.Node) error {
			if n.UUID != a.UUID {
				t.Errorf("shown node %s", n.UUID)
			}
			p.NodeUUID, p.Extra = b.UUID, ""
			return nil
		})
		if again, readErr := s.Port(t.Context(), one.UUID); err != nil || readErr != nil || cmp.Diff(got, again) != "" || again.NodeUUID != b.UUID || again.UpdatedAt.IsZero() {
			t.Errorf("updated to %+v: %v, %v", again, err, readErr)
		}
		_, err = s.UpdatePort(t.Context(), one.UUID, func(p *baremetal.Port, _ *baremetal.Node) error { p.Address = two.Address; return nil })
		wantError(t, err, baremetal.Conflict, "A port with MAC address 02:00:00:00:00:02 already exists.")
		refused := errors.New("refused")
		if err := s.DeletePort(t.Context(), one.UUID, func(*baremetal.Port, *baremetal.Node) error { return refused }); err != refused { //nolint:errorlint // as it is
			t.Errorf("error %v", err)
		}
		if err := s.DeletePort(t.Context(), one.UUID, func(*baremetal.Port, *baremetal.Node) error { return nil }); err != nil {
			t.Error(err)
		}
		_, err = s.Port(t.Context(), one.UUID)
		wantError(t, err, baremetal.NotFound, "Port "+one.UUID+" could not be found.")
	})
}

func TestChassis(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		c := baremetal.Chassis{UUID: baremetal.NewUUID(), Description: "d", Extra: `{"a":1}`}
		if err := s.CreateChassis(t.Context(), &c); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Chassis(t.Context(), c.UUID); err != nil || cmp.Diff(c, got) != "" {
			t.Errorf("%v\n%s", err, cmp.Diff(c, got))
		}
		dup := baremetal.Chassis{UUID: c.UUID}
		wantError(t, s.CreateChassis(t.Context(), &dup), baremetal.Conflict, "A chassis with UUID "+c.UUID+" already exists.")
		got, err := s.UpdateChassis(t.Context(), c.UUID, func(c *baremetal.Chassis) error { c.Description = "other"; return nil })
		if err != nil || got.Description != "other" || got.UpdatedAt.IsZero() {
			t.Errorf("updated to %+v, %v", got, err)
		}
		second := baremetal.Chassis{UUID: baremetal.NewUUID()}
		if err := s.CreateChassis(t.Context(), &second); err != nil {
			t.Fatal(err)
		}
		if list, err := s.ChassisList(t.Context(), baremetal.Page{Marker: c.UUID, Limit: 5}); err != nil || len(list) != 1 || list[0].UUID != second.UUID {
			t.Errorf("page %v, %v", list, err)
		}
		n := newNode("n")
		n.ChassisUUID = c.UUID
		create(t, s, n)
		if err := s.DeleteChassis(t.Context(), c.UUID); !baremetal.IsKind(err, baremetal.Invalid) {
			t.Errorf("deleting a chassis with nodes: %v", err)
		}
		if err := s.DeleteChassis(t.Context(), second.UUID); err != nil {
			t.Error(err)
		}
		_, err = s.Chassis(t.Context(), second.UUID)
		wantError(t, err, baremetal.NotFound, "Chassis "+second.UUID+" could not be found.")
	})
}

func TestHistory(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			cfg := e.Config(t)
			cfg.HistoryKept = 5
			s := storetest.Open(t, cfg)
			n, other := create(t, s, newNode("n")), create(t, s, newNode("other"))
			for i := range 8 {
				entry := baremetal.HistoryEntry{NodeUUID: n.UUID, Severity: baremetal.SeverityError, EventType: "power", Event: fmt.Sprint(i),
					Conductor: "c", User: "u", State: baremetal.Active, TargetProvisionState: baremetal.Available, DurationSeconds: 1.5}
				if err := s.AppendHistory(t.Context(), &entry); err != nil {
					t.Fatal(err)
				}
				if got, err := s.HistoryEntry(t.Context(), n.UUID, entry.UUID); err != nil || cmp.Diff(entry, got) != "" || got.UUID == "" {
					t.Errorf("%v\n%s", err, cmp.Diff(entry, got))
				}
				_, err := s.HistoryEntry(t.Context(), other.UUID, entry.UUID)
				wantError(t, err, baremetal.NotFound, "Node history record "+entry.UUID+" could not be found.")
			}
			all, err := s.History(t.Context(), baremetal.HistoryQuery{NodeUUID: n.UUID})
			if err != nil || len(all) != 5 || all[0].Event != "3" || all[4].Event != "7" {
				t.Fatalf("kept %v, %v", all, err)
			}
			page, err := s.History(t.Context(), baremetal.HistoryQuery{NodeUUID: n.UUID, Page: baremetal.Page{Marker: all[1].UUID, Limit: 2}})
			if err != nil || len(page) != 2 || page[0].UUID != all[2].UUID {
				t.Errorf("page %v, %v", page, err)
			}
			_, err = s.History(t.Context(), baremetal.HistoryQuery{NodeUUID: other.UUID, Page: baremetal.Page{Marker: all[1].UUID}})
			wantError(t, err, baremetal.NotFound, "Node history record "+all[1].UUID+" could not be found.")
			newest, err := s.History(t.Context(), baremetal.HistoryQuery{NodeUUID: n.UUID, Page: baremetal.Page{SortBy: "created_at", Desc: true, Limit: 1}})
			if err != nil || len(newest) != 1 || newest[0].Event != "7" {
				t.Errorf("newest %v, %v", newest, err)
			}
			wantError(t, s.AppendHistory(t.Context(), &baremetal.HistoryEntry{NodeUUID: "gone"}), baremetal.NotFound, "Node gone could not be found.")
		})
	}
}

func TestConductors(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			testConductors(t, e.Config(t))
		})
	}
}

func testConductors(t *testing.T, cfg store.Config) {
	// with opens the store anew, with another idea of how long a conductor may be silent.
	with := func(timeout time.Duration, use func(*store.Store)) {
		t.Helper()
		cfg.ConductorTimeout = timeout
		s, err := store.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		use(s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	c := baremetal.Conductor{Hostname: "h", ConductorGroup: "g", Places: []string{"p"}, Drivers: []string{"caddy"}, BootID: "b", Alive: true}
	with(time.Hour, func(s *store.Store) {
		if err := s.Heartbeat(t.Context(), &c); err != nil {
			t.Fatal(err)
		}
		got, err := s.Conductor(t.Context(), "h")
		if err != nil || !got.Alive || got.ConductorGroup != "g" || !slices.Equal(got.Places, c.Places) || !slices.Equal(got.Drivers, c.Drivers) {
			t.Errorf("%+v, %v", got, err)
		}
	})
	with(200*time.Millisecond, func(s *store.Store) {
		for deadline := time.Now().Add(patience); ; {
			got, err := s.Conductor(t.Context(), "h")
			if err == nil && !got.Alive {
				break
			}
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("still alive, %v", err)
			}
		}
	})
	with(time.Hour, func(s *store.Store) {
		if err := s.Heartbeat(t.Context(), &c); err != nil {
			t.Fatal(err)
		}
		if all, err := s.Conductors(t.Context(), baremetal.Page{SortBy: "hostname", Limit: 2}); err != nil || len(all) != 1 || !all[0].Alive {
			t.Errorf("%+v, %v", all, err)
		}
		c.Alive = false
		if err := s.Heartbeat(t.Context(), &c); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Conductor(t.Context(), "h"); err != nil || got.Alive {
			t.Errorf("said goodbye, yet %+v, %v", got, err)
		}
		_, err := s.Conductor(t.Context(), "x")
		wantError(t, err, baremetal.NotFound, "Conductor x could not be found.")
	})
}

func TestObservePower(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		n := newNode("n")
		n.Work.HardwareKey = "bpu-1/1"
		n = create(t, s, n)
		observe := func(state baremetal.PowerState, boot, seq int64, wantBefore baremetal.PowerState, wantChanged bool) {
			t.Helper()
			before, changed, err := s.ObservePower(t.Context(), "bpu-1/1", state, boot, seq)
			if err != nil || before.PowerState != wantBefore || changed != wantChanged {
				t.Errorf("%s at %d/%d: before %q, changed %v, %v; want %q, %v", state, boot, seq, before.PowerState, changed, err, wantBefore, wantChanged)
			}
		}
		observe(baremetal.PowerOn, 1, 5, "", true)
		observe(baremetal.PowerOn, 1, 5, baremetal.PowerOn, false)
		observe(baremetal.PowerUnknown, 1, 5, baremetal.PowerOn, true) // offline after it
		observe(baremetal.PowerOn, 1, 5, "", true)                     // and the same report again
		observe(baremetal.PowerOff, 1, 4, baremetal.PowerOn, false)    // earlier
		observe(baremetal.PowerOn, 1, 9, baremetal.PowerOn, false)     // only its number is new, and kept
		version := read(t, s, n.UUID).Work.Version
		if got := read(t, s, n.UUID); got.Work.ObservedSeq != 9 {
			t.Errorf("report 9 was kept as %d", got.Work.ObservedSeq)
		}
		observe(baremetal.PowerOn, 1, 9, baremetal.PowerOn, false) // nothing new, and nothing written
		if got := read(t, s, n.UUID); got.Work.Version != version {
			t.Error("a report that changes nothing was written")
		}
		observe(baremetal.PowerOff, 1, 8, baremetal.PowerOn, false) // earlier
		observe(baremetal.PowerOff, 1, 10, baremetal.PowerOn, true)
		observe(baremetal.PowerOn, 2, 1, baremetal.PowerOff, true) // the unit was restarted
		observe(baremetal.PowerOff, 1, 99, baremetal.PowerOn, false)

		update(t, s, n.UUID, func(n *baremetal.Node) { n.TargetPowerState = baremetal.PowerOff })
		observe(baremetal.PowerOff, 2, 2, baremetal.PowerOn, false) // only the claimant changes it now
		observe(baremetal.PowerError, 2, 1, baremetal.PowerOn, false)
		update(t, s, n.UUID, func(n *baremetal.Node) { n.TargetPowerState = "" })
		observe(baremetal.PowerOff, 2, 2, baremetal.PowerOn, true)

		update(t, s, n.UUID, func(n *baremetal.Node) { n.Work.HardwareKey = "bpu-1/2" })
		if _, _, err := s.ObservePower(t.Context(), "bpu-1/1", baremetal.PowerOn, 9, 9); !baremetal.IsKind(err, baremetal.NotFound) {
			t.Errorf("nobody has that key: %v", err)
		}
		if before, changed, err := s.ObservePower(t.Context(), "bpu-1/2", baremetal.PowerOn, 1, 1); err != nil || !changed || before.UUID != n.UUID {
			t.Errorf("another device counts anew: %v, %v", changed, err)
		}
	})
}
