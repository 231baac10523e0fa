package store

import (
	"context"

	"caddyshack/baremetal"
)

// Document returns what is kept of a node under kind; found is false if nothing is.
func (s *Store) Document(ctx context.Context, nodeUUID string, kind baremetal.DocumentKind) (d baremetal.Document, found bool, err error) {
	d, found, err = document(ctx, s.read, nodeUUID, kind)
	return d, found, s.fault(err)
}

func document(ctx context.Context, q querier, nodeUUID string, kind baremetal.DocumentKind) (baremetal.Document, bool, error) {
	d := baremetal.Document{Kind: kind}
	var created, updated int64
	found, err := queryRow(ctx, q, []any{&d.Body, &created, &updated},
		"SELECT body, created_at, updated_at FROM node_documents WHERE node_uuid = $1 AND kind = $2", nodeUUID, string(kind))
	d.CreatedAt, d.UpdatedAt = fromMicros(created), fromMicros(updated)
	return d, found, err
}

// ChangeDocument gives change what is kept of a node under kind (the empty
// object if nothing is) and keeps what it returns, in one transaction; the
// empty object removes it. It is kind NotFound for a missing node. An error of
// change is returned as it is and nothing is written. An epoch other than 0 is
// that of the caller's claim: it is kind ClaimLost if the claim is not held.
func (s *Store) ChangeDocument(ctx context.Context, nodeUUID string, kind baremetal.DocumentKind, epoch int64,
	change func(baremetal.Object) (baremetal.Object, error)) error {
	now, err := s.stamp(ctx)
	if err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, tx *tx) error {
		var held int64
		var owner string
		found, err := queryRow(ctx, tx, []any{&held, &owner},
			"SELECT claim_epoch, claim_owner FROM nodes WHERE uuid = $1"+s.engine.rowLock(), nodeUUID)
		if err != nil {
			return err
		}
		if !found {
			return noNode(nodeUUID)
		}
		if epoch != 0 && (held != epoch || owner == "") {
			return baremetal.Errorf(baremetal.ClaimLost, "the claim %d on node %s is lost: the row is at claim %d", epoch, nodeUUID, held)
		}
		old, found, err := document(ctx, tx, nodeUUID, kind)
		if err != nil {
			return err
		}
		body, err := change(old.Body)
		switch {
		case err != nil:
			return theirs(err)
		case body.IsEmpty() && !found, found && body == old.Body:
			return nil
		case body.IsEmpty():
			_, err = tx.exec(ctx, "DELETE FROM node_documents WHERE node_uuid = $1 AND kind = $2", nodeUUID, string(kind))
		case found:
			_, err = tx.exec(ctx, "UPDATE node_documents SET body = $1, updated_at = $2 WHERE node_uuid = $3 AND kind = $4",
				string(body), micros(now), nodeUUID, string(kind))
		default:
			_, err = tx.exec(ctx, "INSERT INTO node_documents (node_uuid, kind, body, created_at, updated_at) VALUES ($1, $2, $3, $4, 0)",
				nodeUUID, string(kind), string(body), micros(now))
		}
		return err
	})
}
