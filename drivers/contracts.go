package drivers

import (
	"context"
	"time"

	"caddyshack/baremetal"
)

// Validator checks cheaply and without a claim that a node has all that an
// interface needs; the error is of kind Invalid and says what to set.
type Validator interface {
	Validate(ctx context.Context, t *Task) error
}

// Power switches a machine and reads its power back.
type Power interface {
	Validator
	// PowerState reads the state. A device that should answer and does not is an
	// error with a hint; PowerUnknown with nil error is for drivers that have
	// nothing to ask.
	PowerState(ctx context.Context, t *Task) (baremetal.PowerState, error)
	// SetPower returns when the target is confirmed by read-back, or with an
	// error that says what was waited for. Soft targets come only to drivers
	// with SoftPower. A timeout of 0 means the driver's own.
	SetPower(ctx context.Context, t *Task, target baremetal.PowerTarget, timeout time.Duration) error
}

// SoftPower is implemented by a Power that can ask the operating system first.
type SoftPower interface {
	// SupportsSoftPower tells whether this node's machine can be asked.
	SupportsSoftPower(t *Task) bool
}

// PolledPower is implemented by a Power whose device does not report by itself:
// the conductor reads it now and then.
type PolledPower interface {
	Polled(n *baremetal.Node) bool
}

// Keyed is implemented by a Power whose device reports by itself.
type Keyed interface {
	// HardwareKey is the name under which the device's observations of this
	// node arrive, "" if driver_info does not say yet.
	HardwareKey(n *baremetal.Node) string
}

// BootDevice is where a machine boots from.
type BootDevice struct {
	Device     string
	Persistent bool
}

// Management reads and sets how a machine starts.
type Management interface {
	Validator
	SupportedBootDevices(ctx context.Context, t *Task) ([]string, error)
	BootDevice(ctx context.Context, t *Task) (BootDevice, error)
	SetBootDevice(ctx context.Context, t *Task, d BootDevice) error
}

// NMI is implemented by a Management that can interrupt the machine.
type NMI interface {
	InjectNMI(ctx context.Context, t *Task) error
}

// BootModes is implemented by a Management that can set how a machine's
// firmware boots.
type BootModes interface {
	// SupportedBootModes are uefi, bios or both.
	SupportedBootModes(ctx context.Context, t *Task) ([]string, error)
	SetBootMode(ctx context.Context, t *Task, mode string) error
}

// SecureBoot is implemented by a Management that can switch secure boot.
type SecureBoot interface {
	SetSecureBoot(ctx context.Context, t *Task, on bool) error
}

// VirtualMedia is implemented by a Management that can show images to a machine
// as drives.
type VirtualMedia interface {
	AttachMedium(ctx context.Context, t *Task, m baremetal.VirtualMedium) error
	// DetachMedia takes the drives of these types away; one that is not there is no error.
	DetachMedia(ctx context.Context, t *Task, deviceTypes []string) error
}

// Health is implemented by a Management that knows how a machine fares: OK,
// Warning or Critical, "" if it is not known.
type Health interface {
	Health(ctx context.Context, t *Task) (string, error)
}

// RAID configures logical disks, by the steps of its Stepper.
type RAID interface {
	Validator
	// LogicalDiskProperties describes the keys of a logical disk.
	LogicalDiskProperties() map[string]string
	// ValidateRAID checks a wanted configuration; the error is of kind Invalid.
	ValidateRAID(ctx context.Context, t *Task, config baremetal.Object) error
}

// BIOS reads a machine's firmware settings; none known is an empty list.
type BIOS interface {
	BIOSSettings(ctx context.Context, t *Task) ([]baremetal.BIOSSetting, error)
}

// Firmware reads the versions of a machine's firmware; none known is an empty list.
type Firmware interface {
	FirmwareComponents(ctx context.Context, t *Task) ([]baremetal.FirmwareComponent, error)
}

// Indicator is a light of a component ("led@chassis" has Name led, Component chassis).
type Indicator struct {
	Name, Component string
	ReadOnly        bool
	States          []string // on, off, blinking
}

// Indicators is implemented by a Management with lights.
type Indicators interface {
	Indicators(ctx context.Context, t *Task) ([]Indicator, error)
	IndicatorState(ctx context.Context, t *Task, component, name string) (string, error)
	SetIndicatorState(ctx context.Context, t *Task, component, name, state string) error
}

// Stepper offers named steps to deploys, cleanings and services.
type Stepper interface {
	// Steps lists the steps of a kind with their default priorities (0 = only when asked for).
	Steps(ctx context.Context, t *Task, kind baremetal.StepKind) ([]baremetal.Step, error)
	// RunStep does one step, or goes on with it.
	RunStep(ctx context.Context, t *Task, kind baremetal.StepKind, step baremetal.Step) (Result, error)
}

// Boot says how a machine gets its kernel.
type Boot interface {
	Validator
}

// Deploy puts an operating system on a machine and takes it away again.
// Besides its own steps it may list the conductor's power steps (interface
// "power"; names PowerOffStep, PowerOnStep, RebootStep).
type Deploy interface {
	Validator
	Stepper
	// TearDown removes what the deploy steps made.
	TearDown(ctx context.Context, t *Task) (Result, error)
}

// The conductor's own steps of interface "power", which every driver may list.
const (
	PowerOffStep = baremetal.StepPowerOff
	PowerOnStep  = baremetal.StepPowerOn
	RebootStep   = baremetal.StepReboot
)

// ConfigDriver is implemented by a Deploy that hands instance_info.configdrive
// to the machine. With any other a config drive is refused.
type ConfigDriver interface {
	TakesConfigDrive() bool
}

// AgentUser is implemented by an interface whose work is done by an agent on
// the machine that looks its node up and sends heartbeats. For nodes without
// one, lookup finds nothing.
type AgentUser interface {
	ExpectsAgent(n *baremetal.Node) bool
}

// What the conductor writes into the journal of a step that waits with
// Callback when the agent reports.
const (
	// HeartbeatKey is set, to the time, by each heartbeat.
	HeartbeatKey = "heartbeat"
	// AgentStatusKey is the agent_status of a heartbeat (start, end, error), and
	// AgentMessageKey its text.
	AgentStatusKey  = "agent_status"
	AgentMessageKey = "agent_status_message"
	// FindingsKey is set once the findings of an inspection are kept.
	FindingsKey = "findings"
)

// RootHolder is implemented by a Deploy whose machine lives on what TearDown
// removes: the conductor switches it off first, and at the start of a deploy.
type RootHolder interface {
	HoldsRoot() bool
}

// ConsoleInfo is where a console can be reached.
type ConsoleInfo struct {
	Type string `json:"type"` // socat, shellinabox
	URL  string `json:"url"`
}

// Console gives people a machine's serial line.
type Console interface {
	Validator
	StartConsole(ctx context.Context, t *Task) error
	StopConsole(ctx context.Context, t *Task) error
	// Console answers for a console that was started.
	Console(ctx context.Context, t *Task) (ConsoleInfo, error)
}

// Network puts a machine's ports where they belong.
type Network interface {
	Validator
}

// VIF is a virtual interface on its way to or from a port or a port group; one of the two is set.
type VIF struct {
	ID        string
	Port      *baremetal.Port
	Portgroup *baremetal.Portgroup
}

// VIFs is implemented by a Network whose ports carry virtual interfaces. The
// conductor chooses the port and keeps the interface in its internal_info,
// after AttachVIF and before DetachVIF. A Network without it accepts any
// virtual interface and keeps none. In one that is a NetworkMover the two only
// check; the move follows once the interface is kept.
type VIFs interface {
	AttachVIF(ctx context.Context, t *Task, v VIF) error
	// DetachVIF may be called again for an interface that is detached already.
	DetachVIF(ctx context.Context, t *Task, v VIF) error
}

// Inspect finds out what a machine is.
type Inspect interface {
	Validator
	Inspect(ctx context.Context, t *Task) (Result, error)
}

// Rescue boots a machine into a helper system.
type Rescue interface {
	Validator
	Rescue(ctx context.Context, t *Task) (Result, error)
	Unrescue(ctx context.Context, t *Task) (Result, error)
}

// RescueHashKey is where instance_info keeps the hash of the rescue password
// (SHA-512 crypt) during a rescue; the password itself is never kept.
const RescueHashKey = "hashed_rescue_password"

// RescueAborter is implemented by a Rescue that must tidy up when the wait for
// the helper system is given up.
type RescueAborter interface {
	AbortRescue(ctx context.Context, t *Task) error
}

// VendorMethod describes a method outside the API's vocabulary.
type VendorMethod struct {
	HTTPMethods   []string `json:"http_methods"`
	Async         bool     `json:"async"`
	Attach        bool     `json:"attach"`
	Description   string   `json:"description"`
	ExclusiveLock bool     `json:"require_exclusive_lock"`
}

// Vendor offers methods outside the API's vocabulary.
type Vendor interface {
	VendorMethods(t *Task) map[string]VendorMethod
	// VendorCall runs a method under a claim; the value is encoded as JSON.
	VendorCall(ctx context.Context, t *Task, method string, httpMethod string, args map[string]any) (any, error)
}

// VendorChecker is implemented by a Vendor that can tell without a claim whether
// a call's arguments will do, before an asynchronous method is accepted.
type VendorChecker interface {
	CheckVendorCall(t *Task, method string, args map[string]any) error
}

// DriverVendor is implemented by a Vendor that also has methods of the hardware
// type itself, without a node.
type DriverVendor interface {
	DriverMethods() map[string]VendorMethod
	DriverCall(ctx context.Context, method string, httpMethod string, args map[string]any) (any, error)
}

// Unsupported stands for an interface that a machine does not have (no-console,
// no-rescue, …): its Validate always says so, and calling it is refused.
type Unsupported interface {
	Unsupported() string // what is missing, in words
}
