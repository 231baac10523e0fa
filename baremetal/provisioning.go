package baremetal

import "time"

// Portgroup is a set of a node's ports that act as one.
type Portgroup struct {
	ID                       int64
	UUID                     string
	NodeUUID                 string
	Name                     string
	Address                  string // MAC, lower case; "" = none of its own
	Extra                    Object
	InternalInfo             Object
	StandalonePortsSupported bool
	Mode                     string // of Linux bonding
	Properties               Object // of Linux bonding
	PhysicalNetwork          string
	Category                 string
	DynamicPortgroup         bool // made by the service itself
	CreatedAt                time.Time
	UpdatedAt                time.Time
}

// DefaultPortgroupMode is the mode of a port group that does not say.
const DefaultPortgroupMode = "active-backup"

// TenantVIF is the key of internal_info under which a port or port group keeps
// the virtual interface attached to it.
const TenantVIF = "tenant_vif_port_id"

// VolumeConnector is how a node is known to a storage network.
type VolumeConnector struct {
	ID          int64
	UUID        string
	NodeUUID    string
	Type        string // iqn, ip, mac, wwnn, wwpn, port, portgroup
	ConnectorID string
	Extra       Object
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// VolumeTarget is a remote volume a node may boot from or use.
type VolumeTarget struct {
	ID         int64
	UUID       string
	NodeUUID   string
	VolumeType string
	BootIndex  int64
	VolumeID   string
	Properties Object
	Extra      Object
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// DeployTemplate is a set of deploy steps that a deploy with the trait of its
// name gets in addition.
type DeployTemplate struct {
	ID        int64
	UUID      string
	Name      string
	Steps     Steps
	Extra     Object
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Runbook is a list of clean or service steps that may run on the nodes with
// one of its traits.
type Runbook struct {
	ID             int64
	UUID           string
	Name           string
	Description    string
	Steps          Steps
	DisableRamdisk bool
	Public         bool
	Owner          string
	Traits         Strings
	Extra          Object
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// InspectionRule is what to do with the findings of an inspection.
type InspectionRule struct {
	ID          int64
	UUID        string
	Description string
	Priority    int64
	Sensitive   bool   // conditions and actions are never shown
	Phase       string // "main"
	Conditions  string // JSON list, "" = none
	Actions     string // JSON list
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// MainPhase is the one phase inspection rules run in.
const MainPhase = "main"

// AllocationState says how far an allocation is.
type AllocationState string

// The states of an allocation.
const (
	Allocating      AllocationState = "allocating"
	AllocationDone  AllocationState = "active"
	AllocationError AllocationState = "error"
)

// Allocation is a wish for a node, and the node that was found for it.
type Allocation struct {
	ID             int64
	UUID           string
	Name           string
	ResourceClass  string
	Traits         Strings
	CandidateNodes Strings // uuids
	Extra          Object
	Owner          string
	NodeUUID       string
	State          AllocationState
	LastError      string
	CreatedAt      time.Time
	UpdatedAt      time.Time

	// The claim of the conductor that looks for a node, as in Work.
	ClaimOwner   string
	ClaimHost    string
	ClaimEpoch   int64
	ClaimExpires time.Time
}

// Candidate is a node that an allocation might get.
type Candidate struct {
	UUID, Name string
	Traits     Strings
}
