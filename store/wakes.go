package store

import (
	"context"
	"sync"
)

// wakes hands out the nodes that were woken to all who listen. Nothing is
// lost: a slow listener finds them waiting, or "" if there were too many.
type wakes struct {
	mu        sync.Mutex
	listeners map[*listener]struct{}
	done      chan struct{}
	closeOnce sync.Once
}

type listener struct {
	mu      sync.Mutex
	pending []string
	more    chan struct{} // holds one token while pending is not empty
}

// maxPending is when a listener is told to look at everything instead.
const maxPending = 1000

func newWakes() *wakes {
	return &wakes{listeners: map[*listener]struct{}{}, done: make(chan struct{})}
}

func (w *wakes) send(uuids ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range w.listeners {
		l.put(uuids)
	}
}

func (w *wakes) close() { w.closeOnce.Do(func() { close(w.done) }) }

func (l *listener) put(uuids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = append(l.pending, uuids...)
	if len(l.pending) > maxPending {
		l.pending = []string{""}
	}
	if len(l.pending) > 0 {
		select {
		case l.more <- struct{}{}:
		default:
		}
	}
}

func (l *listener) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pending
	l.pending = nil
	return p
}

// Wakes delivers the uuid of each node that anybody gave something to do: its
// WakeAt was set, or its claim ended while WakeAt was set. It says nothing of
// a row that was claimed in the same transaction, since the claimant knows. ""
// means that wakes may have been missed: look at all. The channel is closed
// with ctx or the store.
func (s *Store) Wakes(ctx context.Context) <-chan string {
	return s.wakes.listen(ctx)
}

func (w *wakes) listen(ctx context.Context) <-chan string {
	l := &listener{more: make(chan struct{}, 1)}
	w.mu.Lock()
	w.listeners[l] = struct{}{}
	w.mu.Unlock()
	out := make(chan string)
	go func() {
		defer close(out)
		defer func() {
			w.mu.Lock()
			delete(w.listeners, l)
			w.mu.Unlock()
		}()
		for {
			select {
			case <-l.more:
			case <-ctx.Done():
				return
			case <-w.done:
				return
			}
			for _, uuid := range l.take() {
				select {
				case out <- uuid:
				case <-ctx.Done():
					return
				case <-w.done:
					return
				}
			}
		}
	}()
	return out
}
