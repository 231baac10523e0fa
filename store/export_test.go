package store

import (
	"context"
	"strings"

	"caddyshack/baremetal"
)

// Unnamed is how the placeholders of a query are written for SQLite.
var Unnamed = unnamed

// PlanOfNodes is how the database would find the nodes of a query.
func (s *Store) PlanOfNodes(ctx context.Context, q baremetal.NodeQuery) (string, error) {
	sel, err := s.nodeSelection(ctx, q)
	if err != nil {
		return "", err
	}
	return s.plan(ctx, selectNode+sel.text(), sel.args)
}

// PlanOfPorts is how the database would find the ports of a query.
func (s *Store) PlanOfPorts(ctx context.Context, q baremetal.PortQuery) (string, error) {
	sel, err := s.portSelection(ctx, q)
	if err != nil {
		return "", err
	}
	return s.plan(ctx, selectPort+sel.text(), sel.args)
}

// Exec runs a statement as it is.
func (s *Store) Exec(ctx context.Context, statement string) error {
	return s.write(ctx, func(ctx context.Context, tx *tx) error {
		_, err := tx.exec(ctx, statement)
		return err
	})
}

// plan is one line for each step.
func (s *Store) plan(ctx context.Context, query string, args []any) (text string, err error) {
	explain := "EXPLAIN "
	if s.engine.rowLock() == "" { // SQLite
		explain = "EXPLAIN QUERY PLAN "
	}
	rows, err := s.read.query(ctx, explain+query, args...)
	if err != nil {
		return "", err
	}
	defer closeRows(rows, &err)
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	var lines []string
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			return "", err
		}
		if text, ok := (*values[len(values)-1].(*any)).(string); ok { // the last column is the text
			lines = append(lines, text)
		}
	}
	return strings.Join(lines, "\n"), rows.Err()
}
