package bus

import (
	"fmt"
	"strings"
)

// Root is the prefix of all topics of contract version 1.
const Root = "caddyshack/v1"

// ControllerStatusTopic carries the controller's "ready" or, as its will, "offline"; retained.
const ControllerStatusTopic = Root + "/controller/status"

// MaxSlots is the number of slots of the largest unit; slots count from 1.
const MaxSlots = 4

// Limits of names (contract, bus/testdata/README.md).
const (
	maxUnitID    = 23 // also the length every MQTT 3.1.1 broker takes as client id
	maxCommandID = 36
)

// Kind says what a topic of a unit carries.
type Kind string

// The last segment of a unit's or slot's topic.
const (
	KindStatus    Kind = "status"
	KindInfo      Kind = "info"
	KindTelemetry Kind = "telemetry"
	KindCommand   Kind = "cmd"
	KindAck       Kind = "ack"
	KindState     Kind = "state"
	KindEvent     Kind = "event"
)

var (
	unitKinds = map[Kind]bool{KindStatus: true, KindInfo: true, KindTelemetry: true, KindCommand: true, KindAck: true}
	slotKinds = map[Kind]bool{KindState: true, KindTelemetry: true, KindEvent: true, KindCommand: true, KindAck: true}
)

// Topic is the parsed name of a unit's or a slot's topic.
type Topic struct {
	Unit string
	Slot int // 0 = the unit itself
	Kind Kind
}

// String returns the topic as it is on the wire.
func (t Topic) String() string {
	if t.Slot == 0 {
		return Root + "/bpu/" + t.Unit + "/" + string(t.Kind)
	}
	return fmt.Sprintf("%s/bpu/%s/slot/%d/%s", Root, t.Unit, t.Slot, t.Kind)
}

// ParseTopic reads the topic of a unit or a slot.
func ParseTopic(s string) (Topic, error) {
	rest, ok := strings.CutPrefix(s, Root+"/bpu/")
	if !ok {
		return Topic{}, fmt.Errorf("topic %q: not one of a backplane unit", s)
	}
	parts := strings.Split(rest, "/")
	t := Topic{Unit: parts[0], Kind: Kind(parts[len(parts)-1])}
	if err := CheckUnitID(t.Unit); err != nil {
		return Topic{}, fmt.Errorf("topic %q: %w", s, err)
	}
	switch len(parts) {
	case 2:
		if unitKinds[t.Kind] {
			return t, nil
		}
	case 4:
		if n := parts[2]; parts[1] == "slot" && len(n) == 1 && n[0] >= '1' && n[0] <= '0'+MaxSlots && slotKinds[t.Kind] {
			t.Slot = int(n[0] - '0')
			return t, nil
		}
	}
	return Topic{}, fmt.Errorf("topic %q: unknown", s)
}

// CheckUnitID accepts 1 to 23 of a-z, 0-9 and '-'. A name outside this set
// could be a wildcard in a broker's access list.
func CheckUnitID(id string) error {
	if !plainName(id, maxUnitID) {
		return fmt.Errorf("unit id %q: want 1 to %d of a-z, 0-9 and -", id, maxUnitID)
	}
	return nil
}

// CheckCommandID accepts 1 to 36 of a-z, 0-9 and '-', so any UUID in lower case.
func CheckCommandID(id string) error {
	if !plainName(id, maxCommandID) {
		return fmt.Errorf("command id %q: want 1 to %d of a-z, 0-9 and -", id, maxCommandID)
	}
	return nil
}

func plainName(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
