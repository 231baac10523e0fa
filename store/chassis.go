package store

import (
	"context"

	"caddyshack/baremetal"
)

const selectChassis = "SELECT id, uuid, description, extra, created_at, updated_at FROM chassis"

func noChassis(uuid string) error {
	return baremetal.Errorf(baremetal.NotFound, "Chassis %s could not be found.", uuid)
}

var chassisPages = paging{table: "chassis", id: "id", mark: "uuid", missing: noChassis,
	sortable: same("id", "uuid", "description", "created_at", "updated_at")}

type scanner interface{ Scan(dest ...any) error }

// chassisDest are the targets of a scan of selectChassis; times come through t.
func chassisDest(c *baremetal.Chassis, t *[2]int64) []any {
	return []any{&c.ID, &c.UUID, &c.Description, &c.Extra, &t[0], &t[1]}
}

func oneChassis(ctx context.Context, q querier, uuid, suffix string) (c baremetal.Chassis, err error) {
	var t [2]int64
	found, err := queryRow(ctx, q, chassisDest(&c, &t), selectChassis+" WHERE uuid = $1"+suffix, uuid)
	if err == nil && !found {
		err = noChassis(uuid)
	}
	c.CreatedAt, c.UpdatedAt = fromMicros(t[0]), fromMicros(t[1])
	return c, err
}

// Chassis returns the chassis with that uuid.
func (s *Store) Chassis(ctx context.Context, uuid string) (baremetal.Chassis, error) {
	c, err := oneChassis(ctx, s.read, uuid, "")
	return c, s.fault(err)
}

// ChassisList lists chassis; limit 0 is no limit.
func (s *Store) ChassisList(ctx context.Context, p baremetal.Page) ([]baremetal.Chassis, error) {
	sel := &selection{}
	if err := sel.page(ctx, s.read, chassisPages, p); err != nil {
		return nil, s.fault(err)
	}
	return list(ctx, s, selectChassis+sel.text(), sel.args, func(row scanner, c *baremetal.Chassis) error {
		var t [2]int64
		err := row.Scan(chassisDest(c, &t)...)
		c.CreatedAt, c.UpdatedAt = fromMicros(t[0]), fromMicros(t[1])
		return err
	})
}

// list collects the rows of a query.
func list[T any](ctx context.Context, s *Store, query string, args []any, scan func(row scanner, into *T) error) ([]T, error) {
	rows, err := s.read.query(ctx, query, args...)
	if err != nil {
		return nil, s.fault(err)
	}
	defer func() { _ = rows.Close() }()
	var all []T
	for rows.Next() {
		var one T
		if err := scan(rows, &one); err != nil {
			return nil, s.fault(err)
		}
		all = append(all, one)
	}
	return all, s.fault(rows.Err())
}

// CreateChassis stores a new chassis and sets its ID and CreatedAt; a uuid
// that another one has is kind Conflict.
func (s *Store) CreateChassis(ctx context.Context, c *baremetal.Chassis) error {
	now, err := s.stamp(ctx)
	if err != nil {
		return err
	}
	var id int64
	err = s.write(ctx, func(ctx context.Context, tx *tx) error {
		var err error
		if id, err = nextID(ctx, tx, "chassis"); err != nil {
			return err
		}
		_, err = tx.exec(ctx, "INSERT INTO chassis (id, uuid, description, extra, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, 0)",
			id, c.UUID, c.Description, object(c.Extra), micros(now))
		if s.engine.duplicate(err) == "chassis.uuid" {
			return baremetal.Errorf(baremetal.Conflict, "A chassis with UUID %s already exists.", c.UUID)
		}
		return err
	})
	if err == nil {
		c.ID, c.CreatedAt = id, now
	}
	return err
}

// UpdateChassis applies change in one transaction; its error is returned as it
// is and nothing is written.
func (s *Store) UpdateChassis(ctx context.Context, uuid string, change func(*baremetal.Chassis) error) (c baremetal.Chassis, err error) {
	now, err := s.stamp(ctx)
	if err != nil {
		return c, err
	}
	err = s.write(ctx, func(ctx context.Context, tx *tx) error {
		before, err := oneChassis(ctx, tx, uuid, s.engine.rowLock())
		if err != nil {
			return err
		}
		c = before
		if err := theirs(change(&c)); err != nil {
			return err
		}
		c.ID, c.UUID, c.CreatedAt = before.ID, before.UUID, before.CreatedAt
		if c == before {
			return nil
		}
		c.UpdatedAt = now
		_, err = tx.exec(ctx, "UPDATE chassis SET description = $1, extra = $2, updated_at = $3 WHERE id = $4",
			c.Description, object(c.Extra), micros(now), c.ID)
		return err
	})
	return c, err
}

// DeleteChassis deletes a chassis; one with nodes is kind Invalid.
func (s *Store) DeleteChassis(ctx context.Context, uuid string) error {
	return s.write(ctx, func(ctx context.Context, tx *tx) error {
		c, err := oneChassis(ctx, tx, uuid, s.engine.rowLock())
		if err != nil {
			return err
		}
		var id int64
		used, err := queryRow(ctx, tx, []any{&id}, "SELECT id FROM nodes WHERE chassis_uuid = $1 AND chassis_uuid <> '' LIMIT 1", uuid)
		if err != nil {
			return err
		}
		if used {
			return baremetal.Errorf(baremetal.Invalid, "Chassis %s contains nodes; remove them from it or delete them first.", uuid)
		}
		_, err = tx.exec(ctx, "DELETE FROM chassis WHERE id = $1", c.ID)
		return err
	})
}

// checkChassis makes sure that the chassis a node is put into is there and stays
// until the transaction ends.
func (s *Store) checkChassis(ctx context.Context, tx *tx, uuid string) error {
	if uuid == "" {
		return nil
	}
	var id int64
	found, err := queryRow(ctx, tx, []any{&id}, "SELECT id FROM chassis WHERE uuid = $1"+s.engine.rowLock(), uuid)
	if err == nil && !found {
		err = baremetal.Errorf(baremetal.Invalid, "Chassis %s could not be found.", uuid)
	}
	return err
}
