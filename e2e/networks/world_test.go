//go:build switches

// Package networks runs the built program with a real switch: Open vSwitch in
// user space, and a network namespace for the controller and for each Pi. It
// needs root, and the packages openvswitch-switch, iptables and
// python3-openstackclient. CADDYSHACK_BIN names the program.
package networks

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"caddyshack/drivers/switches/ovstest"
	"caddyshack/internal/netns"
)

// worldKey is the variable by which the part of a test that runs in the
// controller's namespace learns of the world.
const worldKey = "CADDYSHACK_NETWORK_WORLD"

// The networks: their VLANs, and the controller's address in each.
var vlans = []struct {
	name     string
	vlan     int
	address  string
	purposes string
}{
	{"boot", 10, "10.10.0.1/24", `["provisioning", "cleaning"]`}, {"blue", 20, "10.20.0.1/24", `[]`}, {"green", 30, "10.30.0.1/24", `[]`},
	{"own", 40, "10.40.0.1/24", `["boot"]`}, // of one hybrid node
}

// management is the controller's address where its API and its broker are, and
// switchManagement one of the switch's in the same network.
const (
	management       = "192.0.2.1"
	switchManagement = "192.0.2.7"
)

// world is what the inside must know.
type world struct {
	// Database of Open vSwitch; its bridge is br0, with the ports p1 to p3.
	Database string `json:"database"`
	// Office is the file of the namespace in which the switch's management is.
	Office string `json:"office"`
	// Pis are the files of the namespaces behind those ports, whose interface is eth0.
	Pis []string `json:"pis"`
}

// piMAC is the MAC that a simulated caddy has in a slot of the first unit.
func piMAC(slot int) []byte { return []byte{0xdc, 0xa6, 0x32, 0xca, 1, byte(slot)} }

// insideController builds a world and runs the test again within it, in the
// namespace of the controller; there it returns the world, and elsewhere nil
// once the inside has ended.
func insideController(t *testing.T) *world {
	t.Helper()
	if text := os.Getenv(worldKey); text != "" {
		w := new(world)
		if err := json.Unmarshal([]byte(text), w); err != nil {
			t.Fatal(err)
		}
		return w
	}
	controller, w := build(t)
	text, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.timeout=8m", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), worldKey+"="+string(text))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := controller.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("inside the controller's namespace: %v", err)
	}
	return nil
}

// build makes namespaces, cables and the switch. The test machines' kernels
// have no 802.1Q: instead of one trunk the controller has a cable per VLAN.
func build(t *testing.T) (*netns.NS, world) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	space := func() *netns.NS {
		n, err := netns.New()
		must(err)
		t.Cleanup(func() { _ = n.Close() })
		return n
	}
	ovs := ovstest.Start(t)
	controller, office := space(), space()
	w := world{Database: ovs.Address, Office: office.Path()}
	var ports []string
	for _, v := range vlans {
		must(netns.Cable(controller, fmt.Sprintf("net%d", v.vlan), nil, ovs.NS, fmt.Sprintf("u%d", v.vlan)))
		must(address(controller, fmt.Sprintf("net%d", v.vlan), v.address))
		must(setSysctl(controller, fmt.Sprintf("ipv4/conf/net%d/forwarding", v.vlan), "0"))
		if v.purposes != `["boot"]` {
			ports = append(ports, fmt.Sprintf("u%d", v.vlan))
		}
	}
	must(netns.Cable(controller, "mgmt", nil, office, "mgmt"))
	must(address(controller, "mgmt", management+"/24"))
	must(address(office, "mgmt", switchManagement+"/24"))
	for slot := 1; slot <= 3; slot++ {
		pi := space()
		must(netns.Cable(pi, "eth0", piMAC(slot), ovs.NS, fmt.Sprintf("p%d", slot)))
		w.Pis = append(w.Pis, pi.Path())
		ports = append(ports, fmt.Sprintf("p%d", slot))
	}
	ovs.AddBridge("br0", ports...)
	// A hybrid port shares its native VLAN with no other: the way there is a
	// trunk, to a second switch that takes the tag off.
	ovs.AddBridge("br1", "u40")
	ovs.Vsctl("add-port", "br0", "trunk", "--", "set", "interface", "trunk", "type=patch", "options:peer=trunk1", "--", "set", "port", "trunk", "trunks=40",
		"--", "add-port", "br1", "trunk1", "--", "set", "interface", "trunk1", "type=patch", "options:peer=trunk", "--", "set", "port", "trunk1", "trunks=40")
	for _, v := range vlans {
		ovs.Vsctl("set", "port", fmt.Sprintf("u%d", v.vlan), fmt.Sprintf("tag=%d", v.vlan))
	}
	return controller, w
}

// setSysctl changes a setting of the kernel in a namespace, below net.
func setSysctl(n *netns.NS, setting, value string) error {
	return n.Do(func() error { return os.WriteFile("/proc/sys/net/"+setting, []byte(value), 0) })
}

// address gives an interface of a namespace an address.
func address(n *netns.NS, link, prefix string) error {
	p, err := netip.ParsePrefix(prefix)
	if err != nil {
		return err
	}
	return n.Do(func() error {
		l, err := netlink.LinkByName(link)
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(p.String())
		if err != nil {
			return err
		}
		return netlink.AddrAdd(l, a)
	})
}
