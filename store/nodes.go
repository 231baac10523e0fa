package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"caddyshack/baremetal"
)

var (
	selectNode = "SELECT " + strings.Join(nodeColumns[:], ", ") + " FROM nodes"
	insertNode = "INSERT INTO nodes (" + strings.Join(nodeColumns[:], ", ") + ") VALUES (" + placeholders(1, nodeColumnCount) + ")"
)

// placeholders is "$from, …" for count arguments.
func placeholders(from, count int) string {
	var b strings.Builder
	for i := range count {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", from+i)
	}
	return b.String()
}

// byIdent is the condition that finds a row by uuid or name.
func byIdent(ident string) string {
	if baremetal.IsUUID(ident) {
		return " WHERE uuid = $1"
	}
	return " WHERE name = $1 AND name <> ''"
}

func noNode(ident string) error {
	return baremetal.Errorf(baremetal.NotFound, "Node %s could not be found.", ident)
}

// Node returns the node with that uuid or name.
func (s *Store) Node(ctx context.Context, ident string) (baremetal.Node, error) {
	var id, version any // the driver's own type: nothing is converted
	found, err := queryRow(ctx, s.read, []any{&id, &version}, selectVersion+byIdent(ident), ident)
	if err != nil {
		return baremetal.Node{}, s.fault(err)
	}
	if !found {
		return baremetal.Node{}, noNode(ident)
	}
	if n := s.nodes.get(versionOf(id, version)); n != nil {
		return *n, nil
	}
	n, err := oneNode(ctx, s.read, ident, selectNode+byIdent(ident), ident)
	if err != nil {
		return n, s.fault(err)
	}
	return *s.nodes.put(n), nil
}

func oneNode(ctx context.Context, q querier, ident, query string, args ...any) (n baremetal.Node, err error) {
	row := newNodeRow()
	found, err := queryRow(ctx, q, row.dest[:], query, args...)
	if err != nil {
		return n, err
	}
	if !found {
		return n, noNode(ident)
	}
	err = row.node(&n)
	return n, err
}

// lockNode reads a node for a change: nobody else changes it until the transaction ends.
func (s *Store) lockNode(ctx context.Context, tx *tx, ident string) (baremetal.Node, error) {
	return oneNode(ctx, tx, ident, selectNode+byIdent(ident)+s.engine.rowLock(), ident)
}

// CreateNode stores a new node and sets its ID, CreatedAt and Work.Version.
// A uuid, name or instance that another node has is kind Conflict.
func (s *Store) CreateNode(ctx context.Context, n *baremetal.Node) error {
	now, err := s.stamp(ctx)
	if err != nil {
		return err
	}
	made := *n
	err = s.write(ctx, func(ctx context.Context, tx *tx) error {
		made = *n
		made.CreatedAt, made.Work.Version = now, 1
		if err := s.checkChassis(ctx, tx, made.ChassisUUID); err != nil {
			return err
		}
		var err error
		if made.ID, err = nextID(ctx, tx, "nodes"); err != nil {
			return err
		}
		args, err := nodeArgs(&made)
		if err != nil {
			return err
		}
		if _, err := tx.exec(ctx, insertNode, args[:]...); err != nil {
			return s.nodeConflict(err, &made)
		}
		if !made.Work.WakeAt.IsZero() {
			tx.wakes = append(tx.wakes, made.UUID)
		}
		return nil
	})
	if err == nil {
		*n = made
	}
	return err
}

// stamp is the time for CreatedAt, UpdatedAt and history (see the package's text).
func (s *Store) stamp(ctx context.Context) (time.Time, error) {
	if s.clock.ask == nil {
		return time.Now().UTC().Truncate(time.Microsecond), nil
	}
	now, err := s.clock.now(ctx)
	return now.Truncate(time.Microsecond), s.fault(err)
}

func (s *Store) nodeConflict(err error, n *baremetal.Node) error {
	switch s.engine.duplicate(err) {
	case "nodes.uuid":
		return baremetal.Errorf(baremetal.Conflict, "A node with UUID %s already exists.", n.UUID)
	case "nodes.name":
		return baremetal.Errorf(baremetal.Conflict, "A node with name %s already exists.", n.Name)
	case "nodes.instance_uuid":
		return baremetal.Errorf(baremetal.Conflict, "Instance %s is already associated with a node, it cannot be associated with this other node %s",
			n.InstanceUUID, n.UUID)
	}
	return err
}

// UpdateNode reads the node, applies change and writes what has changed, in
// one transaction. An error of change is returned as it is and nothing is
// written; nor is anything if nothing has changed. ID, UUID, CreatedAt and
// Version are not change's to set.
func (s *Store) UpdateNode(ctx context.Context, ident string, change func(*baremetal.Node) error) (baremetal.Node, error) {
	return s.updateNode(ctx, ident, change)
}

// UpdateClaimed is UpdateNode under a claim: kind ClaimLost, and nothing
// written, if the row's epoch is another or nobody holds the claim.
func (s *Store) UpdateClaimed(ctx context.Context, uuid string, epoch int64, change func(*baremetal.Node) error) (baremetal.Node, error) {
	return s.updateNode(ctx, uuid, func(n *baremetal.Node) error {
		if n.Work.ClaimEpoch != epoch || n.Work.ClaimOwner == "" {
			return baremetal.Errorf(baremetal.ClaimLost, "the claim %d on node %s is lost: the row is at claim %d", epoch, uuid, n.Work.ClaimEpoch)
		}
		return change(n)
	})
}

func (s *Store) updateNode(ctx context.Context, ident string, change func(*baremetal.Node) error) (n baremetal.Node, err error) {
	now, err := s.stamp(ctx)
	if err != nil {
		return n, err
	}
	err = s.write(ctx, func(ctx context.Context, tx *tx) error {
		var err error
		if n, err = s.lockNode(ctx, tx, ident); err != nil {
			return err
		}
		return s.changeNode(ctx, tx, &n, now, change)
	})
	if err != nil {
		return baremetal.Node{}, err
	}
	return n, nil
}

// changeNode applies change to a locked row and writes the columns that differ.
func (s *Store) changeNode(ctx context.Context, tx *tx, n *baremetal.Node, now time.Time, change func(*baremetal.Node) error) error {
	before := *n
	old, err := nodeArgs(n)
	if err != nil {
		return err
	}
	if err := theirs(change(n)); err != nil {
		return err
	}
	n.ID, n.UUID, n.CreatedAt, n.Work.Version = before.ID, before.UUID, before.CreatedAt, before.Work.Version
	for _, e := range n.Work.Events {
		e.NodeUUID = n.UUID
		if err := s.insertHistory(ctx, tx, &e, now); err != nil {
			return err
		}
	}
	n.Work.Events = nil
	if n.Work.HardwareKey != before.Work.HardwareKey {
		n.Work.ObservedBoot, n.Work.ObservedSeq = 0, 0 // another device counts its reports anew
	}
	args, err := nodeArgs(n)
	if err != nil {
		return err
	}
	changed, shown := false, false
	for i := range args {
		if args[i] != old[i] {
			changed = true
			shown = shown || (i < versionColumn && i != powerStateColumn)
		}
	}
	if !changed {
		return nil
	}
	if shown {
		n.UpdatedAt = now
		args[updatedAtColumn] = micros(now)
	}
	n.Work.Version++
	args[versionColumn] = n.Work.Version
	if before.ChassisUUID != n.ChassisUUID {
		if err := s.checkChassis(ctx, tx, n.ChassisUUID); err != nil {
			return err
		}
	}
	if err := writeColumns(ctx, tx, n.ID, &old, &args); err != nil {
		return s.nodeConflict(err, n)
	}
	if before.AllocationUUID != "" && n.AllocationUUID == "" {
		if err := dropAllocation(ctx, tx, before.AllocationUUID); err != nil {
			return err
		}
	}
	if givesWork(&before, n) {
		tx.wakes = append(tx.wakes, n.UUID)
	}
	return nil
}

// writeColumns updates only what differs, so that no index is touched in vain.
func writeColumns(ctx context.Context, tx *tx, id int64, old, args *[nodeColumnCount]any) error {
	var set strings.Builder
	values := make([]any, 0, 16)
	set.WriteString("UPDATE nodes SET ")
	for i, column := range nodeColumns {
		if args[i] == old[i] {
			continue
		}
		if len(values) > 0 {
			set.WriteString(", ")
		}
		values = append(values, args[i])
		fmt.Fprintf(&set, "%s = $%d", column, len(values))
	}
	values = append(values, id)
	fmt.Fprintf(&set, " WHERE id = $%d", len(values))
	_, err := tx.exec(ctx, set.String(), values...)
	return err
}

// givesWork tells whether a change gave conductors something to do or to look at.
func givesWork(before, after *baremetal.Node) bool {
	if after.Work.WakeAt.IsZero() {
		return false
	}
	if after.Work.ClaimEpoch != before.Work.ClaimEpoch && after.Work.ClaimOwner != "" {
		return false // claimed in the same breath: the claimant knows
	}
	freed := before.Work.ClaimOwner != "" && after.Work.ClaimOwner == ""
	return freed || !after.Work.WakeAt.Equal(before.Work.WakeAt)
}

// DeleteNode deletes the node with all that belongs to it, after check accepted it.
func (s *Store) DeleteNode(ctx context.Context, ident string, check func(*baremetal.Node) error) error {
	return s.write(ctx, func(ctx context.Context, tx *tx) error {
		n, err := s.lockNode(ctx, tx, ident)
		if err != nil {
			return err
		}
		if err := theirs(check(&n)); err != nil {
			return err
		}
		if n.AllocationUUID != "" {
			if err := dropAllocation(ctx, tx, n.AllocationUUID); err != nil {
				return err
			}
		}
		_, err = tx.exec(ctx, "DELETE FROM nodes WHERE id = $1", n.ID)
		return err
	})
}

// Nodes calls each for every node of the query, in order: the node is only
// valid during the call, and each must not call the store. Limit 0 is no limit.
// An error of each ends the list and is returned as it is.
func (s *Store) Nodes(ctx context.Context, q baremetal.NodeQuery, each func(*baremetal.Node) error) error {
	sel, err := s.nodeSelection(ctx, q)
	if err != nil {
		return err
	}
	list, err := s.versions(ctx, sel)
	if err != nil || len(list) == 0 {
		return s.fault(err)
	}
	nodes, err := s.remembered(ctx, list)
	if err != nil {
		return s.fault(err)
	}
	if nodes == nil {
		return s.readNodes(ctx, sel, each)
	}
	for _, kept := range nodes {
		n := *kept
		if err := each(&n); err != nil {
			return err
		}
	}
	return nil
}

// readNodes is Nodes from the database alone.
func (s *Store) readNodes(ctx context.Context, sel *selection, each func(*baremetal.Node) error) (err error) {
	rows, err := s.read.query(ctx, selectNode+sel.text(), sel.args...)
	if err != nil {
		return s.fault(err)
	}
	defer closeRows(rows, &err)
	row := newNodeRow()
	var n baremetal.Node
	for rows.Next() {
		if err := row.scan(rows, &n); err != nil {
			return s.fault(err)
		}
		s.nodes.put(n)
		if err := each(&n); err != nil {
			return err
		}
	}
	return s.fault(rows.Err())
}
