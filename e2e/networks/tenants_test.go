//go:build switches

package networks

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"caddyshack/internal/netns"
)

// TestTenants: two Pis of two tenants and one of nobody deploy at once, each
// over its own VLAN of a real switch, by DHCP, TFTP and NFS, and reach neither
// each other nor what the controller has besides; virtual interfaces come and
// go by the real client.
func TestTenants(t *testing.T) {
	t.Parallel()
	w := insideController(t)
	if w == nil {
		return
	}
	s := startSite(t, w)
	s.eventually("the ports of nobody are idle", func() bool { return s.tag("p1") == "999" && s.tag("p2") == "999" && s.tag("p3") == "999" })
	s.enter(3)
	s.wantTags("at rest", "999", "999", "999")

	s.openstack(false, "node", "vif", "attach", "caddy-1", "blue")
	s.openstack(false, "node", "vif", "attach", "caddy-2", "green")
	if out := s.openstack(true, "node", "vif", "attach", "caddy-3", "mauve"); !strings.Contains(out, "neither a network") {
		t.Errorf("attaching an unknown network: %s", out)
	}
	if out := s.openstack(false, "node", "vif", "list", "caddy-1", "-f", "value"); strings.TrimSpace(out) != "blue" {
		t.Errorf("vif list: %q", out)
	}
	s.verbAll("active", "active")
	s.wantTags("deployed", "20", "30", "10")
	s.await("caddy-1", "up", func(map[string]any) bool { return s.addressOf(1).IsValid() })
	for slot, network := range map[int]string{1: "10.20.0.0/24", 2: "10.30.0.0/24", 3: "10.10.0.0/24"} {
		if a := s.addressOf(slot); !netip.MustParsePrefix(network).Contains(a) {
			t.Errorf("Pi %d has the address %s, want one of %s", slot, a, network)
		}
	}
	s.apart()

	if out := s.openstack(true, "node", "vif", "detach", "caddy-1", "blue"); !strings.Contains(out, "power off first") {
		t.Errorf("detaching a running machine: %s", out)
	}
	s.wantTags("after a refused detach", "20", "30", "10")

	s.run(false, "ovs-vsctl", "--db="+s.w.Database, "--timeout=60", "set", "port", "p1", "tag=30") // by hand
	s.eventually("the switch is repaired", func() bool { return s.tag("p1") == "20" })
	s.caddyshack(false, "switch", "verify")
	if out := s.caddyshack(false, "switch", "list"); !strings.Contains(out, switchID) {
		t.Errorf("list:\n%s", out)
	}
	repaired := regexp.MustCompile(`found [1-9][0-9]* times, repaired [1-9]`)
	s.eventually("the repair is counted", func() bool { return repaired.MatchString(s.caddyshack(false, "switch", "show", "rack")) })
	if out := s.caddyshack(false, "switch", "show", "rack"); !strings.Contains(out, "never touched") || !strings.Contains(out, "access/native_vlan=20") {
		t.Errorf("show:\n%s", out)
	}

	// The one of nobody becomes one of blue's.
	s.power("caddy-3", "power off", "power off")
	s.openstack(false, "node", "vif", "attach", "caddy-3", "blue")
	s.wantTags("attached while off", "20", "30", "20")
	s.power("caddy-3", "power on", "power on")
	blue := netip.MustParsePrefix("10.20.0.0/24")
	s.eventually("caddy-3 has an address in blue", func() bool { return blue.Contains(s.addressOf(3)) })
	s.listen(3)
	s.eventually("two nodes of one tenant reach each other", func() bool { return s.dial(1, netip.AddrPortFrom(s.addressOf(3), echoPort)) == nil })
	s.rescued()
	s.verbAll("deleted", "available")
	s.wantTags("undeployed", "999", "999", "999")
	s.caddyshack(false, "switch", "verify")
}

// rescued has a node of a tenant boot its rescue root in the network for that,
// and its own in the tenant's again.
func (s *site) rescued() {
	s.t.Helper()
	boots := func(verb map[string]any, state, network string) {
		s.t.Helper()
		s.request("PUT", "/v1/nodes/caddy-2/states/provision", verb, http.StatusAccepted)
		s.await("caddy-2", state, func(n map[string]any) bool { return n["provision_state"] == state && n["reservation"] == nil })
		s.eventually("caddy-2 has an address in "+network, func() bool { return netip.MustParsePrefix(network).Contains(s.addressOf(2)) })
	}
	boots(map[string]any{"target": "rescue", "rescue_password": "open sesame"}, "rescue", "10.10.0.0/24")
	s.wantTags("in rescue", "20", "10", "20")
	boots(map[string]any{"target": "unrescue"}, "active", "10.30.0.0/24")
	s.wantTags("after the rescue", "20", "30", "20")
}

// echoPort is where each Pi listens for the others.
const echoPort = 7007

// apart tries every pair of Pis, directly and by way of the controller, and
// everything of the controller that is not for booting, without any firewall.
func (s *site) apart() {
	t := s.t
	t.Helper()
	addrPort := func(url string) netip.AddrPort {
		t.Helper()
		a, err := netip.ParseAddrPort(url[strings.LastIndexByte(url, '/')+1:])
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	api, broker := addrPort(s.api), addrPort(s.broker)
	stranger, managed := s.stranger(), s.switchManagement()
	for slot := 1; slot <= 3; slot++ {
		s.listen(slot)
		s.throughController(slot)
	}
	for slot := 1; slot <= 3; slot++ {
		// What this machine has beside the program answers: the way is there.
		s.eventually(fmt.Sprintf("Pi %d reaches the controller's address in the office", slot), func() bool { return s.dial(slot, stranger) == nil })
		s.reachesItsServer(slot)
	}
	var tries sync.WaitGroup // they wait for what does not come
	for slot := 1; slot <= 3; slot++ {
		closed := map[string]netip.AddrPort{"the API": api, "the broker": broker, "the switch's management": managed}
		for other := 1; other <= 3; other++ {
			if other != slot {
				closed[fmt.Sprintf("Pi %d", other)] = netip.AddrPortFrom(s.addressOf(other), echoPort)
				closed[fmt.Sprintf("the NFS server of Pi %d", other)] = netip.AddrPortFrom(netip.MustParsePrefix(serverOf(other)).Addr(), 2049)
			}
		}
		for what, at := range closed {
			tries.Go(func() {
				err := s.dial(slot, at)
				var silence net.Error
				if err == nil {
					t.Errorf("Pi %d reaches %s at %s", slot, what, at)
				} else if !strings.HasPrefix(what, "the NFS") && (!errors.As(err, &silence) || !silence.Timeout()) {
					t.Errorf("Pi %d at %s: %v, want no answer at all", slot, what, err)
				}
			})
		}
	}
	tries.Wait()
	s.rules()
	for slot := 1; slot <= 3; slot++ {
		s.reachesItsServer(slot)
	}
	if err := s.dial(1, stranger); err == nil {
		t.Error("with rules Pi 1 reaches what else listens on the controller")
	}
}

func (s *site) reachesItsServer(slot int) {
	s.t.Helper()
	server := netip.AddrPortFrom(netip.MustParsePrefix(serverOf(slot)).Addr(), 2049)
	s.eventually(fmt.Sprintf("Pi %d reaches its own NFS server", slot), func() bool { return s.dial(slot, server) == nil })
	if err := connect(s.pis[slot-1], server, net.Dialer{}, patience); err == nil {
		s.t.Errorf("a user of Pi %d reaches the NFS server", slot)
	}
}

// stranger is something else that listens at the controller's address in the office.
func (s *site) stranger() netip.AddrPort {
	s.t.Helper()
	l, err := net.Listen("tcp", management+":0") //nolint:noctx // binding does not block
	if err != nil {
		s.t.Fatal(err)
	}
	s.greet(l)
	return netip.MustParseAddrPort(l.Addr().String())
}

// switchManagement serves the switch's database in the office, as a switch of
// another machine does, and makes sure that the controller can ask it.
func (s *site) switchManagement() netip.AddrPort {
	t := s.t
	t.Helper()
	office, err := netns.Open(s.w.Office)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = office.Close() }()
	var l net.Listener
	err = office.Do(func() (err error) {
		l, err = net.Listen("tcp", switchManagement+":6640") //nolint:noctx // binding does not block
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("unix", strings.TrimPrefix(s.w.Database, "unix:")) //nolint:noctx // on this machine
			if err != nil {
				_ = from.Close()
				continue
			}
			go func() { _, _ = io.Copy(to, from); _ = to.Close() }()
			go func() { _, _ = io.Copy(from, to); _ = from.Close() }()
		}
	}()
	at := netip.MustParseAddrPort(l.Addr().String())
	if out := s.run(false, "ovsdb-client", "--timeout=60", "list-dbs", "tcp:"+at.String()); !strings.Contains(out, "Open_vSwitch") {
		t.Errorf("the controller asks the switch's management: %s", out)
	}
	return at
}

func serverOf(slot int) string {
	return map[int]string{1: vlans[1].address, 2: vlans[2].address, 3: vlans[0].address}[slot]
}

// rules are those of docs/networks.md.
func (s *site) rules() {
	s.t.Helper()
	run := func(args ...string) {
		s.t.Helper()
		if out, err := exec.CommandContext(s.t.Context(), "iptables", append([]string{"-w"}, args...)...).CombinedOutput(); err != nil {
			s.t.Fatalf("iptables %v: %v %s", args, err, out)
		}
	}
	run("-P", "FORWARD", "DROP")
	for _, v := range vlans {
		link, addr := fmt.Sprintf("net%d", v.vlan), netip.MustParsePrefix(v.address).Addr().String()
		run("-A", "INPUT", "-i", link, "-d", "255.255.255.255", "-p", "udp", "--dport", "67", "-j", "ACCEPT")
		run("-A", "INPUT", "-i", link, "!", "-d", addr, "-j", "DROP")
	}
}

// addressOf is the address that a Pi has got, not valid if it has none.
func (s *site) addressOf(slot int) netip.Addr {
	s.t.Helper()
	var found netip.Addr
	err := s.pis[slot-1].Do(func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		list, err := netlink.AddrList(l, netlink.FAMILY_V4)
		for _, a := range list {
			found, _ = netip.AddrFromSlice(a.IP.To4())
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

// throughController sends what is for elsewhere to the controller, as a Pi that
// wants to get out would.
func (s *site) throughController(slot int) {
	s.t.Helper()
	err := s.pis[slot-1].Do(func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: netip.MustParsePrefix(serverOf(slot)).Addr().AsSlice()})
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// listen answers connections to a Pi.
func (s *site) listen(slot int) {
	s.t.Helper()
	var l net.Listener
	err := s.pis[slot-1].Do(func() (err error) {
		l, err = net.ListenTCP("tcp4", &net.TCPAddr{Port: echoPort})
		return err
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		return
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.greet(l)
}

// greet answers connections until the test ends.
func (s *site) greet(l net.Listener) {
	s.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("here"))
			_ = c.Close()
		}
	}()
}

// rootPort counts the ports from which root of a Pi connects, so that no two
// tries want the same.
var rootPort atomic.Uint32

// dial tells whether root of a Pi gets a connection that is not closed at once.
func (s *site) dial(slot int, to netip.AddrPort) (err error) {
	for range 512 {
		d := net.Dialer{LocalAddr: &net.TCPAddr{Port: 512 + int(rootPort.Add(1)%512)}}
		if err = connect(s.pis[slot-1], to, d, time.Second); !errors.Is(err, syscall.EADDRINUSE) {
			break // else an earlier connection still holds the port
		}
	}
	return err
}

// connect is dial from any port; a server that says nothing for as long as
// silence waits to be spoken to.
func connect(from *netns.NS, to netip.AddrPort, d net.Dialer, silence time.Duration) error {
	var c net.Conn
	err := from.Do(func() (err error) {
		d.Timeout = max(2*time.Second, silence)
		c, err = d.Dial("tcp4", to.String())
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetReadDeadline(time.Now().Add(silence))
	_, err = c.Read(make([]byte, 1))
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		return nil // it speaks, or waits to be spoken to
	}
	return err
}
