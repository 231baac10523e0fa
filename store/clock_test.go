package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/pressly/goose/v3"
)

func TestShift(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 8, 20, 12, 0, 0, 0, time.UTC)
	old := moment{store: day, wall: day, bootID: "a", uptime: time.Hour}
	for name, test := range map[string]struct {
		now  moment
		want time.Duration
	}{
		"the process was restarted":             {moment{store: day.Add(time.Minute), wall: day.Add(time.Minute), bootID: "a", uptime: time.Hour + time.Minute}, 0},
		"and the wall clock was set on":         {moment{store: day.Add(24 * time.Hour), wall: day.Add(24 * time.Hour), bootID: "a", uptime: time.Hour + time.Minute}, 24*time.Hour - time.Minute},
		"and the wall clock was set back":       {moment{store: day.Add(-24 * time.Hour), wall: day.Add(-24 * time.Hour), bootID: "a", uptime: time.Hour + time.Minute}, -24*time.Hour - time.Minute},
		"the machine was rebooted":              {moment{store: day.Add(time.Hour), wall: day.Add(time.Hour), bootID: "b", uptime: time.Minute}, 0},
		"and comes up without a clock, in 1970": {moment{store: time.Unix(60, 0), wall: time.Unix(60, 0), bootID: "b", uptime: time.Minute}, time.Unix(60, 0).Sub(day)},
	} {
		if got := old.shift(test.now); got != test.want {
			t.Errorf("%s: times move by %s, want %s", name, got, test.want)
		}
	}
	// The wall clock was set (by NTP, an hour on) while the process ran, so
	// store time is behind it; what is left of a wait stays the same.
	late := moment{store: day, wall: day.Add(time.Hour), bootID: "a", uptime: time.Hour}
	next := moment{store: day.Add(time.Hour + time.Minute), wall: day.Add(time.Hour + time.Minute), bootID: "a", uptime: time.Hour + time.Minute}
	if got := late.shift(next); got != time.Hour {
		t.Errorf("times move by %s, want an hour", got)
	}
}

// A wait keeps what it had left when the store is opened again under another wall clock.
func TestWaitsSurviveAWrongClock(t *testing.T) {
	t.Parallel()
	cfg := Config{Path: filepath.Join(t.TempDir(), "x.db"), Synchronous: Off}
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"INSERT INTO chassis VALUES (1, 'x', '', '', 0, 0)", // any write; below is what an earlier life of ten minutes ago would have left
	} {
		if err := s.write(t.Context(), func(ctx context.Context, tx *tx) error { _, err := tx.exec(ctx, statement); return err }); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	future := time.Now().Add(1000 * time.Hour) // the earlier life's wall clock was ahead
	db, err := sql.Open("sqlite", cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "UPDATE clock SET store_time = $1, wall_time = $1, boot_id = 'earlier'", future.UnixMicro()); err != nil {
		t.Fatal(err)
	}
	columns, values := "", ""
	for i, c := range nodeColumns {
		if i > 0 {
			columns, values = columns+", ", values+", "
		}
		columns += c
		switch c {
		case "id":
			values += "1"
		case "wake_at", "wait_deadline":
			values += "$1"
		default:
			values += "''"
		}
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO nodes ("+columns+") VALUES ("+values+")", future.Add(5*time.Minute).UnixMicro()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	wake, err := s.NextWake(t.Context())
	if left := time.Until(wake); err != nil || left < 4*time.Minute || left > 5*time.Minute {
		t.Errorf("%s left of five minutes (%v)", left, err)
	}
}

func TestClockAsksNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		var failure error
		day := time.Date(2026, 8, 20, 12, 0, 0, 0, time.UTC)
		start := time.Now()
		c := newClock(day, func(context.Context) (time.Time, error) {
			asked++
			return day.Add(time.Hour + time.Since(start)), failure // the database was replaced by one an hour ahead
		})
		for range 49 {
			time.Sleep(100 * time.Millisecond)
			if now, err := c.now(t.Context()); err != nil || !now.Equal(day.Add(time.Since(start))) {
				t.Fatalf("%s, %v", now, err)
			}
		}
		time.Sleep(100 * time.Millisecond)
		if now, err := c.now(t.Context()); err != nil || !now.Equal(day.Add(time.Hour+time.Since(start))) || asked != 1 {
			t.Errorf("%s after asking %d times, %v", now, asked, err)
		}
		failure = errors.New("no answer")
		time.Sleep(askEvery)
		if _, err := c.now(t.Context()); !errors.Is(err, failure) {
			t.Errorf("error %v", err)
		}
	})
}

// A file is copied before its schema changes.
func TestBackupBeforeMigration(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	files := fstest.MapFS{"migrations/00001_a.sql": {Data: []byte("CREATE TABLE a (x TEXT); INSERT INTO a VALUES ('kept');")}}
	log := slog.New(slog.DiscardHandler)
	if err := migrateSQLite(t.Context(), db, files, path, log); err != nil {
		t.Fatal(err)
	}
	files["migrations/00002_b.sql"] = &fstest.MapFile{Data: []byte("ALTER TABLE a ADD COLUMN y TEXT; DELETE FROM a;")}
	if err := migrateSQLite(t.Context(), db, files, path, log); err != nil {
		t.Fatal(err)
	}
	p, err := migrator(goose.DialectSQLite3, db, files, func(text string) string { return text })
	if err != nil {
		t.Fatal(err)
	}
	if version, err := schemaVersion(t.Context(), p, ""); err != nil || version != 2 {
		t.Errorf("version %d, %v", version, err)
	}
	old, err := sql.Open("sqlite", path+".schema-1.bak")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Close() }()
	var x string
	if err := old.QueryRowContext(t.Context(), "SELECT x FROM a").Scan(&x); err != nil || x != "kept" {
		t.Errorf("the copy holds %q, %v", x, err)
	}
	// A migration that fails changes nothing.
	files["migrations/00003_c.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE c (x TEXT); NONSENSE;")}
	if err := migrateSQLite(t.Context(), db, files, path, log); err == nil {
		t.Error("nonsense was accepted")
	}
	if _, err := db.ExecContext(t.Context(), "SELECT * FROM c"); err == nil {
		t.Error("half a migration was kept")
	}
}
