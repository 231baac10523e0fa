package conductor

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// work is one claimed node and the worker on it.
type work struct {
	c     *Conductor
	claim *claim
	node  baremetal.Node // as last written
	// seenWake is the row's WakeAt as this worker last saw it: if it differs in
	// the row, an event came meanwhile.
	seenWake time.Time
	log      *slog.Logger
}

// write changes the row under the claim, and keeps the result.
func (w *work) write(ctx context.Context, change func(n *baremetal.Node, now time.Time) error) error {
	now, err := w.c.Store.Now(ctx)
	if err != nil {
		return err
	}
	n, err := w.c.Store.UpdateClaimed(ctx, w.node.UUID, w.claim.epoch, func(n *baremetal.Node) error { return change(n, now) })
	if err != nil {
		return err
	}
	w.node = n
	return nil
}

// laterWake is the WakeAt to leave in the row: now if an event came, else the wanted one.
func (w *work) laterWake(n *baremetal.Node, wanted time.Time) time.Time {
	if !n.Work.WakeAt.Equal(w.seenWake) {
		return n.Work.WakeAt
	}
	return wanted
}

// run works until nothing is left to do, the claim is lost, or the process stops.
func (w *work) run(ctx context.Context) {
	for {
		more, err := w.next(ctx)
		switch {
		case err == nil && more:
			continue
		case err == nil:
			return
		case baremetal.IsKind(err, baremetal.ClaimLost) || errors.Is(context.Cause(ctx), errClaimLost):
			w.log.Warn("another conductor works on the node now; stopping")
			return
		case ctx.Err() != nil:
			w.park(ctx)
			return
		}
		// The store failed: the row still says what to do. Keep the claim and try again.
		w.log.Error("working on the node failed; trying again", "err", err)
		if !sleep(ctx, storeRetry) {
			w.park(ctx)
			return
		}
	}
}

const storeRetry = time.Second

// park gives the claim back in a row that still has its work, for the next process.
func (w *work) park(ctx context.Context) {
	pctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	err := w.write(pctx, func(n *baremetal.Node, now time.Time) error {
		drop(n, now)
		return nil
	})
	if err != nil && !baremetal.IsKind(err, baremetal.ClaimLost) {
		w.log.Warn("giving the claim back failed; it ends with its lease", "err", err)
	}
}

// next does one piece of work; more is false once the claim has been given back.
func (w *work) next(ctx context.Context) (more bool, err error) {
	n := &w.node
	switch {
	case n.Work.Intent.Power != "":
		return w.power(ctx)
	case n.Work.Intent.Console != nil:
		return w.console(ctx)
	}
	switch n.ProvisionState {
	case baremetal.Verifying:
		return w.verify(ctx)
	case baremetal.Deploying, baremetal.DeployWait:
		return w.deploy(ctx)
	case baremetal.Deleting:
		return w.tearDown(ctx)
	case baremetal.Cleaning, baremetal.CleanWait:
		return w.clean(ctx)
	case baremetal.Servicing, baremetal.ServiceWait:
		return w.service(ctx)
	case baremetal.Inspecting, baremetal.InspectWait:
		return w.inspect(ctx)
	case baremetal.Adopting:
		return w.adopt(ctx)
	case baremetal.Rescuing, baremetal.RescueWait:
		return w.rescue(ctx)
	case baremetal.Unrescuing:
		return w.unrescue(ctx)
	}
	return false, w.finish(ctx, func(*baremetal.Node, time.Time) {})
}

// finish writes the end of a piece of work and gives the claim back, unless
// another piece (a power action beside a deploy) is asked for.
func (w *work) finish(ctx context.Context, change func(n *baremetal.Node, now time.Time)) error {
	return w.write(ctx, func(n *baremetal.Node, now time.Time) error {
		change(n, now)
		drop(n, w.laterWakeIfBusy(n))
		return nil
	})
}

// laterWakeIfBusy keeps a wake-up that came for a node that still waits.
func (w *work) laterWakeIfBusy(n *baremetal.Node) time.Time {
	if n.ProvisionState.Waiting() {
		return n.Work.WakeAt
	}
	return time.Time{}
}

// task is what the drivers get to see.
func (w *work) task(ctx context.Context) (*drivers.Task, error) {
	ports, err := w.c.Store.Ports(ctx, baremetal.PortQuery{NodeUUID: &w.node.UUID})
	if err != nil {
		return nil, err
	}
	return &drivers.Task{Node: w.node, Ports: ports, Epoch: w.claim.epoch, Journal: &journal{w: w}, Log: w.log}, nil
}

// journal keeps a driver's notes in the node's row, under keys with a prefix.
type journal struct {
	w      *work
	prefix string
}

func (j *journal) Get(key string) string { return j.w.node.Work.Journal.Str(j.prefix + key) }

func (j *journal) Put(ctx context.Context, key, value string) error {
	key = j.prefix + key
	return j.w.write(ctx, func(n *baremetal.Node, _ time.Time) error {
		if value == "" {
			n.Work.Journal = n.Work.Journal.Without(key)
		} else {
			n.Work.Journal = n.Work.Journal.With(key, value)
		}
		return nil
	})
}

// sleep waits for d; false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// history adds an event to the node's life; a failure to write it is only logged.
func (w *work) history(ctx context.Context, severity baremetal.Severity, kind, event string) {
	w.c.history(ctx, &w.node, severity, kind, event)
}

// note adds an event to the node's life within a change of its row, so that
// whoever sees the change sees the event; took is how long the node was in the
// state that it leaves.
func (c *Conductor) note(n *baremetal.Node, severity baremetal.Severity, kind, event string, took time.Duration) {
	n.Work.Events = append(n.Work.Events, c.entry(n, severity, kind, event, took))
}

func (c *Conductor) entry(n *baremetal.Node, severity baremetal.Severity, kind, event string, took time.Duration) baremetal.HistoryEntry {
	return baremetal.HistoryEntry{
		UUID: baremetal.NewUUID(), NodeUUID: n.UUID, Severity: severity, EventType: kind, Event: event,
		Conductor: c.Host, User: n.Work.Intent.User, Project: n.Work.Intent.Project, State: n.ProvisionState, TargetProvisionState: n.TargetProvisionState,
		DurationSeconds: max(took, 0).Seconds(),
	}
}

// seen adds an event that nobody asked for.
func (c *Conductor) seen(ctx context.Context, n *baremetal.Node, severity baremetal.Severity, kind, event string) {
	unasked := *n
	Caller{}.asks(&unasked.Work.Intent)
	c.history(ctx, &unasked, severity, kind, event)
}

func (c *Conductor) history(ctx context.Context, n *baremetal.Node, severity baremetal.Severity, kind, event string) {
	e := c.entry(n, severity, kind, event, 0)
	err := c.Store.AppendHistory(ctx, &e)
	if err != nil && ctx.Err() == nil {
		c.Log.Warn("writing node history failed", "node", n.UUID, "event", event, "err", err)
	}
}
