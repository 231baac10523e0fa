package switches

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"caddyshack/baremetal"
)

// Drift compares each switch with what is wanted, now and then, whenever a
// switch says that something has changed, and after each of its restarts.
type Drift struct {
	Fleet  *Fleet
	Intent Intent
	// Every is the time between two looks at a switch; 0 = one minute.
	Every time.Duration
	// Grace is how long a difference may last that comes from no restart, since
	// what is wanted is written down before the switch is told; 0 = 3 s.
	Grace time.Duration
	Log   *slog.Logger

	mu     sync.Mutex // guards what follows
	states map[string]*DriftState
}

// DriftState is what was seen of one switch.
type DriftState struct {
	Switch string `json:"switch"`
	// Checked is when the switch was last compared; zero = never.
	Checked time.Time `json:"checked_at,omitzero"`
	// Error says why the last comparison or repair failed; "" = it did not.
	Error string `json:"error,omitempty"`
	// Ports that are not what they shall be, and their differences in words.
	Ports       int      `json:"ports"`
	Differences []string `json:"differences,omitempty"`
	// Since when there are Differences.
	Since time.Time `json:"since,omitzero"`

	// Found counts the times that the switch was not what was wanted, Repaired
	// those in which it was made so, Failed those in which that failed, or what
	// is wanted cannot be.
	Found    int `json:"found"`
	Repaired int `json:"repaired"`
	Failed   int `json:"failed"`
	// Restarts of the switch that were noticed.
	Restarts int `json:"restarts"`
	// Unreachable counts the comparisons to which the switch did not answer.
	Unreachable int `json:"unreachable"`

	boot string
}

const (
	everyDefault = time.Minute
	graceDefault = 3 * time.Second
	// calm is how long a switch's own news are collected before a look: a change
	// of many ports is many.
	calm = 200 * time.Millisecond
	// rewatch is the time after which a lost connection is tried again.
	rewatch = 5 * time.Second
)

// Run watches all switches until ctx ends.
func (d *Drift) Run(ctx context.Context) error {
	var watchers sync.WaitGroup
	for _, s := range d.Fleet.All() {
		news := make(chan struct{}, 1)
		if w, ok := s.backend.(Watcher); ok {
			watchers.Go(func() { listen(ctx, w, news) })
		}
		watchers.Go(func() { d.watch(ctx, s, news) })
	}
	watchers.Wait()
	return nil
}

// listen hands on what the switch says by itself. Its connection may be lost
// and found again; then anything may have happened.
func listen(ctx context.Context, w Watcher, news chan<- struct{}) {
	tell := func() {
		select {
		case news <- struct{}{}:
		default: // it will be looked at anyway
		}
	}
	for ctx.Err() == nil {
		if w.Watch(ctx, tell) != nil {
			pause(ctx, rewatch)
		}
		tell()
	}
}

func (d *Drift) watch(ctx context.Context, s *Switch, news <-chan struct{}) {
	every := d.Every
	if every == 0 {
		every = everyDefault
	}
	for {
		d.Check(ctx, s)
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		case <-news:
			pause(ctx, calm)
		}
	}
}

// pause waits, and tells whether ctx is still on.
func pause(ctx context.Context, t time.Duration) bool {
	select {
	case <-time.After(t):
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// Check looks at one switch now, and repairs it if that is allowed.
func (d *Drift) Check(ctx context.Context, s *Switch) {
	plan, boot, err := s.compare(ctx, d.Intent)
	if ctx.Err() != nil {
		return
	}
	restarted := d.noteBoot(s, boot)
	if err == nil && !plan.Empty() && !restarted {
		grace := d.Grace
		if grace == 0 {
			grace = graceDefault
		}
		if !pause(ctx, grace) {
			return
		}
		if plan, _, err = s.compare(ctx, d.Intent); ctx.Err() != nil {
			return
		}
	}
	if err == nil && plan.Unfinished && s.ReportOnly { // this is no drift, but our own doing
		if _, err = s.Apply(ctx, Wanted{}); err == nil {
			plan, _, err = s.compare(ctx, d.Intent)
		}
		if ctx.Err() != nil {
			return
		}
	}
	switch {
	case err != nil:
		d.note(s, func(st *DriftState) {
			if st.Error = err.Error(); baremetal.IsKind(err, baremetal.Unavailable) {
				st.Unreachable++
			} else {
				st.Failed++
			}
		})
		d.Log.Warn("a switch could not be compared with what is wanted", "switch", s.Name, "err", err)
		return
	case plan.Empty():
		d.note(s, func(st *DriftState) { st.Error = ""; st.right() })
		return
	}
	words := plan.Words()
	d.note(s, func(st *DriftState) {
		if st.Since.IsZero() {
			st.Since = time.Now()
			st.Found++
		}
		st.Error, st.Ports, st.Differences = "", len(plan.Differences), words
	})
	d.Log.Warn("a switch is not what is wanted", "switch", s.Name, "restarted", restarted, "differences", words, "repair", !s.ReportOnly)
	if !s.ReportOnly {
		d.repair(ctx, s)
	}
}

func (d *Drift) repair(ctx context.Context, s *Switch) {
	_, err := s.Settle(ctx, func(ctx context.Context) (Wanted, error) { return d.Intent(ctx, s.ID) })
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		d.note(s, func(st *DriftState) { st.Error = err.Error(); st.Failed++ })
		d.Log.Error("a switch could not be made what is wanted", "switch", s.Name, "err", err)
		return
	}
	d.note(s, func(st *DriftState) { st.Repaired++; st.right() })
	d.Log.Info("a switch is what is wanted again", "switch", s.Name)
}

// noteBoot tells whether the switch has restarted since the last look.
func (d *Drift) noteBoot(s *Switch, boot string) (restarted bool) {
	if boot == "" {
		return false
	}
	d.note(s, func(st *DriftState) {
		restarted = st.boot != "" && st.boot != boot
		if st.boot = boot; restarted {
			st.Restarts++
		}
	})
	return restarted
}

func (st *DriftState) right() { st.Ports, st.Differences, st.Since = 0, nil, time.Time{} }

func (d *Drift) note(s *Switch, change func(*DriftState)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.states == nil {
		d.states = map[string]*DriftState{}
	}
	st := d.states[s.ID]
	if st == nil {
		st = &DriftState{Switch: s.Name}
		d.states[s.ID] = st
	}
	change(st)
	st.Checked = time.Now()
}

// States tells what was seen of each switch, by its ID.
func (d *Drift) States() map[string]DriftState {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]DriftState{}
	for id, st := range d.states {
		c := *st
		c.Differences = slices.Clone(st.Differences)
		all[id] = c
	}
	return all
}
