package switches_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"caddyshack/baremetal"
	"caddyshack/drivers/switches"
)

// description is a switch with an uplink, a management port and caddies.
func description() switches.Description {
	d := switches.Description{
		Kind: "memory", Capabilities: switches.Capabilities{PortIsolation: true, MTU: true},
		Limits: switches.Limits{MTU: 9000, NativeVLANs: 4},
	}
	for _, name := range []string{"c1", "c2", "c3", "c4", "mgmt", "up"} {
		d.Ports = append(d.Ports, switches.Port{Name: name, Speed: 1000, Link: true})
	}
	return d
}

func config() switches.Config {
	return switches.Config{ID: "00:00:5e:00:53:01", Name: "rack1", Uplinks: []string{"up"}, Management: []string{"mgmt"},
		Allowed: switches.VLANRange(10, 29), IdleVLAN: 4000}
}

func fixed() map[string]switches.PortState {
	return map[string]switches.PortState{"up": {Tagged: switches.VLANRange(10, 29)}, "mgmt": {Native: 9}}
}

func newSwitch(t *testing.T, c switches.Config, b switches.Backend) *switches.Switch {
	t.Helper()
	s, err := switches.New(c, b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestApplyMovesAPort(t *testing.T) {
	t.Parallel()
	m := switches.NewMemory(description(), fixed())
	s := newSwitch(t, config(), m)
	if _, err := s.Apply(t.Context(), switches.Only("c1", switches.Access(10))); err != nil {
		t.Fatal(err)
	}
	w := switches.Only("c1", switches.PortConfig{Mode: switches.ModeTrunk, AllowedVLANs: switches.VLANs(10, 11), MTU: 1400})
	plan, err := s.Plan(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"switch rack1, port c1: leaves VLAN 10 untagged, joins VLAN 10-11 tagged, has MTU 1400 instead of 0"}, plan.Words()); diff != "" {
		t.Error(diff)
	}
	if plan, err = s.Apply(t.Context(), w); err != nil || plan.Empty() {
		t.Fatalf("got %v, %v", plan, err)
	}
	if plan, err = s.Plan(t.Context(), w); err != nil || !plan.Empty() {
		t.Fatalf("after Apply: got %v, %v", plan.Words(), err)
	}
	if _, err = s.Apply(t.Context(), switches.Wanted{RestIdle: true}); err != nil {
		t.Fatal(err)
	}
	st, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	idle := switches.PortState{Native: 4000, Isolated: true}
	want := fixed()
	want["c1"], want["c2"], want["c3"], want["c4"] = switches.PortState{Native: 4000, Isolated: true, MTU: 1400}, idle, idle, idle
	if diff := cmp.Diff(want, st.Ports, cmp.Comparer(func(a, b switches.PortState) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestRefusedBeforeAnythingIsTouched(t *testing.T) {
	t.Parallel()
	trunk := func(native int, tagged ...int) switches.PortConfig {
		return switches.PortConfig{Mode: switches.ModeTrunk, NativeVLAN: native, AllowedVLANs: switches.VLANs(tagged...)}
	}
	for name, test := range map[string]struct {
		port  string
		want  switches.PortConfig
		hint  string
		asked bool // only the switch knows
	}{
		"VLAN 0":              {"c1", switches.Access(0), "needs native_vlan", false},
		"VLAN 4095":           {"c1", switches.Access(4095), "from 1 to 4094", false},
		"VLAN 4095 tagged":    {"c1", trunk(0, 4095), "from 1 to 4094", false},
		"not allowed":         {"c1", switches.Access(1), "allowed_vlans are 10-29", false},
		"not allowed, tagged": {"c1", trunk(10, 30), "VLAN 30 may not", false},
		"idle VLAN":           {"c1", switches.Access(4000), "may not be used", false},
		"uplink":              {"up", switches.Access(10), "uplink, which is never touched", false},
		"management":          {"mgmt", switches.Access(10), "management port, which is never touched", false},
		"uplink idle":         {"up", switches.Idle(), "uplink", false},
		"no port":             {"", switches.Access(10), "set port_id", false},
		"unknown port":        {"c9", switches.Access(10), `has no port "c9"`, true},
		"too large":           {"c1", switches.PortConfig{Mode: switches.ModeAccess, NativeVLAN: 10, MTU: 9001}, "more than the 9000", true},
		"shared native VLAN":  {"c1", trunk(20, 11), "native VLAN of its own", true},
	} {
		m := switches.NewMemory(description(), map[string]switches.PortState{"c2": {Native: 20}})
		s := newSwitch(t, config(), m)
		before, _ := m.Read(t.Context())
		w := switches.Wanted{Ports: map[string]switches.PortConfig{"c3": switches.Access(12), test.port: test.want}}
		_, planErr := s.Plan(t.Context(), w)
		_, applyErr := s.Apply(t.Context(), w)
		for _, err := range []error{planErr, applyErr} {
			if !baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), test.hint) {
				t.Errorf("%s: got %v, want Invalid with %q", name, err, test.hint)
			}
		}
		if err := s.Validate(test.port, test.want); (err == nil) != test.asked {
			t.Errorf("%s: Validate says %v", name, err)
		}
		if after, _ := m.Read(t.Context()); after.Version != before.Version {
			t.Errorf("%s: the switch was touched", name)
		}
	}
}

func TestLimitOfNativeVLANs(t *testing.T) {
	t.Parallel()
	s := newSwitch(t, config(), switches.NewMemory(description(), fixed()))
	w := switches.Wanted{Ports: map[string]switches.PortConfig{}}
	for i, port := range []string{"c1", "c2", "c3"} { // with that of mgmt there are 4
		w.Ports[port] = switches.Access(10 + i)
	}
	if _, err := s.Apply(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	_, err := s.Apply(t.Context(), switches.Only("c4", switches.Access(13)))
	if !baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), "4 different native VLANs") {
		t.Errorf("got %v", err)
	}
	if _, err := s.Apply(t.Context(), switches.Only("c4", switches.Access(10))); err != nil {
		t.Error(err)
	}
}

func TestManagementVLANIsGivenToNobody(t *testing.T) {
	t.Parallel()
	m := switches.NewMemory(description(), map[string]switches.PortState{"mgmt": {Native: 15}})
	_, err := newSwitch(t, config(), m).Apply(t.Context(), switches.Only("c1", switches.Access(15)))
	if !baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), "management port mgmt") {
		t.Errorf("got %v", err)
	}
}

func TestFleet(t *testing.T) {
	t.Parallel()
	s := newSwitch(t, config(), switches.NewMemory(description(), nil))
	f, err := switches.NewFleet(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"00:00:5e:00:53:01", "00-00-5E-00-53-01", "rack1"} {
		if got, err := f.Switch(id); err != nil || got != s {
			t.Errorf("%s: got %v, %v", id, got, err)
		}
	}
	if _, err := f.Switch("rack2"); !baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), "rack1 (00:00:5e:00:53:01)") {
		t.Errorf("got %v", err)
	}
	if _, err := switches.NewFleet(s, newSwitch(t, config(), switches.NewMemory(description(), nil))); err == nil {
		t.Error("two switches with one id were accepted")
	}
}
