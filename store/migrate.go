package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/pressly/goose/v3"

	"caddyshack/baremetal"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations reads the SQL files; adapt turns their text into the engine's.
func migrations(files fs.FS, adapt func(text string) string) ([]*goose.Migration, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var all []*goose.Migration
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, fmt.Errorf("migration %q: %w", name, err)
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		statements := adapt(string(text))
		all = append(all, goose.NewGoMigration(version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, statements)
			return err
		}}, nil))
	}
	return all, nil
}

func migrator(dialect goose.Dialect, db *sql.DB, files fs.FS, adapt func(string) string) (*goose.Provider, error) {
	all, err := migrations(files, adapt)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(dialect, db, nil, goose.WithGoMigrations(all...), goose.WithDisableGlobalRegistry(true),
		goose.WithSlog(slog.New(slog.DiscardHandler)))
}

// migrateSQLite keeps a copy of a file before it changes its schema.
func migrateSQLite(ctx context.Context, db *sql.DB, files fs.FS, path string, log *slog.Logger) error {
	p, err := migrator(goose.DialectSQLite3, db, files, func(text string) string { return text })
	if err != nil {
		return err
	}
	current, err := schemaVersion(ctx, p, "use another state folder")
	if err != nil || current == latest(p) {
		return err
	}
	if current > 0 {
		backup := fmt.Sprintf("%s.schema-%d.bak", path, current)
		if err := backupTo(ctx, db, backup); err != nil {
			return fmt.Errorf("keeping a copy of the state in %q before bringing it up to date: %w", backup, err)
		}
		log.InfoContext(ctx, "bringing the state up to date", "from", current, "to", latest(p), "backup", backup)
	}
	return up(ctx, p)
}

// migrationLock is the key of the advisory lock that lets one process at a time
// migrate a PostgreSQL database.
const migrationLock = 0x63616464 // "cadd"

func migratePostgres(ctx context.Context, db *sql.DB) (err error) {
	holder, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, holder.Close()) }()
	if _, err := holder.ExecContext(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
		return err
	}
	defer func() {
		_, unlockErr := holder.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", migrationLock)
		err = errors.Join(err, unlockErr)
	}()
	p, err := migrator(goose.DialectPostgres, db, migrationFiles, func(text string) string {
		return strings.ReplaceAll(text, " TEXT ", ` TEXT COLLATE "C" `)
	})
	if err != nil {
		return err
	}
	current, err := schemaVersion(ctx, p, "use another database")
	if err != nil || current == latest(p) {
		return err
	}
	return up(ctx, p)
}

func latest(p *goose.Provider) int64 {
	sources := p.ListSources()
	return sources[len(sources)-1].Version
}

// schemaVersion refuses a schema that this program does not know.
func schemaVersion(ctx context.Context, p *goose.Provider, otherwise string) (int64, error) {
	current, err := p.GetDBVersion(ctx)
	if err != nil {
		return 0, err
	}
	if current > latest(p) {
		return 0, baremetal.Errorf(baremetal.Invalid, "the state was made by a newer caddyshack (schema %d, this one knows %d): install that version or %s",
			current, latest(p), otherwise)
	}
	return current, nil
}

func up(ctx context.Context, p *goose.Provider) error {
	_, err := p.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		return fmt.Errorf("bringing the schema to version %d: %w", partial.Failed.Source.Version, partial.Err)
	}
	return err
}

func backupTo(ctx context.Context, db *sql.DB, path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err := db.ExecContext(ctx, "VACUUM INTO $1", path)
	return err
}
