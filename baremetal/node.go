package baremetal

import "time"

// Node is one bare metal machine. Field names follow the API's.
type Node struct {
	ID   int64 // order of creation
	UUID string
	Name string

	Driver             string
	DriverInfo         Object
	DriverInternalInfo Object
	Properties         Object
	Extra              Object
	InstanceInfo       Object
	NetworkData        Object
	RAIDConfig         Object
	TargetRAIDConfig   Object

	InstanceUUID   string
	InstanceName   string
	ChassisUUID    string
	AllocationUUID string
	ResourceClass  string
	Traits         Strings
	ConductorGroup string
	Owner          string
	Lessee         string
	Shard          string
	ParentNode     string
	Description    string

	PowerState           PowerState
	TargetPowerState     PowerState
	ProvisionState       ProvisionState
	TargetProvisionState ProvisionState
	ProvisionUpdatedAt   time.Time // zero = never
	LastError            string
	Fault                string // Ironic's own, or one of those below
	Health               string

	Maintenance       bool
	MaintenanceReason string
	Protected         bool
	ProtectedReason   string
	Retired           bool
	RetiredReason     string
	ConsoleEnabled    bool
	DisablePowerOff   bool
	AutomatedClean    *bool // nil = the server's default
	BootMode          string
	SecureBoot        *bool

	CleanStep   Object
	DeployStep  Object
	ServiceStep Object

	InspectionStartedAt  time.Time
	InspectionFinishedAt time.Time

	// Interfaces are keyed by the kind of interface ("power", "deploy", …);
	// every kind of InterfaceKinds is there.
	Interfaces map[string]string

	CreatedAt time.Time
	UpdatedAt time.Time // zero = never changed

	Work Work
}

// Work is what the conductors keep in a node's row and never show as such:
// the intent, the claim, and the journal of steps.
type Work struct {
	// Reservation is the host that holds the claim, "" if nobody does.
	Reservation string
	// ClaimOwner is the process that holds the claim ("host/boot/pid"), "" if nobody does.
	ClaimOwner string
	// ClaimEpoch grows with every claim, and fences every write and command.
	ClaimEpoch int64
	// ClaimExpires ends a claim that is not renewed.
	ClaimExpires time.Time
	// WakeAt is when the row has work for a conductor; zero = no work.
	WakeAt time.Time
	// Intent is what was asked for and is not done yet (see Intent).
	Intent Intent
	// Steps is the journal of the running list of steps, and StepIndex the first unfinished one.
	Steps     []Step
	StepIndex int
	// Journal holds what drivers must not forget over a crash: command ids, start times.
	Journal Object
	// WaitDeadline, WaitReason and WaitHint describe the wait the node is in.
	WaitDeadline time.Time
	WaitReason   string
	WaitHint     string
	// HardwareKey is the name under which the node's device reports what it sees
	// ("bpu-1/2"), "" if it has none; ObservedBoot and ObservedSeq order those reports.
	HardwareKey  string
	ObservedBoot int64
	ObservedSeq  int64
	// Place is where the node's root, boot tree and console live; "" = not placed yet.
	Place string
	// Events are added to the node's history in the same transaction as the
	// change that sets them; they are never read back.
	Events []HistoryEntry
	// Version grows with every write of the row.
	Version int64
}

// Intent is what a caller asked a conductor to do, kept in the row until it is done.
type Intent struct {
	// Power is the wanted power action, "" for none.
	Power PowerTarget `json:"power,omitempty"`
	// PowerTimeout is the caller's limit in seconds for a soft action, 0 = the default.
	PowerTimeout int `json:"power_timeout,omitempty"`
	// Console is the wanted console state, nil for no change.
	Console *bool `json:"console,omitempty"`
	// Verb is the provision verb that is being carried out.
	Verb Verb `json:"verb,omitempty"`
	// Manual is true for a cleaning asked for with steps.
	Manual bool `json:"manual,omitempty"`
	// Steps are the steps the caller gave.
	Steps []Step `json:"steps,omitempty"`
	// DisableRamdisk refuses steps that need a helper system on the machine.
	DisableRamdisk bool `json:"disable_ramdisk,omitempty"`
	// AbortAfter ends the list of steps once the running step, which must not
	// be interrupted, is done.
	AbortAfter bool `json:"abort_after,omitempty"`
	// RequestID is the request that asked, for the logs.
	RequestID string `json:"request_id,omitempty"`
	// User is who asked, and Project the project it was asked for, for the history.
	User    string `json:"user,omitempty"`
	Project string `json:"project,omitempty"`
}

// Idle tells whether nothing is asked for.
func (i Intent) Idle() bool { return i.Power == "" && i.Console == nil && i.Verb == "" }

// InterfaceKinds are the kinds of driver interfaces a node has, in the API's order.
func InterfaceKinds() []string {
	return []string{"bios", "boot", "console", "deploy", "firmware", "inspect", "management", "network", "power", "raid",
		"rescue", "storage", "vendor"}
}

// Locked tells whether somebody works on the node or is asked to: other writers get 409.
func (n *Node) Locked(now time.Time) bool {
	return n.ClaimHeld(now) || (!n.Work.Intent.Idle() && !n.ProvisionState.Waiting() && !n.ProvisionState.Holding())
}

// ClaimHeld tells whether a live claim is on the node.
func (n *Node) ClaimHeld(now time.Time) bool {
	return n.Work.ClaimOwner != "" && now.Before(n.Work.ClaimExpires)
}

// SetState moves the node to state and sets what always goes with it.
func (n *Node) SetState(state ProvisionState, now time.Time) {
	n.ProvisionState = state
	n.TargetProvisionState = TargetOf(state, n.Work.Intent.Manual)
	n.ProvisionUpdatedAt = now
}

// Faults of nodes that are taken out of service because of their machines.
const (
	// FaultMisplaced: the machine is where it does not belong.
	FaultMisplaced = "misplaced hardware"
	// FaultIdentity: the machine says that it is another node's.
	FaultIdentity = "identity conflict"
)
