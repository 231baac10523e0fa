package dhcpd_test

import (
	"context"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	stdsync "sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"caddyshack/pxe/dhcpd"
)

// world is a server for virtual machines, which it answers where they ask from.
type world struct {
	t     *testing.T
	table *dhcpd.Table
	addr  netip.AddrPort

	mu     stdsync.Mutex
	events []dhcpd.Event
}

func newWorld(t *testing.T, mode dhcpd.Mode, machines ...dhcpd.Machine) *world {
	t.Helper()
	cfg := tableConfig("")
	cfg.Loose = mode == dhcpd.Proxy
	w := &world{t: t, table: open(t, cfg)}
	sync(t, w.table, machines...)
	s, err := dhcpd.Listen(t.Context(), dhcpd.Config{
		Listen: "127.0.0.1:0", Mode: mode, Machines: w.table, OnEvent: w.hear,
		Given: dhcpd.Given{Server: addr("10.9.0.1"), Subnet: netip.MustParsePrefix("10.9.0.0/24"), DNS: []netip.Addr{addr("10.9.0.2"), addr("10.9.0.3")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.addr = s.Addr()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) hear(e dhcpd.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// heard returns the events so far and forgets them.
func (w *world) heard() []dhcpd.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.events
	w.events = nil
	return list
}

// ask sends a request and returns the answer, nil if there is none: then a
// request that is certainly answered has got its answer first.
func (w *world) ask(req *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	w.t.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(w.addr))
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	sentinel := ask(w.t, sentinelMAC, dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(net.IPv4(10, 9, 0, 99)))
	for _, p := range []*dhcpv4.DHCPv4{req, sentinel} {
		if _, err := conn.Write(p.ToBytes()); err != nil {
			w.t.Fatal(err)
		}
	}
	buf := make([]byte, 4096)
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	n, err := conn.Read(buf)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := dhcpv4.FromBytes(buf[:n])
	if err != nil {
		w.t.Fatal(err)
	}
	if r.TransactionID == sentinel.TransactionID {
		return nil
	}
	return r
}

const sentinelMAC = "dc:a6:32:ff:ff:ff"

func withSentinel(list ...dhcpd.Machine) []dhcpd.Machine {
	return append(list, dhcpd.Machine{ID: "sentinel", MAC: sentinelMAC, Address: addr("10.9.0.99")})
}

func serial(n int, s string) dhcpd.Machine {
	m := machine(n)
	m.Serial = s
	return m
}

// options are all options of an answer, by their number.
func options(p *dhcpv4.DHCPv4) map[uint8]string {
	m := make(map[uint8]string)
	for code, v := range p.Options {
		m[code] = hex.EncodeToString(v)
	}
	return m
}

const (
	menu    = "0601030a0400505845091400001152617370626572727920506920426f6f74ff"
	menuPi3 = "0601030a0400505845091700001452617370626572727920506920426f6f74202020ff"
)

func TestFirmwareIsToldWhereToBoot(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		id   []byte
		menu string
	}{
		"Pi 3B":  {idPi3(), menuPi3},
		"Pi 3B+": {idRepeated(t, "0a1b2c3d"), menu},
		"Pi 4":   {id4(t, "RPi4", mac(1), "0a1b2c3d"), menu},
		"Pi 5":   {id4(t, "RPi5", mac(1), "0a1b2c3d"), menu},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dhcpd.Full, withSentinel(serial(1, "0a1b2c3d"))...)
			want := map[uint8]string{
				1: "ffffff00", 3: "0a090001", 6: "0a0900020a090003", 43: tc.menu, 51: "00015180", 53: "02", 54: "0a090001",
				60: hex.EncodeToString([]byte("PXEClient")), 66: hex.EncodeToString([]byte("10.9.0.1")),
				97: "00" + hex.EncodeToString(tc.id),
			}
			// The same xid as all Pi 3s have.
			discover := ask(t, mac(1), dhcpv4.MessageTypeDiscover, firmware(tc.id), xid(0x26f30339))
			r := w.ask(discover)
			if r == nil {
				t.Fatal("no offer")
			}
			if d := cmp.Diff(want, options(r)); d != "" {
				t.Errorf("offer (-want +got):\n%s", d)
			}
			if r.YourIPAddr.String() != "10.9.0.10" || r.ServerIPAddr.String() != "10.9.0.1" || r.TransactionID != discover.TransactionID || r.ClientHWAddr.String() != mac(1) {
				t.Errorf("offer: yiaddr %v, siaddr %v, xid %v, chaddr %v", r.YourIPAddr, r.ServerIPAddr, r.TransactionID, r.ClientHWAddr)
			}
			if n := len(r.ToBytes()); n < 300 {
				t.Errorf("the offer has %d bytes, BOOTP wants 300", n)
			}

			// A REQUEST without option 60, as early Pi 4s send it.
			want[53] = "05"
			delete(want, 97) // it is not in the request either
			request := ask(t, mac(1), dhcpv4.MessageTypeRequest, xid(0x26f30339), option(50, 10, 9, 0, 10), option(54, 10, 9, 0, 1))
			r = w.ask(request)
			if r == nil {
				t.Fatal("no acknowledgement")
			}
			if d := cmp.Diff(want, options(r)); d != "" {
				t.Errorf("acknowledgement (-want +got):\n%s", d)
			}

			// The kernel: the same address, no boot options, its name.
			r = w.ask(ask(t, mac(1), dhcpv4.MessageTypeDiscover, option(55, 1, 3, 6, 12, 15, 17, 26, 40, 42)))
			if r == nil {
				t.Fatal("no offer to the kernel")
			}
			kernel := map[uint8]string{1: "ffffff00", 3: "0a090001", 6: "0a0900020a090003", 12: hex.EncodeToString([]byte("caddy-1")), 51: "00015180", 53: "02", 54: "0a090001"}
			if d := cmp.Diff(kernel, options(r)); d != "" {
				t.Errorf("offer to the kernel (-want +got):\n%s", d)
			}
			if r.YourIPAddr.String() != "10.9.0.10" || !r.ServerIPAddr.IsUnspecified() {
				t.Errorf("offer to the kernel: %v, siaddr %v", r.YourIPAddr, r.ServerIPAddr)
			}
			r = w.ask(ask(t, mac(1), dhcpv4.MessageTypeRequest, option(50, 10, 9, 0, 10), option(54, 10, 9, 0, 1)))
			kernel[53] = "05"
			if r == nil {
				t.Fatal("no acknowledgement to the kernel")
			}
			if d := cmp.Diff(kernel, options(r)); d != "" {
				t.Errorf("acknowledgement to the kernel (-want +got):\n%s", d)
			}
			var kinds []string
			for _, e := range w.heard() {
				kinds = append(kinds, string(e.Kind)+map[bool]string{true: " boot"}[e.Boot])
			}
			if d := cmp.Diff([]string{"offered boot", "acked boot", "offered", "acked"}, kinds); d != "" {
				t.Errorf("events (-want +got):\n%s", d)
			}
		})
	}
}

func TestOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, dhcpd.Full, withSentinel(machine(1))...)
	const other = "00:16:3e:11:22:33"
	pc := firmware([]byte("0123456789abcdef"))
	for name, req := range map[string]*dhcpv4.DHCPv4{
		"laptop":             ask(t, other, dhcpv4.MessageTypeDiscover),
		"laptop's request":   ask(t, other, dhcpv4.MessageTypeRequest, option(50, 10, 9, 0, 10)),
		"PC that boots":      ask(t, other, dhcpv4.MessageTypeDiscover, pc),
		"unknown Pi's OS":    ask(t, mac(9), dhcpv4.MessageTypeDiscover),
		"BOOTP":              ask(t, mac(1), dhcpv4.MessageTypeNone, dhcpv4.WithoutOption(dhcpv4.OptionDHCPMessageType)),
		"release":            ask(t, mac(1), dhcpv4.MessageTypeRelease),
		"relay":              ask(t, mac(1), dhcpv4.MessageTypeDiscover, dhcpv4.WithRelay(net.IPv4(10, 8, 0, 1))),
		"a server's answer":  ask(t, mac(1), dhcpv4.MessageTypeOffer),
		"for another server": ask(t, mac(1), dhcpv4.MessageTypeRequest, option(50, 10, 9, 0, 66), option(54, 10, 9, 0, 66)),
	} {
		if r := w.ask(req); r != nil {
			t.Errorf("%s: answered %s", name, r.Summary())
		}
	}
	events := w.heard()
	if len(events) != 1 || events[0].Kind != dhcpd.Foreign || events[0].Server != addr("10.9.0.66") || events[0].ID != "node-1" || !strings.Contains(events[0].Detail, "switch that server off") {
		t.Errorf("events %+v", events)
	}
}

func TestAnotherAddressIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, dhcpd.Full, withSentinel(machine(1))...)
	for name, req := range map[string]*dhcpv4.DHCPv4{
		"after a reboot": ask(t, mac(1), dhcpv4.MessageTypeRequest, option(50, 192, 168, 1, 5)),
		"renewal":        ask(t, mac(1), dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(net.IPv4(10, 9, 0, 77))),
	} {
		if r := w.ask(req); r == nil || r.MessageType() != dhcpv4.MessageTypeNak || !r.IsBroadcast() {
			t.Errorf("%s: %v", name, r)
		}
	}
	renew := ask(t, mac(1), dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(net.IPv4(10, 9, 0, 10)))
	if r := w.ask(renew); r == nil || r.MessageType() != dhcpv4.MessageTypeAck || r.YourIPAddr.String() != "10.9.0.10" || r.ClientIPAddr.String() != "10.9.0.10" {
		t.Errorf("renewal of its own: %v", r)
	}
	w.heard()
	if r := w.ask(ask(t, mac(1), dhcpv4.MessageTypeDecline, option(50, 10, 9, 0, 10))); r != nil {
		t.Errorf("a decline is answered: %v", r)
	}
	if e := w.heard(); len(e) != 1 || e[0].Kind != dhcpd.InUse {
		t.Errorf("events %+v", e)
	}
}

func TestProxyNamesTheBootServerOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, dhcpd.Proxy, machine(1))
	id := id4(t, "RPi4", mac(1), "0a1b2c3d")
	// A proxy does not answer the sentinel: a second question of firmware does.
	r := w.ask(ask(t, mac(1), dhcpv4.MessageTypeDiscover, firmware(id)))
	want := map[uint8]string{43: menu, 53: "02", 54: "0a090001", 60: hex.EncodeToString([]byte("PXEClient")), 66: hex.EncodeToString([]byte("10.9.0.1")), 97: "00" + hex.EncodeToString(id)}
	if d := cmp.Diff(want, options(r)); d != "" || !r.YourIPAddr.IsUnspecified() || r.ServerIPAddr.String() != "10.9.0.1" {
		t.Errorf("offer of %v: %s", r.YourIPAddr, d)
	}
	if e := w.heard(); len(e) != 1 || e[0].ID != "node-1" || e[0].Address.IsValid() {
		t.Errorf("events %+v", e)
	}
	quiet := []*dhcpv4.DHCPv4{
		ask(t, mac(1), dhcpv4.MessageTypeDiscover), // the kernel
		ask(t, mac(1), dhcpv4.MessageTypeRequest, firmware(id), option(50, 10, 9, 0, 50), option(54, 10, 9, 0, 254)),
		ask(t, mac(1), dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(net.IPv4(10, 9, 0, 50))),
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(w.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	last := ask(t, mac(1), dhcpv4.MessageTypeDiscover, firmware(id))
	for _, p := range append(quiet, last) {
		if _, err := conn.Write(p.ToBytes()); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := dhcpv4.FromBytes(buf[:n]); err != nil || r.TransactionID != last.TransactionID {
		t.Errorf("first answer %v, %v", r, err)
	}
}

func TestWhoPretendsIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, dhcpd.Full, withSentinel(serial(1, "0a1b2c3d"), serial(2, "11223344"), machine(3))...)
	discover := func(n int, s string) *dhcpv4.DHCPv4 {
		t.Helper()
		return w.ask(ask(t, mac(n), dhcpv4.MessageTypeDiscover, firmware(id4(t, "RPi4", mac(n), s))))
	}
	check := func(what string, answered bool, r *dhcpv4.DHCPv4, kind dhcpd.Kind, id, other, text string) {
		t.Helper()
		if answered != (r != nil) {
			t.Errorf("%s: answer %v", what, r)
		}
		for _, e := range w.heard() {
			if e.Kind == kind && e.ID == id && e.Other == other && strings.Contains(e.Detail, text) {
				return
			}
		}
		t.Errorf("%s: no event %s of %s and %s with %q", what, kind, id, other, text)
	}
	check("right", true, discover(1, "0a1b2c3d"), dhcpd.Offered, "node-1", "", "")
	check("other byte order", true, discover(2, "44332211"), dhcpd.Offered, "node-2", "", "")
	check("serial of another node", false, discover(2, "0a1b2c3d"), dhcpd.Conflict, "node-2", "node-1", "the MAC of caddy-2 and the serial number of caddy-1")
	check("unknown MAC, serial of a node", false, discover(9, "0a1b2c3d"), dhcpd.Conflict, "", "node-1", "not registered asks with the serial number 0a1b2c3d of caddy-1")
	check("first of two", true, discover(3, "00000301"), dhcpd.Offered, "node-3", "", "")
	check("second of two", false, discover(3, "00000302"), dhcpd.Conflict, "node-3", "", "two Pis ask with the MAC "+mac(3)+", with the serial numbers 00000301 and 00000302")
	check("a twin of the right one", false, discover(1, "99999999"), dhcpd.Conflict, "node-1", "", "two Pis ask with the MAC")

	w = newWorld(t, dhcpd.Full, withSentinel(serial(1, "0a1b2c3d"))...)
	check("an exchanged Pi", true, discover(1, "99999999"), dhcpd.WrongSerial, "node-1", "", "correct driver_info.serial_number")
}

// A flood of made-up Pis takes no address of registered machines, and these
// are answered all the while.
func TestStarvation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, dhcpd.Full, withSentinel(machine(1))...)
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(w.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for i := range 20000 {
		m := net.HardwareAddr{0xdc, 0xa6, 0x32, 0x10, byte(i >> 8), byte(i)}
		p := ask(t, m.String(), dhcpv4.MessageTypeDiscover, firmware(id4(t, "RPi4", m.String(), "00000001")))
		if _, err := conn.Write(p.ToBytes()); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 { // a socket holds some 200; what comes on top is lost, the Pi's too
			r := w.ask(ask(t, mac(1), dhcpv4.MessageTypeDiscover, firmware(id4(t, "RPi4", mac(1), "0a1b2c3d"))))
			if r == nil || r.YourIPAddr.String() != "10.9.0.10" {
				t.Fatalf("after %d requests of strangers: %v", i, r)
			}
		}
	}
	full := 0
	for _, e := range w.heard() {
		if e.Kind == dhcpd.NoRoom {
			full++
		}
	}
	if full == 0 || full > 100 {
		t.Errorf("%d events say that there is no room for strangers", full)
	}
	want(t, w.table, 1, "10.9.0.10")
}
