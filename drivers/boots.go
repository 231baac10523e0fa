package drivers

import (
	"context"
	"fmt"
	"time"
)

// SettledBoot is what a boot came to that nobody may have waited for. It is
// plain data.
type SettledBoot struct {
	NodeUUID string
	// Start is when it began, and names it.
	Start time.Time
	// Up is true if the system runs, false if the boot stands still.
	Up bool
	// Silent is true if not one packet was seen since power came on, and that
	// was seen (Powered).
	Silent, Powered bool
	// Text says in words how it went, or where it stands and why.
	Text string
	// Figures are kept in driver_internal_info.
	Figures map[string]any
}

// BootWatcher is implemented by a Boot that sees how machines boot.
type BootWatcher interface {
	// PowerOn is called right before the machine is switched on, and after it
	// was switched on by something else.
	PowerOn(ctx context.Context, nodeUUID string) error
	// SettledBoots lists the latest boots of all machines that have settled. It
	// is called every few seconds, and repeats itself.
	SettledBoots(ctx context.Context) ([]SettledBoot, error)
	// BootLog lists the remembered boots of a node, the latest first; they are
	// encoded as JSON.
	BootLog(ctx context.Context, nodeUUID string) (any, error)
	// FollowBoot hands over what is seen of a node from now on, each to be
	// encoded as JSON, until send fails or ctx ends.
	FollowBoot(ctx context.Context, nodeUUID string, send func(event any) error) error
}

// CyclesKey is the key of a step's journal under which the conductor counts how
// often it has power-cycled the machine because a Wait asked for it.
const CyclesKey = "power_cycles"

// AfterCycles is added to the reason why a wait fails after so many power-cycles.
func AfterCycles(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "; one power-cycle did not help"
	}
	return fmt.Sprintf("; %d power-cycles did not help", n)
}
