//go:build inguest

package linuxbridge_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"caddyshack/drivers/switches"
	"caddyshack/internal/netns"
)

// movedKey is set in the process that is killed.
const movedKey = "CADDYSHACK_MOVES_PORTS"

// between are the two sets of wishes that it goes to and fro between.
func between() [2]map[string]switches.PortConfig {
	trunk := func(tagged ...int) switches.PortConfig {
		return switches.PortConfig{Mode: switches.ModeTrunk, AllowedVLANs: switches.VLANs(tagged...)}
	}
	hybrid := switches.PortConfig{Mode: switches.ModeHybrid, NativeVLAN: 50, AllowedVLANs: switches.VLANs(30, 31), Isolated: true}
	return [2]map[string]switches.PortConfig{
		{"k1": switches.Access(10), "k2": switches.Access(20), "k3": trunk(10, 30, 31, 32)},
		{"k1": switches.Access(20), "k2": hybrid, "k3": trunk(10, 20)},
	}
}

// TestKilled kills a controller while it moves ports of the kernel's bridge. No
// port has been left with a VLAN that neither wish gives it, no two ports meet
// that do not in one of the two; and the next controller puts all of it right.
func TestKilled(t *testing.T) {
	wishes := between()
	if os.Getenv(movedKey) != "" {
		sw := newSwitch(t, switches.Config{ID: "br3", Uplinks: []string{"kup"}}, "br3")
		for i := 1; ; i++ {
			if _, err := sw.Apply(t.Context(), switches.Wanted{Ports: wishes[i%2]}); err != nil {
				t.Fatal(err)
			}
		}
	}
	ports := []string{"k1", "k2", "k3", "kup"}
	for _, port := range ports {
		if err := netns.Cable(netns.Current(), port, nil, netns.Current(), port+"x"); err != nil {
			t.Fatal(err)
		}
	}
	makeBridge(t, "br3", 0, ports)
	sw := newSwitch(t, switches.Config{ID: "br3", Uplinks: []string{"kup"}}, "br3")
	var states [2]map[string]switches.PortState
	for i, wish := range wishes {
		states[i] = map[string]switches.PortState{}
		for port, c := range wish {
			states[i][port] = switches.PortState{Native: c.NativeVLAN, Tagged: c.AllowedVLANs}
		}
	}
	halfway := 0
	for range 10 {
		if _, err := sw.Apply(t.Context(), switches.Wanted{Ports: wishes[0]}); err != nil {
			t.Fatal(err)
		}
		killMoving(t)
		s, err := sw.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		plan, err := sw.Plan(t.Context(), switches.Wanted{Ports: wishes[1]})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(plan.Differences); n > 0 && n < len(wishes[1]) {
			halfway++
		}
		checkHalfway(t, s.Ports, states)
		if _, err := sw.Apply(t.Context(), switches.Wanted{Ports: wishes[1]}); err != nil {
			t.Errorf("the next controller: %v", err)
		}
	}
	t.Logf("killed 10 times, %d times with some ports moved and others not", halfway)
}

// killMoving starts the process and kills it some time after its first change.
func killMoving(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), movedKey+"=yes")
	changed := func() bool {
		entries, err := netlink.BridgeVlanList()
		if err != nil {
			t.Fatal(err)
		}
		link, err := netlink.LinkByName("k1")
		if err != nil {
			t.Fatal(err)
		}
		own := entries[int32(link.Attrs().Index)]
		return len(own) != 1 || own[0].Vid != 10
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); !changed(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the other process changes nothing")
		}
	}
	time.Sleep(rand.N(50 * time.Millisecond)) // somewhere in one of its moves
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("it ended by itself")
	}
}

func checkHalfway(t *testing.T, ports map[string]switches.PortState, states [2]map[string]switches.PortState) {
	t.Helper()
	common := func(s map[string]switches.PortState, p, q string) switches.VLANSet {
		return s[p].Carries().And(s[q].Carries())
	}
	for p := range states[0] {
		if more := ports[p].Carries().Minus(states[0][p].Carries()).Minus(states[1][p].Carries()); !more.Empty() {
			t.Errorf("port %s was left in VLAN %s: %s", p, more, ports[p])
		}
		for q := range states[0] {
			if more := common(ports, p, q).Minus(common(states[0], p, q)).Minus(common(states[1], p, q)); p != q && !more.Empty() {
				t.Errorf("ports %s and %s were left together in VLAN %s", p, q, more)
			}
		}
	}
}
