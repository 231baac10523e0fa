// Package switches puts the ports of VLAN switches where they belong.
//
// A Backend speaks to one kind of switch and knows no policy. A Switch is one
// switch of the configuration: a Backend, the ports that are never touched, the
// VLANs that may be given, and a lock. It is what the rest of the program uses:
//
//	s, err := fleet.Switch(link.SwitchID)
//	err = s.Validate(link.PortID, want)                        // no I/O: for API requests
//	plan, err := s.Plan(ctx, switches.Only(link.PortID, want))  // in words; touches nothing
//	plan, err = s.Apply(ctx, switches.Only(link.PortID, want))  // confirmed by read-back
//	plan, err = s.Apply(ctx, switches.Only(link.PortID, switches.Idle()))
//
// What is promised: a request that cannot be is refused, with kind Invalid,
// before anything is touched; a port first leaves what it shall not carry, this
// is confirmed by read-back, and only then any port joins something new; no
// step gives a port a VLAN that neither its old nor its new state has; Apply
// returns without error only when the switch says what was wanted.
package switches
