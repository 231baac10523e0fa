package pxe

import (
	"context"
	"time"

	"caddyshack/pxe/bootlog"
)

// Link is how the way to the operating-system server is.
type Link struct {
	// Up is true while it answers; at first it has not been asked yet.
	Up bool
	// Lost is since when it has not answered; zero if it did when last asked.
	Lost time.Time
	// Reason is why, in words.
	Reason string
	// Losses counts how often it was lost.
	Losses int
}

// Link tells how the way to the operating-system server is.
func (s *Service) Link() Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.link
}

// followRetry is how long a server that does not answer is left alone.
const followRetry = time.Second

// Follow keeps up with the operating-system server until ctx ends: what nodes
// do on NFS goes into the boot log, and after each life of the server the boot
// files are brought up to date, since its address may be another. Loss and
// return are logged, and told by Link.
func (s *Service) Follow(ctx context.Context) {
	var at Cursor
	current := s.Copies == nil // whether the boot files are known to be up to date
	for ctx.Err() == nil {
		events, err := s.OS.Events(ctx, at)
		if ctx.Err() != nil {
			return
		}
		if err == nil && events.Instance != at.Instance {
			current = s.Copies == nil
		}
		s.setLink(err)
		if err == nil {
			at = events.Cursor
			s.seen(events.List)
			if !current {
				err = s.Copies.SyncAll(ctx, s.OS)
				current = err == nil
			}
		}
		if err == nil {
			continue
		}
		s.log().Debug("following the operating-system server", "err", err)
		select {
		case <-time.After(followRetry):
		case <-ctx.Done():
		}
	}
}

// seen takes over events.
func (s *Service) seen(list []bootlog.Event) {
	for _, e := range list {
		s.Log.Record(e)
		if e.Stage == bootlog.StageMount && e.Outcome != bootlog.Denied && s.OnMount != nil {
			s.OnMount(e.ID)
		}
	}
}

func (s *Service) setLink(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link.Up = err == nil
	switch {
	case err != nil && s.link.Lost.IsZero():
		s.link.Lost, s.link.Reason = time.Now(), err.Error()
		s.link.Losses++
		s.log().Error("the operating-system server is lost: its nodes stand still and deploys wait until it is back", "err", err)
	case err != nil:
		s.link.Reason = err.Error()
	case !s.link.Lost.IsZero():
		s.log().Info("the operating-system server is back", "away", time.Since(s.link.Lost).Round(time.Millisecond))
		s.link.Lost, s.link.Reason = time.Time{}, ""
	}
}
