package store

import (
	"context"
	"time"

	"caddyshack/baremetal"
)

// An allocation and the node found for it are written in one transaction, the
// node locked first. A node that lets go of its allocation (teardown, the end
// of its instance, deletion) takes the allocation with it.

var allocations = kind[baremetal.Allocation]{
	table: "allocations", what: "Allocation", named: true, ofProject: ofOwner,
	columns: []string{"id", "uuid", "name", "resource_class", "traits", "candidate_nodes", "extra", "owner", "node_uuid", "state",
		"last_error", "created_at", "updated_at", "claim_owner", "claim_host", "claim_epoch", "claim_expires"},
	unsortable: []string{"traits", "candidate_nodes", "extra", "claim_owner", "claim_host", "claim_epoch", "claim_expires"},
	args: func(a *baremetal.Allocation) []any {
		return []any{a.ID, a.UUID, a.Name, a.ResourceClass, string(a.Traits), string(a.CandidateNodes), object(a.Extra), a.Owner, a.NodeUUID,
			string(a.State), a.LastError, micros(a.CreatedAt), micros(a.UpdatedAt), a.ClaimOwner, a.ClaimHost, a.ClaimEpoch, micros(a.ClaimExpires)}
	},
	dest: func(a *baremetal.Allocation) []any {
		return []any{&a.ID, &a.UUID, &a.Name, &a.ResourceClass, &a.Traits, &a.CandidateNodes, &a.Extra, &a.Owner, &a.NodeUUID,
			&a.State, &a.LastError, momentColumn{&a.CreatedAt}, momentColumn{&a.UpdatedAt}, &a.ClaimOwner, &a.ClaimHost, &a.ClaimEpoch,
			momentColumn{&a.ClaimExpires}}
	},
	meta: func(a *baremetal.Allocation) meta {
		m := meta{id: &a.ID, uuid: &a.UUID, created: &a.CreatedAt, updated: &a.UpdatedAt}
		if a.NodeUUID != "" {
			m.node = &a.NodeUUID
		}
		return m
	},
	unique: map[string]func(*baremetal.Allocation) string{
		"name":      func(a *baremetal.Allocation) string { return "An allocation with name " + a.Name + " already exists." },
		"node_uuid": func(a *baremetal.Allocation) string { return "Node " + a.NodeUUID + " already has an allocation." },
	},
}

func (s *Store) allocations() records[baremetal.Allocation] {
	return records[baremetal.Allocation]{s, &allocations}
}

// Allocations are the allocations. One that is created with a NodeUUID takes
// that node in the same transaction, and one that is deleted frees its node.
func (s *Store) Allocations() baremetal.Collection[baremetal.Allocation] {
	return allocationRecords{s.allocations()}
}

type allocationRecords struct {
	records[baremetal.Allocation]
}

// Create stores an allocation; with a NodeUUID, check may change it before it is stored.
func (r allocationRecords) Create(ctx context.Context, a *baremetal.Allocation, check func(*baremetal.Allocation, *baremetal.Node) error) error {
	now, err := r.s.stamp(ctx)
	if err != nil {
		return err
	}
	made := *a
	err = r.s.write(ctx, func(ctx context.Context, tx *tx) error {
		made = *a
		var taken *baremetal.Node
		err := r.insert(ctx, tx, &made, now, func(a *baremetal.Allocation, n *baremetal.Node) error {
			taken = n
			if check == nil {
				return nil
			}
			return check(a, n)
		})
		if err != nil || taken == nil {
			return err
		}
		return r.s.take(ctx, tx, taken, &made, now)
	})
	if err == nil {
		*a = made
	}
	return err
}

// take writes the allocation into a locked node.
func (s *Store) take(ctx context.Context, tx *tx, n *baremetal.Node, a *baremetal.Allocation, now time.Time) error {
	return s.changeNode(ctx, tx, n, now, func(n *baremetal.Node) error {
		n.InstanceUUID, n.AllocationUUID = a.UUID, a.UUID
		return nil
	})
}

// Delete deletes an allocation after check accepted it, and frees its node.
func (r allocationRecords) Delete(ctx context.Context, ident string, check func(*baremetal.Allocation, *baremetal.Node) error) error {
	now, err := r.s.stamp(ctx)
	if err != nil {
		return err
	}
	return r.s.write(ctx, func(ctx context.Context, tx *tx) error {
		a, n, err := r.lock(ctx, tx, ident)
		if err != nil {
			return err
		}
		if check != nil {
			if err := theirs(check(&a, n)); err != nil {
				return err
			}
		}
		if n != nil && n.AllocationUUID == a.UUID {
			return r.s.changeNode(ctx, tx, n, now, func(n *baremetal.Node) error {
				n.InstanceUUID, n.AllocationUUID = "", "" // the allocation goes with it
				return nil
			})
		}
		return dropAllocation(ctx, tx, a.UUID)
	})
}

// lock is that of records, and finds out when the allocation got its node meanwhile.
func (r allocationRecords) lock(ctx context.Context, tx *tx, ident string) (baremetal.Allocation, *baremetal.Node, error) {
	a, n, err := r.records.lock(ctx, tx, ident)
	if err == nil && n == nil && a.NodeUUID != "" {
		err = baremetal.Errorf(baremetal.Conflict, "Allocation %s got its node meanwhile; please retry.", a.UUID)
	}
	return a, n, err
}

func dropAllocation(ctx context.Context, tx *tx, uuid string) error {
	_, err := tx.exec(ctx, "DELETE FROM allocations WHERE uuid = $1", uuid)
	return err
}

// Candidates lists the nodes that fit an allocation in all but their traits,
// which are given: free, available, with a power state that is known or just
// being set, out of maintenance, of the class, of or lent to the owner, among the
// nodes named.
func (s *Store) Candidates(ctx context.Context, a *baremetal.Allocation) ([]baremetal.Candidate, error) {
	sel := &selection{order: " ORDER BY id"}
	sel.equals("resource_class", &a.ResourceClass)
	sel.and("provision_state = %s AND instance_uuid = '' AND maintenance = 0 AND (power_state <> '' OR target_power_state <> '')", string(baremetal.Available))
	if a.Owner != "" {
		owner := sel.arg(a.Owner)
		sel.and("(owner = " + owner + " OR lessee = " + owner + ")")
	}
	if named := a.CandidateNodes.List(); named != nil {
		sel.and(sel.in("uuid", named))
	}
	return list(ctx, s, "SELECT uuid, name, traits FROM nodes"+sel.text(), sel.args, func(row scanner, c *baremetal.Candidate) error {
		return row.Scan(&c.UUID, &c.Name, &c.Traits)
	})
}

// AllocationsDue lists the allocations that no live conductor works on: their
// claim has ended, or is of an earlier life (another owner) of this host.
func (s *Store) AllocationsDue(ctx context.Context, owner, host string) ([]string, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return nil, s.fault(err)
	}
	return list(ctx, s, `SELECT uuid FROM allocations WHERE state = 'allocating' AND
		(claim_expires <= $1 OR (claim_host = $2 AND claim_owner <> $3)) ORDER BY id`, []any{now.UnixMicro(), host, owner},
		func(row scanner, uuid *string) error { return row.Scan(uuid) })
}

// ClaimAllocation takes the claim on an allocation that is under way, until
// lease has passed: kind Locked while another conductor's claim lives, kind
// ClaimLost if the allocation is no longer under way.
func (s *Store) ClaimAllocation(ctx context.Context, uuid, owner, host string, lease time.Duration) (baremetal.Allocation, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return baremetal.Allocation{}, s.fault(err)
	}
	return s.allocations().Update(ctx, uuid, func(a *baremetal.Allocation, _ *baremetal.Node) error {
		switch {
		case a.State != baremetal.Allocating:
			return claimLost(a)
		case a.ClaimOwner != owner && a.ClaimHost != host && now.Before(a.ClaimExpires):
			return baremetal.Errorf(baremetal.Locked, "Allocation %s is worked on by host %s.", uuid, a.ClaimHost)
		}
		a.ClaimOwner, a.ClaimHost = owner, host
		a.ClaimEpoch++
		a.ClaimExpires = now.Add(lease).Truncate(time.Microsecond)
		return nil
	})
}

func claimLost(a *baremetal.Allocation) error {
	return baremetal.Errorf(baremetal.ClaimLost, "the claim on allocation %s is lost: it is %s, at claim %d", a.UUID, a.State, a.ClaimEpoch)
}

// Allocate gives a node to an allocation, under its claim: both rows in one
// transaction, or nothing if check refuses the node as it is now.
func (s *Store) Allocate(ctx context.Context, uuid string, epoch int64, node string, check func(*baremetal.Node) error) error {
	now, err := s.stamp(ctx)
	if err != nil {
		return err
	}
	r := s.allocations()
	return s.write(ctx, func(ctx context.Context, tx *tx) error {
		n, err := s.lockNode(ctx, tx, node)
		if err != nil {
			return err
		}
		a, err := r.one(ctx, tx, uuid, s.engine.rowLock())
		if err != nil {
			return err
		}
		if a.State != baremetal.Allocating || a.ClaimEpoch != epoch {
			return claimLost(&a)
		}
		if err := theirs(check(&n)); err != nil {
			return err
		}
		a.NodeUUID, a.State, a.LastError = n.UUID, baremetal.AllocationDone, ""
		if err := s.take(ctx, tx, &n, &a, now); err != nil {
			return err
		}
		_, err = tx.exec(ctx, "UPDATE allocations SET node_uuid = $1, state = $2, last_error = '', updated_at = $3 WHERE id = $4",
			a.NodeUUID, string(a.State), micros(now), a.ID)
		return r.conflict(err, &a)
	})
}

// FailAllocation ends an allocation under its claim, with the reason.
func (s *Store) FailAllocation(ctx context.Context, uuid string, epoch int64, reason string) error {
	_, err := s.allocations().Update(ctx, uuid, func(a *baremetal.Allocation, _ *baremetal.Node) error {
		if a.State != baremetal.Allocating || a.ClaimEpoch != epoch {
			return claimLost(a)
		}
		a.State, a.LastError = baremetal.AllocationError, reason
		return nil
	})
	return err
}
