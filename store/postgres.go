package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"caddyshack/baremetal"
)

const (
	// writeTimeout bounds a transaction with all its retries.
	writeTimeout = 10 * time.Second
	// statementTimeout is the server's own bound, for reads whose caller has none.
	statementTimeout = 30 * time.Second
	connectTimeout   = 5 * time.Second
	maxAttempts      = 10
)

// postgresEngine is a pool, and one connection that listens for wakes.
type postgresEngine struct {
	db   *sql.DB
	bell *bell
	log  *slog.Logger
}

func openPostgres(ctx context.Context, s *Store) (err error) {
	cfg, err := pgx.ParseConfig(s.cfg.PostgresURL)
	if err != nil {
		return baremetal.Errorf(baremetal.Invalid, "PostgreSQL URL: %w", err) // pgx leaves the password out
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "caddyshack"
	}
	e := &postgresEngine{log: s.log}
	e.db = stdlib.OpenDB(*cfg, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		// Not a start-up parameter: poolers refuse those they do not know.
		_, err := c.Exec(ctx, fmt.Sprintf("SET statement_timeout = %d", statementTimeout.Milliseconds()))
		return err
	}))
	defer func() {
		if err != nil {
			err = errors.Join(e.fault(err), e.close())
		}
	}()
	e.db.SetMaxOpenConns(s.cfg.MaxConns)
	e.db.SetMaxIdleConns(s.cfg.MaxConns)
	e.db.SetConnMaxIdleTime(5 * time.Minute)
	if err := migratePostgres(ctx, e.db); err != nil {
		return err
	}
	read := plain{e.db}
	ask := func(ctx context.Context) (time.Time, error) {
		var us int64
		_, err := queryRow(ctx, read, []any{&us}, "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT")
		return fromMicros(us), err
	}
	now, err := ask(ctx)
	if err != nil {
		return err
	}
	s.clock = newClock(now, ask)
	if e.bell, err = hang(ctx, cfg, s.wakes, s.log); err != nil {
		return err
	}
	s.engine, s.read = e, read
	return nil
}

func (e *postgresEngine) write(ctx context.Context, change func(ctx context.Context, tx *tx) error) error {
	bounded, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		woken, err := e.once(bounded, change)
		if err == nil {
			if len(woken) > 0 {
				e.bell.wakes.send(woken...)
			}
			return nil
		}
		if bounded.Err() != nil && ctx.Err() == nil {
			return &baremetal.Error{Kind: baremetal.Unavailable, Message: fmt.Sprintf("the database did not finish a change within %s", writeTimeout), Err: err}
		}
		if !worthRetrying(err) || attempt == maxAttempts {
			return err
		}
		pause := time.NewTimer(time.Duration(rand.Int64N(int64(min(5<<attempt, 500)) * int64(time.Millisecond))))
		select {
		case <-pause.C:
		case <-bounded.Done():
			pause.Stop()
			return bounded.Err()
		}
	}
}

// once runs change in a transaction. Wakes are announced within it, so that
// other processes hear them exactly if it commits.
func (e *postgresEngine) once(ctx context.Context, change func(ctx context.Context, tx *tx) error) ([]string, error) {
	t, err := e.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = t.Rollback() }() // does nothing after a commit
	view := &tx{querier: plain{t}}
	if err := change(ctx, view); err != nil {
		return nil, err
	}
	for _, uuid := range view.wakes {
		if _, err := t.ExecContext(ctx, "SELECT pg_notify($1, $2)", wakeChannel, e.bell.payload(uuid)); err != nil {
			return nil, err
		}
	}
	return view.wakes, t.Commit()
}

// worthRetrying is true for what PostgreSQL itself asks to run again.
func worthRetrying(err error) bool {
	switch sqlState(err) {
	case "40001", "40P01", "55P03": // serialization failure, deadlock, lock not available
		return true
	}
	return false
}

func sqlState(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return ""
}

// duplicate: unique indexes are named after their table and column.
func (e *postgresEngine) duplicate(err error) string {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || pe.Code != "23505" {
		return ""
	}
	return strings.Replace(pe.ConstraintName, "_", ".", 1)
}

func (e *postgresEngine) rowLock() string { return " FOR UPDATE" }

func (e *postgresEngine) ping(ctx context.Context) error { return e.fault(e.db.PingContext(ctx)) }

func (e *postgresEngine) close() error {
	if e.bell != nil {
		e.bell.close()
	}
	return e.db.Close()
}

// oneLine is an error that the driver writes as a list, an address on each line.
func oneLine(err error) string {
	var parts []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(parts, line) { // it tries with and without TLS
			parts = append(parts, line)
		}
	}
	return strings.Join(parts, " ")
}

func (e *postgresEngine) fault(err error) error {
	var known *baremetal.Error
	if err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	state := sqlState(err)
	switch {
	case state == "":
		return &baremetal.Error{Kind: baremetal.Unavailable, Message: "the database cannot be reached: " + oneLine(err) + "; check that it runs, and its address", Err: err}
	case strings.HasPrefix(state, "08"), strings.HasPrefix(state, "53"), strings.HasPrefix(state, "57"), state == "25006", worthRetrying(err):
		// connection lost, out of resources, shutting down or starting, a read-only standby
		return &baremetal.Error{Kind: baremetal.Unavailable, Message: fmt.Sprintf("the database cannot serve now: %v", err), Err: err}
	case state == "22021" || state == "22P05":
		return &baremetal.Error{Kind: baremetal.Invalid, Message: "text must be valid UTF-8 without NUL characters", Err: err}
	case strings.HasPrefix(state, "28"), state == "3D000":
		return &baremetal.Error{Kind: baremetal.Invalid, Message: fmt.Sprintf("the database refuses the connection: %v; check user, password and database name in its URL", err), Err: err}
	}
	return &baremetal.Error{Message: fmt.Sprintf("database: %v", err), Err: err}
}
