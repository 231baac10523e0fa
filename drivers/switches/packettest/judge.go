package packettest

import (
	"fmt"

	"caddyshack/drivers/switches"
)

// network is the VLAN that a frame is in once it has entered through a port;
// 0 = none: it must be dropped. sure is false for frames that switches may as
// well drop: those with a priority tag, and those tagged with the native VLAN.
func network(p switches.PortState, tags [2]uint16) (vlan int, sure bool) {
	outer := int(tags[0])
	switch {
	case tags[0] == noTag:
		return p.Native, true
	case outer == 0 || outer == p.Native:
		return p.Native, false
	case p.Tagged.Has(outer):
		return outer, tags[1] == noTag
	}
	return 0, true
}

// reaches tells whether frames of a VLAN that entered through port from may
// leave through port to.
func reaches(from, to switches.PortState, vlan int) bool {
	return vlan != 0 && from.Carries().Has(vlan) && to.Carries().Has(vlan) && (!from.Isolated || !to.Isolated)
}

// seenAs is the VLAN for which the machine behind a port takes a frame with these tags.
func seenAs(p switches.PortState, tags []uint16) int {
	if len(tags) > 0 && p.Tagged.Has(int(tags[0])) {
		return int(tags[0])
	}
	return p.Native // a tag that it does not know is not for it
}

// crossing says what is wrong with a frame's arrival, "" if nothing.
func crossing(m mark, from, to switches.PortState, tags []uint16) string {
	vlan, _ := network(from, m.Tags)
	if !reaches(from, to, vlan) {
		return fmt.Sprintf("it entered VLAN %d at a port with %s, and left at one with %s", vlan, from, to)
	}
	if as := seenAs(to, tags); as != vlan && !reaches(from, to, as) { // a trunk may send in either
		return fmt.Sprintf("it entered VLAN %d and is taken for one of VLAN %d there, with the tags %v", vlan, as, tags)
	}
	return ""
}
