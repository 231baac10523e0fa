package switches

import (
	"context"
	"slices"
	"strconv"
	"strings"
)

// Backend speaks to one switch. It knows nothing of what may be done: Switch
// decides that, and never runs two calls of Read and Do at once.
//
// Errors are of kind Unavailable if the switch does not answer, and say what
// to look at.
type Backend interface {
	// Describe tells what the switch is. It may be called at any time, often.
	Describe(ctx context.Context) (Description, error)
	// Read returns the VLAN state of all ports, as the switch itself says now.
	Read(ctx context.Context) (State, error)
	// Do carries out changes in their order and returns when they are in force
	// for frames. version is that of the State which they were made for; a
	// backend that can tell refuses with kind Conflict, and does nothing, if
	// something has changed since. After any other error some may be done and
	// others not. Without changes it only makes the version another, if the
	// switch counts them. What an earlier Do that was cut short has left is
	// cleared away first, or together with the changes.
	Do(ctx context.Context, version string, changes []Change) error
	// Close frees what the backend holds. The switch stays as it is.
	Close() error
}

// Watcher is implemented by a Backend that hears of changes by itself.
type Watcher interface {
	// Watch calls changed once when it begins to hear, and whenever the switch's
	// state may have changed, or the switch may have restarted, until ctx ends.
	// It may call it too often.
	Watch(ctx context.Context, changed func()) error
}

// Change makes one port exactly what To says; it has no Stray VLANs. With MTU 0
// the MTU stays.
type Change struct {
	Port string    `json:"port"`
	To   PortState `json:"to"`
}

// Description is what a switch is and can.
type Description struct {
	// Kind and Model in words, for people ("Open vSwitch", "3.1.0").
	Kind  string `json:"kind"`
	Model string `json:"model,omitempty"`
	Ports []Port `json:"ports"`

	Capabilities Capabilities `json:"capabilities"`
	Limits       Limits       `json:"limits"`
	// Notes are what people should know of this switch.
	Notes []string `json:"notes,omitempty"`
}

// Port looks a port up by its name.
func (d *Description) Port(name string) (Port, bool) {
	i := slices.IndexFunc(d.Ports, func(p Port) bool { return p.Name == name })
	if i < 0 {
		return Port{}, false
	}
	return d.Ports[i], true
}

// Port is a socket of a switch.
type Port struct {
	// Name is what local_link_connection.port_id says.
	Name string `json:"name"`
	// Speed in Mbit/s; 0 = not known.
	Speed int  `json:"speed_mbps,omitempty"`
	Link  bool `json:"link"`
	// Host ports belong to the machine that is the switch; they are never
	// touched, like uplinks.
	Host bool `json:"host,omitempty"`
}

// Capabilities says what a switch can, and what it does that one must know of.
type Capabilities struct {
	// PortIsolation: ports can be Isolated.
	PortIsolation bool `json:"port_isolation"`
	// MTU: the MTU of single ports can be set.
	MTU bool `json:"mtu"`
	// ForgetsAtPowerOff: after a restart the switch is what it was when it was made.
	ForgetsAtPowerOff bool `json:"forgets_at_power_off"`
	// LeaksAtPowerUp: between its power-up and the first write all ports can
	// reach all others.
	LeaksAtPowerUp bool `json:"leaks_at_power_up"`
}

// Limits are what a switch has not more of; 0 = no limit of its own.
type Limits struct {
	// NativeVLANs is how many different native VLANs there can be (chips with 32
	// entries for them, of which the first is kept empty, have 31).
	NativeVLANs int `json:"native_vlans,omitempty"`
	// VLANs is how many different VLANs there can be.
	VLANs int `json:"vlans,omitempty"`
	// MTU is the largest, in bytes without the Ethernet header.
	MTU int `json:"mtu,omitempty"`
}

// State is the VLAN state of a whole switch.
type State struct {
	Ports map[string]PortState `json:"ports"`
	// Boot changes when the switch has, or may have, restarted.
	Boot string `json:"boot,omitempty"`
	// Version changes with every change, if the switch counts them.
	Version string `json:"version,omitempty"`
	// Unfinished: a Do was cut short, or another controller's is under way. Until
	// the next Do frames may go by what was before, or not at all.
	Unfinished bool `json:"unfinished,omitempty"`
}

// PortState is what a port carries. The zero value carries nothing.
type PortState struct {
	// Native is the VLAN of frames without a tag, in both directions; 0 = none.
	Native int `json:"native_vlan,omitempty"`
	// Tagged VLANs are carried with tags.
	Tagged VLANSet `json:"tagged_vlans,omitzero"`
	// Stray VLANs are carried in ways that this package never sets: without tags
	// in one direction only, or with an id that no network can have.
	Stray VLANSet `json:"stray_vlans,omitzero"`
	// Isolated ports cannot send to each other.
	Isolated bool `json:"isolated,omitempty"`
	// MTU in bytes; 0 = not known, or as it is.
	MTU int `json:"mtu,omitempty"`
}

// Carries lists all VLANs that frames may enter or leave the port in.
func (p PortState) Carries() VLANSet {
	all := p.Tagged.Or(p.Stray)
	if p.Native != 0 {
		all.Add(p.Native)
	}
	return all
}

// String says in words what the port carries.
func (p PortState) String() string {
	var parts []string
	if p.Native != 0 {
		parts = append(parts, "VLAN "+strconv.Itoa(p.Native)+" untagged")
	}
	if !p.Tagged.Empty() {
		parts = append(parts, "VLAN "+p.Tagged.String()+" tagged")
	}
	if !p.Stray.Empty() {
		parts = append(parts, "VLAN "+p.Stray.String()+" astray")
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing")
	}
	if p.Isolated {
		parts = append(parts, "isolated")
	}
	if p.MTU != 0 {
		parts = append(parts, "MTU "+strconv.Itoa(p.MTU))
	}
	return strings.Join(parts, ", ")
}
