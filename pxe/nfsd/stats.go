package nfsd

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// ProcStats counts the calls of one procedure.
type ProcStats struct {
	Proc   string        // e.g. "READ"
	Calls  uint64        // answered
	Errors uint64        // answered with an NFS error
	Time   time.Duration // spent on all of them together
}

// ExportStats counts what one export has served since it was added.
type ExportStats struct {
	ID           string
	BytesRead    uint64 // contents sent to the client
	BytesWritten uint64 // contents received
	Procs        []ProcStats
}

// Stats is what the server has done since it started.
type Stats struct {
	Exports        []ExportStats
	Connections    int    // open now
	Refused        uint64 // connections over a limit
	BadCalls       uint64 // calls that were malformed or of unknown programs
	BadHandles     uint64 // handles that this server did not make
	Denied         uint64 // calls with a handle that the caller may not use
	Replayed       uint64 // calls answered from the duplicate request cache
	RefusedMounts  uint64
	SlowCalls      uint64
	PeakCallMemory int64 // bytes of calls and replies under way at once
}

// counters are the counters of an export.
type counters struct {
	read, written atomic.Uint64
	procs         [nfsProcs]struct {
		calls, errors, nanos atomic.Uint64
	}
}

func (c *counters) count(proc, status uint32, took time.Duration) {
	p := &c.procs[proc]
	p.calls.Add(1)
	if status != nfsOK {
		p.errors.Add(1)
	}
	p.nanos.Add(uint64(took))
}

func (c *counters) snapshot(id string) ExportStats {
	st := ExportStats{ID: id, BytesRead: c.read.Load(), BytesWritten: c.written.Load()}
	for i := range c.procs {
		p := &c.procs[i]
		if n := p.calls.Load(); n > 0 {
			st.Procs = append(st.Procs, ProcStats{
				Proc: procTable[i].name, Calls: n, Errors: p.errors.Load(), Time: time.Duration(p.nanos.Load()),
			})
		}
	}
	return st
}

// Stats returns the present counters.
func (s *Server) Stats() Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := Stats{
		Connections:    len(s.conns),
		Refused:        s.counts.refused.Load(),
		BadCalls:       s.counts.badCalls.Load(),
		BadHandles:     s.counts.badHandles.Load(),
		Denied:         s.counts.denied.Load(),
		Replayed:       s.counts.replayed.Load(),
		RefusedMounts:  s.counts.refusedMounts.Load(),
		SlowCalls:      s.counts.slow.Load(),
		PeakCallMemory: s.budget.peakBytes(),
	}
	for _, x := range s.exports {
		st.Exports = append(st.Exports, x.stats.snapshot(x.ID))
	}
	slices.SortFunc(st.Exports, func(a, b ExportStats) int { return strings.Compare(a.ID, b.ID) })
	return st
}
