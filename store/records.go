package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"caddyshack/baremetal"
)

// kind describes a kind of resource to records.
type kind[T any] struct {
	table string
	what  string // for people: "Portgroup"
	// columns begin with id and uuid; args and dest follow their order.
	columns []string
	args    func(*T) []any
	dest    func(*T) []any
	meta    func(*T) meta
	named   bool // can be found by name
	// ofProject selects what belongs to a project; nil for a kind that belongs to none.
	ofProject func(sel *selection, project string) string
	// unsortable are the columns no list can be sorted by.
	unsortable []string
	// unique maps the column of a unique index to the text of a conflict.
	unique map[string]func(*T) string
	// check, if set, looks at references before a row is written; before is nil for a new one.
	check func(ctx context.Context, tx *tx, t, before *T) error
	// free, if set, refuses to delete what is still in use.
	free func(ctx context.Context, tx *tx, t *T) error
}

// meta points to the fields that every resource has; node is nil for a kind
// that belongs to no node.
type meta struct {
	id               *int64
	uuid, node       *string
	created, updated *time.Time
}

// records is the Collection of a kind.
type records[T any] struct {
	s *Store
	k *kind[T]
}

func (r records[T]) missing(ident string) error {
	return baremetal.Errorf(baremetal.NotFound, "%s %s could not be found.", r.k.what, ident)
}

func (r records[T]) selectFrom() string {
	return "SELECT " + strings.Join(r.k.columns, ", ") + " FROM " + r.k.table
}

// One implements baremetal.Collection.
func (r records[T]) One(ctx context.Context, ident string) (T, error) {
	t, err := r.one(ctx, r.s.read, ident, "")
	return t, r.s.fault(err)
}

func (r records[T]) one(ctx context.Context, q querier, ident, suffix string) (t T, err error) {
	if !baremetal.IsUUID(ident) && !r.k.named {
		return t, r.missing(ident)
	}
	found, err := queryRow(ctx, q, r.k.dest(&t), r.selectFrom()+byIdent(ident)+suffix, ident)
	if err == nil && !found {
		err = r.missing(ident)
	}
	return t, err
}

// List implements baremetal.Collection; limit 0 is no limit.
func (r records[T]) List(ctx context.Context, q baremetal.Query) ([]T, error) {
	sel := &selection{}
	for _, f := range []struct {
		column string
		want   *string
	}{{"node_uuid", q.NodeUUID}, {"address", q.Address}, {"resource_class", q.ResourceClass}, {"state", q.State}, {"owner", q.Owner}} {
		if f.want != nil && !slices.Contains(r.k.columns, f.column) {
			return nil, baremetal.Errorf(baremetal.Invalid, "%s has no %s to select by.", r.k.what, f.column)
		}
		sel.equals(f.column, f.want)
	}
	if q.Names != nil {
		sel.and(sel.in("name", q.Names))
	}
	if q.Project != nil {
		if r.k.ofProject == nil {
			return nil, baremetal.Errorf(baremetal.Invalid, "%s has no project to select by.", r.k.what)
		}
		sel.and(r.k.ofProject(sel, *q.Project))
	}
	if q.Shards != nil {
		sel.and(sel.ofNodes("shard", q.Shards))
	}
	if q.ConductorGroups != nil {
		sel.and(sel.ofNodes("conductor_group", q.ConductorGroups))
	}
	if err := sel.page(ctx, r.s.read, r.pages(), q.Page); err != nil {
		return nil, r.s.fault(err)
	}
	return list(ctx, r.s, r.selectFrom()+sel.text(), sel.args, func(row scanner, t *T) error { return row.Scan(r.k.dest(t)...) })
}

func (r records[T]) pages() paging {
	sortable := map[string]string{}
	for _, c := range r.k.columns {
		if !slices.Contains(r.k.unsortable, c) {
			sortable[c] = c
		}
	}
	return paging{table: r.k.table, id: "id", mark: "uuid", sortable: sortable, missing: r.missing}
}

// ofNodes selects what belongs to nodes with one of the values in a column.
func (s *selection) ofNodes(column string, values []string) string {
	return "node_uuid IN (SELECT uuid FROM nodes WHERE " + s.in(column, values) + ")"
}

// ofProjectNodes selects what belongs to the nodes that a project owns or was lent.
func ofProjectNodes(sel *selection, project string) string {
	return "node_uuid IN (SELECT uuid FROM nodes WHERE " + sel.ofProject(project) + ")"
}

// ofOwner selects what a project owns.
func ofOwner(sel *selection, project string) string {
	p := sel.arg(project)
	return "(owner = " + p + " AND owner <> '')"
}

// Create implements baremetal.Collection; check may be nil.
func (r records[T]) Create(ctx context.Context, t *T, check func(*T, *baremetal.Node) error) error {
	now, err := r.s.stamp(ctx)
	if err != nil {
		return err
	}
	made := *t
	err = r.s.write(ctx, func(ctx context.Context, tx *tx) error {
		made = *t
		return r.insert(ctx, tx, &made, now, check)
	})
	if err == nil {
		*t = made
	}
	return err
}

func (r records[T]) insert(ctx context.Context, tx *tx, t *T, now time.Time, check func(*T, *baremetal.Node) error) error {
	n, err := r.node(ctx, tx, t)
	if err != nil {
		return err
	}
	if check != nil {
		if err := theirs(check(t, n)); err != nil {
			return err
		}
	}
	m := r.k.meta(t)
	if *m.uuid == "" {
		*m.uuid = baremetal.NewUUID()
	}
	*m.created, *m.updated = now, time.Time{}
	if r.k.check != nil {
		if err := r.k.check(ctx, tx, t, nil); err != nil {
			return err
		}
	}
	if *m.id, err = nextID(ctx, tx, r.k.table); err != nil {
		return err
	}
	_, err = tx.exec(ctx, "INSERT INTO "+r.k.table+" ("+strings.Join(r.k.columns, ", ")+") VALUES ("+
		placeholders(1, len(r.k.columns))+")", r.k.args(t)...)
	return r.conflict(err, t)
}

// node locks the node a resource belongs to, which stays until the transaction ends.
func (r records[T]) node(ctx context.Context, tx *tx, t *T) (*baremetal.Node, error) {
	m := r.k.meta(t)
	if m.node == nil {
		return nil, nil
	}
	n, err := r.s.lockNode(ctx, tx, *m.node)
	if baremetal.IsKind(err, baremetal.NotFound) {
		err = baremetal.Errorf(baremetal.Invalid, "Node %s could not be found.", *m.node)
	}
	return &n, err
}

// lock reads a resource and its node for a change: the node first, as everywhere.
func (r records[T]) lock(ctx context.Context, tx *tx, ident string) (t T, n *baremetal.Node, err error) {
	seen, err := r.one(ctx, tx, ident, "")
	if err != nil {
		return seen, nil, err
	}
	if n, err = r.node(ctx, tx, &seen); err != nil {
		return seen, nil, err
	}
	t, err = r.one(ctx, tx, *r.k.meta(&seen).uuid, r.s.engine.rowLock())
	if err == nil && n != nil && *r.k.meta(&t).node != n.UUID {
		err = baremetal.Errorf(baremetal.Conflict, "%s %s was moved to another node meanwhile; please retry.", r.k.what, ident)
	}
	return t, n, err
}

// Update implements baremetal.Collection.
func (r records[T]) Update(ctx context.Context, ident string, change func(*T, *baremetal.Node) error) (t T, err error) {
	now, err := r.s.stamp(ctx)
	if err != nil {
		return t, err
	}
	err = r.s.write(ctx, func(ctx context.Context, tx *tx) error {
		before, n, err := r.lock(ctx, tx, ident)
		if err != nil {
			return err
		}
		t = before
		if err := theirs(change(&t, n)); err != nil {
			return err
		}
		return r.update(ctx, tx, &t, &before, now)
	})
	return t, err
}

// update writes a changed row, unless it is the same as before.
func (r records[T]) update(ctx context.Context, tx *tx, t, before *T, now time.Time) error {
	m, old := r.k.meta(t), r.k.meta(before)
	*m.id, *m.uuid, *m.created = *old.id, *old.uuid, *old.created
	if slices.Equal(r.k.args(t), r.k.args(before)) {
		return nil
	}
	if m.node != nil && *m.node != *old.node {
		if _, err := r.node(ctx, tx, t); err != nil {
			return err
		}
	}
	if r.k.check != nil {
		if err := r.k.check(ctx, tx, t, before); err != nil {
			return err
		}
	}
	*m.updated = now
	_, err := tx.exec(ctx, fmt.Sprintf("UPDATE %s SET (%s) = (%s) WHERE id = $1 AND uuid = $2", r.k.table,
		strings.Join(r.k.columns[2:], ", "), placeholders(3, len(r.k.columns)-2)), r.k.args(t)...)
	return r.conflict(err, t)
}

// Delete implements baremetal.Collection; check may be nil.
func (r records[T]) Delete(ctx context.Context, ident string, check func(*T, *baremetal.Node) error) error {
	return r.s.write(ctx, func(ctx context.Context, tx *tx) error {
		t, n, err := r.lock(ctx, tx, ident)
		if err != nil {
			return err
		}
		if check != nil {
			if err := theirs(check(&t, n)); err != nil {
				return err
			}
		}
		if r.k.free != nil {
			if err := r.k.free(ctx, tx, &t); err != nil {
				return err
			}
		}
		_, err = tx.exec(ctx, "DELETE FROM "+r.k.table+" WHERE id = $1", *r.k.meta(&t).id)
		return err
	})
}

func (r records[T]) conflict(err error, t *T) error {
	if err == nil {
		return nil
	}
	column, ok := strings.CutPrefix(r.s.engine.duplicate(err), r.k.table+".")
	if !ok {
		return err
	}
	if column == "uuid" {
		return baremetal.Errorf(baremetal.Conflict, "A %s with UUID %s already exists.", strings.ToLower(r.k.what), *r.k.meta(t).uuid)
	}
	if text := r.k.unique[column]; text != nil {
		return baremetal.Errorf(baremetal.Conflict, "%s", text(t))
	}
	return err
}

// momentColumn reads a time that is kept in microseconds.
type momentColumn struct{ t *time.Time }

func (m momentColumn) Scan(src any) error {
	us, ok := src.(int64)
	if !ok {
		return fmt.Errorf("time column holds %T", src)
	}
	*m.t = fromMicros(us)
	return nil
}
