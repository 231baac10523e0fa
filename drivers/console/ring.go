package console

import (
	"bytes"
	"sync"
)

// ringStart is the first allocation of a ring; it doubles up to its limit, so
// that a thousand quiet consoles cost little.
const ringStart = 4 << 10

// ring keeps the last bytes of a stream, addressed by their offset from its
// beginning. The writer never waits; a reader that falls behind by more than
// the ring holds learns how many bytes it missed.
type ring struct {
	limit int

	mu   sync.Mutex
	buf  []byte // offset o is at buf[o % len(buf)]
	end  int64  // offset after the newest byte
	kept int    // bytes held, ≤ len(buf)
	wake chan struct{}
}

func newRing(limit int) *ring { return &ring{limit: limit} }

// write appends p and wakes the readers. It never blocks.
func (r *ring) write(p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.grow(len(p))
	skip := max(0, len(p)-len(r.buf))
	at := int((r.end + int64(skip)) % int64(len(r.buf)))
	n := copy(r.buf[at:], p[skip:])
	copy(r.buf, p[skip+n:])
	r.end += int64(len(p))
	r.kept = min(len(r.buf), r.kept+len(p))
	r.wakeLocked()
}

// grow makes room for n more bytes as far as the limit allows.
func (r *ring) grow(n int) {
	want := min(r.limit, r.kept+n)
	if len(r.buf) >= want && len(r.buf) > 0 {
		return
	}
	size := max(len(r.buf), min(ringStart, r.limit))
	for size < want {
		size = min(size*2, r.limit)
	}
	old := make([]byte, r.kept)
	r.copyLocked(old, r.end-int64(r.kept))
	r.buf = make([]byte, size)
	for i, b := range old {
		r.buf[(r.end-int64(len(old))+int64(i))%int64(size)] = b
	}
}

func (r *ring) copyLocked(dst []byte, from int64) {
	if len(dst) == 0 {
		return
	}
	at := int(from % int64(len(r.buf)))
	n := copy(dst, r.buf[at:])
	copy(dst[n:], r.buf)
}

func (r *ring) wakeLocked() {
	if r.wake != nil {
		close(r.wake)
		r.wake = nil
	}
}

// poke wakes the readers without new bytes.
func (r *ring) poke() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wakeLocked()
}

// read copies bytes from offset pos into dst. It returns how many, the offset
// after them, and how many bytes between pos and the first copied one are
// gone. If n is 0, more closes at the next write or poke.
func (r *ring) read(pos int64, dst []byte) (n int, next, missed int64, more <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if oldest := r.end - int64(r.kept); pos < oldest {
		missed, pos = oldest-pos, oldest
	}
	n = min(len(dst), int(r.end-pos))
	r.copyLocked(dst[:n], pos)
	if n == 0 {
		if r.wake == nil {
			r.wake = make(chan struct{})
		}
		more = r.wake
	}
	return n, pos + int64(n), missed, more
}

// tail is the offset after the newest byte: where a live viewer begins.
func (r *ring) tail() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end
}

// head is where a viewer begins that wants the recent output too: the oldest
// byte kept, or the first whole line after it once older bytes were dropped.
func (r *ring) head() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	oldest := r.end - int64(r.kept)
	if oldest == 0 {
		return 0
	}
	probe := make([]byte, min(r.kept, 4<<10))
	r.copyLocked(probe, oldest)
	return oldest + int64(bytes.IndexByte(probe, '\n')+1)
}
