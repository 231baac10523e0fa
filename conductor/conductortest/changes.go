// Package conductortest lets tests wait for what conductors write, instead of
// asking the database again and again.
package conductortest

import (
	"context"
	"sync"
	"time"

	"caddyshack/baremetal"
	"caddyshack/conductor"
)

// Changes tells when something was written through the stores that it watches.
// The zero value is ready for use.
type Changes struct {
	mu   sync.Mutex
	next chan struct{}
}

// Watch returns the store whose writes are told of.
func (c *Changes) Watch(s conductor.Store) conductor.Store { return &watched{Store: s, changes: c} }

// elsewhere is how often Await looks without having been told: another process,
// or the test itself, may have written past the stores that are watched.
const elsewhere = 100 * time.Millisecond

// Await calls done, and again after each write, until it is true. It is false
// if ctx ended before.
func (c *Changes) Await(ctx context.Context, done func() bool) bool {
	tick := time.NewTicker(elsewhere)
	defer tick.Stop()
	for {
		next := c.following() // before looking, so that no write is missed
		if done() {
			return true
		}
		select {
		case <-next:
		case <-tick.C:
		case <-ctx.Done():
			return done()
		}
	}
}

// following is closed at the next write.
func (c *Changes) following() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = make(chan struct{})
	}
	return c.next
}

func (c *Changes) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil {
		close(c.next)
		c.next = nil
	}
}

// watched tells of its writes once they are durable.
type watched struct {
	conductor.Store
	changes *Changes
}

func (w *watched) CreateNode(ctx context.Context, n *baremetal.Node) error {
	defer w.changes.tell()
	return w.Store.CreateNode(ctx, n)
}

func (w *watched) UpdateNode(ctx context.Context, ident string, change func(*baremetal.Node) error) (baremetal.Node, error) {
	defer w.changes.tell()
	return w.Store.UpdateNode(ctx, ident, change)
}

func (w *watched) UpdateClaimed(ctx context.Context, uuid string, epoch int64, change func(*baremetal.Node) error) (baremetal.Node, error) {
	defer w.changes.tell()
	return w.Store.UpdateClaimed(ctx, uuid, epoch, change)
}

func (w *watched) DeleteNode(ctx context.Context, ident string, check func(*baremetal.Node) error) error {
	defer w.changes.tell()
	return w.Store.DeleteNode(ctx, ident, check)
}

func (w *watched) Claim(ctx context.Context, uuid, owner, host string, lease time.Duration) (baremetal.Node, error) {
	defer w.changes.tell()
	return w.Store.Claim(ctx, uuid, owner, host, lease)
}

func (w *watched) ObservePower(ctx context.Context, key string, state baremetal.PowerState, boot, seq int64) (baremetal.Node, bool, error) {
	defer w.changes.tell()
	return w.Store.ObservePower(ctx, key, state, boot, seq)
}

func (w *watched) Allocate(ctx context.Context, uuid string, epoch int64, node string, check func(*baremetal.Node) error) error {
	defer w.changes.tell()
	return w.Store.Allocate(ctx, uuid, epoch, node, check)
}

func (w *watched) FailAllocation(ctx context.Context, uuid string, epoch int64, reason string) error {
	defer w.changes.tell()
	return w.Store.FailAllocation(ctx, uuid, epoch, reason)
}

func (w *watched) AppendHistory(ctx context.Context, e *baremetal.HistoryEntry) error {
	defer w.changes.tell()
	return w.Store.AppendHistory(ctx, e)
}
