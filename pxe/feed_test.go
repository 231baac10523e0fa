package pxe

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"caddyshack/pxe/bootlog"
)

func TestFeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		var f feed
		f.add(bootlog.Event{ID: "before"})
		// Who begins gets the present point at once, and nothing of before.
		at, err := f.events(ctx, Cursor{})
		if err != nil || len(at.List) != 0 || at.Seq != 1 {
			t.Fatalf("at the beginning: %+v, %v", at, err)
		}
		go func() { time.Sleep(time.Second); f.add(bootlog.Event{ID: "a"}) }()
		began := time.Now()
		next, err := f.events(ctx, at.Cursor)
		if err != nil || len(next.List) != 1 || next.List[0].ID != "a" || time.Since(began) != time.Second {
			t.Errorf("after 1 s: %+v, %v", next, err)
		}
		began = time.Now()
		if none, err := f.events(ctx, next.Cursor); err != nil || len(none.List) != 0 || none.Cursor != next.Cursor || time.Since(began) != EventWait {
			t.Errorf("without an event: %+v, %v", none, err)
		}
		// Who knows an earlier life gets all of this one.
		if all, err := f.events(ctx, Cursor{Instance: "earlier", Seq: 77}); err != nil || len(all.List) != 2 || all.Seq != 2 {
			t.Errorf("after a restart: %+v, %v", all, err)
		}
		// Who is too slow gets what is kept.
		for range keptEvents + 10 {
			f.add(bootlog.Event{ID: "many"})
		}
		if late, err := f.events(ctx, next.Cursor); err != nil || len(late.List) != keptEvents || late.Seq != keptEvents+12 {
			t.Errorf("too late: %d events up to %d, %v", len(late.List), late.Seq, err)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		last, _ := f.events(ctx, Cursor{})
		if _, err := f.events(ended, last.Cursor); !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: %v", err)
		}
	})
}
