package store

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"sync"
)

// preparer is a *sql.DB or *sql.Conn.
type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// maxStatements bounds the prepared statements kept; filters of lists can be
// combined in more ways than are worth keeping.
const maxStatements = 200

// statements is a querier that prepares each query once.
type statements struct {
	db preparer
	// mu guards byQuery, not the statements in it.
	mu      sync.RWMutex
	byQuery map[string]*sql.Stmt
}

func newStatements(db preparer) *statements {
	return &statements{db: db, byQuery: map[string]*sql.Stmt{}}
}

// prepared returns nil if the query should run unprepared.
func (s *statements) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	s.mu.RLock()
	stmt, full := s.byQuery[query], len(s.byQuery) >= maxStatements
	s.mu.RUnlock()
	if stmt != nil || full {
		return stmt, nil
	}
	stmt, err := s.db.PrepareContext(ctx, unnamed(query))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.byQuery[query]; other != nil {
		return other, stmt.Close()
	}
	s.byQuery[query] = stmt
	return stmt, nil
}

// unnamed writes the placeholders $1, $2, … of a query as ?, if they come in
// their order, each once: SQLite takes $1 for a name, and its driver asks for
// every name at every run. No query has a $ in a text.
func unnamed(query string) string {
	parts := strings.Split(query, "$")
	for i := 1; i < len(parts); i++ {
		rest, ok := strings.CutPrefix(parts[i], strconv.Itoa(i))
		if !ok || rest != "" && rest[0] >= '0' && rest[0] <= '9' {
			return query
		}
		parts[i] = rest
	}
	return strings.Join(parts, "?")
}

func (s *statements) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	stmt, err := s.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	if stmt == nil {
		return s.db.ExecContext(ctx, query, args...)
	}
	return stmt.ExecContext(ctx, args...)
}

func (s *statements) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := s.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	if stmt == nil {
		return s.db.QueryContext(ctx, query, args...)
	}
	return stmt.QueryContext(ctx, args...)
}

func (s *statements) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for query, stmt := range s.byQuery {
		_ = stmt.Close() // the connection goes next
		delete(s.byQuery, query)
	}
}

// plain is a querier on a pool or transaction of a driver that keeps prepared
// statements itself.
type plain struct {
	db interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	}
}

func (p plain) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return p.db.ExecContext(ctx, query, args...)
}

func (p plain) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return p.db.QueryContext(ctx, query, args...)
}
