package bus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"
)

// ErrUnanswerable marks a command that has no valid id: it is dropped, as
// there is nothing an answer could refer to. Other errors of a command decoder
// are answered with CodeBad.
var ErrUnanswerable = errors.New("no valid command id")

const maxDepth = 4

// object is one decoded JSON object whose fields are taken out one by one; the
// first error sticks.
type object struct {
	fields map[string]json.RawMessage
	err    error
}

// parse enforces the limits that hold for every JSON payload.
func parse(payload []byte) (*object, error) {
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("payload of %d bytes: at most %d are allowed", len(payload), MaxPayload)
	}
	if !utf8.Valid(payload) {
		return nil, errors.New("payload is not UTF-8")
	}
	if err := checkDepth(payload); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	o := &object{}
	if err := d.Decode(&o.fields); err != nil {
		return nil, fmt.Errorf("payload is not a JSON object: %w", err)
	}
	if o.fields == nil {
		return nil, errors.New("payload is null, not a JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("payload holds more than one JSON value")
	}
	return o, nil
}

func checkDepth(payload []byte) error {
	depth, quoted, escaped := 0, false, false
	for _, c := range payload {
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped = c == '\\'
			quoted = c != '"'
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("payload is nested more than %d deep", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

func (o *object) fail(key, want string) {
	if o.err == nil {
		o.err = fmt.Errorf("field %q: want %s, got %.40s", key, want, o.fields[key])
	}
}

func (o *object) has(key string) bool { _, ok := o.fields[key]; return ok }

func (o *object) number(key string, low, high int64) int64 {
	var n int64
	if raw, ok := o.fields[key]; !ok || string(raw) == "null" || json.Unmarshal(raw, &n) != nil || n < low || n > high {
		o.fail(key, fmt.Sprintf("an integer from %d to %d", low, high))
		return 0
	}
	return n
}

func (o *object) uint32(key string) uint32 { return uint32(o.number(key, 0, math.MaxUint32)) }

// optional numbers and texts may be missing, not wrong.
func (o *object) optional(key string, low, high int64) int64 {
	if !o.has(key) {
		return 0
	}
	return o.number(key, low, high)
}

func (o *object) text(key string) string {
	var s *string
	if json.Unmarshal(o.fields[key], &s) != nil || s == nil {
		o.fail(key, "a string")
		return ""
	}
	return *s
}

func (o *object) optionalText(key string) string {
	if !o.has(key) {
		return ""
	}
	return o.text(key)
}

func (o *object) flag(key string) bool {
	var b *bool
	if json.Unmarshal(o.fields[key], &b) != nil || b == nil {
		o.fail(key, "true or false")
		return false
	}
	return *b
}

func oneOf[T ~string](o *object, key string, allowed ...T) T {
	v := T(o.text(key))
	if o.err == nil && !slices.Contains(allowed, v) {
		o.fail(key, fmt.Sprintf("one of %q", allowed))
	}
	return v
}

// DecodeStatus reads a unit's status: Online or Offline.
func DecodeStatus(payload []byte) (Status, error) {
	return plain(payload, Online, Offline)
}

// DecodeControllerStatus reads the controller's status: Ready or Offline.
func DecodeControllerStatus(payload []byte) (Status, error) {
	return plain(payload, Ready, Offline)
}

func plain(payload []byte, allowed ...Status) (Status, error) {
	if s := Status(payload); slices.Contains(allowed, s) {
		return s, nil
	}
	return "", fmt.Errorf("status %.40q: want one of %q", payload, allowed)
}

// DecodeInfo reads a unit's info; another protocol version than 1 is an error.
func DecodeInfo(payload []byte) (Info, error) {
	o, err := parse(payload)
	if err != nil {
		return Info{}, err
	}
	i := Info{
		Firmware: o.optionalText("fw"), Hardware: o.optionalText("hw"),
		Slots: int(o.number("slots", 1, MaxSlots)), Proto: int(o.number("proto", 1, 1)), Boot: o.uint32("boot"),
		Reset: o.optionalText("reset"), IP: o.optionalText("ip"), MAC: o.optionalText("mac"),
	}
	return i, o.err
}

// DecodeTelemetry reads a unit's telemetry; only "up" is needed.
func DecodeTelemetry(payload []byte) (Telemetry, error) {
	o, err := parse(payload)
	if err != nil {
		return Telemetry{}, err
	}
	any32 := func(key string) int { return int(o.optional(key, math.MinInt32, math.MaxInt32)) }
	t := Telemetry{
		Up: o.uint32("up"), RSSI: any32("rssi"), Heap: any32("heap"),
		BusMV: any32("bus_mv"), LoopMS: any32("loop_ms"), Reconn: any32("reconn"),
	}
	return t, o.err
}

// DecodeState reads a slot's state.
func DecodeState(payload []byte) (State, error) {
	o, err := parse(payload)
	if err != nil {
		return State{}, err
	}
	s := State{
		Power: oneOf(o, "power", PowerEmpty, PowerOff, PowerStarting, PowerOn, PowerStopping, PowerFault),
		Want:  oneOf(o, "want", PowerOff, PowerOn),
		Type:  int(o.number("type", 0, 15)), AlwaysOn: o.flag("always_on"), Alive: o.flag("alive"), PGood: o.flag("pgood"),
		Why: Why(o.text("why")), Last: o.text("last"), Seq: o.uint32("seq"), Boot: o.uint32("boot"), Epoch: o.uint32("epoch"),
	}
	if o.has("led") {
		s.LED = oneOf(o, "led", LEDOff, LEDOn, LEDBlink)
	}
	return s, o.err
}

// DecodeSlotTelemetry reads a slot's current and voltage.
func DecodeSlotTelemetry(payload []byte) (SlotTelemetry, error) {
	o, err := parse(payload)
	if err != nil {
		return SlotTelemetry{}, err
	}
	t := SlotTelemetry{MA: int(o.number("ma", -100_000, 100_000)), MV: int(o.number("mv", -100_000, 100_000))}
	return t, o.err
}

// DecodeEvent reads a slot's event.
func DecodeEvent(payload []byte) (Event, error) {
	o, err := parse(payload)
	if err != nil {
		return Event{}, err
	}
	e := Event{
		Name: oneOf(o, "ev", EventInserted, EventRemoved, EventButton, EventOverload, EventHalted),
		Seq:  o.uint32("seq"),
	}
	return e, o.err
}

// DecodeAck reads the answer to a command; ok must agree with the code.
func DecodeAck(payload []byte) (Ack, error) {
	o, err := parse(payload)
	if err != nil {
		return Ack{}, err
	}
	a := Ack{ID: o.text("id"), OK: o.flag("ok"), Code: oneOf(o, "code",
		CodeDone, CodeAccepted, CodeDup, CodeBusy, CodeEmpty, CodeBad, CodeFault, CodeStale, CodeExpired, CodeAlwaysOn)}
	if o.err == nil {
		o.err = CheckCommandID(a.ID)
	}
	if o.err == nil && a.OK != a.Code.OK() {
		o.err = fmt.Errorf("ack says ok=%t and code %q, which contradict each other", a.OK, a.Code)
	}
	return a, o.err
}

// DecodeSlotCommand reads a command to a slot. The error wraps ErrUnanswerable
// if the command must be dropped; otherwise the ID is valid even with an error.
func DecodeSlotCommand(payload []byte) (SlotCommand, error) {
	o, id, err := parseCommand(payload)
	if err != nil {
		return SlotCommand{}, err
	}
	c := SlotCommand{
		ID: id, Op: oneOf(o, "op", OpOn, OpOff, OpShutdown, OpCycle, OpReset, OpIdentify, OpLED),
		Epoch: o.uint32("epoch"), Boot: o.uint32("boot"), Exp: o.uint32("exp"), WaitS: int(o.optional("wait_s", 1, 600)),
	}
	if c.Op == OpLED {
		c.LED = oneOf(o, "led", LEDOff, LEDOn, LEDBlink)
	}
	return c, o.err
}

// DecodeUnitCommand reads a command to a unit; errors as in DecodeSlotCommand.
func DecodeUnitCommand(payload []byte) (UnitCommand, error) {
	o, id, err := parseCommand(payload)
	if err != nil {
		return UnitCommand{}, err
	}
	c := UnitCommand{ID: id, Op: oneOf(o, "op", OpReboot, OpOTA, OpConfig, OpResync), Boot: o.uint32("boot"), Exp: o.uint32("exp")}
	switch c.Op {
	case OpConfig:
		if o.has("policy") {
			c.Config.Policy = new(oneOf(o, "policy", PolicyOff, PolicyLast, PolicyOn))
		}
		for _, f := range []struct {
			key string
			max int64
			to  **int
		}{{"hold_s", 3600, &c.Config.HoldS}, {"stagger_ms", 60_000, &c.Config.StaggerMS}, {"index", 63, &c.Config.Index}} {
			if o.has(f.key) {
				*f.to = new(int(o.number(f.key, 0, f.max)))
			}
		}
	case OpOTA:
		c.URL, c.SHA256 = o.text("url"), o.text("sha256")
		if o.err == nil && !isDigest(c.SHA256) {
			o.fail("sha256", "64 hex digits")
		}
	}
	return c, o.err
}

func parseCommand(payload []byte) (*object, string, error) {
	o, err := parse(payload)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrUnanswerable, err)
	}
	id := o.text("id")
	if o.err == nil {
		o.err = CheckCommandID(id)
	}
	if o.err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrUnanswerable, o.err)
	}
	return o, id, nil
}

func isDigest(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i] | 0x20; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
