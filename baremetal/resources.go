package baremetal

import "time"

// Port is a network interface of a node.
type Port struct {
	ID                  int64
	UUID                string
	NodeUUID            string
	Address             string // MAC, lower case
	Name                string
	Description         string
	Vendor              string
	Category            string
	Extra               Object
	InternalInfo        Object
	LocalLinkConnection Object
	PXEEnabled          bool
	IsSmartNIC          bool
	PhysicalNetwork     string
	PortgroupUUID       string
	CreatedAt           time.Time
	UpdatedAt           time.Time
}

// Chassis is an enclosure of nodes.
type Chassis struct {
	ID          int64
	UUID        string
	Description string
	Extra       Object
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// Conductor is a process that brings nodes to the state asked for.
type Conductor struct {
	Hostname       string
	ConductorGroup string
	Places         []string
	Drivers        []string
	BootID         string // of the machine, to void claims of an earlier life
	Alive          bool
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// Severity of a history entry.
type Severity string

// The severities of node history.
const (
	SeverityInfo  Severity = "INFO"
	SeverityError Severity = "ERROR"
)

// HistoryEntry is one event in a node's life.
type HistoryEntry struct {
	ID                   int64
	UUID                 string
	NodeUUID             string
	CreatedAt            time.Time
	Severity             Severity
	EventType            string // provisioning, power, console, transition, …
	Event                string
	Conductor            string
	User                 string
	State                ProvisionState
	TargetProvisionState ProvisionState
	DurationSeconds      float64
}
