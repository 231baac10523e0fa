package store

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// clock is the time of leases and wakes: a known instant carried on by the
// monotonic clock of this machine.
type clock struct {
	// ask, if set, asks the database for its time; nil = never ask again.
	ask func(ctx context.Context) (time.Time, error)

	mu     sync.Mutex
	base   time.Time // store time at asked, without a monotonic reading
	asked  time.Time // with a monotonic reading
	asking bool
}

// askEvery is how long a database's time is carried on without asking again:
// well below a lease, so that drift and a failover to another server do not matter.
const askEvery = 5 * time.Second

func newClock(base time.Time, ask func(ctx context.Context) (time.Time, error)) *clock {
	return &clock{ask: ask, base: base.Round(0).UTC(), asked: time.Now()}
}

func (c *clock) now(ctx context.Context) (time.Time, error) {
	c.mu.Lock()
	passed := time.Since(c.asked)
	now := c.base.Add(passed)
	if c.ask == nil || passed < askEvery || c.asking {
		c.mu.Unlock()
		return now, nil
	}
	c.asking = true
	c.mu.Unlock()

	before := time.Now()
	base, err := c.ask(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asking = false
	if err != nil {
		return time.Time{}, err
	}
	// The answer is from some moment in between; taking the first one as its
	// moment can only make us ahead by the round trip.
	c.base, c.asked = base.UTC(), before
	return c.base.Add(time.Since(before)), nil
}

// moment is how the clocks of a machine stood to each other when something was written.
type moment struct {
	store, wall time.Time
	bootID      string        // "" = unknown
	uptime      time.Duration // of the machine
}

// shift is by how much the times kept in the database have to be moved so that
// they have the same distance from now's store time as they had from the store
// time at the old moment, less the time that has passed.
func (old moment) shift(now moment) time.Duration {
	var passed time.Duration
	if old.bootID != "" && old.bootID == now.bootID {
		passed = now.uptime - old.uptime
	} else {
		passed = max(0, now.wall.Sub(old.wall))
	}
	return now.store.Sub(old.store.Add(passed))
}

// thisMoment reads the machine's clocks.
func thisMoment(store time.Time) moment {
	m := moment{store: store, wall: time.Now()}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return m
	}
	up, ok := uptime()
	if !ok {
		return m
	}
	m.bootID, m.uptime = strings.TrimSpace(string(id)), up
	return m
}

func uptime() (time.Duration, bool) {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0, false
	}
	first, _, _ := strings.Cut(string(text), " ")
	seconds, err := strconv.ParseFloat(first, 64)
	return time.Duration(seconds * float64(time.Second)), err == nil
}
