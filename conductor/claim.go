package conductor

import (
	"context"
	"errors"
	"time"

	"caddyshack/baremetal"
)

// claim is a node this process works on. Its context ends when the claim is
// lost or the process stops; every write carries the epoch.
type claim struct {
	epoch  int64
	cancel context.CancelCauseFunc
	nudge  chan struct{} // an event came for the node
}

var errClaimLost = &baremetal.Error{Kind: baremetal.ClaimLost, Message: "the claim on the node is no longer held"}

// take marks the row as having work, and claims it for this process if it can
// serve the node. It is used within a change of the row.
func (c *Conductor) take(n *baremetal.Node, now time.Time) {
	n.Work.WakeAt = now.Truncate(time.Microsecond) // as it is kept, to be recognized when read again
	if !c.serves(n) {
		return
	}
	n.Work.ClaimOwner, n.Work.Reservation = c.owner, c.Host
	n.Work.ClaimEpoch++
	n.Work.ClaimExpires = now.Add(c.Lease)
}

// drop ends the claim within a change of the row; wakeAt zero means no work left.
func drop(n *baremetal.Node, wakeAt time.Time) {
	n.Work.ClaimOwner, n.Work.Reservation = "", ""
	n.Work.ClaimExpires = time.Time{}
	n.Work.WakeAt = wakeAt
}

func lockedError(n *baremetal.Node) error {
	host := n.Work.Reservation
	if host == "" {
		host = "(waiting for a conductor)"
	}
	return baremetal.Errorf(baremetal.Locked,
		"Node %s is locked by host %s, please retry after the current operation is completed.", n.UUID, host)
}

// whenFree applies change to the row as soon as nobody works on the node,
// waiting up to LockWait for that.
func (c *Conductor) whenFree(ctx context.Context, ident string, change func(n *baremetal.Node, now time.Time) error) (baremetal.Node, error) {
	giveUp := time.NewTimer(c.LockWait)
	defer giveUp.Stop()
	for {
		freed := c.freed() // before the try, so that a release in between is not missed
		now, err := c.Store.Now(ctx)
		if err != nil {
			return baremetal.Node{}, err
		}
		n, err := c.Store.UpdateNode(ctx, ident, func(n *baremetal.Node) error {
			if n.Locked(now) {
				return lockedError(n)
			}
			return change(n, now)
		})
		if !baremetal.IsKind(err, baremetal.Locked) {
			return n, err
		}
		select {
		case <-freed:
		case <-time.After(otherProcessPoll): // the holder may be another process
		case <-giveUp.C:
			return n, err
		case <-ctx.Done():
			return n, ctx.Err()
		}
	}
}

const otherProcessPoll = 250 * time.Millisecond

// accept applies an intent to a free node, claims it, and hands it to a worker
// of this process; if another conductor must serve it, the row wakes that one.
func (c *Conductor) accept(ctx context.Context, ident string, intent func(n *baremetal.Node, now time.Time) error) (baremetal.Node, error) {
	if err := c.room(); err != nil {
		return baremetal.Node{}, err
	}
	n, err := c.whenFree(ctx, ident, func(n *baremetal.Node, now time.Time) error {
		if err := intent(n, now); err != nil {
			return err
		}
		if n.Work.Intent.Idle() {
			return nil // done in the row alone
		}
		c.take(n, now)
		return nil
	})
	if err != nil {
		return n, err
	}
	if n.Work.ClaimOwner == c.owner {
		c.begin(n)
	}
	return n, nil
}

// room refuses work beyond MaxWorkers, and before and after Run.
func (c *Conductor) room() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.base == nil || c.stopping || c.base.Err() != nil:
		return baremetal.Errorf(baremetal.Unavailable, "This conductor is starting or stopping; please retry.")
	case len(c.claims) >= c.MaxWorkers:
		return baremetal.Errorf(baremetal.Unavailable, "Requested action cannot be performed due to lack of free conductor workers.")
	}
	return nil
}

// borrow claims the node for a synchronous call and runs use under the claim.
func (c *Conductor) borrow(ctx context.Context, ident string, use func(ctx context.Context, w *work) error) error {
	w, wctx, giveBack, err := c.lend(ctx, ident)
	if err != nil {
		return err
	}
	callCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(wctx, func() { cancel(context.Cause(wctx)) })
	defer stop()
	err = use(callCtx, w)
	if released := giveBack(); err == nil {
		err = released
	}
	return err
}

// borrowAside is borrow for a call that nobody waits for: it returns once the
// node is claimed, and what use answers is only logged.
func (c *Conductor) borrowAside(ctx context.Context, ident string, use func(ctx context.Context, w *work) error) error {
	w, wctx, giveBack, err := c.lend(ctx, ident)
	if err != nil {
		return err
	}
	go func() {
		err := use(wctx, w)
		if released := giveBack(); err == nil {
			err = released
		}
		if err != nil {
			w.log.Error("asynchronous call failed", "err", err)
		}
	}()
	return nil
}

// lend claims the node. The context ends when the claim is lost or the
// conductor stops; giveBack releases the claim and must be called.
func (c *Conductor) lend(ctx context.Context, ident string) (w *work, wctx context.Context, giveBack func() error, err error) {
	if err := c.room(); err != nil {
		return nil, nil, nil, err
	}
	var wake time.Time
	n, err := c.whenFree(ctx, ident, func(n *baremetal.Node, now time.Time) error {
		if !c.serves(n) {
			return baremetal.Errorf(baremetal.Unavailable, "Node %s is served by conductor %s; ask that one.", n.UUID, c.HostFor(n))
		}
		wake = n.Work.WakeAt
		c.take(n, now)
		return nil
	})
	if err != nil {
		return nil, nil, nil, err
	}
	w, wctx = c.hold(n)
	return w, wctx, func() error {
		defer c.let(w)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		return w.write(ctx, func(n *baremetal.Node, now time.Time) error {
			n.Work.Journal = ""
			drop(n, w.laterWake(n, wake))
			return nil
		})
	}, nil
}

const releaseTimeout = 5 * time.Second

// hold enters a claim that is in the row into the list that is renewed.
func (c *Conductor) hold(n baremetal.Node) (*work, context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithCancelCause(c.base)
	cl := &claim{epoch: n.Work.ClaimEpoch, cancel: cancel, nudge: make(chan struct{}, 1)}
	c.claims[n.UUID] = cl
	c.workers.Add(1)
	return &work{c: c, claim: cl, node: n, seenWake: n.Work.WakeAt,
		log: c.Log.With("node", n.UUID, "request_id", n.Work.Intent.RequestID)}, ctx
}

// let takes the claim off the list and tells those who wait for the node.
func (c *Conductor) let(w *work) {
	w.claim.cancel(nil)
	c.mu.Lock()
	if c.claims[w.node.UUID] == w.claim {
		delete(c.claims, w.node.UUID)
	}
	close(c.released)
	c.released = make(chan struct{})
	c.mu.Unlock()
	c.workers.Done()
}

func (c *Conductor) freed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.released
}

// begin starts the worker of a node whose claim this process just took.
func (c *Conductor) begin(n baremetal.Node) {
	w, ctx := c.hold(n)
	go func() {
		defer c.let(w)
		w.run(ctx)
	}()
}

// renewLoop keeps the claims alive, and ends the work on those that are lost.
func (c *Conductor) renewLoop(ctx context.Context) error {
	tick := time.NewTicker(c.Renew)
	defer tick.Stop()
	renewed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		c.mu.Lock()
		held := make(map[string]int64, len(c.claims))
		for uuid, cl := range c.claims {
			held[uuid] = cl.epoch
		}
		c.mu.Unlock()
		if len(held) == 0 {
			renewed = time.Now()
			continue
		}
		rctx, cancel := context.WithTimeout(ctx, c.Renew)
		lost, err := c.Store.Renew(rctx, c.owner, held, c.Lease)
		cancel()
		switch {
		case err == nil:
			renewed = time.Now()
		case ctx.Err() != nil:
			return nil
		default:
			c.Log.Warn("renewing claims failed", "nodes", len(held), "err", err)
			if time.Since(renewed) < c.Lease {
				continue
			}
			for uuid := range held { // the lease is over: others may work on them
				lost = append(lost, uuid)
			}
		}
		c.mu.Lock()
		for _, uuid := range lost {
			if cl := c.claims[uuid]; cl != nil && cl.epoch == held[uuid] {
				cl.cancel(errClaimLost)
			}
		}
		c.mu.Unlock()
	}
}

// wakeLoop claims rows that have work and nobody who does it: after a crash,
// on an event, at a deadline.
func (c *Conductor) wakeLoop(ctx context.Context) error {
	wakes := c.Store.Wakes(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case uuid, ok := <-wakes:
			if !ok {
				if ctx.Err() != nil {
					return nil
				}
				return errors.New("the store stopped telling about work")
			}
			c.nudge(uuid)
		case <-timer.C:
		}
		next := c.claimDue(ctx)
		timer.Reset(next)
	}
}

const (
	slowPoll      = 5 * time.Second
	stillHeldPoll = 50 * time.Millisecond
)

// claimDue claims what is due and returns how long until something may be due again.
func (c *Conductor) claimDue(ctx context.Context) time.Duration {
	soonest := 10 * time.Millisecond
	for {
		free := c.freeWorkers()
		if free == 0 {
			return time.Second
		}
		due, err := c.Store.Claimable(ctx, c.Places, c.drivers, min(free, 100))
		if err != nil {
			if ctx.Err() == nil {
				c.Log.Warn("looking for work failed", "err", err)
			}
			return slowPoll
		}
		began := 0
		for _, uuid := range due {
			if c.working(uuid) { // a worker of this process is about to let go, or hangs on beyond its lease
				soonest = stillHeldPoll
				continue
			}
			n, err := c.Store.Claim(ctx, uuid, c.owner, c.Host, c.Lease)
			if err != nil {
				if !baremetal.IsKind(err, baremetal.Locked) && !baremetal.IsKind(err, baremetal.NotFound) && ctx.Err() == nil {
					c.Log.Warn("claiming a node failed", "node", uuid, "err", err)
				}
				continue
			}
			c.begin(n)
			began++
		}
		if began == 0 {
			break
		}
	}
	next, err := c.Store.NextWake(ctx)
	if err != nil || next.IsZero() {
		return slowPoll
	}
	now, err := c.Store.Now(ctx)
	if err != nil {
		return slowPoll
	}
	return min(max(next.Sub(now), soonest), slowPoll)
}

// working tells whether a worker of this process is on the node.
func (c *Conductor) working(uuid string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.claims[uuid] != nil
}

func (c *Conductor) freeWorkers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(0, c.MaxWorkers-len(c.claims))
}

// nudge tells a worker of this process that an event came for its node.
func (c *Conductor) nudge(uuid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, cl := range c.claims {
		if uuid == "" || id == uuid {
			select {
			case cl.nudge <- struct{}{}:
			default:
			}
		}
	}
}
