package switches

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Wanted is what the ports of one switch shall be.
type Wanted struct {
	Ports map[string]PortConfig `json:"ports"`
	// RestIdle: all ports that are neither named nor protected shall be idle.
	// Otherwise they stay as they are.
	RestIdle bool `json:"rest_idle,omitempty"`
}

// Only is a wish for one port; all others stay as they are.
func Only(port string, c PortConfig) Wanted {
	return Wanted{Ports: map[string]PortConfig{port: c}}
}

// Plan is what has to be done so that a switch is what is wanted. First all of
// Narrow is done and confirmed: each port leaves what it shall not carry. Then
// Widen: each port joins what it lacks.
type Plan struct {
	Switch      string       `json:"switch"`
	Differences []Difference `json:"differences"`
	Narrow      []Change     `json:"narrow"`
	Widen       []Change     `json:"widen"`
	// Unfinished: what a change that was cut short has left has to be cleared away.
	Unfinished bool `json:"unfinished,omitempty"`
	// Warnings are things that are not refused and will surprise.
	Warnings []string `json:"warnings,omitempty"`
}

// Difference is a port that is not what is wanted.
type Difference struct {
	Port string    `json:"port"`
	Have PortState `json:"have"`
	Want PortState `json:"want"`
}

// Empty tells whether the switch is what is wanted.
func (p *Plan) Empty() bool { return len(p.Differences) == 0 && !p.Unfinished }

// Words says line by line, for people, what would be done.
func (p *Plan) Words() []string {
	var lines []string
	for _, d := range p.Differences {
		lines = append(lines, fmt.Sprintf("switch %s, port %s: %s", p.Switch, d.Port, d.words()))
	}
	if p.Unfinished {
		lines = append(lines, fmt.Sprintf("switch %s: a change was cut short, and is cleared away: until then frames may go by what was before, or not at all", p.Switch))
	}
	for _, w := range p.Warnings {
		lines = append(lines, "warning: "+w)
	}
	return lines
}

func (d *Difference) words() string {
	var parts []string
	leaves, joins := "", ""
	vlan := func(list *string, s string) {
		if *list != "" {
			*list += " and "
		}
		*list += s
	}
	if d.Have.Native != 0 && d.Have.Native != d.Want.Native {
		vlan(&leaves, fmt.Sprintf("VLAN %d untagged", d.Have.Native))
	}
	if gone := d.Have.Tagged.Minus(d.Want.Tagged); !gone.Empty() {
		vlan(&leaves, "VLAN "+gone.String()+" tagged")
	}
	if !d.Have.Stray.Empty() {
		vlan(&leaves, "VLAN "+d.Have.Stray.String()+" astray")
	}
	if d.Want.Native != 0 && d.Have.Native != d.Want.Native {
		vlan(&joins, fmt.Sprintf("VLAN %d untagged", d.Want.Native))
	}
	if more := d.Want.Tagged.Minus(d.Have.Tagged); !more.Empty() {
		vlan(&joins, "VLAN "+more.String()+" tagged")
	}
	if leaves != "" {
		parts = append(parts, "leaves "+leaves)
	}
	if joins != "" {
		parts = append(parts, "joins "+joins)
	} else if d.Want.Carries().Empty() {
		parts = append(parts, "carries nothing then")
	}
	switch {
	case d.Want.Isolated && !d.Have.Isolated:
		parts = append(parts, "becomes isolated")
	case !d.Want.Isolated && d.Have.Isolated:
		parts = append(parts, "is no longer isolated")
	}
	if d.Want.MTU != 0 && d.Want.MTU != d.Have.MTU {
		parts = append(parts, fmt.Sprintf("has MTU %d instead of %d", d.Want.MTU, d.Have.MTU))
	}
	return strings.Join(parts, ", ")
}

// same tells whether a port is what is wanted.
func (p PortState) same(want PortState) bool {
	if want.MTU == 0 {
		p.MTU = 0
	}
	if p.Carries().Empty() && want.Carries().Empty() {
		p.Isolated = want.Isolated // from what?
	}
	return p == want
}

// narrowed is what of have a port may keep on its way to want.
func narrowed(have, want PortState) PortState {
	n := PortState{Tagged: have.Tagged.And(want.Tagged), Isolated: have.Isolated || want.Isolated}
	if have.Native == want.Native {
		n.Native = have.Native
	}
	return n
}

// planFor compares the states of ports.
func planFor(id string, have, want map[string]PortState) Plan {
	p := Plan{Switch: id, Differences: []Difference{}, Narrow: []Change{}, Widen: []Change{}}
	for _, port := range slices.Sorted(maps.Keys(want)) {
		h, w := have[port], want[port]
		if h.same(w) {
			continue
		}
		p.Differences = append(p.Differences, Difference{port, h, w})
		n := narrowed(h, w)
		if !h.same(n) {
			p.Narrow = append(p.Narrow, Change{port, n})
		}
		if w.MTU == h.MTU {
			w.MTU = 0 // as it is
		}
		if n != w {
			p.Widen = append(p.Widen, Change{port, w})
		}
	}
	return p
}
