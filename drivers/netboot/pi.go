package netboot

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
	"caddyshack/pxe"
)

// Pi is what a Raspberry Pi has told of itself.
type Pi struct {
	MAC     string     `json:"mac,omitempty"`
	Serial  string     `json:"serial,omitempty"`
	Model   string     `json:"model,omitempty"` // pi3, pi3plus, pi4, pi5
	Address netip.Addr `json:"address"`
	// Asked tells whether it has asked for a file, Named whether by its serial
	// number.
	Asked bool `json:"asked,omitempty"`
	Named bool `json:"named,omitempty"`
	// AltSerial is Serial with its bytes in the other order, until it is Named.
	AltSerial string `json:"alt_serial,omitempty"`
	// Memory in MiB, 0 if it was not told.
	Memory int `json:"memory,omitempty"`
}

// known tells whether there is nothing more to wait for.
func (p *Pi) known() bool { return p.MAC != "" && p.Named && p.Model != "" }

// enough tells whether it can be told from others, and is about to boot. A Pi 3B
// tells its serial number only once it was given bootcode.bin.
func (p *Pi) enough() bool { return p.Serial != "" || p.MAC != "" && p.Asked }

// String describes it for people.
func (p Pi) String() string {
	var parts []string
	for _, f := range [][2]string{{"serial", p.Serial}, {"MAC", p.MAC}, {"model", p.Model}} {
		if f[1] != "" {
			parts = append(parts, f[0]+" "+f[1])
		}
	}
	if p.Address.IsValid() {
		parts = append(parts, "address "+p.Address.String())
	}
	if len(parts) == 0 {
		return "nothing is known"
	}
	return strings.Join(parts, ", ")
}

// fits tells whether a sighting is of this Pi, as far as both tell.
func (p *Pi) fits(g *pxe.Sighting) bool {
	if p.Serial != "" && g.Serial != "" {
		return p.Serial == g.Serial || p.AltSerial == g.Serial || g.AltSerial == p.Serial
	}
	if p.MAC != "" && g.MAC != "" {
		return p.MAC == g.MAC
	}
	return p.Address.IsValid() && p.Address == g.Address
}

// take adds what a sighting tells.
func (p *Pi) take(g *pxe.Sighting) {
	switch { // by TFTP it asks with its serial number as it is
	case g.Serial == "" || p.Named:
	case g.Kind == pxe.SeenTFTP:
		p.Serial, p.AltSerial, p.Named = g.Serial, "", true
	case p.Serial == "":
		p.Serial, p.AltSerial = g.Serial, g.AltSerial
	}
	p.MAC, p.Model, p.Memory = cmp.Or(p.MAC, g.MAC), cmp.Or(p.Model, g.Model), cmp.Or(p.Memory, memoryOf(g.Revision))
	p.Asked = p.Asked || g.Kind == pxe.SeenTFTP
	if !p.Address.IsValid() {
		p.Address = g.Address
	}
}

// whose finds the Pi that has asked since the slot has power, of all that were
// seen.
func (i *Inspect) whose(ctx context.Context, t *drivers.Task, s Slot, seen []pxe.Sighting, since time.Time, others []Known) (Pi, error) {
	var pis []Pi
	for n := range seen {
		g := &seen[n]
		if !g.Time.After(since) || nameless(g) && atHome(g.Address, seen, others) {
			continue
		}
		if owner := ownerOf(g, others); owner != nil {
			if owner.Powered {
				continue // it has its own slot
			}
			return Pi{}, i.moved(ctx, t, s, g, owner)
		}
		if g.Kind == pxe.SeenDHCP {
			continue // a system; it may be anybody's
		}
		at := -1
		for k := range pis {
			if pis[k].fits(g) {
				at = k
				break
			}
		}
		if at < 0 {
			pis, at = append(pis, Pi{}), len(pis)
		}
		pis[at].take(g)
	}
	switch {
	case len(pis) == 0:
		return Pi{}, nil
	case len(pis) > 1:
		return Pi{}, baremetal.Errorf(baremetal.Conflict, "two Pis that no node knows have asked while %s alone was switched on: %s; and %s. "+
			"Switch off the one that is powered from elsewhere, then inspect again", s.Name, pis[0], pis[1])
	}
	return pis[0], swapped(t, s, pis[0])
}

// nameless tells whether a sighting tells an address and nothing else of who it
// is: a Pi that asks for files without its prefix.
func nameless(g *pxe.Sighting) bool { return g.Serial == "" && g.MAC == "" && g.NodeID == "" }

// atHome tells whether a Pi that is known and has its own slot, with power, has
// asked from the address by its name.
func atHome(address netip.Addr, seen []pxe.Sighting, others []Known) bool {
	for n := range seen {
		g := &seen[n]
		if nameless(g) || g.Address != address {
			continue
		}
		if owner := ownerOf(g, others); owner != nil && owner.Powered {
			return true
		}
	}
	return false
}

func ownerOf(g *pxe.Sighting, others []Known) *Known {
	for i := range others {
		if others[i].is(g) {
			return &others[i]
		}
	}
	return nil
}

// moved tells of a Pi that is known in another slot, and takes that node out of
// service: its system must not run for somebody else.
func (i *Inspect) moved(ctx context.Context, t *drivers.Task, s Slot, g *pxe.Sighting, owner *Known) error {
	p := Pi{}
	p.take(g)
	reason := fmt.Sprintf("Its Pi (%s) was found in %s (node %s), while %s has no power: put it back, or delete this node", p, s.Name, cmp.Or(t.Node.Name, t.Node.UUID), owner.Slot)
	if err := i.Misplace(ctx, owner.UUID, reason); err != nil {
		return err
	}
	return baremetal.Errorf(baremetal.Conflict, "%s holds the Pi of node %s (%s), which belongs in %s: put it back; or, if it is to stay here, delete node %s and inspect again",
		s.Name, owner.Name, p, owner.Slot, owner.Name)
}

// swapped compares a Pi with the one that the node had.
func swapped(t *drivers.Task, s Slot, p Pi) error {
	had := t.Node.DriverInfo.Str("serial_number")
	if had == "" || p.Serial == "" || short(had) == p.Serial || short(had) == p.AltSerial {
		return nil
	}
	id := cmp.Or(t.Node.Name, t.Node.UUID)
	return baremetal.Errorf(baremetal.Conflict, "%s holds another Pi (%s) than before (serial %s). If it was exchanged on purpose: "+
		"`openstack baremetal node unset %s --driver-info serial_number`, delete the node's port, and inspect again", s.Name, p, short(had), id)
}
