package dhcpd

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// FuzzRequest feeds the server whatever may come: it must not fail, must give
// a registered machine nothing but its own address, and answer nothing longer
// than fits a frame.
func FuzzRequest(f *testing.F) {
	const mac = "dc:a6:32:00:00:01"
	own := netip.MustParseAddr("10.9.0.10")
	hw := []byte{0xdc, 0xa6, 0x32, 0, 0, 1}
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeDecline, dhcpv4.MessageTypeRelease, dhcpv4.MessageTypeInform} {
		for _, id := range [][]byte{nil, bytes.Repeat([]byte{0x44}, 16), []byte("RPi4\x14\x31\xc0\x00\x32\x00\x00\x01\x3d\x2c\x1b\x0a"), []byte("\x01\x02\x03\x04\x01\x02\x03\x04\x01\x02\x03\x04\x01\x02\x03\x04")} {
			p, err := dhcpv4.New(dhcpv4.WithHwAddr(hw), dhcpv4.WithMessageType(kind), dhcpv4.WithGeneric(dhcpv4.OptionRequestedIPAddress, own.AsSlice()))
			if err != nil {
				f.Fatal(err)
			}
			if id != nil {
				p.UpdateOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00000:UNDI:002001"))
				p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, append([]byte{0}, id...)))
			}
			f.Add(p.ToBytes())
			p.ClientHWAddr[5] = 9 // a stranger
			f.Add(p.ToBytes())
		}
	}
	f.Add([]byte{1, 1, 6, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		table, err := OpenTable(TableConfig{Subnet: netip.MustParsePrefix("10.9.0.0/24"), First: own, Last: netip.MustParseAddr("10.9.0.20"), Guests: 2})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := table.Register(Machine{ID: "one", Name: "caddy-1", MAC: mac, Serial: "0a1b2c3d"}); err != nil {
			t.Fatal(err)
		}
		for _, mode := range []Mode{Full, Proxy} {
			s, err := newServer(Config{Mode: mode, Machines: table, Given: Given{Server: netip.MustParseAddr("10.9.0.1"), Subnet: netip.MustParsePrefix("10.9.0.0/24")}})
			if err != nil {
				t.Fatal(err)
			}
			req, err := decode(p)
			if err != nil {
				return
			}
			now := time.Now()
			for range 2 { // what it remembers counts, too
				r := s.decide(req, now)
				if r == nil {
					continue
				}
				check(t, s, table, r, own, mac, now)
			}
		}
	})
}

func check(t *testing.T, s *Server, table *Table, r *dhcpv4.DHCPv4, own netip.Addr, mac string, now time.Time) {
	t.Helper()
	const frame = 1500 - 28
	wire := r.ToBytes()
	if len(wire) > frame {
		t.Errorf("an answer of %d bytes", len(wire))
	}
	back, err := dhcpv4.FromBytes(wire)
	if err != nil || back.OpCode != dhcpv4.OpcodeBootReply {
		t.Fatalf("the answer cannot be read: %v", err)
	}
	a, given := address(r.YourIPAddr)
	guest, _ := table.GuestOf(r.ClientHWAddr.String(), now)
	switch {
	case given && s.cfg.Mode == Proxy:
		t.Errorf("a proxy gives %s", a)
	case given && r.ClientHWAddr.String() == mac && a != own:
		t.Errorf("the machine gets %s", a)
	case given && r.ClientHWAddr.String() != mac && (a == own || a != guest):
		t.Errorf("a stranger gets %s, its own is %s", a, guest)
	}
}
