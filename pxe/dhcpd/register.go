package dhcpd

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Register makes or renews the reservation of one machine. It fails if the
// machine cannot have an address; the error says what to do.
func (t *Table) Register(m Machine) (Reservation, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := checkMachine(&m); err != nil {
		return Reservation{}, fmt.Errorf("reserving an address: %w", err)
	}
	old := t.snapshot()
	r, problem := t.register(m, nil, time.Now())
	if problem == "" {
		return *r, t.keep(old)
	}
	return Reservation{}, fmt.Errorf("reserving an address for %s (%s): %s", cmp.Or(m.Name, m.ID), m.MAC, problem)
}

// Sync makes the registered machines exactly those of the list. Machines that
// cannot have what they should are returned as problems; all others are
// served. The error is that of keeping the table: nothing has changed then.
func (t *Table) Sync(list []Machine) ([]Problem, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, old := time.Now(), t.snapshot()
	var problems []Problem
	wanted := map[string]Machine{}
	for _, m := range list {
		if err := checkMachine(&m); err != nil {
			problems = append(problems, Problem{m, err.Error()})
			continue
		}
		if twin, twice := wanted[m.MAC]; twice {
			problems = append(problems, Problem{m, fmt.Sprintf("MAC %s is registered for %s, too: delete one of the two ports", m.MAC, cmp.Or(twin.Name, twin.ID))})
			continue
		}
		wanted[m.MAC] = m
	}
	// A Pi was exchanged for another: the node keeps its address.
	orphans := map[string]netip.Addr{}
	for mac, r := range t.byMAC {
		if _, stays := wanted[mac]; stays || !r.Gone.IsZero() {
			continue
		}
		if !r.Fixed {
			orphans[r.ID] = r.Address
		}
		if r.Gone = now.UTC().Truncate(time.Second); !t.inRange(r.Address) {
			delete(t.byMAC, mac) // nobody else would get it
		}
	}
	// Those with an address of their own choice first, so that it is not given
	// to another in the same turn.
	order := slices.SortedFunc(maps.Values(wanted), func(a, b Machine) int {
		if a.Address.IsValid() != b.Address.IsValid() {
			if a.Address.IsValid() {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.MAC, b.MAC))
	})
	for _, m := range order {
		if _, problem := t.register(m, orphans, now); problem != "" {
			problems = append(problems, Problem{m, problem})
		}
	}
	return problems, t.keep(old)
}

// register does so for one machine in canonical form. The problem is empty, or
// says why the machine has no reservation, or still the one before.
func (t *Table) register(m Machine, orphans map[string]netip.Addr, now time.Time) (*Reservation, string) {
	r := t.byMAC[m.MAC]
	wish, fixed := m.Address, m.Address.IsValid()
	switch {
	case fixed:
		if problem := t.fixable(m, now); problem != "" {
			if r != nil && r.Gone.IsZero() {
				r.ID, r.Name, r.Serial = m.ID, m.Name, m.Serial
			}
			return r, problem
		}
	case r != nil && (!r.Fixed || t.inRange(r.Address)) && (r.Gone.IsZero() || !t.usedByOther(r.Address, m.MAC)):
		wish = r.Address
	case orphans[m.ID].IsValid():
		wish = orphans[m.ID]
		delete(orphans, m.ID)
	case t.guests[m.MAC] != nil:
		wish = t.guests[m.MAC].address
	}
	if !wish.IsValid() && (t.cfg.First.IsValid() || !t.cfg.Loose) {
		delete(t.byMAC, m.MAC) // its old address may be the only one left
		var ok bool
		if wish, ok = t.free(now); !ok {
			if !t.cfg.First.IsValid() {
				return nil, "it names no address, and there is no range to take one from: set extra.ip_address of its port, or dhcp.range"
			}
			return nil, fmt.Sprintf("no address is left from %s to %s: enlarge dhcp.range, or delete nodes that are no more", t.cfg.First, t.cfg.Last)
		}
	}
	delete(t.guests, m.MAC)
	if r == nil || r.Address != wish {
		r = &Reservation{Since: now.UTC().Truncate(time.Second)}
	} else {
		c := *r // others may still look at the one before
		r = &c
	}
	r.Machine, r.Address, r.Fixed, r.Gone = m, wish, fixed, time.Time{}
	t.byMAC[m.MAC] = r
	return r, ""
}

// fixable says what keeps a machine from the address that it is to have.
func (t *Table) fixable(m Machine, now time.Time) string {
	switch {
	case !t.cfg.Subnet.Contains(m.Address):
		return fmt.Sprintf("its address %s is not in %s: correct extra.ip_address of its port, or take it away to get one of the range", m.Address, t.cfg.Subnet)
	case slices.Contains(t.cfg.Exclude, m.Address):
		return fmt.Sprintf("its address %s is that of this server or the router: correct extra.ip_address of its port", m.Address)
	}
	for _, r := range t.byMAC {
		if r.Gone.IsZero() && r.Address == m.Address && r.MAC != m.MAC {
			return fmt.Sprintf("its address %s is that of %s (%s): correct extra.ip_address of one of the two ports", m.Address, cmp.Or(r.Name, r.ID), r.MAC)
		}
	}
	for mac, g := range t.guests {
		if g.address == m.Address && mac != m.MAC && now.Before(g.until) {
			delete(t.guests, mac) // it gets another when it asks again
		}
	}
	return ""
}

func (t *Table) usedByOther(a netip.Addr, mac string) bool {
	for _, r := range t.byMAC {
		if r.Address == a && r.MAC != mac && r.Gone.IsZero() {
			return true
		}
	}
	for m, g := range t.guests {
		if g.address == a && m != mac {
			return true
		}
	}
	return false
}

func (t *Table) inRange(a netip.Addr) bool {
	return t.cfg.First.IsValid() && t.cfg.First.Compare(a) <= 0 && a.Compare(t.cfg.Last) <= 0
}
