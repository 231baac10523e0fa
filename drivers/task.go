package drivers

import (
	"context"
	"log/slog"
	"time"

	"caddyshack/baremetal"
)

// Task is what a driver sees of the node it works on: a snapshot, the epoch of
// the claim under which it works, and a journal that survives a crash.
type Task struct {
	Node  baremetal.Node
	Ports []baremetal.Port
	// Epoch of the claim; carried to devices so that they refuse an older claimant.
	Epoch int64
	// Journal is nil in calls that take no claim (validate, reads).
	Journal Journal
	// Log has the node's uuid and the request id.
	Log *slog.Logger
}

// Journal keeps what a driver must not forget over a crash, such as the id of
// a command that may be on its way. It lives in the node's row and is written
// under the claim: an error of kind baremetal.ClaimLost means that somebody
// else works on the node now, and the driver must stop at once.
//
// The conductor empties the journal in the same write that records the end of
// the action or step; so a driver that finds its key there goes on with what an
// earlier claimant (or an earlier call) began, and never removes it itself.
type Journal interface {
	// Get returns the value kept under key, "" if there is none.
	Get(key string) string
	// Put keeps value under key; "" removes it. It is durable when it returns.
	Put(ctx context.Context, key, value string) error
}

// Result says how a step or a piece of work ended that did not fail: done if
// Wait is nil, otherwise to be called again.
type Result struct {
	Wait *Wait
	// Change, if not nil, is applied to the node's row in the write that records
	// the end. It may run more than once, and must not touch states or Work.
	Change func(n *baremetal.Node)
	// Note, if not empty, becomes an event of the node's history with that write.
	Note string
	// Documents are kept beside the row before the end is recorded.
	Documents map[baremetal.DocumentKind]baremetal.Object
}

// Done is the Result of finished work.
func Done() Result { return Result{} }

// Wait describes why a step cannot go on yet. The conductor keeps the deadline
// of the first wait of a step, whatever later ones say.
type Wait struct {
	// Reason is what is waited for, Hint what a person can do if it does not come.
	Reason, Hint string
	// Within is the time from the start of the wait to its deadline.
	Within time.Duration
	// Poll is when to call again without an event; 0 waits for an event or the deadline.
	Poll time.Duration
	// Callback is true when the machine itself must report: the node shows its
	// wait state ("wait call-back") and the claim is released meanwhile.
	Callback bool
	// Cycle, if it is not empty, is why the machine must be power-cycled before
	// the next call. The conductor counts this under CyclesKey in the journal,
	// switches the machine off and on, and begins the wait anew.
	Cycle string
}

// WaitFor makes a Result from a Wait.
func WaitFor(w Wait) Result { return Result{Wait: &w} }

// Observation is what a driver saw of a machine's power without having been
// asked: a button, an overload, a unit that came back or went away.
type Observation struct {
	// Key is the machine's HardwareKey.
	Key string
	// Power is the state read back; PowerUnknown with a Reason when it cannot be known.
	Power  baremetal.PowerState
	Reason string
	// Boot and Seq order observations of one source: an older pair is ignored.
	Boot, Seq int64
}
