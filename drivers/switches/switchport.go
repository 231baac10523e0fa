package switches

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"caddyshack/baremetal"
)

// Mode is how a port carries VLANs.
type Mode string

const (
	// ModeAccess is one VLAN, without tags.
	ModeAccess Mode = "access"
	// ModeTrunk is tagged VLANs; frames without a tag belong to the native VLAN, if there is one.
	ModeTrunk Mode = "trunk"
	// ModeHybrid is a trunk that must have a native VLAN.
	ModeHybrid Mode = "hybrid"
	// ModeIdle is where a port rests that nobody uses: the switch's idle VLAN,
	// isolated where the switch can, or no VLAN at all if it has no idle VLAN.
	// People cannot ask for it; see Idle.
	ModeIdle Mode = "idle"
)

// MaxMTU is the largest MTU that can be asked for, in bytes without the
// Ethernet header.
const MaxMTU = 9216

// PortConfig is what a port of a switch shall be, in the shape of a port's
// extra.switchport.
type PortConfig struct {
	Mode Mode `json:"mode"`
	// NativeVLAN is the VLAN of frames without a tag; 0 = none, such frames are dropped.
	NativeVLAN int `json:"native_vlan,omitempty"`
	// AllowedVLANs are carried with tags.
	AllowedVLANs VLANSet `json:"allowed_vlans,omitzero"`
	// MTU in bytes without the Ethernet header; 0 = as it is.
	MTU int `json:"mtu,omitempty"`
	// Isolated ports cannot send to each other, only to ports that are not, in
	// any VLAN. Only for switches with the capability.
	Isolated bool `json:"isolated,omitempty"`
}

// Access is a port in one VLAN, without tags.
func Access(vlan int) PortConfig { return PortConfig{Mode: ModeAccess, NativeVLAN: vlan} }

// Idle is a port that nobody uses.
func Idle() PortConfig { return PortConfig{Mode: ModeIdle} }

// ParseSwitchport reads extra.switchport, strictly: an unknown key is refused.
// The error is of kind Invalid and says what to write.
func ParseSwitchport(text []byte) (PortConfig, error) {
	var in struct {
		PortConfig
		LAG *string `json:"lag_name"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		var own *baremetal.Error
		if errors.As(err, &own) {
			return PortConfig{}, own
		}
		return PortConfig{}, baremetal.Errorf(baremetal.Invalid,
			`switchport: %v; write it like {"mode": "trunk", "native_vlan": 10, "allowed_vlans": [20, 21], "mtu": 1500}`, err)
	}
	if in.LAG != nil {
		return PortConfig{}, baremetal.Errorf(baremetal.Invalid, "switchport: lag_name is not supported: leave it out, and use single ports")
	}
	return in.PortConfig, in.Check()
}

// ParseNetwork reads the short form that driver_info and the configuration use
// for networks: "access/native_vlan=100", "trunk/native_vlan=1/allowed_vlans=10,20-30".
// The error is of kind Invalid.
func ParseNetwork(text string) (PortConfig, error) {
	refuse := func(why string) (PortConfig, error) {
		return PortConfig{}, baremetal.Errorf(baremetal.Invalid,
			"network %.80q: %s; write it like \"access/native_vlan=100\" or \"trunk/native_vlan=1/allowed_vlans=10,20-30\"", text, why)
	}
	parts := strings.Split(text, "/")
	c := PortConfig{Mode: Mode(parts[0])}
	var seen []string
	for _, part := range parts[1:] {
		key, value, ok := strings.Cut(part, "=")
		if !ok || slices.Contains(seen, key) {
			return refuse("each part after the mode is KEY=VALUE, once")
		}
		seen = append(seen, key)
		var err error
		switch key {
		case "native_vlan":
			c.NativeVLAN, err = parseVLAN(value)
		case "allowed_vlans":
			c.AllowedVLANs, err = ParseVLANs(value)
		case "mtu":
			if c.MTU, err = strconv.Atoi(value); err != nil {
				err = errors.New("mtu is a number of bytes")
			}
		default:
			err = errors.New("the keys are native_vlan, allowed_vlans and mtu")
		}
		if err != nil {
			return refuse(err.Error())
		}
	}
	if err := c.Check(); err != nil {
		return refuse(err.Error())
	}
	return c, nil
}

// String writes the short form.
func (c PortConfig) String() string {
	s := string(c.Mode)
	if c.NativeVLAN != 0 {
		s += "/native_vlan=" + strconv.Itoa(c.NativeVLAN)
	}
	if !c.AllowedVLANs.Empty() {
		s += "/allowed_vlans=" + c.AllowedVLANs.String()
	}
	if c.MTU != 0 {
		s += "/mtu=" + strconv.Itoa(c.MTU)
	}
	return s
}

// Check refuses, with kind Invalid, what makes no sense on any switch, and
// ModeIdle, for which nobody can ask.
func (c PortConfig) Check() error {
	refuse := func(format string, args ...any) error {
		return baremetal.Errorf(baremetal.Invalid, "switchport: "+format, args...)
	}
	switch c.Mode {
	case ModeAccess:
		if c.NativeVLAN == 0 {
			return refuse("mode access needs native_vlan, the VLAN of the port")
		}
		if !c.AllowedVLANs.Empty() {
			return refuse("mode access has no allowed_vlans: leave them out, or use mode trunk")
		}
	case ModeTrunk, ModeHybrid:
		if c.AllowedVLANs.Empty() {
			return refuse("mode %s needs allowed_vlans, those that it carries with tags", c.Mode)
		}
		if c.Mode == ModeHybrid && c.NativeVLAN == 0 {
			return refuse("mode hybrid needs native_vlan, the VLAN of frames without a tag")
		}
	default:
		return refuse("mode %.40q is not known; use access, trunk or hybrid", string(c.Mode))
	}
	if c.NativeVLAN != 0 {
		if err := checkVLAN(c.NativeVLAN); err != nil {
			return refuse("native_vlan: %w", err)
		}
	}
	for _, id := range c.AllowedVLANs.IDs() {
		if err := checkVLAN(id); err != nil {
			return refuse("allowed_vlans: %w", err)
		}
	}
	if c.MTU != 0 && (c.MTU < 68 || c.MTU > MaxMTU) {
		return refuse("mtu %d cannot be: it goes from 68 to %d bytes", c.MTU, MaxMTU)
	}
	return nil
}

// VLANs lists what a port with this configuration carries.
func (c PortConfig) VLANs() VLANSet { return c.state().Carries() }

// state is what a switch says of a port with this configuration; ModeIdle must
// have been resolved.
func (c PortConfig) state() PortState {
	tagged := c.AllowedVLANs
	tagged.Remove(c.NativeVLAN)
	return PortState{Native: c.NativeVLAN, Tagged: tagged, MTU: c.MTU, Isolated: c.Isolated}
}
