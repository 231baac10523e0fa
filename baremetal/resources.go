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
	// ForDynamicPortgroup allows a network driver to take the port for a port group that it makes.
	ForDynamicPortgroup bool
	PhysicalNetwork     string
	PortgroupUUID       string
	CreatedAt           time.Time
	UpdatedAt           time.Time
}

// Document is what is kept of a node beside its row, because it is large or
// seldom read. One of each kind is kept.
type Document struct {
	Kind      DocumentKind
	Body      Object
	CreatedAt time.Time
	UpdatedAt time.Time // zero = never changed
}

// DocumentKind says what a Document holds.
type DocumentKind string

// The documents of a node.
const (
	// InventoryDocument holds {"inventory": …, "plugin_data": …} of the last inspection.
	InventoryDocument DocumentKind = "inventory"
	// BIOSDocument holds {"settings": [BIOSSetting…]}.
	BIOSDocument DocumentKind = "bios"
	// FirmwareDocument holds {"components": [FirmwareComponent…]}.
	FirmwareDocument DocumentKind = "firmware"
	// MediaDocument holds {"media": [VirtualMedium…]}.
	MediaDocument DocumentKind = "vmedia"
)

// BIOSSetting is one setting of a machine's firmware. Fields after Value
// describe what it may be; nil or empty = not known.
type BIOSSetting struct {
	Name            string    `json:"name"`
	Value           string    `json:"value"`
	AttributeType   string    `json:"attribute_type,omitempty"` // Enumeration, String, Integer, Boolean, Password
	AllowableValues []string  `json:"allowable_values,omitempty"`
	LowerBound      *int64    `json:"lower_bound,omitempty"`
	UpperBound      *int64    `json:"upper_bound,omitempty"`
	MinLength       *int64    `json:"min_length,omitempty"`
	MaxLength       *int64    `json:"max_length,omitempty"`
	ReadOnly        *bool     `json:"read_only,omitempty"`
	ResetRequired   *bool     `json:"reset_required,omitempty"`
	Unique          *bool     `json:"unique,omitempty"`
	CreatedAt       time.Time `json:"created_at"`
	UpdatedAt       time.Time `json:"updated_at,omitzero"`
}

// FirmwareComponent is a part of a machine that has firmware of its own.
type FirmwareComponent struct {
	Component          string    `json:"component"`
	InitialVersion     string    `json:"initial_version"`
	CurrentVersion     string    `json:"current_version,omitempty"`
	LastVersionFlashed string    `json:"last_version_flashed,omitempty"`
	Vendor             string    `json:"vendor,omitempty"`
	Model              string    `json:"model,omitempty"`
	SerialNumber       string    `json:"serial_number,omitempty"`
	CreatedAt          time.Time `json:"created_at"`
	UpdatedAt          time.Time `json:"updated_at,omitzero"`
}

// VirtualMedium is an image that a machine sees as a drive.
type VirtualMedium struct {
	DeviceType     string `json:"device_type"` // cdrom, disk, floppy
	ImageURL       string `json:"image_url"`
	DownloadSource string `json:"image_download_source,omitempty"` // http, local, swift
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
	User                 string // who asked for it, "" for nobody
	Project              string // the project it was asked for
	State                ProvisionState
	TargetProvisionState ProvisionState
	DurationSeconds      float64
}
