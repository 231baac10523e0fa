package pxe

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"caddyshack/pxe/bootlog"
)

// keptEvents is how many events are kept for a follower that is slow or away
// for a moment; a boot makes two or three.
const keptEvents = 1024

// feed hands what nodes did on NFS to those who follow. The zero value is ready.
type feed struct {
	mu      sync.Mutex
	id      string // of this life
	started time.Time
	kept    []bootlog.Event // the latest; the last has the number seq
	seq     uint64
	more    chan struct{} // closed at the next event
}

// init is called with mu held.
func (f *feed) init() {
	if f.id == "" {
		f.id, f.started, f.more = rand.Text(), time.Now(), make(chan struct{})
	}
}

func (f *feed) life() (id string, started time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.init()
	return f.id, f.started
}

func (f *feed) add(e bootlog.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.init()
	f.seq++
	if len(f.kept) == keptEvents {
		f.kept = append(f.kept[:0], f.kept[1:]...)
	}
	f.kept = append(f.kept, e)
	close(f.more)
	f.more = make(chan struct{})
}

// events returns what came after a point. Who knows no point gets the present
// one; who knows one of an earlier life gets all of this one.
func (f *feed) events(ctx context.Context, after Cursor) (Events, error) {
	timer := time.NewTimer(EventWait)
	defer timer.Stop()
	for {
		out, more := f.since(after)
		if out.Instance != after.Instance || len(out.List) > 0 {
			return out, nil
		}
		select {
		case <-more:
		case <-timer.C:
			return out, nil
		case <-ctx.Done():
			return Events{}, ctx.Err()
		}
	}
}

func (f *feed) since(after Cursor) (Events, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.init()
	out := Events{Cursor: Cursor{Instance: f.id, Seq: f.seq}}
	n := uint64(0)
	switch after.Instance {
	case "":
	case f.id:
		n = f.seq - min(after.Seq, f.seq)
	default:
		n = f.seq
	}
	n = min(n, uint64(len(f.kept)))
	out.List = append(out.List, f.kept[uint64(len(f.kept))-n:]...)
	return out, f.more
}

// Observed tells those who follow what a node did on NFS. A mount is kept
// before, with Mounted.
func (s *LocalOSServer) Observed(e bootlog.Event) { s.feed.add(e) }
