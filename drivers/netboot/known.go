package netboot

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"caddyshack/pxe"
)

// Known is a node, and what tells its Pi from others. It is plain data.
type Known struct {
	UUID string
	Name string
	// Slot is for people: slot 2 of unit bpu-1.
	Slot string
	// Serial is driver_info.serial_number, MACs and Addresses are of its ports.
	Serial    string
	MACs      []string
	Addresses []netip.Addr
	// Pi tells whether its slot holds a Raspberry Pi; Powered whether the slot
	// has power, and is true if that is not known.
	Pi, Powered bool
	// Inspecting is when its inspection by this interface began; zero = it is
	// not inspected.
	Inspecting time.Time
}

// Stranger tells whether nothing is known of the node's Pi.
func (k *Known) Stranger() bool { return k.Pi && k.Serial == "" && len(k.MACs) == 0 }

// is tells whether a sighting is of the node's Pi.
func (k *Known) is(g *pxe.Sighting) bool {
	switch {
	case g.Serial != "" && k.Serial != "":
		return short(g.Serial) == short(k.Serial) || g.AltSerial == short(k.Serial)
	case g.MAC != "" && len(k.MACs) > 0:
		return slices.Contains(k.MACs, g.MAC)
	case g.NodeID != "":
		return g.NodeID == k.UUID
	}
	return g.Address.IsValid() && slices.Contains(k.Addresses, g.Address.Unmap())
}

// short is the part of a serial number that a Pi asks with.
func short(serial string) string {
	serial = strings.ToLower(strings.TrimPrefix(serial, "0x"))
	return serial[max(0, len(serial)-8):]
}

func without(all []Known, uuid string) []Known {
	return slices.DeleteFunc(slices.Clone(all), func(k Known) bool { return k.UUID == uuid })
}

// inTurn returns the node that is to be inspected before another, nil if that
// one is first.
func inTurn(all []Known, uuid string) *Known {
	var first *Known
	for i := range all {
		k := &all[i]
		if k.Inspecting.IsZero() && k.UUID != uuid {
			continue
		}
		if first == nil || before(k, first) {
			first = k
		}
	}
	if first == nil || first.UUID == uuid {
		return nil
	}
	return first
}

func before(a, b *Known) bool {
	if !a.Inspecting.Equal(b.Inspecting) {
		return a.Inspecting.Before(b.Inspecting)
	}
	return a.UUID < b.UUID
}
