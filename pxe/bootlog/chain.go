package bootlog

import "time"

// chain is what a machine does between two times that its power came on: one
// boot, or several attempts of which none came to a running system.
type chain struct {
	since    time.Time // power came on, or the first sign
	attempts int
	progress time.Time
	seen     map[key]int64 // what was seen, with the most bytes got of it
}

func newChain(at time.Time) chain {
	return chain{since: at, progress: at, seen: make(map[key]int64)}
}

// maxSeen bounds what a chain remembers. A boot has about 40 lines.
const maxSeen = 512

// note tells the chain of an event. What was seen before since power came on is
// no progress, and neither is what fails.
func (c *chain) note(e Event) {
	if e.Outcome == Failed || e.Outcome == Denied || e.Stage == StagePower {
		return
	}
	k := key{e.Stage, e.Outcome, e.Name}
	if e.Outcome == Progress {
		k.outcome = Started
	}
	got, known := c.seen[k]
	if known && e.Offset <= got || !known && len(c.seen) >= maxSeen {
		return
	}
	c.seen[k] = e.Offset
	if e.Time.After(c.progress) {
		c.progress = e.Time
	}
}
