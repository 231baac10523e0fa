//go:build inguest

package linuxbridge_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"caddyshack/baremetal"
	"caddyshack/drivers/switches"
	"caddyshack/drivers/switches/linuxbridge"
	"caddyshack/drivers/switches/packettest"
	"caddyshack/internal/netns"
)

// makeBridge makes a bridge of links that are there.
func makeBridge(t *testing.T, name string, pvid uint16, ports []string) {
	t.Helper()
	yes := true
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	bridge := &netlink.Bridge{LinkAttrs: attrs, VlanFiltering: &yes, VlanDefaultPVID: &pvid}
	if err := netlink.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(bridge) })
	if err := netlink.LinkSetUp(bridge); err != nil {
		t.Fatal(err)
	}
	for _, p := range ports {
		link, err := netlink.LinkByName(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetMaster(link, bridge); err != nil {
			t.Fatal(err)
		}
	}
}

func newSwitch(t *testing.T, c switches.Config, name string) *switches.Switch {
	t.Helper()
	b, err := linuxbridge.New(name)
	if err != nil {
		t.Fatal(err)
	}
	c.Timeout = time.Minute
	sw, err := switches.New(c, b)
	if err != nil {
		t.Fatal(err)
	}
	return sw
}

func testPackets(t *testing.T, idle int) {
	sw := newSwitch(t, switches.Config{ID: "lab", Uplinks: []string{packettest.Uplink}, IdleVLAN: idle}, "br0")
	packettest.Run(t, netns.Current(), sw, func(ports []string) {
		makeBridge(t, "br0", 1, ports)
		link, err := netlink.LinkByName(packettest.Uplink)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.BridgeVlanDel(link, 1, true, true, false, true); err != nil {
			t.Fatal(err)
		}
		for _, vid := range packettest.UplinkVLANs().IDs() {
			if err := netlink.BridgeVlanAdd(link, uint16(vid), false, false, false, true); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestPackets(t *testing.T) {
	t.Run("idle ports carry nothing", func(t *testing.T) { testPackets(t, 0) })
	t.Run("idle ports are isolated", func(t *testing.T) { testPackets(t, packettest.IdleVLAN) })
}

func TestApply(t *testing.T) {
	for _, port := range []string{"a1", "a2"} {
		if err := netns.Cable(netns.Current(), port, nil, netns.Current(), port+"x"); err != nil {
			t.Fatal(err)
		}
	}
	makeBridge(t, "br1", 1, []string{"a1", "a2"})
	sw := newSwitch(t, switches.Config{ID: "br1", Uplinks: []string{"a2"}}, "br1")
	d, err := sw.Describe(t.Context())
	if err != nil || !d.Capabilities.LeaksAtPowerUp {
		t.Errorf("a bridge with a first VLAN for all: %+v, %v", d, err)
	}
	for _, test := range []struct {
		c    switches.PortConfig
		want switches.PortState
	}{
		{switches.Idle(), switches.PortState{}},
		{switches.Access(10), switches.PortState{Native: 10}},
		{switches.PortConfig{Mode: switches.ModeTrunk, AllowedVLANs: switches.VLANs(10, 20, 21)}, switches.PortState{Tagged: switches.VLANs(10, 20, 21)}},
		{switches.PortConfig{Mode: switches.ModeHybrid, NativeVLAN: 20, AllowedVLANs: switches.VLANs(10, 11), Isolated: true},
			switches.PortState{Native: 20, Tagged: switches.VLANs(10, 11), Isolated: true}},
		{switches.PortConfig{Mode: switches.ModeAccess, NativeVLAN: 20, MTU: 1400}, switches.PortState{Native: 20, MTU: 1400}},
	} {
		if _, err := sw.Apply(t.Context(), switches.Only("a1", test.c)); err != nil {
			t.Fatal(err)
		}
		st, err := sw.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := st.Ports["a1"]
		if test.want.MTU == 0 {
			got.MTU = 0
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.c, got, test.want)
		}
	}
	for _, port := range []string{"br1", "a2"} {
		if _, err := sw.Apply(t.Context(), switches.Only(port, switches.Access(10))); !baremetal.IsKind(err, baremetal.Invalid) {
			t.Errorf("%s: got %v, want Invalid", port, err)
		}
	}
}

func TestBridgeThatCannotBeUsed(t *testing.T) {
	sw := newSwitch(t, switches.Config{ID: "a"}, "br7")
	if _, err := sw.Read(t.Context()); !baremetal.IsKind(err, baremetal.Unavailable) || !strings.Contains(err.Error(), "has no bridge br7") {
		t.Errorf("got %v", err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br7"
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		t.Fatal(err)
	}
	if _, err := sw.Read(t.Context()); !baremetal.IsKind(err, baremetal.Unavailable) || !strings.Contains(err.Error(), "does not filter VLANs") {
		t.Errorf("got %v", err)
	}
}

func TestWatch(t *testing.T) {
	if err := netns.Cable(netns.Current(), "w1", nil, netns.Current(), "w1x"); err != nil {
		t.Fatal(err)
	}
	makeBridge(t, "br2", 0, []string{"w1"})
	b, err := linuxbridge.New("br2")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	heard, ended := make(chan struct{}, 1000), make(chan error, 1)
	go func() { ended <- b.Watch(ctx, func() { heard <- struct{}{} }) }()
	link, err := netlink.LinkByName("w1")
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); len(heard) < 2; time.Sleep(10 * time.Millisecond) { // the first is the beginning
		_ = netlink.BridgeVlanAdd(link, 10, true, true, false, true)
		_ = netlink.BridgeVlanDel(link, 10, true, true, false, true)
		if time.Now().After(deadline) {
			t.Fatal("a change by hand is not heard")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Watch: %v", err)
	}
}
