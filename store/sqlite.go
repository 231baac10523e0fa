package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"caddyshack/baremetal"
)

// sqliteEngine is one file, one writing connection and a few readers.
type sqliteEngine struct {
	path    string
	lock    *os.File
	writes  *sql.DB
	reads   *sql.DB
	readers *statements
	writer  *writer
}

func openSQLite(ctx context.Context, s *Store) (err error) {
	path, err := filepath.Abs(s.cfg.Path)
	if err != nil {
		return baremetal.Errorf(baremetal.Invalid, "state file %q: %w", s.cfg.Path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return baremetal.Errorf(baremetal.Invalid, "state folder %q cannot be made: %w; choose another one or make it by hand",
			filepath.Dir(path), err)
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return err
	}
	e := &sqliteEngine{path: path, lock: lock}
	defer func() {
		if err != nil {
			err = errors.Join(e.fault(err), e.close())
		}
	}()
	if err := checkFile(path); err != nil {
		return err
	}
	if e.writes, err = sql.Open("sqlite", dsn(path, "journal_mode(WAL)", "synchronous("+string(s.cfg.Synchronous)+")",
		"foreign_keys(1)", "busy_timeout(5000)")); err != nil {
		return err
	}
	e.writes.SetMaxOpenConns(1)
	if err := migrateSQLite(ctx, e.writes, migrationFiles, path, s.log); err != nil {
		return err
	}
	start, err := setClock(ctx, e.writes, s)
	if err != nil {
		return err
	}
	conn, err := e.writes.Conn(ctx)
	if err != nil {
		return err
	}
	if e.reads, err = sql.Open("sqlite", dsn(path, "query_only(1)", "busy_timeout(5000)", "cache_size(-1000)",
		"case_sensitive_like(1)")); err != nil {
		return errors.Join(err, conn.Close())
	}
	e.reads.SetMaxOpenConns(s.cfg.MaxConns)
	e.reads.SetMaxIdleConns(s.cfg.MaxConns)
	e.readers = newStatements(e.reads)
	e.writer = startWriter(conn, start, s.wakes)
	s.engine, s.read = e, e.readers
	return nil
}

// dsn is a data source name of the driver: settings are run on each new connection.
func dsn(path string, pragmas ...string) string {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": pragmas}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
}

// checkFile makes sure that the file can be written, before SQLite says it in its own words.
func checkFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return baremetal.Errorf(baremetal.Invalid, "state file %q cannot be written: %w; make it writable for this user or choose another state folder", path, err)
	}
	return f.Close()
}

// setClock starts the store's clock and moves the times kept in the file to it (see the package's text).
func setClock(ctx context.Context, db *sql.DB, s *Store) (moment, error) {
	now := thisMoment(time.Now())
	s.clock = newClock(now.store, nil)
	var old moment
	var storeTime, wall, up int64
	found, err := queryRow(ctx, plain{db}, []any{&storeTime, &wall, &old.bootID, &up},
		"SELECT store_time, wall_time, boot_id, uptime FROM clock WHERE id = 1")
	if err != nil || !found {
		return now, err
	}
	old.store, old.wall, old.uptime = fromMicros(storeTime), fromMicros(wall), time.Duration(up)*time.Microsecond
	by := old.shift(now)
	if by.Abs() < time.Second {
		return now, nil
	}
	s.log.InfoContext(ctx, "the clock was set while this was not running: moving wake times and deadlines", "by", by.String())
	_, err = db.ExecContext(ctx, `UPDATE nodes SET version = version + 1,
		wake_at = CASE WHEN wake_at > 0 THEN wake_at + $1 ELSE 0 END,
		wait_deadline = CASE WHEN wait_deadline > 0 THEN wait_deadline + $1 ELSE 0 END,
		claim_expires = CASE WHEN claim_expires > 0 THEN claim_expires + $1 ELSE 0 END
		WHERE wake_at > 0 OR wait_deadline > 0 OR claim_expires > 0`, by.Microseconds())
	return now, err
}

func (e *sqliteEngine) write(ctx context.Context, change func(ctx context.Context, tx *tx) error) error {
	return e.writer.do(ctx, change)
}

func (e *sqliteEngine) rowLock() string { return "" }

func (e *sqliteEngine) ping(ctx context.Context) error {
	var one int
	_, err := queryRow(ctx, e.readers, []any{&one}, "SELECT 1 FROM counters LIMIT 1")
	return e.fault(err)
}

func (e *sqliteEngine) close() error {
	var errs []error
	if e.writer != nil {
		e.writer.stop()
		e.readers.close()
	}
	for _, db := range []*sql.DB{e.reads, e.writes} { // the last one out empties the WAL
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, unlock(e.lock))...)
}

func (e *sqliteEngine) duplicate(err error) string {
	var se *sqlite.Error
	if !errors.As(err, &se) || (se.Code() != sqlite3.SQLITE_CONSTRAINT_UNIQUE && se.Code() != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY) {
		return ""
	}
	_, column, _ := strings.Cut(se.Error(), "UNIQUE constraint failed: ")
	column, _, _ = strings.Cut(column, " ")
	return strings.TrimSuffix(column, ",") // the first of several
}

// fault says what people can do about what went wrong.
func (e *sqliteEngine) fault(err error) error {
	var known *baremetal.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return &baremetal.Error{Message: fmt.Sprintf("state file %q: %v", e.path, err), Err: err}
	}
	kind := baremetal.Internal
	var what string
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_NOTADB:
		what = "is not a SQLite database or is damaged; move it away or put a backup in its place"
	case sqlite3.SQLITE_CORRUPT:
		what = "is damaged; put a backup in its place (with caddyshack stopped, and without the -wal and -shm files)"
	case sqlite3.SQLITE_FULL:
		kind, what = baremetal.Unavailable, "cannot grow: the disk is full; make room"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		what = "cannot be written; make the folder and the file writable for this user"
	case sqlite3.SQLITE_IOERR:
		kind, what = baremetal.Unavailable, "cannot be read or written; check the disk"
	case sqlite3.SQLITE_BUSY:
		kind, what = baremetal.Unavailable, "is locked by another program; close it (a backup tool, sqlite3?)"
	default:
		return &baremetal.Error{Message: fmt.Sprintf("state file %q: %v", e.path, err), Err: err}
	}
	return &baremetal.Error{Kind: kind, Message: fmt.Sprintf("state file %q %s (%v)", e.path, what, err), Err: err}
}
