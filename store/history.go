package store

import (
	"context"
	"time"

	"caddyshack/baremetal"
)

const selectHistory = `SELECT seq, uuid, node_uuid, created_at, severity, event_type, event, conductor, user_name, project, state,
	target_provision_state, duration_seconds FROM history`

func noHistory(uuid string) error {
	return baremetal.Errorf(baremetal.NotFound, "Node history record %s could not be found.", uuid)
}

func scanHistory(scan func(dest ...any) error, e *baremetal.HistoryEntry) error {
	var created int64
	var severity, state, target string
	err := scan(&e.ID, &e.UUID, &e.NodeUUID, &created, &severity, &e.EventType, &e.Event, &e.Conductor, &e.User, &e.Project, &state, &target,
		&e.DurationSeconds)
	e.CreatedAt, e.Severity = fromMicros(created), baremetal.Severity(severity)
	e.State, e.TargetProvisionState = baremetal.ProvisionState(state), baremetal.ProvisionState(target)
	return err
}

// AppendHistory adds an entry to the history of its node and drops the oldest
// beyond HistoryKept. It sets the entry's ID (its number within the node), and
// UUID and CreatedAt if they are empty. A missing node is kind NotFound.
func (s *Store) AppendHistory(ctx context.Context, e *baremetal.HistoryEntry) error {
	now, err := s.stamp(ctx)
	if err != nil {
		return err
	}
	made := *e
	err = s.write(ctx, func(ctx context.Context, tx *tx) error {
		var id int64
		found, err := queryRow(ctx, tx, []any{&id}, "SELECT id FROM nodes WHERE uuid = $1"+s.engine.rowLock(), made.NodeUUID)
		if err != nil {
			return err
		}
		if !found {
			return noNode(made.NodeUUID)
		}
		return s.insertHistory(ctx, tx, &made, now)
	})
	if err == nil {
		*e = made
	}
	return err
}

// insertHistory adds an entry within a transaction that holds its node's row.
func (s *Store) insertHistory(ctx context.Context, tx *tx, e *baremetal.HistoryEntry, now time.Time) error {
	if e.UUID == "" {
		e.UUID = baremetal.NewUUID()
	}
	if e.CreatedAt.IsZero() {
		e.CreatedAt = now
	}
	_, err := queryRow(ctx, tx, []any{&e.ID}, `INSERT INTO history (node_uuid, seq, uuid, created_at, severity, event_type, event,
		conductor, user_name, project, state, target_provision_state, duration_seconds)
		VALUES ($1, (SELECT COALESCE(MAX(seq), 0) + 1 FROM history WHERE node_uuid = $1), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		RETURNING seq`,
		e.NodeUUID, e.UUID, micros(e.CreatedAt), string(e.Severity), e.EventType, e.Event, e.Conductor, e.User, e.Project,
		string(e.State), string(e.TargetProvisionState), e.DurationSeconds)
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, "DELETE FROM history WHERE node_uuid = $1 AND seq <= $2", e.NodeUUID, e.ID-int64(s.cfg.HistoryKept))
	return err
}

// History lists a node's history, oldest first; limit 0 is no limit.
func (s *Store) History(ctx context.Context, q baremetal.HistoryQuery) ([]baremetal.HistoryEntry, error) {
	sel := &selection{}
	sel.and("node_uuid = %s", q.NodeUUID)
	pages := paging{table: "history", id: "seq", mark: "uuid", missing: noHistory, within: "node_uuid", value: q.NodeUUID,
		sortable: map[string]string{"id": "seq", "uuid": "uuid", "created_at": "created_at", "severity": "severity", "event_type": "event_type",
			"event": "event", "conductor": "conductor", "user": "user_name", "project": "project", "state": "state",
			"target_provision_state": "target_provision_state", "duration_seconds": "duration_seconds"}}
	if err := sel.page(ctx, s.read, pages, q.Page); err != nil {
		return nil, s.fault(err)
	}
	return list(ctx, s, selectHistory+sel.text(), sel.args, func(row scanner, e *baremetal.HistoryEntry) error {
		return scanHistory(row.Scan, e)
	})
}

// HistoryEntry returns one entry of a node's history.
func (s *Store) HistoryEntry(ctx context.Context, nodeUUID, uuid string) (e baremetal.HistoryEntry, err error) {
	found := false
	err = scanHistory(func(dest ...any) (err error) {
		found, err = queryRow(ctx, s.read, dest, selectHistory+" WHERE node_uuid = $1 AND uuid = $2", nodeUUID, uuid)
		return err
	}, &e)
	if err == nil && !found {
		err = noHistory(uuid)
	}
	return e, s.fault(err)
}
