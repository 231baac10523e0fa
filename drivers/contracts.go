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
	PowerOffStep = "power_off"
	PowerOnStep  = "power_on"
	RebootStep   = "reboot"
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

// Unsupported stands for an interface that a machine does not have (no-console,
// no-rescue, …): its Validate always says so, and calling it is refused.
type Unsupported interface {
	Unsupported() string // what is missing, in words
}
