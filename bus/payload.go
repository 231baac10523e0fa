package bus

// MaxPayload is the longest payload of the contract in bytes.
const MaxPayload = 448

// Status is the plain text on a status topic.
type Status string

// Status values: of a unit, and of the controller.
const (
	Online  Status = "online"
	Offline Status = "offline"
	Ready   Status = "ready"
)

// Info says what a unit is; retained.
type Info struct {
	Firmware string `json:"fw"`
	Hardware string `json:"hw"`
	Slots    int    `json:"slots"`
	Proto    int    `json:"proto"`
	Boot     uint32 `json:"boot"`  // grows with each start of the unit
	Reset    string `json:"reset"` // why it started: power, soft, watchdog, …
	IP       string `json:"ip"`
	MAC      string `json:"mac"`
}

// Telemetry of a unit, each 30 s.
type Telemetry struct {
	Up     uint32 `json:"up"`     // uptime in seconds
	RSSI   int    `json:"rssi"`   // dBm
	Heap   int    `json:"heap"`   // free bytes
	BusMV  int    `json:"bus_mv"` // 5 V rail in millivolts
	LoopMS int    `json:"loop_ms"`
	Reconn int    `json:"reconn"` // connections since start, less one
}

// Power is the state of a slot's power as it was read back.
type Power string

// Power states of a slot.
const (
	PowerEmpty    Power = "empty"
	PowerOff      Power = "off"
	PowerStarting Power = "starting"
	PowerOn       Power = "on"
	PowerStopping Power = "stopping"
	PowerFault    Power = "fault"
)

// Why says what led to a slot's state.
type Why string

// Causes of a slot's state. A unit may send others.
const (
	WhyBoot     Why = "boot"
	WhyCommand  Why = "command"
	WhyPolicy   Why = "policy"
	WhyHold     Why = "hold"
	WhyButton   Why = "button"
	WhyInserted Why = "inserted"
	WhyRemoved  Why = "removed"
	WhyHalted   Why = "halted"
	WhyForced   Why = "forced"
	WhyOverload Why = "overload"
	WhyBackfed  Why = "backfed"
	WhyNoPower  Why = "no_power"
	WhyStuckOn  Why = "stuck_on"
)

// LED is what a slot's light shows.
type LED string

// States of a slot's light.
const (
	LEDOff   LED = "off"
	LEDOn    LED = "on"
	LEDBlink LED = "blink"
)

// Type codes of what sits in a slot (TYPE0..3); 7 to 14 are reserved.
const (
	TypeEmpty  = 0
	TypePi     = 1
	TypePi5    = 2
	TypeOdroid = 3
	TypeSwitch = 4
	TypeRouter = 5
	TypeOther  = 6
	TypeAbsent = 15
)

// State of a slot; retained.
type State struct {
	Power    Power  `json:"power"`
	Want     Power  `json:"want"` // on or off: what was asked
	Type     int    `json:"type"`
	AlwaysOn bool   `json:"always_on"`
	Alive    bool   `json:"alive"` // the caddy says that it runs
	PGood    bool   `json:"pgood"` // 5 V behind the switch, read back
	Why      Why    `json:"why"`
	Last     string `json:"last"`  // id of the last command taken
	Seq      uint32 `json:"seq"`   // grows with each change since boot
	Boot     uint32 `json:"boot"`  // as in Info
	Epoch    uint32 `json:"epoch"` // highest seen since boot
	LED      LED    `json:"led,omitempty"`
}

// SlotTelemetry is sent each 5 s while a slot is on.
type SlotTelemetry struct {
	MA int `json:"ma"`
	MV int `json:"mv"`
}

// EventName is what happened to a slot.
type EventName string

// Events of a slot.
const (
	EventInserted EventName = "inserted"
	EventRemoved  EventName = "removed"
	EventButton   EventName = "button"
	EventOverload EventName = "overload"
	EventHalted   EventName = "halted"
)

// Event of a slot; never retained.
type Event struct {
	Name EventName `json:"ev"`
	Seq  uint32    `json:"seq"`
}

// Op is what a command asks for.
type Op string

// Commands to a slot.
const (
	OpOn       Op = "on"
	OpOff      Op = "off"      // hard
	OpShutdown Op = "shutdown" // graceful, then hard
	OpCycle    Op = "cycle"
	OpReset    Op = "reset"
	OpIdentify Op = "identify"
	OpLED      Op = "led"
)

// Commands to a unit.
const (
	OpReboot Op = "reboot"
	OpOTA    Op = "ota"
	OpConfig Op = "config"
	OpResync Op = "resync"
)

// SlotCommand asks a slot for something; never retained.
type SlotCommand struct {
	ID    string
	Op    Op
	Epoch uint32 // of the sender's claim; a lower one than seen before is refused
	Boot  uint32 // the life of the unit it is meant for
	Exp   uint32 // the unit's uptime in seconds after which it is refused
	WaitS int    // shutdown, identify: seconds; 0 = the unit's default
	LED   LED    // led only
}

// UnitCommand asks a unit for something; never retained.
type UnitCommand struct {
	ID     string
	Op     Op
	Boot   uint32
	Exp    uint32
	Config UnitConfig // config only
	URL    string     // ota only
	SHA256 string     // ota only, hex
}

// Policy says what a slot does after a power loss.
type Policy string

// Policies.
const (
	PolicyOff  Policy = "off"
	PolicyLast Policy = "last"
	PolicyOn   Policy = "on"
)

// UnitConfig is what a unit can be told to keep; nil leaves a setting alone.
type UnitConfig struct {
	Policy    *Policy `json:"policy,omitempty"`
	HoldS     *int    `json:"hold_s,omitempty"`     // how long to wait for the controller after a power loss
	StaggerMS *int    `json:"stagger_ms,omitempty"` // between two slots of the chassis switching on
	Index     *int    `json:"index,omitempty"`      // of the unit in the chassis, from 0
}

// Code is a unit's answer to a command.
type Code string

// Answers. Done, Accepted and Dup mean that the command was taken.
const (
	CodeDone     Code = "done"
	CodeAccepted Code = "accepted"
	CodeDup      Code = "dup"
	CodeBusy     Code = "busy"
	CodeEmpty    Code = "empty"
	CodeBad      Code = "bad"
	CodeFault    Code = "fault"
	CodeStale    Code = "stale"
	CodeExpired  Code = "expired"
	CodeAlwaysOn Code = "always_on"
)

// OK tells whether the command was taken.
func (c Code) OK() bool { return c == CodeDone || c == CodeAccepted || c == CodeDup }

// Ack answers one command; never retained.
type Ack struct {
	ID   string `json:"id"`
	OK   bool   `json:"ok"`
	Code Code   `json:"code"`
}
