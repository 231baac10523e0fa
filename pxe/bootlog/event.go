package bootlog

import "time"

// Event is something that a machine was seen doing. It is plain data.
type Event struct {
	// ID is the machine. Events without one are not kept.
	ID string `json:"id"`
	// Time is when it happened.
	Time time.Time `json:"time"`
	// Stage is the step that it belongs to.
	Stage Stage `json:"stage"`
	// Outcome says what became of a request; empty if a stage was reached.
	Outcome Outcome `json:"outcome,omitempty"`
	// Name is the file, export or program.
	Name string `json:"name,omitempty"`
	// Size is the file's size in bytes.
	Size int64 `json:"size,omitempty"`
	// Offset is how many bytes the machine has got so far.
	Offset int64 `json:"offset,omitempty"`
	// Duration is how long it took so far, in nanoseconds.
	Duration time.Duration `json:"duration,omitempty"`
	// Blocks is how many blocks of a file were sent for the first time, and
	// Resent how many again, because no acknowledgement came.
	Blocks int64 `json:"blocks,omitempty"`
	Resent int64 `json:"resent,omitempty"`
	// Detail is a reason or an address, in words.
	Detail string `json:"detail,omitempty"`
}

// Entry is one line of a timeline: an event, and how often it was repeated.
type Entry struct {
	Event
	// Count is how often it happened in this boot. Time is that of the first.
	Count int `json:"count"`
	// Last is when it happened last.
	Last time.Time `json:"last"`
}

// Boot is one boot of a machine. It is plain data.
type Boot struct {
	// ID is the machine.
	ID string `json:"id"`
	// Start is when power came on, or when the first sign was seen.
	Start time.Time `json:"start"`
	// Powered tells whether the boot began with power being switched on. If
	// not the machine restarted by itself, or power came on unseen.
	Powered bool `json:"powered"`
	// Attempt counts the boots since power came on, from 1: a machine that
	// does not come up starts again by itself.
	Attempt int `json:"attempt"`
	// Entries are in the order of their first happening.
	Entries []Entry `json:"entries"`
	// Reached is when each stage was reached first.
	Reached map[Stage]time.Time `json:"reached"`
	// Dropped is how many events there was no room for.
	Dropped int `json:"dropped,omitempty"`
	// Quiet is when anything was seen last.
	Quiet time.Time `json:"quiet"`
}

// Update is what a subscriber gets.
type Update struct {
	Event
	// Missed is how many updates were left out before this one, because the
	// subscriber did not keep up.
	Missed int `json:"missed,omitempty"`
}
