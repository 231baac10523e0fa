package storetest

import (
	"path/filepath"
	"testing"

	"caddyshack/store"
)

// Engine is a database that stores can run on.
type Engine struct {
	Name string
	// Config makes a new empty database for the test. Stores opened with the
	// same configuration see the same data.
	Config func(t testing.TB) store.Config
}

// Engines are all of them: SQLite and PostgreSQL.
func Engines() []Engine {
	return []Engine{
		{Name: "sqlite", Config: SQLiteConfig},
		{Name: "postgres", Config: func(t testing.TB) store.Config {
			t.Helper()
			return store.Config{PostgresURL: Postgres(t), MaxConns: 5}
		}},
	}
}

// SQLiteConfig is a new file in a temporary folder, not synced to disk.
func SQLiteConfig(t testing.TB) store.Config {
	t.Helper()
	return store.Config{Path: filepath.Join(t.TempDir(), "caddyshack.db"), Synchronous: store.Off}
}

// Open opens a store and closes it when the test ends.
func Open(t testing.TB, cfg store.Config) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("opening the store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return s
}

// New opens a store on a new SQLite file.
func New(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, SQLiteConfig(t))
}
