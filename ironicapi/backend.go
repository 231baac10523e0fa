package ironicapi

import (
	"context"

	"caddyshack/baremetal"
	"caddyshack/conductor"
)

// Store is what the API reads, and the few things it writes that no conductor
// has a say in. Idents are a uuid or a name. Errors carry a baremetal.Kind.
type Store interface {
	Node(ctx context.Context, ident string) (baremetal.Node, error)
	// Nodes calls each for every node of the query, in order; the node is only
	// valid during the call.
	Nodes(ctx context.Context, q baremetal.NodeQuery, each func(*baremetal.Node) error) error
	Port(ctx context.Context, ident string) (baremetal.Port, error)
	Ports(ctx context.Context, q baremetal.PortQuery) ([]baremetal.Port, error)
	Chassis(ctx context.Context, uuid string) (baremetal.Chassis, error)
	ChassisList(ctx context.Context, p baremetal.Page) ([]baremetal.Chassis, error)
	CreateChassis(ctx context.Context, c *baremetal.Chassis) error
	UpdateChassis(ctx context.Context, uuid string, change func(*baremetal.Chassis) error) (baremetal.Chassis, error)
	DeleteChassis(ctx context.Context, uuid string) error
	Portgroups() baremetal.Collection[baremetal.Portgroup]
	VolumeConnectors() baremetal.Collection[baremetal.VolumeConnector]
	VolumeTargets() baremetal.Collection[baremetal.VolumeTarget]
	DeployTemplates() baremetal.Collection[baremetal.DeployTemplate]
	Runbooks() baremetal.Collection[baremetal.Runbook]
	InspectionRules() baremetal.Collection[baremetal.InspectionRule]
	Allocations() baremetal.Collection[baremetal.Allocation]
	History(ctx context.Context, q baremetal.HistoryQuery) ([]baremetal.HistoryEntry, error)
	HistoryEntry(ctx context.Context, nodeUUID, uuid string) (baremetal.HistoryEntry, error)
	// Document is what is kept of a node beside its row.
	Document(ctx context.Context, nodeUUID string, kind baremetal.DocumentKind) (d baremetal.Document, found bool, err error)
	Conductors(ctx context.Context, p baremetal.Page) ([]baremetal.Conductor, error)
	Conductor(ctx context.Context, hostname string) (baremetal.Conductor, error)
	// Shards maps the shard's name ("" for none) to its number of nodes.
	Shards(ctx context.Context) (map[string]int, error)
	// Ping tells whether the database answers, for /healthcheck.
	Ping(ctx context.Context) error
}

// Conductor is what the API asks to be done. Each call checks the node's lock
// (waiting up to 3 s for it, woken, then kind Locked) and the state rules that
// need the row; it returns when the intent is durable or the work is done.
type Conductor interface {
	// CreateNode fills uuid, interfaces, state (ProvisionState as given by the
	// API: enroll, or available below 1.11) and stores the node.
	CreateNode(ctx context.Context, who conductor.Caller, n *baremetal.Node) error
	// UpdateNode applies change to the row in one transaction under the lock
	// rules. The change function holds the API's own checks; an error from it
	// is returned as it is and nothing is written.
	UpdateNode(ctx context.Context, who conductor.Caller, ident string, change func(*baremetal.Node) error) (baremetal.Node, error)
	DeleteNode(ctx context.Context, who conductor.Caller, ident string) error
	// SetInterfaces recomputes defaults for the node's driver; used within a change
	// function when the driver changes or an interface is reset. Errors are Invalid.
	SetInterfaces(n *baremetal.Node) error

	CreatePort(ctx context.Context, who conductor.Caller, p *baremetal.Port) error
	UpdatePort(ctx context.Context, who conductor.Caller, ident string, change func(p *baremetal.Port, n *baremetal.Node) error) (baremetal.Port, error)
	DeletePort(ctx context.Context, who conductor.Caller, ident string) error

	// These are the Store's collections as they are written: under the lock of
	// the node and its rules. An allocation without a NodeUUID gets its node in
	// the background.
	Portgroups() baremetal.Collection[baremetal.Portgroup]
	VolumeConnectors() baremetal.Collection[baremetal.VolumeConnector]
	VolumeTargets() baremetal.Collection[baremetal.VolumeTarget]
	Allocations() baremetal.Collection[baremetal.Allocation]

	// VIFs lists the virtual interfaces attached to the node.
	VIFs(ctx context.Context, ident string) ([]string, error)
	// AttachVIF is kind Conflict if the interface is attached already, Invalid if no port is free.
	AttachVIF(ctx context.Context, who conductor.Caller, ident string, r conductor.VIFRequest) error
	// DetachVIF is kind Invalid if the interface is not attached.
	DetachVIF(ctx context.Context, who conductor.Caller, ident, vif string) error

	SetPower(ctx context.Context, who conductor.Caller, ident string, r conductor.PowerRequest) error
	SetProvision(ctx context.Context, who conductor.Caller, ident string, r conductor.ProvisionRequest) error
	SetMaintenance(ctx context.Context, who conductor.Caller, ident string, on bool, reason string) error
	SetConsole(ctx context.Context, who conductor.Caller, ident string, enabled bool) error
	// Console answers nil info while the console is not enabled.
	Console(ctx context.Context, ident string) (enabled bool, info *conductor.ConsoleInfo, err error)
	// Validate is keyed by interface kind, without vendor.
	Validate(ctx context.Context, ident string) (map[string]conductor.Validation, error)
	BootDevice(ctx context.Context, ident string) (conductor.BootDevice, error)
	SetBootDevice(ctx context.Context, who conductor.Caller, ident string, d conductor.BootDevice) error
	SupportedBootDevices(ctx context.Context, ident string) ([]string, error)
	InjectNMI(ctx context.Context, who conductor.Caller, ident string) error
	Indicators(ctx context.Context, ident string) ([]conductor.Indicator, error)
	IndicatorState(ctx context.Context, ident, component, name string) (string, error)
	SetIndicatorState(ctx context.Context, who conductor.Caller, ident, component, name, state string) error
	// BootLog lists the remembered boots of a node as JSON will show them, and
	// FollowBoot hands over what is seen from now on until send fails or ctx ends;
	// kind Invalid where the driver sees no boots.
	BootLog(ctx context.Context, ident string) (any, error)
	FollowBoot(ctx context.Context, ident string, send func(event any) error) error
	VendorMethods(ctx context.Context, ident string) (map[string]conductor.VendorMethod, error)
	VendorCall(ctx context.Context, who conductor.Caller, ident, method, httpMethod string, args map[string]any) (conductor.VendorResult, error)

	// SetBootMode and SetSecureBoot are kind Invalid where the driver cannot.
	SetBootMode(ctx context.Context, who conductor.Caller, ident, mode string) error
	SetSecureBoot(ctx context.Context, who conductor.Caller, ident string, on bool) error
	// SetRAID and RAIDProperties are kind NotFound where there is no RAID.
	SetRAID(ctx context.Context, who conductor.Caller, ident string, config baremetal.Object) error
	RAIDProperties(ctx context.Context, driver string) (map[string]string, error)
	// VirtualMedia lists what is attached; these three are kind Invalid where the
	// driver cannot. DetachMedia without types detaches all.
	VirtualMedia(ctx context.Context, ident string) ([]baremetal.VirtualMedium, error)
	AttachMedium(ctx context.Context, who conductor.Caller, ident string, m baremetal.VirtualMedium) error
	DetachMedia(ctx context.Context, who conductor.Caller, ident string, deviceTypes []string) error
	DriverVendorMethods(ctx context.Context, driver string) (map[string]conductor.VendorMethod, error)
	DriverVendorCall(ctx context.Context, who conductor.Caller, driver, method, httpMethod string, args map[string]any) (conductor.VendorResult, error)

	// Lookup finds the node of a deploy agent by uuid or else by MAC addresses;
	// the token is empty if it was given before. A node that expects no agent is
	// kind NotFound, as one that does not exist.
	Lookup(ctx context.Context, uuid string, addresses []string) (n baremetal.Node, token string, err error)
	// Heartbeat is kind Unauthorized for a wrong token.
	Heartbeat(ctx context.Context, uuid string, r conductor.HeartbeatRequest) error
	// ContinueInspection answers the uuid of the node that waited for these findings.
	ContinueInspection(ctx context.Context, uuid string, addresses []string, inventory, pluginData map[string]any) (string, error)

	Drivers(ctx context.Context) ([]conductor.DriverInfo, error)
	// Driver is kind NotFound for an unknown one.
	Driver(ctx context.Context, name string) (conductor.DriverInfo, error)
	// HostFor is the host shown as the node's conductor: the holder of its
	// claim, or a stable choice among those that can serve it.
	HostFor(n *baremetal.Node) string
}
