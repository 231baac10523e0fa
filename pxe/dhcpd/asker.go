package dhcpd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// The models that can be told apart by what they send.
const (
	ModelPi3     = "pi3"
	ModelPi3Plus = "pi3plus"
	ModelPi4     = "pi4"
	ModelPi5     = "pi5"
)

// Asker is who sent a request, as the request tells it. It is plain data.
type Asker struct {
	MAC string
	// Boot tells whether it is firmware that wants to boot (option 60).
	Boot bool
	// Pi tells whether it is certainly a Raspberry Pi: option 97 has one of
	// the forms that Pis send. Other computers send a random uuid there.
	Pi bool
	// Model and Serial are empty if the request does not tell. A Pi 3B sends
	// the same option 97 whatever its serial number.
	Model  string
	Serial string
	// AltSerial is Serial with its bytes in the other order: the documentation
	// does not name the order, so a registered serial may match either.
	AltSerial string
	// Revision is the board revision of a Pi 4 or 5.
	Revision uint32
}

// vendorPrefix begins what a Pi sends in option 60, the same as any PC:
// PXEClient:Arch:00000:UNDI:002001.
const vendorPrefix = "PXEClient"

// Identify reads who asks. It accepts whatever the decoder does.
func Identify(req *dhcpv4.DHCPv4) Asker {
	a := Asker{MAC: strings.ToLower(req.ClientHWAddr.String())}
	a.Boot = strings.HasPrefix(string(req.Options.Get(dhcpv4.OptionClassIdentifier)), vendorPrefix)
	a.readMachineID(req.Options.Get(dhcpv4.OptionClientMachineIdentifier), req.ClientHWAddr)
	return a
}

// readMachineID reads option 97: a type of 0 and 16 bytes.
func (a *Asker) readMachineID(v []byte, mac []byte) {
	const length, fourCC = 17, "RPi"
	if len(v) != length || v[0] != 0 {
		return
	}
	id := v[1:]
	switch {
	case bytes.Equal(id, bytes.Repeat([]byte{0x44}, len(id))):
		a.Pi, a.Model = true, ModelPi3
	case bytes.HasPrefix(id, []byte(fourCC)) && len(mac) == 6:
		// FourCC, board revision, low bytes of the MAC (zero in early
		// firmware), serial number.
		low := id[8:12]
		if !bytes.Equal(low, mac[2:]) && !bytes.Equal(low, make([]byte, 4)) {
			return
		}
		models := map[byte]string{'4': ModelPi4, '5': ModelPi5}
		a.Pi, a.Model = true, models[id[3]]
		a.Revision = binary.LittleEndian.Uint32(id[4:8])
		a.setSerial(id[12:16])
	case isRepeated(id):
		// A Pi 3B+, a Pi 4 with early firmware or with DHCP_OPTION97=0. Only
		// the Pis up to the 3B+ have this range of MACs.
		a.Pi = true
		if bytes.HasPrefix(mac, []byte{0xb8, 0x27, 0xeb}) {
			a.Model = ModelPi3Plus
		}
		a.setSerial(id[:4])
	}
}

// isRepeated tells whether id is four times the same four bytes that could be
// a serial number.
func isRepeated(id []byte) bool {
	const word = 4
	for i := word; i < len(id); i += word {
		if !bytes.Equal(id[:word], id[i:i+word]) {
			return false
		}
	}
	first := id[0]
	return !bytes.Equal(id[:word], []byte{first, first, first, first})
}

func (a *Asker) setSerial(b []byte) {
	a.Serial = fmt.Sprintf("%08x", binary.LittleEndian.Uint32(b))
	a.AltSerial = fmt.Sprintf("%08x", binary.BigEndian.Uint32(b))
}

// is tells whether the asker may have a serial number: it has it, or did not
// tell.
func (a *Asker) is(serial string) bool {
	return serial == "" || a.Serial == "" || serial == a.Serial || serial == a.AltSerial
}
