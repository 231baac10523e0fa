package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"caddyshack/baremetal"
)

// Store keeps nodes, ports, chassis, history and conductors. It is safe for
// use by many goroutines. Its errors carry a baremetal.Kind.
type Store struct {
	cfg    Config
	log    *slog.Logger
	engine engine
	read   querier
	clock  *clock
	wakes  *wakes
	seen   *observations
	beats  *heartbeats
	nodes  *nodeCache
}

// querier runs SQL on a connection, a pool or a transaction.
type querier interface {
	exec(ctx context.Context, query string, args ...any) (sql.Result, error)
	query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// engine is what differs between SQLite and PostgreSQL.
type engine interface {
	// write runs change in a transaction that is durable when write returns
	// nil, and after that sends what was put into tx.wakes.
	write(ctx context.Context, change func(ctx context.Context, tx *tx) error) error
	// fault gives an error of the driver its kind and a message for people.
	fault(err error) error
	// duplicate names the column whose uniqueness err is about ("nodes.name"), "" if it is about none.
	duplicate(err error) string
	// rowLock is what follows a SELECT to lock its rows until the transaction ends.
	rowLock() string
	ping(ctx context.Context) error
	close() error
}

// tx is a write transaction.
type tx struct {
	querier
	ids   *ids     // nil = each is counted in the database
	wakes []string // nodes to wake once committed
}

// Open opens the database, brings its schema up to date and returns the
// store. Errors are for people: they say what to do.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	s := &Store{cfg: cfg, log: cfg.Logger, seen: newObservations(), beats: newHeartbeats(), nodes: newNodeCache()}
	s.wakes = newWakes()
	var err error
	switch {
	case (cfg.Path == "") == (cfg.PostgresURL == ""):
		return nil, baremetal.Errorf(baremetal.Invalid, "the store needs either the path of a SQLite file or the URL of a PostgreSQL database")
	case cfg.PostgresURL != "":
		err = openPostgres(ctx, s)
	default:
		err = openSQLite(ctx, s)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Close ends the store; writes under way are finished first.
func (s *Store) Close() error {
	s.wakes.close()
	return s.engine.close()
}

// Ping tells whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.engine.ping(ctx) }

// Now is the clock of leases, wake times and deadlines.
func (s *Store) Now(ctx context.Context) (time.Time, error) { return s.clock.now(ctx) }

// write runs change in a transaction and tells those who wait for the nodes woken in it.
func (s *Store) write(ctx context.Context, change func(ctx context.Context, tx *tx) error) error {
	return s.fault(s.engine.write(ctx, change))
}

// asIsError is an error of a caller's own function, which goes back as it is.
type asIsError struct{ error }

func (e asIsError) Unwrap() error { return e.error }

func theirs(err error) error {
	if err == nil {
		return nil
	}
	return asIsError{err}
}

// fault gives errors of the database their kind; those that have one, and
// those of the context and of the caller, stay as they are.
func (s *Store) fault(err error) error {
	var own asIsError
	if errors.As(err, &own) {
		return own.error
	}
	var known *baremetal.Error
	if err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return s.engine.fault(err)
}

// queryRow runs a query for one row; found is false if there is none.
func queryRow(ctx context.Context, q querier, dest []any, query string, args ...any) (found bool, err error) {
	rows, err := q.query(ctx, query, args...)
	if err != nil {
		return false, err
	}
	defer closeRows(rows, &err)
	if !rows.Next() {
		return false, rows.Err()
	}
	return true, rows.Scan(dest...)
}

// closeRows reports an error of closing if there was none before.
func closeRows(rows *sql.Rows, err *error) {
	if closeErr := rows.Close(); *err == nil {
		*err = closeErr
	}
}

// micros is how a time is kept: microseconds since 1970, 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
