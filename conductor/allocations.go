package conductor

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"caddyshack/baremetal"
)

// Allocations are processed by whichever conductor accepted them, under a
// claim with a lease like that of nodes; one whose claim has ended is taken up
// by another. The transaction that writes node and allocation together decides.

// allocationRounds is how often an allocation tries, allocationPause how long
// it lets locked nodes be between the tries (section 5.7 of the API reference).
const (
	allocationRounds = 3
	allocationPause  = time.Second
)

// allocationDesk is the collection of allocations, as they are asked for.
type allocationDesk struct {
	guarded[baremetal.Allocation]
}

// Allocations are the allocations: one that is created without a node gets one
// in the background, one with a node takes that node at once (backfill).
func (c *Conductor) Allocations() baremetal.Collection[baremetal.Allocation] {
	return allocationDesk{guarded[baremetal.Allocation]{Collection: c.Store.Allocations(), c: c, mayDelete: mayRelease}}
}

// mayRelease refuses to take a node from under its instance.
func mayRelease(a *baremetal.Allocation, n *baremetal.Node) error {
	s := n.ProvisionState
	if n.Maintenance || s != baremetal.Active && s != baremetal.Rescue && !s.Working() && !s.Waiting() && !s.Holding() {
		return nil
	}
	return baremetal.Errorf(baremetal.Conflict,
		"Cannot remove allocation %s for node %s, because the node is in state %s where it cannot be deallocated (and maintenance mode is off)",
		a.UUID, n.UUID, s)
}

// Create implements baremetal.Collection.
func (d allocationDesk) Create(ctx context.Context, a *baremetal.Allocation, check func(*baremetal.Allocation, *baremetal.Node) error) error {
	c := d.c
	if a.NodeUUID != "" {
		a.State = baremetal.AllocationDone
		return d.guarded.Create(ctx, a, func(a *baremetal.Allocation, n *baremetal.Node) error {
			if check != nil {
				if err := check(a, n); err != nil {
					return err
				}
			}
			return backfill(a, n)
		})
	}
	if err := c.room(); err != nil {
		return err
	}
	now, err := c.Store.Now(ctx)
	if err != nil {
		return err
	}
	a.State = baremetal.Allocating
	a.ClaimOwner, a.ClaimHost, a.ClaimEpoch, a.ClaimExpires = c.owner, c.Host, 1, now.Add(c.Lease)
	if err := d.Collection.Create(ctx, a, check); err != nil {
		return err
	}
	c.allocateSoon(*a)
	return nil
}

// backfill checks that an allocation may be made for a node that is in use.
func backfill(a *baremetal.Allocation, n *baremetal.Node) error {
	if a.UUID == "" {
		a.UUID = baremetal.NewUUID()
	}
	fails := func(kind baremetal.Kind, why string) error {
		return baremetal.Errorf(kind, "Failed to process allocation %s: node %s %s", a.UUID, n.UUID, why)
	}
	switch {
	case n.AllocationUUID != "":
		return fails(baremetal.Conflict, "already has allocation "+n.AllocationUUID)
	case n.InstanceUUID != "" && n.InstanceUUID != a.UUID:
		return fails(baremetal.Conflict, "is associated with instance "+n.InstanceUUID)
	case !inUse(n.ProvisionState):
		return fails(baremetal.Invalid, "is in provision state "+string(n.ProvisionState)+" and not deployed")
	case a.ResourceClass != "" && a.ResourceClass != n.ResourceClass:
		return fails(baremetal.Invalid, "does not match the resource class "+a.ResourceClass)
	case !hasAll(n.Traits, a.Traits.List()):
		return fails(baremetal.Invalid, "does not have all traits "+strings.Join(a.Traits.List(), ", "))
	case a.CandidateNodes != "" && !a.CandidateNodes.Has(n.UUID):
		return fails(baremetal.Invalid, "is not among the candidate nodes")
	}
	a.ResourceClass = n.ResourceClass
	return nil
}

// inUse tells whether a machine runs, or should run, what was deployed on it.
func inUse(s baremetal.ProvisionState) bool {
	switch s {
	case baremetal.Active, baremetal.Rescue, baremetal.RescueFailed, baremetal.UnrescueFailed, baremetal.ServiceFailed:
		return true
	}
	return baremetal.TargetOf(s, false) == baremetal.Active && s.Working()
}

func hasAll(have baremetal.Strings, wanted []string) bool {
	list := have.List()
	return !slices.ContainsFunc(wanted, func(t string) bool { return !slices.Contains(list, t) })
}

// allocateSoon looks for a node in the background.
func (c *Conductor) allocateSoon(a baremetal.Allocation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.base == nil || c.stopping || c.base.Err() != nil {
		return // the row is taken up by the next conductor
	}
	c.workers.Add(1)
	base := c.base
	go func() {
		defer c.workers.Done()
		c.allocate(base, a)
	}()
}

// allocate looks for a node while its claim lives.
func (c *Conductor) allocate(ctx context.Context, a baremetal.Allocation) {
	ctx, cancel := context.WithTimeout(ctx, c.Lease)
	defer cancel()
	log := c.Log.With("allocation", a.UUID)
	node, reason, err := c.findNode(ctx, &a)
	if err == nil && node == "" {
		reason = "Failed to process allocation " + a.UUID + ": " + reason
		log.Info("allocation failed", "reason", reason)
		err = c.Store.FailAllocation(ctx, a.UUID, a.ClaimEpoch, reason)
	}
	switch {
	case err == nil:
		if node != "" {
			log.Info("allocation done", "node", node)
		}
	case baremetal.IsKind(err, baremetal.ClaimLost), baremetal.IsKind(err, baremetal.NotFound):
		log.Info("allocation is no longer to be processed here", "err", err)
	case ctx.Err() == nil:
		log.Error("processing an allocation failed; it will be tried again", "err", err)
	}
}

// findNode returns the node that was taken, or why none could be.
func (c *Conductor) findNode(ctx context.Context, a *baremetal.Allocation) (node, reason string, err error) {
	for round := 1; ; round++ {
		fitting, reason, err := c.fitting(ctx, a)
		if err != nil || len(fitting) == 0 {
			return "", reason, err
		}
		for _, uuid := range fitting {
			taken, err := c.tryNode(ctx, a, uuid)
			if err != nil {
				return "", "", err
			}
			if taken {
				return uuid, "", nil
			}
		}
		if round == allocationRounds {
			return "", "could not reserve any of the suitable nodes, all were locked or taken meanwhile", nil
		}
		if !sleep(ctx, allocationPause) {
			return "", "", ctx.Err()
		}
	}
}

// fitting lists the nodes that may be taken, in the order to try them: any
// order, but one of the allocation's name first.
func (c *Conductor) fitting(ctx context.Context, a *baremetal.Allocation) (uuids []string, reason string, err error) {
	candidates, err := c.Store.Candidates(ctx, a)
	if err != nil {
		return nil, "", err
	}
	if len(candidates) == 0 {
		reason = "no available nodes match the resource class " + a.ResourceClass
		if a.CandidateNodes != "" {
			reason = "none of the requested nodes are available and match the resource class " + a.ResourceClass
		}
		return nil, reason, nil
	}
	traits := a.Traits.List()
	namesake := ""
	for _, n := range candidates {
		switch {
		case len(traits) > 0 && !hasAll(n.Traits, traits):
		case a.Name != "" && n.Name == a.Name:
			namesake = n.UUID
		default:
			uuids = append(uuids, n.UUID)
		}
	}
	rand.Shuffle(len(uuids), func(i, j int) { uuids[i], uuids[j] = uuids[j], uuids[i] })
	if namesake != "" {
		uuids = slices.Insert(uuids, 0, namesake)
	}
	if len(uuids) == 0 {
		reason = "no suitable nodes have the requested traits " + strings.Join(traits, ", ")
	}
	return uuids, reason, nil
}

// tryNode takes a node, if it is still free.
func (c *Conductor) tryNode(ctx context.Context, a *baremetal.Allocation, uuid string) (taken bool, err error) {
	now, err := c.Store.Now(ctx)
	if err != nil {
		return false, err
	}
	var refused error
	err = c.Store.Allocate(ctx, a.UUID, a.ClaimEpoch, uuid, func(n *baremetal.Node) error {
		refused = nil
		switch {
		case n.Locked(now):
			refused = lockedError(n)
		case n.PowerState == baremetal.PowerUnknown || n.ProvisionState != baremetal.Available || n.InstanceUUID != "" || n.Maintenance || n.ResourceClass != a.ResourceClass || !hasAll(n.Traits, a.Traits.List()):
			refused = baremetal.Errorf(baremetal.Conflict, "Node %s is no longer free.", n.UUID)
		}
		return refused
	})
	if refused != nil || baremetal.IsKind(err, baremetal.NotFound) || baremetal.IsKind(err, baremetal.Conflict) {
		return false, nil //nolint:nilerr // this node was not free: the next one may be
	}
	return err == nil, err
}

// allocationLoop takes up what other conductors, or this host's earlier life, left.
func (c *Conductor) allocationLoop(ctx context.Context) error {
	tick := time.NewTicker(min(slowPoll, c.Lease/2))
	defer tick.Stop()
	for {
		due, err := c.Store.AllocationsDue(ctx, c.owner, c.Host)
		if err != nil && ctx.Err() == nil {
			c.Log.Warn("looking for allocations failed", "err", err)
		}
		for _, uuid := range due {
			a, err := c.Store.ClaimAllocation(ctx, uuid, c.owner, c.Host, c.Lease)
			switch {
			case err == nil:
				c.allocateSoon(a)
			case ctx.Err() == nil && !baremetal.IsKind(err, baremetal.Locked) && !baremetal.IsKind(err, baremetal.ClaimLost) && !baremetal.IsKind(err, baremetal.NotFound):
				c.Log.Warn("claiming an allocation failed", "allocation", uuid, "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
