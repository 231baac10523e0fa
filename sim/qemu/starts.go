package qemu

import (
	"context"
	"sync"
	"time"
)

// Starts spaces the starts of several guests, since each takes a whole
// processor while it boots.
type Starts struct {
	// Pause between two starts.
	Pause time.Duration

	mu   sync.Mutex
	next time.Time
}

// wait waits for a turn, or until ctx ends.
func (s *Starts) wait(ctx context.Context) error {
	if s == nil {
		return ctx.Err()
	}
	s.mu.Lock()
	now := time.Now()
	turn := s.next
	if turn.Before(now) {
		turn = now
	}
	s.next = turn.Add(s.Pause)
	s.mu.Unlock()
	timer := time.NewTimer(time.Until(turn))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
