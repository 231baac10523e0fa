package tftpd

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// progressEvery is the least time between two Progress events of a transfer,
// and how soon after a transfer has come to stand still its offset is told.
const progressEvery = time.Second

// progress is how far a transfer is, told by the one who carries it out and
// reported by the server's clock.
type progress struct {
	acked atomic.Int64

	mu      sync.Mutex
	running bool
	base    Event // of its Progress events
	told    int64 // the offset reported last
}

// begin reports that the transfer has begun.
func (p *progress) begin(ev Event, emit func(Event)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running, p.base = true, ev
	emit(ev)
}

// tick reports how far the transfer is, if that has changed.
func (p *progress) tick(now time.Time, emit func(Event)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	offset := p.acked.Load()
	if !p.running || offset == p.told {
		return
	}
	p.told = offset
	ev := p.base
	ev.Kind, ev.Offset, ev.Duration, ev.Time = Progress, offset, now.Sub(p.base.Time), now
	emit(ev)
}

// end reports the last event; none follows it.
func (p *progress) end(ev Event, emit func(Event)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = false
	emit(ev)
}

// reportProgress reports how far the transfers are until ctx ends.
func (s *Server) reportProgress(ctx context.Context) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, t := range s.gate.running() {
				t.progress.tick(now, s.emit)
			}
		}
	}
}
