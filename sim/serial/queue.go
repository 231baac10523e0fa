package serial

import (
	"context"
	"sync"
)

// queue holds bytes between a writer that never waits and one reader.
type queue struct {
	limit int
	open  func() bool   // if set, bytes are taken only while it says so
	wake  chan struct{} // holds one token while there may be bytes

	mu  sync.Mutex
	buf []byte
}

func newQueue(limit int, open func() bool) *queue {
	return &queue{limit: limit, open: open, wake: make(chan struct{}, 1)}
}

// put adds as many bytes as there is room for; the rest is lost.
func (q *queue) put(p []byte) {
	if q.open != nil && len(p) > 0 && !q.open() {
		return
	}
	q.mu.Lock()
	q.buf = append(q.buf, p[:min(len(p), q.limit-len(q.buf))]...)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// get waits for bytes, and takes as many as fit in p.
func (q *queue) get(ctx context.Context, p []byte) (int, error) {
	for {
		q.mu.Lock()
		n := copy(p, q.buf)
		if n > 0 {
			// What is left moves to the front, so that the space is used again.
			q.buf = q.buf[:copy(q.buf, q.buf[n:])]
			more := len(q.buf) > 0
			q.mu.Unlock()
			if more {
				q.put(nil)
			}
			return n, nil
		}
		q.mu.Unlock()
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-q.wake:
		}
	}
}

func (q *queue) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.buf = nil
}
