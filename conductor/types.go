package conductor

import (
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// The plain types of the drivers that the API shows as they are.
type (
	BootDevice   = drivers.BootDevice
	ConsoleInfo  = drivers.ConsoleInfo
	Indicator    = drivers.Indicator
	VendorMethod = drivers.VendorMethod
)

// Caller says who asks, for history and logs.
type Caller struct {
	RequestID string
	User      string
	Project   string // "" for somebody who acts for no project
}

// asks notes in an intent who asked for it.
func (who Caller) asks(i *baremetal.Intent) {
	i.RequestID, i.User, i.Project = who.RequestID, who.User, who.Project
}

// PowerRequest is PUT states/power.
type PowerRequest struct {
	Target  baremetal.PowerTarget
	Timeout time.Duration // 0 = the driver's own
}

// ProvisionRequest is PUT states/provision. The API has checked that the
// fields fit the verb.
type ProvisionRequest struct {
	Verb           baremetal.Verb
	CleanSteps     []baremetal.Step
	DeploySteps    []baremetal.Step
	ServiceSteps   []baremetal.Step
	RescuePassword string
	ConfigDrive    string // JSON text of the string or object given, "" if none
	DisableRamdisk bool
	// Minor is the microversion of the request, for the version of the verb (406).
	Minor int
}

// Validation is the answer of one interface to validate.
type Validation struct {
	OK     bool
	Reason string
}

// DriverInfo describes a hardware type for GET /v1/drivers.
type DriverInfo struct {
	Name       string
	Hosts      []string
	Defaults   map[string]string   // interface kind → name
	Enabled    map[string][]string // interface kind → names, default first
	Properties map[string]string   // key of driver_info → description
}

// VendorResult is the answer of a vendor method: a value to encode, or nothing if Async.
type VendorResult struct {
	Value any
	Async bool
}
