package tftpd

import (
	"net/netip"
	"time"
)

// Kind says what an [Event] reports.
type Kind string

// What can happen to a request.
const (
	// Started: the file was found and its transfer began.
	Started Kind = "started"
	// Progress: a long transfer goes on. At most one a second for a transfer.
	Progress Kind = "progress"
	// Done: the client acknowledged the last block.
	Done Kind = "done"
	// Probe: the client only wanted to know whether the file exists, and ended
	// the transfer at once with error code 0. This is not a failure.
	Probe Kind = "probe"
	// Missing: there is no such file. Normal for most of what a Pi asks.
	Missing Kind = "missing"
	// Denied: the file belongs to another machine.
	Denied Kind = "denied"
	// Refused: the request was malformed, a write, or above a limit.
	Refused Kind = "refused"
	// Failed: the transfer broke off.
	Failed Kind = "failed"
)

// Event reports one step of one request. It is plain data.
type Event struct {
	// Time is when it happened.
	Time time.Time `json:"time"`
	// Kind says what happened.
	Kind Kind `json:"kind"`
	// Client is the address and port that the request came from.
	Client netip.AddrPort `json:"client"`
	// ID is the machine, as registered with the [Source]; empty if unknown.
	ID string `json:"id,omitempty"`
	// Owner is the machine whose file was asked for, when denied.
	Owner string `json:"owner,omitempty"`
	// Name is the file's name in the machine's tree, or the name as asked for
	// when it is in none.
	Name string `json:"name,omitempty"`
	// Size is the file's size in bytes, if it was found.
	Size int64 `json:"size,omitempty"`
	// Offset is how many bytes the client has acknowledged so far.
	Offset int64 `json:"offset,omitempty"`
	// Blocks is how many packets were sent for the first time, and Resent how
	// many again, when the transfer has ended.
	Blocks int64 `json:"blocks,omitempty"`
	Resent int64 `json:"resent,omitempty"`
	// Duration is the time since the request came, in nanoseconds.
	Duration time.Duration `json:"duration,omitempty"`
	// Err is the reason, for denied, refused and failed.
	Err string `json:"error,omitempty"`
	// Suppressed is how many like events were left out before this one,
	// because strangers made too many.
	Suppressed int64 `json:"suppressed,omitempty"`
}
