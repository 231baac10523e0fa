// Package chassis composes simulated backplane units into a chassis of caddies.
package chassis

import (
	"fmt"
	"net"
	"net/netip"

	"caddyshack/bus"
)

// MaxCaddies is how many caddies fit: unit numbers are one byte of a caddy's
// address, and a unit's index has six bits in the contract.
const MaxCaddies = 16 * caddiesPerRack

// A rack is four units with 3, 3, 3 and 4 slots.
const caddiesPerRack = 13

var slotsPerUnit = [4]int{3, 3, 3, 4}

// SlotInfo says what sits where.
type SlotInfo struct {
	// Number of the caddy in the chassis, from 1; 0 = the slot is empty.
	Number int
	// Unit is the unit's id on the bus, UnitNumber its number from 1.
	Unit       string
	UnitNumber int
	// Slot in the unit, from 1.
	Slot int
	// Type code (bus.TypePi…).
	Type int
}

// Name is the caddy's name: caddy-1, caddy-2, …
func (s SlotInfo) Name() string { return fmt.Sprintf("caddy-%d", s.Number) }

// MAC is the caddy's Ethernet address, in the Raspberry Pi range.
func (s SlotInfo) MAC() net.HardwareAddr {
	return net.HardwareAddr{0xdc, 0xa6, 0x32, 0xca, byte(s.UnitNumber), byte(s.Slot)}
}

// Address is the loopback address from which the caddy speaks: 127.77.unit.slot.
func (s SlotInfo) Address() netip.Addr {
	return netip.AddrFrom4([4]byte{127, 77, byte(s.UnitNumber), byte(s.Slot)})
}

// UnitInfo is one unit of a layout.
type UnitInfo struct {
	ID     string
	Number int // from 1
	Slots  []SlotInfo
}

// Layout places caddies: units with 3, 3, 3 and 4 slots, filled in order. Of
// each full 13 the last two are a network switch and an Odroid HC1, all others are Pis.
func Layout(caddies int) ([]UnitInfo, error) {
	if caddies < 0 || caddies > MaxCaddies {
		return nil, fmt.Errorf("a simulated chassis of %d caddies: want 0 to %d", caddies, MaxCaddies)
	}
	var units []UnitInfo
	for number := 1; number <= caddies; {
		u := UnitInfo{Number: len(units) + 1}
		u.ID = fmt.Sprintf("bpu-%d", u.Number)
		for slot := 1; slot <= slotsPerUnit[len(units)%len(slotsPerUnit)]; slot++ {
			s := SlotInfo{Unit: u.ID, UnitNumber: u.Number, Slot: slot}
			if number <= caddies {
				s.Number, s.Type = number, typeOf(number)
			}
			u.Slots = append(u.Slots, s)
			number++
		}
		units = append(units, u)
	}
	return units, nil
}

func typeOf(number int) int {
	switch number % caddiesPerRack {
	case caddiesPerRack - 1:
		return bus.TypeSwitch
	case 0:
		return bus.TypeOdroid
	default:
		return bus.TypePi
	}
}
