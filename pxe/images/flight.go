package images

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// reportEvery is the shortest time between two progress reports.
const reportEvery = 250 * time.Millisecond

// flight is one download that any number of requests wait for.
type flight struct {
	cancel context.CancelFunc
	done   chan struct{}
	img    Image // valid after done
	err    error // valid after done

	mu      sync.Mutex
	reports map[int]func(Progress)
	next    int
	last    time.Time
}

// join waits for the flight of p, starting it if there is none. The flight is
// cut when nobody waits for it any more; what was downloaded is kept, so that
// the next request goes on from there.
func (s *Store) join(ctx context.Context, p plan, report func(Progress)) (Image, error) {
	if report == nil {
		report = func(Progress) {}
	}
	key := p.sum.String() + " " + p.url.String()
	s.mu.Lock()
	f, ok := s.flights[key]
	if !ok {
		f = &flight{done: make(chan struct{}), reports: map[int]func(Progress){}}
		var fctx context.Context
		// Not the caller's context: others may come to wait as well.
		fctx, f.cancel = context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Timeout)
		s.flights[key] = f
		go s.fly(fctx, key, f, p)
	}
	me := f.subscribe(report)
	s.mu.Unlock()

	select {
	case <-f.done:
		f.unsubscribe(me)
		return f.img, f.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	if f.unsubscribe(me) == 0 {
		f.cancel()
		if s.flights[key] == f {
			delete(s.flights, key)
		}
	}
	s.mu.Unlock()
	return Image{}, fmt.Errorf("fetching image %s: %w", p.label(), context.Cause(ctx))
}

// fly runs the flight to its end.
func (s *Store) fly(ctx context.Context, key string, f *flight, p plan) {
	defer f.cancel()
	started := time.Now()
	if p.scheme == "file" {
		f.img, f.err = s.copyFile(ctx, p, f.report)
	} else {
		f.img, f.err = s.download(ctx, p, f.report)
	}
	if f.err != nil {
		s.cfg.Log.Warn("image fetch failed", "source", p.label(), "error", f.err)
	} else {
		s.cfg.Log.Info("image fetched", "source", p.label(), "digest", f.img.Digest, "bytes", f.img.Size, "seconds", time.Since(started).Seconds())
	}
	s.mu.Lock()
	if s.flights[key] == f {
		delete(s.flights, key)
	}
	s.mu.Unlock()
	close(f.done)
}

func (f *flight) subscribe(report func(Progress)) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	f.reports[f.next] = report
	return f.next
}

// unsubscribe returns how many still wait. No report is running or will run
// for id once it returns.
func (f *flight) unsubscribe(id int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.reports, id)
	return len(f.reports)
}

// report passes progress on, not too often.
func (f *flight) report(p Progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.last) >= reportEvery {
		f.last = now
		for _, r := range f.reports {
			r(p)
		}
	}
}
