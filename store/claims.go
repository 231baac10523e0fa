package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"caddyshack/baremetal"
)

// Claim takes the claim on a node for owner on host, until lease has passed.
// It is kind Locked while a live claim is on the row, be it the owner's own:
// two workers of one process must not share a node either.
func (s *Store) Claim(ctx context.Context, uuid, owner, host string, lease time.Duration) (baremetal.Node, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return baremetal.Node{}, s.fault(err)
	}
	return s.updateNode(ctx, uuid, func(n *baremetal.Node) error {
		w := &n.Work
		if n.ClaimHeld(now) {
			return baremetal.Errorf(baremetal.Locked, "Node %s is locked by host %s, please retry after the current operation is completed.",
				n.UUID, w.Reservation)
		}
		w.ClaimOwner, w.Reservation = owner, host
		w.ClaimEpoch++
		w.ClaimExpires = now.Add(lease).Truncate(time.Microsecond)
		return nil
	})
}

// Renew extends the claims of owner, given as node uuid → epoch, and returns
// the nodes whose claim it no longer holds.
func (s *Store) Renew(ctx context.Context, owner string, nodes map[string]int64, lease time.Duration) (lost []string, err error) {
	if len(nodes) == 0 {
		return nil, nil
	}
	now, err := s.Now(ctx)
	if err != nil {
		return nil, s.fault(err)
	}
	err = s.write(ctx, func(ctx context.Context, tx *tx) error {
		lost = nil
		for _, uuid := range slices.Sorted(maps.Keys(nodes)) { // the same order for all: no deadlocks
			result, err := tx.exec(ctx, `UPDATE nodes SET claim_expires = $1, version = version + 1
				WHERE uuid = $2 AND claim_owner = $3 AND claim_epoch = $4`, now.Add(lease).UnixMicro(), uuid, owner, nodes[uuid])
			if err != nil {
				return err
			}
			if count, err := result.RowsAffected(); err != nil {
				return err
			} else if count == 0 {
				lost = append(lost, uuid)
			}
		}
		return nil
	})
	return lost, err
}

// Claimable lists the uuids of nodes whose WakeAt has come and on which no
// live claim is, longest waiting first: those of the places given or without
// a place, with one of the drivers given.
func (s *Store) Claimable(ctx context.Context, places, drivers []string, limit int) ([]string, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return nil, s.fault(err)
	}
	sel := &selection{order: " ORDER BY wake_at, id"}
	sel.and("wake_at > 0 AND wake_at <= %s AND (claim_owner = '' OR claim_expires <= %s)", now.UnixMicro(), now.UnixMicro())
	sel.and(sel.in("driver", drivers))
	sel.and(sel.in("place", append([]string{""}, places...)))
	if limit > 0 {
		sel.limit = " LIMIT " + sel.arg(limit)
	}
	rows, err := s.read.query(ctx, "SELECT uuid FROM nodes"+sel.text(), sel.args...)
	if err != nil {
		return nil, s.fault(err)
	}
	defer func() { _ = rows.Close() }()
	var uuids []string
	for rows.Next() {
		var uuid string
		if err := rows.Scan(&uuid); err != nil {
			return nil, s.fault(err)
		}
		uuids = append(uuids, uuid)
	}
	return uuids, s.fault(rows.Err())
}

// NextWake is when the next row becomes claimable by itself: its WakeAt has
// come and the claim on it, if any, has ended. Zero if no row has work.
func (s *Store) NextWake(ctx context.Context) (time.Time, error) {
	var us int64
	_, err := queryRow(ctx, s.read, []any{&us}, `SELECT COALESCE(MIN(CASE WHEN claim_owner <> '' AND claim_expires > wake_at
		THEN claim_expires ELSE wake_at END), 0) FROM nodes WHERE wake_at > 0`)
	return fromMicros(us), s.fault(err)
}

// VoidClaims ends the claims held on host by owners other than owner: they
// are of an earlier life of this conductor. It returns how many there were.
func (s *Store) VoidClaims(ctx context.Context, host, owner string) (int, error) {
	var voided int64
	err := s.write(ctx, func(ctx context.Context, tx *tx) error {
		result, err := tx.exec(ctx, `UPDATE nodes SET reservation = '', claim_owner = '', claim_expires = 0, version = version + 1
			WHERE reservation = $1 AND reservation <> '' AND claim_owner <> $2`, host, owner)
		if err != nil {
			return err
		}
		if voided, err = result.RowsAffected(); err == nil && voided > 0 {
			tx.wakes = append(tx.wakes, "")
		}
		return err
	})
	return int(voided), err
}

// Wake sets WakeAt to now: an event came for the node. A node that is not
// there is no error. A node that is due already is not written again.
func (s *Store) Wake(ctx context.Context, uuid string) error {
	now, err := s.Now(ctx)
	if err != nil {
		return s.fault(err)
	}
	return s.write(ctx, func(ctx context.Context, tx *tx) error {
		tx.wakes = append(tx.wakes, uuid)
		_, err := tx.exec(ctx, "UPDATE nodes SET wake_at = $1, version = version + 1 WHERE uuid = $2 AND (wake_at = 0 OR wake_at > $1)",
			now.UnixMicro(), uuid)
		return err
	})
}
