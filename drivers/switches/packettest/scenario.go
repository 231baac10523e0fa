package packettest

import (
	"maps"
	"testing"

	"caddyshack/drivers/switches"
	"caddyshack/internal/netns"
)

// The VLANs of the scenario.
const (
	blue, green  = 10, 20 // tenants
	provisioning = 30
	boot, other  = 50, 51 // native VLANs of hybrid ports
	// IdleVLAN is for the switch's configuration.
	IdleVLAN = 60
)

// The ports of the scenario: caddies, and the uplink to the controller.
const Uplink = "up"

// Ports lists the ports that the switch must have, the uplink last.
func Ports() []string { return []string{"c1", "c2", "c3", "c4", "c5", "c6", Uplink} }

// UplinkVLANs are what the uplink must carry, with tags.
func UplinkVLANs() switches.VLANSet {
	return switches.VLANs(blue, green, provisioning, boot, other)
}

// move is one change of some ports.
type move map[string]switches.PortConfig

// moves is the life of six caddies: each goes from network to network as
// deploys, rescues and tenants take it, some at once.
func moves(isolation bool) []move {
	trunk := func(tagged ...int) switches.PortConfig {
		return switches.PortConfig{Mode: switches.ModeTrunk, AllowedVLANs: switches.VLANs(tagged...)}
	}
	hybrid := func(native int, isolated bool, tagged ...int) switches.PortConfig {
		return switches.PortConfig{Mode: switches.ModeHybrid, NativeVLAN: native, AllowedVLANs: switches.VLANs(tagged...), Isolated: isolated}
	}
	all := []move{
		{"c1": switches.Access(blue), "c2": switches.Access(blue), "c3": switches.Access(green), "c4": switches.Access(green),
			"c5": switches.Access(provisioning), "c6": switches.Access(provisioning)},
		{"c1": switches.Access(green), "c3": switches.Access(blue)}, // change places
		{"c5": switches.Access(blue), "c6": switches.Access(green)}, // deployed
		{"c2": switches.Idle()},               // torn down
		{"c2": switches.Access(provisioning)}, // cleaned
		{"c4": trunk(blue, green), "c6": switches.Idle()},
		{"c4": trunk(green, provisioning)}, // goes on carrying green
		{"c4": hybrid(boot, false, blue), "c2": hybrid(other, false, green)},
		{"c4": hybrid(boot, false, green), "c2": hybrid(other, false, blue)},
	}
	if isolation {
		all = append(all,
			move{"c1": switches.Idle(), "c3": switches.Idle(), "c4": hybrid(boot, true, green), "c2": hybrid(boot, true, blue)}, // one boot VLAN for all
			move{"c4": switches.Access(green), "c2": switches.Access(blue)})
	}
	idle := move{}
	for _, p := range Ports() {
		if p != Uplink {
			idle[p] = switches.Idle()
		}
	}
	return append(all, idle)
}

// Run takes the switch, whose ports are in the namespace, through the scenario
// and checks every frame before, during and after each move.
func Run(t *testing.T, ns *netns.NS, sw *switches.Switch, plugged func(ports []string)) {
	t.Helper()
	lab := New(t, ns, Ports()...)
	lab.VLANs = append(UplinkVLANs().IDs(), IdleVLAN)
	plugged(Ports())
	if _, err := sw.Apply(t.Context(), switches.Wanted{RestIdle: true}); err != nil {
		t.Fatal(err)
	}
	d, err := sw.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	isolation := d.Capabilities.PortIsolation
	now := map[string]switches.PortState{Uplink: {Tagged: UplinkVLANs()}}
	for _, p := range Ports() {
		if p != Uplink {
			now[p] = stateOf(sw, switches.Idle(), isolation)
		}
	}
	lab.Settled(now)
	for _, m := range moves(isolation) {
		next := maps.Clone(now)
		for port, c := range m {
			next[port] = stateOf(sw, c, isolation)
		}
		lab.During(now, next, func() {
			if _, err := sw.Apply(t.Context(), switches.Wanted{Ports: m}); err != nil {
				t.Fatal(err)
			}
		})
		lab.Settled(next)
		now = next
	}
	lab.Check()
}

// stateOf is what a port must be then, in this package's own words.
func stateOf(sw *switches.Switch, c switches.PortConfig, isolation bool) switches.PortState {
	if c.Mode == switches.ModeIdle {
		return switches.PortState{Native: sw.IdleVLAN, Isolated: isolation && sw.IdleVLAN != 0}
	}
	return switches.PortState{Native: c.NativeVLAN, Tagged: c.AllowedVLANs, Isolated: c.Isolated}
}
