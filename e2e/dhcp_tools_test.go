//go:build e2e && netns

package e2e

import (
	binaryenc "encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"caddyshack/sim/netns"
)

// startDnsmasq runs Debian's dnsmasq in a namespace ("" = the controller's),
// with DHCP alone.
func startDnsmasq(t testing.TB, namespace string, args ...string) *process {
	t.Helper()
	dir := t.TempDir()
	argv := []string{"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--bind-interfaces", "--no-ping", "--log-dhcp", "--log-facility=-",
		"--user=root", "--dhcp-leasefile=" + filepath.Join(dir, "leases")}
	argv = append(argv, args...)
	if namespace != "" {
		argv = inside(namespace, argv...)
	}
	p := start(t, "dnsmasq", nil, argv...)
	eventually(t, settleTimeout, "dnsmasq serves", func() bool {
		select {
		case <-p.exited:
			t.Fatalf("dnsmasq ended:\n%s", p.stderr())
		default:
		}
		return strings.Contains(p.stderr(), "DHCP, ")
	})
	return p
}

// home is a DHCP server that somebody else runs on the segment.
func (s *segment) home(first, last int) *process {
	s.t.Helper()
	ns := s.namespace("home")
	if _, err := os.Stat("/run/netns/" + ns); err != nil {
		s.plug("home", homeMAC)
		s.ip("-n", ns, "addr", "add", s.address(254)+"/24", "dev", "eth0")
	}
	return startDnsmasq(s.t, ns, "--interface=eth0", "--pid-file=", fmt.Sprintf("--dhcp-range=%s,%s,255.255.255.0,1h", s.address(first), s.address(last)))
}

const homeMAC = "02:00:00:00:00:fe"

// stop ends a process that is not ours.
func (p *process) end() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	<-p.exited
}

// in calls f with its sockets in a namespace.
func in(t testing.TB, namespace string, f func() error) {
	t.Helper()
	if err := netns.Do("/run/netns/"+namespace, f); err != nil {
		t.Fatalf("in %s: %v", namespace, err)
	}
}

// ether is a raw socket of a machine that speaks DHCP.
func ether(t testing.TB, namespace string) net.PacketConn {
	t.Helper()
	var c net.PacketConn
	in(t, namespace, func() (err error) {
		c, err = nclient4.NewRawUDPConn("eth0", dhcpv4.ClientPort)
		return err
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// discover is the request of a Pi 4's firmware.
func discover(t testing.TB, mac, serial string) *dhcpv4.DHCPv4 {
	t.Helper()
	hw, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	var n uint32
	if _, err := fmt.Sscanf(serial, "%08x", &n); err != nil {
		t.Fatal(err)
	}
	id := append([]byte{0}, "RPi4\x14\x31\xc0\x00"...)
	id = binaryenc.LittleEndian.AppendUint32(append(id, hw[2:]...), n)
	p, err := dhcpv4.NewDiscovery(hw)
	if err != nil {
		t.Fatal(err)
	}
	p.UpdateOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00000:UNDI:002001"))
	p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, id))
	return p
}

func shout(t testing.TB, c net.PacketConn, p *dhcpv4.DHCPv4) {
	t.Helper()
	if _, err := c.WriteTo(p.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ServerPort}); err != nil {
		t.Fatal(err)
	}
}

// hear waits for the answer to a request; nil means that there is none for a while.
func hear(t testing.TB, c net.PacketConn, p *dhcpv4.DHCPv4, within time.Duration) *dhcpv4.DHCPv4 {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			return nil
		}
		if r, err := dhcpv4.FromBytes(buf[:n]); err == nil && r.TransactionID == p.TransactionID && r.OpCode == dhcpv4.OpcodeBootReply {
			return r
		}
	}
}

// udhcpc runs busybox's DHCP client in a namespace and returns what it got, by
// the names it has for it; nil if it got nothing.
func udhcpc(t testing.TB, namespace string) map[string]string {
	t.Helper()
	return udhcpcTries(t, namespace, "-n", "-t", "3", "-T", "2")
}

// udhcpcTries is udhcpc with options of its own for how often it asks.
func udhcpcTries(t testing.TB, namespace string, tries ...string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	script, got := filepath.Join(dir, "script"), filepath.Join(dir, "got")
	text := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = bound ] && env > %s\nexit 0\n", got)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	argv := append([]string{"busybox", "udhcpc", "-i", "eth0", "-f", "-q", "-s", script, "-O", "tftp", "-O", "bootfile", "-O", "43", "-O", "60"}, tries...)
	r := run(t, nil, inside(namespace, argv...)...)
	env, err := os.ReadFile(got)
	if err != nil {
		if r.code == 0 {
			t.Fatalf("udhcpc has got an address, and not called its script: %s", r)
		}
		return nil
	}
	m := map[string]string{}
	for line := range strings.Lines(string(env)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		m[k] = v
	}
	return m
}
