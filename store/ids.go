package store

import (
	"context"
	"fmt"
)

// idBlock is how many ids the writer of a SQLite file takes at once. Counting
// each in the database would cost a sixth of creating a node.
const idBlock = 32

// ids are the numbers of rows that the writer took from the database and has
// not given out yet, by table. One goroutine uses them.
type ids struct {
	left map[string]idRange
	// fresh are those taken in the transaction that runs: they are lost with it.
	fresh []string
}

// idRange is next, …, last.
type idRange struct{ next, last int64 }

// nextID counts rows of a table in the order in which their transactions
// commit. Numbers may be left out.
func nextID(ctx context.Context, tx *tx, table string) (int64, error) {
	if tx.ids == nil { // other processes count as well
		return takeIDs(ctx, tx, table, 1)
	}
	r := tx.ids.left[table]
	if r.next == 0 || r.next > r.last {
		last, err := takeIDs(ctx, tx, table, idBlock)
		if err != nil {
			return 0, err
		}
		r = idRange{last - idBlock + 1, last}
		tx.ids.fresh = append(tx.ids.fresh, table)
	}
	id := r.next
	r.next++
	tx.ids.left[table] = r
	return id, nil
}

// takeIDs takes count numbers and returns the last of them.
func takeIDs(ctx context.Context, tx *tx, table string, count int64) (last int64, err error) {
	found, err := queryRow(ctx, tx, []any{&last}, "UPDATE counters SET value = value + $1 WHERE name = $2 RETURNING value", count, table)
	if err == nil && !found {
		err = fmt.Errorf("no counter for %s", table)
	}
	return last, err
}

func newIDs() *ids { return &ids{left: map[string]idRange{}} }

// settle is told how the transaction, or a part of it, has ended.
func (i *ids) settle(committed bool) {
	if !committed {
		for _, table := range i.fresh {
			delete(i.left, table)
		}
	}
	i.fresh = i.fresh[:0]
}
