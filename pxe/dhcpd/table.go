package dhcpd

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Machine is one that is registered: a network port of a node. It is plain data.
type Machine struct {
	// ID is the machine in the caller's terms (a node's uuid).
	ID string `json:"id"`
	// Name is what it is called; it may be empty.
	Name string `json:"name,omitempty"`
	// MAC is in lower case with colons.
	MAC string `json:"mac"`
	// Serial are the last 8 hex digits of its serial number, if they are known.
	Serial string `json:"serial,omitempty"`
	// Address is the one it is to have; the zero value means one of the range.
	Address netip.Addr `json:"address"`
}

// Reservation is a machine and the address that is its own. It is plain data.
type Reservation struct {
	Machine
	// Fixed tells whether the address was asked for, or is one of the range.
	Fixed bool `json:"fixed,omitempty"`
	// Since is when it was made.
	Since time.Time `json:"since"`
	// Gone is when the machine ceased to be registered; zero while it is. Its
	// address then waits until no other one is left in the range.
	Gone time.Time `json:"gone,omitzero"`
}

// Problem is a machine that cannot have an address, or not the one it should.
type Problem struct {
	Machine Machine `json:"machine"`
	// Text says what is wrong and what to do.
	Text string `json:"text"`
}

// TableConfig is what a [Table] is made of.
type TableConfig struct {
	// File keeps the reservations; "" means memory alone.
	File string
	// Subnet is the network that all addresses are in. Required.
	Subnet netip.Prefix
	// First and Last bound the range that addresses are taken from. The zero
	// values mean that there is no range: every machine must name its address.
	First, Last netip.Addr
	// Loose lets machines be registered without an address: another server
	// gives it.
	Loose bool
	// Exclude are addresses that are never given: the server's own, the router's.
	Exclude []netip.Addr
	// Guests is how many unknown Pis may have an address at a time, for
	// [GuestTime] each; 0 means none. What is left of the range is kept for
	// machines that are registered.
	Guests int
}

// GuestTime is how long an unknown Pi keeps its address after it asked last.
const GuestTime = 10 * time.Minute

// quarantine is how long an address that somebody else uses is not given.
const quarantine = time.Hour

// Table keeps whose address is whose. Its methods may be called from many
// goroutines. See [OpenTable].
type Table struct {
	cfg TableConfig

	mu     sync.Mutex
	byMAC  map[string]*Reservation // the gone ones too
	guests map[string]*guest
	taken  map[netip.Addr]time.Time // until when, by somebody unknown
}

type guest struct {
	address netip.Addr
	until   time.Time
}

// OpenTable reads the reservations that were kept.
func OpenTable(cfg TableConfig) (*Table, error) {
	cfg.Subnet = cfg.Subnet.Masked()
	if !cfg.Subnet.IsValid() || !cfg.Subnet.Addr().Is4() {
		return nil, errors.New("opening the table of addresses: it needs an IPv4 network")
	}
	if cfg.First.IsValid() != cfg.Last.IsValid() || cfg.First.IsValid() &&
		(!cfg.Subnet.Contains(cfg.First) || !cfg.Subnet.Contains(cfg.Last) || cfg.Last.Less(cfg.First)) {
		return nil, fmt.Errorf("opening the table of addresses: %s to %s is not a range in %s", cfg.First, cfg.Last, cfg.Subnet)
	}
	t := &Table{cfg: cfg, byMAC: map[string]*Reservation{}, guests: map[string]*guest{}, taken: map[netip.Addr]time.Time{}}
	list, err := readTable(cfg.File)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if err := checkMachine(&r.Machine); err != nil {
			return nil, fmt.Errorf("reading the addresses in %s: %w; restore the file from a backup, or move it away to give addresses anew", cfg.File, err)
		}
		t.byMAC[r.MAC] = &r
	}
	return t, nil
}

// checkMachine brings a machine into its canonical form.
func checkMachine(m *Machine) error {
	mac, ok := parseMAC(m.MAC)
	if !ok {
		return fmt.Errorf("machine %q: %q is not a MAC address", m.ID, m.MAC)
	}
	m.MAC = mac
	m.Serial = strings.ToLower(m.Serial)
	m.Address = m.Address.Unmap()
	if m.ID == "" {
		return fmt.Errorf("machine %s has no id", m.MAC)
	}
	return nil
}

// ByMAC finds the registered machine with a MAC.
func (t *Table) ByMAC(mac string) (Reservation, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return value(t.registered(mac))
}

func value(r *Reservation) (Reservation, bool) {
	if r == nil {
		return Reservation{}, false
	}
	return *r, true
}

func (t *Table) registered(mac string) *Reservation {
	if r := t.byMAC[mac]; r != nil && r.Gone.IsZero() {
		return r
	}
	return nil
}

// ByID finds the registered machine with an id, the first by MAC if it has
// several ports.
func (t *Table) ByID(id string) (Reservation, bool) {
	return t.find(func(r *Reservation) bool { return r.ID == id })
}

// BySerial finds the registered machine with a serial number.
func (t *Table) BySerial(serial string) (Reservation, bool) {
	return t.find(func(r *Reservation) bool { return serial != "" && r.Serial == serial })
}

func (t *Table) find(is func(*Reservation) bool) (Reservation, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found *Reservation
	for _, r := range t.byMAC {
		if r.Gone.IsZero() && is(r) && (found == nil || r.MAC < found.MAC) {
			found = r
		}
	}
	return value(found)
}

// List returns the reservations of registered machines by address.
func (t *Table) List() []Reservation {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []Reservation
	for _, r := range t.byMAC {
		if r.Gone.IsZero() {
			list = append(list, *r)
		}
	}
	slices.SortFunc(list, func(a, b Reservation) int { return a.Address.Compare(b.Address) })
	return list
}

// Guest gives an unknown Pi an address for a while, the same one each time it
// asks. It tells whether there was one left.
func (t *Table) Guest(mac string, now time.Time) (netip.Addr, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireGuests(now)
	g := t.guests[mac]
	if g == nil {
		if len(t.guests) >= t.cfg.Guests {
			return netip.Addr{}, false
		}
		a, ok := t.free(now)
		if !ok {
			return a, false
		}
		g = &guest{address: a}
		t.guests[mac] = g
	}
	g.until = now.Add(GuestTime)
	return g.address, true
}

// GuestOf returns the address that an unknown Pi was given.
func (t *Table) GuestOf(mac string, now time.Time) (netip.Addr, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireGuests(now)
	if g := t.guests[mac]; g != nil {
		return g.address, true
	}
	return netip.Addr{}, false
}

// Avoid says that somebody unknown uses an address: it is not given for an
// hour, unless it is reserved.
func (t *Table) Avoid(a netip.Addr, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.cfg.Subnet.Contains(a) {
		return
	}
	for mac, g := range t.guests {
		if g.address == a {
			delete(t.guests, mac)
		}
	}
	t.taken[a] = now.Add(quarantine)
}

func (t *Table) expireGuests(now time.Time) {
	for mac, g := range t.guests {
		if now.After(g.until) {
			delete(t.guests, mac)
		}
	}
}

// free finds an address that is nobody's, else the one that has been out of
// use longest.
func (t *Table) free(now time.Time) (netip.Addr, bool) {
	if !t.cfg.First.IsValid() {
		return netip.Addr{}, false
	}
	used := map[netip.Addr]*Reservation{}
	for _, r := range t.byMAC {
		if old := used[r.Address]; old == nil || !old.Gone.IsZero() {
			used[r.Address] = r
		}
	}
	var oldest *Reservation
	for a := t.cfg.First; a.Compare(t.cfg.Last) <= 0; a = a.Next() {
		if t.excluded(a, now) {
			continue
		}
		r := used[a]
		if r == nil {
			return a, true
		}
		if !r.Gone.IsZero() && (oldest == nil || r.Gone.Before(oldest.Gone)) {
			oldest = r
		}
	}
	if oldest == nil {
		return netip.Addr{}, false
	}
	delete(t.byMAC, oldest.MAC)
	return oldest.Address, true
}

func (t *Table) excluded(a netip.Addr, now time.Time) bool {
	if until, ok := t.taken[a]; ok {
		if now.Before(until) {
			return true
		}
		delete(t.taken, a)
	}
	if slices.Contains(t.cfg.Exclude, a) || a == t.cfg.Subnet.Addr() || !t.cfg.Subnet.Contains(a.Next()) {
		return true // also the network's own two addresses
	}
	for _, g := range t.guests {
		if g.address == a {
			return true
		}
	}
	return false
}
