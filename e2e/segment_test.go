//go:build e2e && netns

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
)

// segment is a network of its own: a bridge in the namespace that the tests
// run in, whose address is the controller's, and a namespace per machine.
type segment struct {
	t      testing.TB
	n      int
	bridge string
}

var segments atomic.Int32

// newSegment makes one. The tests run in a network namespace and a mount
// namespace of their own, so that nothing is left over and no port is taken.
func newSegment(t testing.TB) *segment {
	t.Helper()
	if os.Getenv("CADDYSHACK_NETNS") == "" {
		t.Fatal("this test makes network interfaces: run it by `make test-dhcp`, which gives it a namespace of its own")
	}
	s := &segment{t: t, n: int(segments.Add(1))}
	s.bridge = fmt.Sprint("br", s.n)
	// A MAC of its own: without, a bridge takes on that of one of its ports, and
	// another when ports come and go.
	s.ip("link", "add", s.bridge, "address", fmt.Sprintf("02:00:00:77:00:%02x", s.n), "type", "bridge")
	s.ip("addr", "add", s.own()+"/24", "dev", s.bridge)
	s.ip("link", "set", s.bridge, "up")
	return s
}

func (s *segment) ip(args ...string) {
	s.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil { //nolint:noctx // it does not wait for anything
		s.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// address is one of the segment's.
func (s *segment) address(host int) string { return fmt.Sprintf("10.77.%d.%d", s.n, host) }

// own is the controller's address.
func (s *segment) own() string { return s.address(1) }

func (s *segment) namespace(name string) string { return fmt.Sprintf("s%d-%s", s.n, name) }

// plug adds a machine: a namespace with eth0 on the bridge. mac may be empty.
func (s *segment) plug(name, mac string) (namespace string) {
	s.t.Helper()
	ns := s.namespace(name)
	port := fmt.Sprintf("p%d-%s", s.n, name)
	s.ip("netns", "add", ns)
	s.ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", ns)
	s.ip("link", "set", port, "master", s.bridge, "up")
	if mac != "" {
		s.ip("-n", ns, "link", "set", "eth0", "address", mac)
	}
	s.ip("-n", ns, "link", "set", "lo", "up")
	// Without an IPv6 address: the kernel would solicit routers now and then, and
	// the bridge send here what is for a guest that has the same MAC.
	s.ip("-n", ns, "link", "set", "eth0", "addrgenmode", "none")
	s.ip("-n", ns, "link", "set", "eth0", "up")
	return ns
}

// unplug takes a machine's cable out.
func (s *segment) unplug(name string) { s.ip("link", "set", fmt.Sprintf("p%d-%s", s.n, name), "down") }

// plugIn puts it in again.
func (s *segment) plugIn(name string) { s.ip("link", "set", fmt.Sprintf("p%d-%s", s.n, name), "up") }

// piMAC is the MAC of a simulated caddy's Pi: 3 slots per unit.
func piMAC(caddy int) string {
	const slots = 3
	return net.HardwareAddr{0xdc, 0xa6, 0x32, 0xca, byte((caddy-1)/slots + 1), byte((caddy-1)%slots + 1)}.String()
}

// piSerial is its serial number.
func piSerial(caddy int) string {
	const slots = 3
	return fmt.Sprintf("c0ff%02x%02x", (caddy-1)/slots+1, (caddy-1)%slots+1)
}

// inside is a command line that runs in a namespace.
func inside(namespace string, argv ...string) []string {
	return append([]string{"ip", "netns", "exec", namespace}, argv...)
}
