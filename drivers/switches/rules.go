package switches

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"caddyshack/baremetal"
)

// plan compares what the switch says with what is wanted, and refuses with kind
// Invalid what this switch cannot do, or what would join networks.
func (s *Switch) plan(d Description, have State, w Wanted) (Plan, error) {
	want, err := s.resolve(d, w)
	if err != nil {
		return Plan{}, err
	}
	after := maps.Clone(have.Ports)
	maps.Copy(after, want)
	if err := s.checkAfter(d, after, want); err != nil {
		return Plan{}, err
	}
	p := planFor(s.Name, have.Ports, want)
	p.Unfinished = have.Unfinished
	p.Warnings = s.warnings(d, after, want)
	return p, nil
}

// resolve turns wishes into states, port by port.
func (s *Switch) resolve(d Description, w Wanted) (map[string]PortState, error) {
	want := map[string]PortState{}
	for _, port := range slices.Sorted(maps.Keys(w.Ports)) {
		c := w.Ports[port]
		p, known := d.Port(port)
		switch {
		case !known:
			return nil, baremetal.Errorf(baremetal.Invalid, "switch %s has no port %q: correct port_id of local_link_connection; its ports are %s",
				s.Name, port, s.portNames(d))
		case p.Host:
			return nil, baremetal.Errorf(baremetal.Invalid, "switch %s, port %s: this is a port of the machine that is the switch, which is never touched: correct port_id of local_link_connection", s.Name, port)
		}
		if c.Mode == ModeIdle {
			want[port] = s.idle(d)
			continue
		}
		if err := s.canDo(d, port, c); err != nil {
			return nil, err
		}
		want[port] = c.state()
	}
	if w.RestIdle {
		for _, p := range d.Ports {
			if _, named := w.Ports[p.Name]; !named && !s.protected(p) {
				want[p.Name] = s.idle(d)
			}
		}
	}
	return want, nil
}

// idle is the state of an idle port. Idle machines have nothing to say to each other.
func (s *Switch) idle(d Description) PortState {
	return PortState{Native: s.IdleVLAN, Isolated: s.IdleVLAN != 0 && d.Capabilities.PortIsolation}
}

func (s *Switch) portNames(d Description) string {
	var names []string
	for _, p := range d.Ports {
		if !s.protected(p) {
			names = append(names, p.Name)
		}
	}
	return strings.Join(names, ", ")
}

func (s *Switch) canDo(d Description, port string, c PortConfig) error {
	refuse := func(format string, args ...any) error {
		return baremetal.Errorf(baremetal.Invalid, "switch %s, port %s: %s", s.Name, port, fmt.Sprintf(format, args...))
	}
	if c.Isolated && !d.Capabilities.PortIsolation {
		return refuse("this switch cannot isolate ports: give each node a native VLAN of its own, or use mode access")
	}
	if c.MTU != 0 && !d.Capabilities.MTU {
		return refuse("this switch cannot set the MTU of a port: leave mtu out")
	}
	if c.MTU != 0 && d.Limits.MTU != 0 && c.MTU > d.Limits.MTU {
		return refuse("mtu %d is more than the %d bytes that this switch can", c.MTU, d.Limits.MTU)
	}
	return nil
}

// checkAfter looks at the switch as it would be.
func (s *Switch) checkAfter(d Description, after, want map[string]PortState) error {
	if err := s.checkLimits(d, after, want); err != nil {
		return err
	}
	for _, port := range slices.Sorted(maps.Keys(want)) {
		w := want[port]
		for _, m := range s.Management {
			if native := after[m].Native; native != 0 && w.Carries().Has(native) {
				return baremetal.Errorf(baremetal.Invalid, "switch %s, port %s: VLAN %d is that of the management port %s, and is given to nobody: use another VLAN",
					s.Name, port, native, m)
			}
		}
		if w.Native == 0 {
			continue
		}
		for _, other := range slices.Sorted(maps.Keys(after)) {
			o := after[other]
			if other != port && o.Native == w.Native && (!o.Isolated || !w.Isolated) && (!o.Tagged.Empty() || !w.Tagged.Empty()) {
				return baremetal.Errorf(baremetal.Invalid, "switch %s: ports %s and %s would share the native VLAN %d, and one of them carries tagged VLANs: "+
					"a frame with two tags could get from one into those of the other; give the port with tags a native VLAN of its own, or isolate both",
					s.Name, port, other, w.Native)
			}
		}
	}
	return nil
}

// checkLimits counts the VLANs of the whole switch, if that can matter.
func (s *Switch) checkLimits(d Description, after, want map[string]PortState) error {
	var natives, all VLANSet
	for _, p := range after {
		if p.Native != 0 {
			natives.Add(p.Native)
		}
		all = all.Or(p.Carries())
	}
	if limit, n := d.Limits.NativeVLANs, natives.Len(); limit != 0 && n > limit && len(want) > 0 {
		return baremetal.Errorf(baremetal.Invalid, "switch %s can have %d different native VLANs, this would be %d: return ports to idle, or use tagged VLANs",
			s.Name, limit, n)
	}
	if limit, n := d.Limits.VLANs, all.Len(); limit != 0 && n > limit && len(want) > 0 {
		return baremetal.Errorf(baremetal.Invalid, "switch %s can have %d different VLANs, this would be %d: return ports to idle", s.Name, limit, n)
	}
	return nil
}

// protected ports are never touched.
func (s *Switch) protected(p Port) bool { return p.Host || s.Protected(p.Name) }

// warnings are about VLANs that lead nowhere, and ports that lead everywhere.
func (s *Switch) warnings(d Description, after, want map[string]PortState) []string {
	warnings := slices.Clone(d.Notes)
	var up, down VLANSet
	for _, p := range d.Ports {
		state := after[p.Name]
		if s.protected(p) && !slices.Contains(s.Management, p.Name) {
			up = up.Or(state.Carries())
		}
		if _, wished := want[p.Name]; !wished && !state.Stray.Empty() {
			warnings = append(warnings, fmt.Sprintf("port %s of switch %s carries VLAN %s astray: give it the VLANs that it needs and no others", p.Name, s.Name, state.Stray))
		}
	}
	for _, w := range want {
		down = down.Or(w.Carries())
	}
	down.Remove(s.IdleVLAN)
	if lost := down.Minus(up); !lost.Empty() {
		warnings = append(warnings, fmt.Sprintf("no uplink of switch %s carries VLAN %s: machines in it do not reach the controller until you add it to the uplink", s.Name, lost))
	}
	for _, p := range append(slices.Clone(s.Uplinks), s.Management...) {
		if _, known := d.Port(p); !known {
			warnings = append(warnings, fmt.Sprintf("switch %s has no port %q, which its configuration protects", s.Name, p))
		}
	}
	return warnings
}
