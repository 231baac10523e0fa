package nfsd

import (
	"sync"
)

// Sizes of pooled buffers in bytes.
const (
	smallBuffer = 16 << 10
	midBuffer   = 160 << 10
	largeSlack  = 1 << 10 // header around a transfer
	largeBuffer = maxTransfer + 2*largeSlack
)

// pools holds free buffers of the three sizes. It is process-wide because the
// garbage collector empties it: it keeps no state.
var pools [3]sync.Pool

func sizeClass(n int) (class, size int) {
	switch {
	case n <= smallBuffer:
		return 0, smallBuffer
	case n <= midBuffer:
		return 1, midBuffer
	}
	return 2, max(n, largeBuffer)
}

// getBuffer returns an empty buffer with room for n bytes.
func getBuffer(n int) []byte {
	class, size := sizeClass(n)
	if b, ok := pools[class].Get().(*[]byte); ok && cap(*b) >= n {
		return (*b)[:0]
	}
	return make([]byte, 0, size)
}

// putBuffer gives a buffer back; nobody may use it afterwards.
func putBuffer(b []byte) {
	switch c := cap(b); {
	case c >= largeBuffer && c < 2*largeBuffer:
		pools[2].Put(&b)
	case c >= midBuffer && c < largeBuffer:
		pools[1].Put(&b)
	case c >= smallBuffer && c < midBuffer:
		pools[0].Put(&b)
	}
}

// budget bounds the memory of large calls and replies that are under way, for
// all clients together and for each.
type budget struct {
	mu        sync.Mutex
	freed     sync.Cond
	max, each int64
	used      int64
	peak      int64
	closed    bool
}

func (b *budget) init(limit, each int64) {
	b.max, b.each = limit, each
	b.freed.L = &b.mu
}

// take waits until c may have n bytes more. It returns false when the server
// is closing.
func (b *budget) take(c *client, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	// A single call may always go when nothing else is under way.
	for !b.closed && (b.used > 0 && b.used+n > b.max || c.held > 0 && c.held+n > b.each) {
		b.freed.Wait()
	}
	if b.closed {
		return false
	}
	b.used += n
	c.held += n
	b.peak = max(b.peak, b.used)
	return true
}

func (b *budget) give(c *client, n int64) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	c.held -= n
	b.freed.Broadcast()
}

func (b *budget) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.freed.Broadcast()
}

func (b *budget) peakBytes() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.peak
}
