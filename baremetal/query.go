package baremetal

// Page says which part of a list is wanted. Limit 0 means the server's most.
type Page struct {
	Limit  int
	Marker string // uuid (hostname for conductors) of the last one seen
	SortBy string // column; "" = order of creation
	Desc   bool
}

// NodeQuery selects nodes; nil and zero fields select all. All conditions must hold.
type NodeQuery struct {
	Page
	InstanceUUID        *string
	InstanceName        *string
	ChassisUUID         *string
	Associated          *bool
	Maintenance         *bool
	Retired             *bool
	ProvisionState      *ProvisionState
	Driver              *string
	ResourceClass       *string
	Fault               *string
	ConductorGroup      *string
	ConductorHost       *string
	Owner               *string
	Lessee              *string
	Project             *string // owner or lessee
	DescriptionContains *string
	Shards              []string
	Sharded             *bool
	ParentNode          *string
	IncludeChildren     bool
}

// PortQuery selects ports.
type PortQuery struct {
	Page
	NodeUUID            *string
	PortgroupUUID       *string
	Address             *string
	DescriptionContains *string
	Shards              []string
	ConductorGroups     []string // of the node
	Project             *string  // owner or lessee of the node
}

// HistoryQuery selects a node's history.
type HistoryQuery struct {
	Page
	NodeUUID string
}
