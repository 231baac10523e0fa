//go:build switches

package ovs_test

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"caddyshack/drivers/switches"
	"caddyshack/drivers/switches/ovs"
	"caddyshack/drivers/switches/ovstest"
	"caddyshack/drivers/switches/packettest"
)

// macTable is small, so that the floods of the tests overflow it.
const macTable = "other_config:mac-table-size=200"

func labSwitch(t *testing.T, address string, idle int) *switches.Switch {
	t.Helper()
	b := ovs.New(ovs.Config{Address: address, Bridge: "br0"})
	sw, err := switches.New(switches.Config{ID: "lab", Uplinks: []string{packettest.Uplink}, IdleVLAN: idle, Timeout: time.Minute}, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sw.Close() })
	return sw
}

func testPackets(t *testing.T, idle int) {
	o := ovstest.Start(t)
	packettest.Run(t, o.NS, labSwitch(t, o.Address, idle), func(ports []string) { plug(o, ports) })
}

// plug makes the bridge of the lab.
func plug(o *ovstest.OVS, ports []string) {
	o.AddBridge("br0", ports...)
	o.Vsctl("set", "bridge", "br0", macTable, "--", "set", "port", packettest.Uplink, "trunks="+packettest.UplinkVLANs().String())
}

func TestPackets(t *testing.T) {
	t.Run("idle ports carry nothing", func(t *testing.T) { testPackets(t, 0) })
	t.Run("idle ports are isolated", func(t *testing.T) { testPackets(t, packettest.IdleVLAN) })
}

// The judge must see frames where they must not be: here the switch joins what
// the lab takes for two networks.
func TestLabSeesCrossings(t *testing.T) {
	t.Parallel()
	o := ovstest.Start(t)
	lab := packettest.New(t, o.NS, "c1", "c2", packettest.Uplink)
	lab.VLANs = []int{10, 20}
	o.AddBridge("br0", "c1", "c2", packettest.Uplink)
	o.Vsctl("set", "port", "c1", "tag=10", "--", "set", "port", "c2", "tag=10", "--", "set", "port", packettest.Uplink, "trunks=10,20")
	wrong := map[string]switches.PortState{"c1": {Native: 10}, "c2": {}, packettest.Uplink: {Tagged: switches.VLANs(10, 20)}}
	missing := []string{"unicast from c1", "broadcast from c1", "ARP from c1", "neighbour solicitation from c1", "MAC flood from c1", "spoofed source from c1", "ARP from c2"}
	for deadline := time.Now().Add(time.Minute); len(missing) > 0; {
		lab.Settled(wrong)
		violations := strings.Join(lab.Violations(), "\n")
		missing = slices.DeleteFunc(missing, func(kind string) bool { return strings.Contains(violations, kind) })
		if time.Now().After(deadline) {
			t.Fatalf("not seen: %s", missing)
		}
	}
}

// The same without ovs-vswitchd's control socket, where all that is left of
// before has to be waited for.
func TestPacketsRemote(t *testing.T) {
	o := ovstest.Start(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go relay(l, database(o))
	o.Vsctl("set", "Open_vSwitch", ".", "other_config:max-revalidator=50") // ms; it is what has to be waited for
	sw := labSwitch(t, "tcp:"+l.Addr().String(), 0)
	packettest.Run(t, o.NS, sw, func(ports []string) { plug(o, ports) })
}
