package ovs

import (
	"encoding/json"
	"fmt"

	"caddyshack/drivers/switches"
)

// set is a column's value in RFC 7047's notation: a bare atom, or ["set", […]].
type set[T any] []T

// UnmarshalJSON reads both forms.
func (s *set[T]) UnmarshalJSON(b []byte) error {
	var one T
	if json.Unmarshal(b, &one) == nil {
		*s = set[T]{one}
		return nil
	}
	return tagged(b, "set", (*[]T)(s))
}

// MarshalJSON writes the long form.
func (s set[T]) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{"set", append([]T{}, s...)})
}

// first returns the only element of an optional column.
func (s set[T]) first() (v T) {
	if len(s) > 0 {
		v = s[0]
	}
	return v
}

// uuid is a reference to a row.
type uuid string

// UnmarshalJSON reads ["uuid", "…"].
func (u *uuid) UnmarshalJSON(b []byte) error { return tagged(b, "uuid", (*string)(u)) }

// table is a column that maps strings to strings: ["map", [[k, v], …]].
type table map[string]string

// UnmarshalJSON reads the notation.
func (t *table) UnmarshalJSON(b []byte) error {
	var pairs [][2]string
	if err := tagged(b, "map", &pairs); err != nil {
		return err
	}
	*t = table{}
	for _, p := range pairs {
		(*t)[p[0]] = p[1]
	}
	return nil
}

// MarshalJSON writes the notation.
func (t table) MarshalJSON() ([]byte, error) {
	pairs := [][2]string{}
	for k, v := range t {
		pairs = append(pairs, [2]string{k, v})
	}
	return json.Marshal([]any{"map", pairs})
}

// tagged reads [name, value].
func tagged(b []byte, name string, value any) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(b, &parts); err != nil {
		return err
	}
	if len(parts) != 2 || string(parts[0]) != `"`+name+`"` {
		return fmt.Errorf("%.60s is no %s", b, name)
	}
	return json.Unmarshal(parts[1], value)
}

// vlans are the columns of a Port that say what it carries.
type vlans struct {
	Mode      set[string] `json:"vlan_mode"`
	Tag       set[int]    `json:"tag"`
	Trunks    set[int]    `json:"trunks"`
	Protected bool        `json:"protected"`
}

func vlanColumns() []string { return []string{"vlan_mode", "tag", "trunks", "protected"} }

type portRow struct {
	vlans
	UUID       uuid      `json:"_uuid"`
	Name       string    `json:"name"`
	Interfaces set[uuid] `json:"interfaces"`
}

type interfaceRow struct {
	UUID  uuid        `json:"_uuid"`
	Type  string      `json:"type"`
	MTU   set[int]    `json:"mtu"`
	Link  set[string] `json:"link_state"`
	Speed set[int]    `json:"link_speed"` // bit/s
}

type bridgeRow struct {
	Ports       set[uuid]   `json:"ports"`
	ExternalIDs table       `json:"external_ids"`
	Controllers set[uuid]   `json:"controller"`
	FailMode    set[string] `json:"fail_mode"`
}

type rootRow struct {
	UUID        uuid        `json:"_uuid"`
	Version     set[string] `json:"ovs_version"`
	NextCfg     int         `json:"next_cfg"`
	OtherConfig table       `json:"other_config"`
}

// The values of vlan_mode.
const (
	modeAccess   = "access"
	modeTrunk    = "trunk"
	modeUntagged = "native-untagged"
	modeTagged   = "native-tagged"
)

// nowhere is the VLAN of ports that carry nothing.
const nowhereVLAN = 4095

// state reads the columns as ovs-vswitchd does.
func (v vlans) state() switches.PortState {
	if v.nowhere() {
		return switches.PortState{}
	}
	mode := v.Mode.first()
	if mode == "" {
		mode = modeTrunk
		if len(v.Tag) > 0 {
			mode = modeAccess
		}
	}
	s := switches.PortState{Isolated: v.Protected}
	tag := v.Tag.first() // 0 without one: what has no tag is in VLAN 0
	carried := switches.VLANs(v.Trunks...)
	if len(v.Trunks) == 0 {
		carried = switches.VLANRange(0, 4095)
	}
	switch mode {
	case modeTrunk:
	case modeUntagged, modeAccess:
		if mode == modeAccess {
			carried = switches.VLANSet{}
		}
		carried.Add(tag)
		if tag >= switches.FirstVLAN && tag <= switches.LastVLAN {
			s.Native = tag
			carried.Remove(tag)
		}
	case modeTagged:
		s.Stray.Add(tag)
	default: // dot1q-tunnel, and what later versions may have
		carried = switches.VLANSet{}
		s.Stray.Add(tag)
	}
	reserved := switches.VLANs(0, 4095)
	s.Tagged = carried.Minus(reserved).Minus(s.Stray)
	s.Stray = s.Stray.Or(carried.And(reserved))
	return s
}

// columns are the values that make a port what s says.
func columns(s switches.PortState) vlans {
	switch {
	case s.Carries().Empty():
		return vlans{Mode: set[string]{modeAccess}, Tag: set[int]{nowhereVLAN}, Protected: true}
	case s.Native == 0:
		return vlans{Mode: set[string]{modeTrunk}, Trunks: s.Tagged.IDs(), Protected: s.Isolated}
	case s.Tagged.Empty():
		return vlans{Mode: set[string]{modeAccess}, Tag: set[int]{s.Native}, Protected: s.Isolated}
	}
	return vlans{Mode: set[string]{modeUntagged}, Tag: set[int]{s.Native}, Trunks: s.Tagged.IDs(), Protected: s.Isolated}
}

// hasList tells whether ovs-vswitchd keeps a list of VLANs for the port.
func (v vlans) hasList() bool {
	mode := v.Mode.first()
	return mode == modeUntagged || mode == modeTagged || len(v.Trunks) > 0 && (mode == modeTrunk || mode == "" && len(v.Tag) == 0)
}

// nowhere tells whether the port carries nothing.
func (v vlans) nowhere() bool {
	return v.Mode.first() == modeAccess && v.Tag.first() == nowhereVLAN && v.Protected
}
