package bootlog

import (
	"fmt"
	"strings"
	"time"
)

// Summary is a boot in a few figures. It is plain data.
type Summary struct {
	// Start is when power came on, or when the first sign was seen.
	Start time.Time `json:"start"`
	// Powered tells whether the boot began with power being switched on.
	Powered bool `json:"powered"`
	// Attempt counts the boots since power came on, from 1.
	Attempt int `json:"attempt"`
	// Stages are the stages reached, with the seconds from the start.
	Stages map[Stage]float64 `json:"stages"`
	// Files and Bytes are how many boot files were sent whole, Resent how many
	// blocks had to be sent again.
	Files  int   `json:"files"`
	Bytes  int64 `json:"bytes"`
	Resent int64 `json:"resent,omitempty"`
}

// Summary sums the boot up.
func (b *Boot) Summary() Summary {
	s := Summary{Start: b.Start, Powered: b.Powered, Attempt: b.Attempt, Stages: make(map[Stage]float64, len(b.Reached))}
	for stage, at := range b.Reached {
		s.Stages[stage] = at.Sub(b.Start).Round(time.Millisecond).Seconds()
	}
	for i := range b.Entries {
		e := &b.Entries[i]
		s.Resent += e.Resent
		if e.Stage == StageFile && e.Outcome == Done {
			s.Files += e.Count
			s.Bytes += e.Size * int64(e.Count)
		}
	}
	return s
}

// String is the summary in a sentence.
func (s Summary) String() string {
	var steps []string
	for _, stage := range order {
		if at, ok := s.Stages[stage]; ok && stage != StagePower {
			steps = append(steps, fmt.Sprintf("%s after %.1f s", stage, at))
		}
	}
	from := "since power-on"
	if !s.Powered {
		from = "since its first sign"
	}
	return fmt.Sprintf("%s: %s; %d files, %s", from, strings.Join(steps, ", "), s.Files, megabytes(s.Bytes))
}

// Latest is the present boot of a machine with what is to be said of it.
type Latest struct {
	Boot   Boot
	Report Report
}

// Latest returns the present boots of all machines.
func (l *Log) Latest(now time.Time) []Latest {
	l.mu.Lock()
	ids := make([]string, 0, len(l.machines))
	for id := range l.machines {
		ids = append(ids, id)
	}
	l.mu.Unlock()
	list := make([]Latest, 0, len(ids))
	for _, id := range ids {
		if boots := l.Timeline(id); len(boots) > 0 {
			list = append(list, Latest{boots[0], l.Explain(id, now)})
		}
	}
	return list
}
