//go:build netns

package pxe_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"caddyshack/pxe"
)

// ip runs ip(8).
func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
}

// listenIn listens in a network namespace.
func listenIn(t *testing.T, namespace, address string) net.PacketConn {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	there, err := os.Open("/run/netns/" + namespace)
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	var lc net.ListenConfig
	c, err := lc.ListenPacket(t.Context(), "udp4", address)
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil || back != nil {
		t.Fatal(err, back)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestHoldNeighbour sends to two machines that stop answering ARP, as the ROM of
// a Pi 3B does: the one that is held is still reached when the kernel has given
// up the other. It runs in a network namespace of its own (scripts/netns).
func TestHoldNeighbour(t *testing.T) {
	if os.Getenv("CADDYSHACK_NETNS") == "" {
		t.Fatal("run this with scripts/netns: it makes network interfaces")
	}
	ip(t, "netns add rom")
	ip(t, "link add up0 type veth peer name eth0 netns rom")
	ip(t, "addr add 10.9.0.1/24 dev up0")
	ip(t, "link set up0 up")
	ip(t, "-n rom addr add 10.9.0.2/24 dev eth0")
	ip(t, "-n rom addr add 10.9.0.3/24 dev eth0")
	ip(t, "-n rom link set eth0 up")
	// The kernel's patience, to a tenth of it.
	for name, value := range map[string]string{"base_reachable_time_ms": "1000", "delay_first_probe_time": "1"} {
		if err := os.WriteFile("/proc/sys/net/ipv4/neigh/up0/"+name, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	const held, other = "10.9.0.2", "10.9.0.3"
	heard := map[string]net.PacketConn{}
	sender, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 9, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sender.Close() })
	for _, a := range []string{held, other} {
		heard[a] = listenIn(t, "rom", a+":69")
	}
	// reaches tells whether a packet comes through.
	reaches := func(a, text string) bool {
		t.Helper()
		if _, err := sender.WriteTo([]byte(text), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(a+":69"))); err != nil && !errors.Is(err, unix.EHOSTUNREACH) {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		patience := 100 * time.Millisecond
		if a == held { // a busy machine is no reason to miss it
			patience = time.Second
		}
		_ = heard[a].SetReadDeadline(time.Now().Add(patience))
		for {
			n, _, err := heard[a].ReadFrom(buf)
			if err != nil {
				return false
			}
			if string(buf[:n]) == text {
				return true
			}
		}
	}
	for _, a := range []string{held, other} {
		for try := 0; !reaches(a, fmt.Sprint("first ", try)); try++ {
			if try == 50 {
				t.Fatalf("%s is not reached at all", a)
			}
		}
	}
	mac, ok := pxe.Neighbour(netip.MustParseAddr(held))
	if !ok {
		t.Fatal("the neighbour is not found")
	}
	if _, err := pxe.HoldNeighbour(netip.MustParseAddr(held), "02:00:00:00:00:01"); err == nil {
		t.Error("a neighbour is held with another MAC than was found")
	}
	ip(t, "-n rom link set eth0 arp off")
	release, err := pxe.HoldNeighbour(netip.MustParseAddr(held), mac)
	if err != nil {
		t.Fatal(err)
	}
	gone := func(a string) bool {
		t.Helper()
		for try := range 300 {
			if !reaches(a, fmt.Sprint(time.Now(), try)) && !reaches(a, fmt.Sprint(time.Now(), "again")) {
				return true
			}
			if a == other && !reaches(held, fmt.Sprint(time.Now())) {
				t.Fatalf("the one that is held is not reached at try %d", try)
			}
			time.Sleep(50 * time.Millisecond) //nolint:forbidigo // the kernel's patience is what is tested
		}
		return false
	}
	if !gone(other) {
		t.Error("the one that is not held is reached as well: this test shows nothing")
	}
	for range 20 {
		if !reaches(held, fmt.Sprint(time.Now())) {
			t.Error("the one that is held is not reached any more")
		}
	}
	release()
	release()
	if !gone(held) {
		t.Error("it stays for good after its release")
	}
}
