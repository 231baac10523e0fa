package pxe

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// SightingKind says by what a machine was noticed.
type SightingKind string

// The kinds of sightings.
const (
	// SeenBootDHCP: the firmware of a Pi asked for an address.
	SeenBootDHCP SightingKind = "dhcp-boot"
	// SeenDHCP: a system (a kernel, a boot loader) asked for an address.
	SeenDHCP SightingKind = "dhcp"
	// SeenTFTP: a file was asked for.
	SeenTFTP SightingKind = "tftp"
)

// Sighting is a machine that was noticed on the network, known or not. It is
// plain data; what the packet did not tell is empty.
type Sighting struct {
	Kind SightingKind `json:"kind"`
	// Time is when it was noticed last, First when first, Count how often.
	Time  time.Time `json:"time"`
	First time.Time `json:"first"`
	Count int       `json:"count"`
	// MAC is in lower case with colons. For a TFTP request it comes from the
	// lease or the neighbour table, never from the request.
	MAC string `json:"mac,omitempty"`
	// Serial are the last 8 hex digits of the serial number, as the machine
	// claims them.
	Serial string `json:"serial,omitempty"`
	// AltSerial is what Serial would be with its bytes in the other order, if
	// the packet does not tell which is right: DHCP does not, TFTP does.
	AltSerial string `json:"alt_serial,omitempty"`
	// Model is "pi3", "pi3plus", "pi4" or "pi5", as far as its requests tell.
	Model string `json:"model,omitempty"`
	// Revision is the board's revision code; 0 if it is not told.
	Revision uint32 `json:"revision,omitempty"`
	// Address is what it was given, or where it asked from.
	Address netip.Addr `json:"address"`
	// NodeID is the node it is registered as; empty for a stranger.
	NodeID string `json:"node_id,omitempty"`
	// Name is the file that was asked for last.
	Name string `json:"name,omitempty"`
}

// sightingsKept bounds what is remembered: a flood of made-up addresses pushes
// out the oldest.
const sightingsKept = 1024

// sightingKey tells sightings apart; a repeated one is counted.
type sightingKey struct {
	kind        SightingKind
	mac, serial string
	address     netip.Addr
}

// Sightings remembers who was noticed lately. The zero value is ready for use.
// Its methods may be called from many goroutines.
type Sightings struct {
	mu   sync.Mutex
	seen map[sightingKey]Sighting
	subs map[chan Sighting]struct{}
}

// Record adds a sighting: one that differs in time, model and file alone from
// an earlier one is counted with it.
func (s *Sightings) Record(g Sighting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = make(map[sightingKey]Sighting)
	}
	k := sightingKey{g.Kind, g.MAC, g.Serial, g.Address}
	before, again := s.seen[k]
	if !again && len(s.seen) >= sightingsKept {
		s.forgetOldest()
	}
	g.First, g.Count = g.Time, 1
	if again {
		g.First, g.Count = before.First, before.Count+1
		g.Model, g.NodeID = cmp.Or(g.Model, before.Model), cmp.Or(g.NodeID, before.NodeID)
	}
	s.seen[k] = g
	for c := range s.subs {
		select {
		case c <- g:
		default: // it does not keep up, and finds all in List
		}
	}
}

func (s *Sightings) forgetOldest() {
	var oldest sightingKey
	var at time.Time
	for k, g := range s.seen {
		if at.IsZero() || g.Time.Before(at) {
			oldest, at = k, g.Time
		}
	}
	delete(s.seen, oldest)
}

// List returns what was noticed at or after a time, the latest last.
func (s *Sightings) List(since time.Time) []Sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Sighting, 0, len(s.seen))
	for _, g := range s.seen {
		if !g.Time.Before(since) {
			list = append(list, g)
		}
	}
	slices.SortFunc(list, func(a, b Sighting) int { return a.Time.Compare(b.Time) })
	return list
}

// Subscribe returns a channel on which all further sightings come, as they are
// then counted. A subscriber that does not keep up misses some. The channel is
// closed by stop.
func (s *Sightings) Subscribe(buffer int) (sightings <-chan Sighting, stop func()) {
	c := make(chan Sighting, max(buffer, 1))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subs == nil {
		s.subs = make(map[chan Sighting]struct{})
	}
	s.subs[c] = struct{}{}
	return c, sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.subs, c)
		close(c)
	})
}
