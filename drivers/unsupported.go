package drivers

import (
	"context"

	"caddyshack/baremetal"
)

// Absent is the implementation of "no-…" interfaces: what it stands for does
// not exist on the machine, validation says so, and nothing can be called.
type Absent struct {
	// Driver is the hardware type, What the missing ability in words ("console").
	Driver, What string
}

// Unsupported names what is missing.
func (a Absent) Unsupported() string { return a.What }

// Validate always fails, as Ironic's does for a missing interface.
func (a Absent) Validate(context.Context, *Task) error {
	return baremetal.Errorf(baremetal.Invalid, "Driver %s does not support %s (disabled or not implemented).", a.Driver, a.What)
}

// NoOp is the implementation of an interface that has nothing to do and is always valid.
type NoOp struct{}

// Validate accepts every node.
func (NoOp) Validate(context.Context, *Task) error { return nil }

// Flat is a network whose ports are plugged in where they belong for good:
// virtual interfaces are noted, and nothing is switched.
type Flat struct{ NoOp }

// AttachVIF has nothing to switch.
func (Flat) AttachVIF(context.Context, *Task, VIF) error { return nil }

// DetachVIF has nothing to switch.
func (Flat) DetachVIF(context.Context, *Task, VIF) error { return nil }
