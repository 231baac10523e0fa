package dhcpd_test

import (
	"encoding/binary"
	"encoding/hex"
	"net"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// ask makes a request as firmware or a system does.
func ask(tb testing.TB, mac string, kind dhcpv4.MessageType, mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	tb.Helper()
	hw, err := net.ParseMAC(mac)
	if err != nil {
		tb.Fatal(err)
	}
	p, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(hw), dhcpv4.WithMessageType(kind)}, mods...)...)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// firmware adds what a Pi's boot stage sends; id is option 97 without its type.
func firmware(id []byte) dhcpv4.Modifier {
	return func(p *dhcpv4.DHCPv4) {
		p.UpdateOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00000:UNDI:002001"))
		p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientSystemArchitectureType, []byte{0, 0}))
		p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientNetworkInterfaceIdentifier, []byte{1, 2, 1}))
		p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, append([]byte{0}, id...)))
	}
}

// id4 is option 97 of a Pi 4 or 5.
func id4(tb testing.TB, fourCC, mac, serial string) []byte {
	tb.Helper()
	hw, err := net.ParseMAC(mac)
	if err != nil {
		tb.Fatal(err)
	}
	id := append([]byte(fourCC), 0x14, 0x31, 0xc0, 0)
	return append(append(id, hw[2:]...), little(tb, serial)...)
}

// idRepeated is that of a Pi 3B+: the serial number four times.
func idRepeated(tb testing.TB, serial string) []byte {
	tb.Helper()
	one := string(little(tb, serial))
	return []byte(strings.Repeat(one, 4))
}

func idPi3() []byte { return []byte(strings.Repeat("\x44", 16)) }

func little(tb testing.TB, serial string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(serial)
	if err != nil {
		tb.Fatal(err)
	}
	return binary.LittleEndian.AppendUint32(nil, binary.BigEndian.Uint32(b))
}

func xid(n uint32) dhcpv4.Modifier {
	return func(p *dhcpv4.DHCPv4) { binary.BigEndian.PutUint32(p.TransactionID[:], n) }
}

func option(code uint8, v ...byte) dhcpv4.Modifier {
	return dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(code), v)
}
