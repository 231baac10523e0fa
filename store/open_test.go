package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	_ "modernc.org/sqlite"

	"caddyshack/baremetal"
	"caddyshack/store"
	"caddyshack/store/storetest"
)

func wantOpenError(t *testing.T, cfg store.Config, parts ...string) {
	t.Helper()
	s, err := store.Open(t.Context(), cfg)
	if err == nil {
		_ = s.Close()
		t.Fatalf("opened %+v", cfg)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
	if strings.ContainsAny(err.Error(), "\n\t") || strings.Contains(err.Error(), "geheim") {
		t.Errorf("error %q is not one line without the password", err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	t.Parallel()
	cfg := storetest.SQLiteConfig(t)
	s, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, cfg, "in use by process "+fmt.Sprint(os.Getpid()), "choose another state folder")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.Open(t, cfg)
}

func TestBadStateFolders(t *testing.T) {
	t.Parallel()
	wantOpenError(t, store.Config{}, "either the path")
	wantOpenError(t, store.Config{Path: "/proc/nosuch/caddyshack.db"}, `state folder "/proc/nosuch" cannot be made`, "choose another one")
	wantOpenError(t, store.Config{Path: "/proc/caddyshack.db"}, `state folder "/proc" cannot be written`, "choose another one")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, store.Config{Path: filepath.Join(file, "caddyshack.db")}, "not a directory")
	folder := filepath.Join(t.TempDir(), "caddyshack.db")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, store.Config{Path: folder}, "is a directory")
}

func TestADamagedFile(t *testing.T) {
	t.Parallel()
	cfg := storetest.SQLiteConfig(t)
	if err := os.WriteFile(cfg.Path, []byte(strings.Repeat("this is no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, cfg, cfg.Path, "is not a SQLite database or is damaged", "backup")

	cfg = storetest.SQLiteConfig(t)
	s, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, 100)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(cfg.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(strings.Repeat("\xff", 1<<16)), 4096); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, cfg, cfg.Path, "is damaged", "backup")
}

func TestBadPostgres(t *testing.T) {
	t.Parallel()
	wantOpenError(t, store.Config{PostgresURL: "postgres://user:geheim@/x?connect_timeout=nonsense"}, "PostgreSQL URL")
	wantOpenError(t, store.Config{PostgresURL: "postgres:///x?host=" + t.TempDir()}, "cannot be reached", "check that it runs")
	wantOpenError(t, store.Config{PostgresURL: "postgres://user:geheim@127.0.0.1:1/x"}, "127.0.0.1:1", "check that it runs")
	url := strings.Replace(storetest.Postgres(t), "/test", "/nosuch", 1)
	wantOpenError(t, store.Config{PostgresURL: url}, "does not exist", "check user, password and database name")
}

// A database of a newer program is refused and left as it is.
func TestANewerSchema(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			cfg := e.Config(t)
			s, err := store.Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			driver, dsn := "sqlite", cfg.Path
			if cfg.PostgresURL != "" {
				driver, dsn = "pgx", cfg.PostgresURL
			}
			db, err := sql.Open(driver, dsn)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (7777, $1)", true); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			wantOpenError(t, cfg, "made by a newer caddyshack (schema 7777, this one knows ", "install that version or use another")
		})
	}
}

// Several processes start at once on an empty PostgreSQL database.
func TestConcurrentMigration(t *testing.T) {
	t.Parallel()
	cfg := store.Config{PostgresURL: storetest.Postgres(t), MaxConns: 3}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := store.Open(t.Context(), cfg)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestWritesAfterCloseAreRefused(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			s, err := store.Open(t.Context(), e.Config(t))
			if err != nil {
				t.Fatal(err)
			}
			wakes := s.Wakes(t.Context())
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, open := <-wakes; open {
				t.Error("woken by a closed store")
			}
			n := newNode("late")
			if err := s.CreateNode(t.Context(), &n); err == nil {
				t.Error("written to a closed store")
			}
		})
	}
}

const crashEnv = "STORE_TEST_CRASH_PATH"

// TestCrashChild is the process that TestCrash kills: it writes until then and
// prints each node once the store has answered.
func TestCrashChild(t *testing.T) {
	path := os.Getenv(crashEnv)
	if path == "" {
		return // not started by TestCrash
	}
	s, err := store.Open(context.Background(), store.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				n := typical(w*1_000_000 + i)
				if err := s.CreateNode(context.Background(), &n); err != nil {
					fmt.Println("error", err)
				}
				if _, err := s.UpdateNode(context.Background(), n.UUID, func(n *baremetal.Node) error { n.LastError = n.Name; return nil }); err != nil {
					fmt.Println("error", err)
				}
				fmt.Println("stored", n.UUID)
			}
		}()
	}
	select {}
}

// The process is killed in the middle of its writes: what was answered is
// there, and the file is whole.
func TestCrash(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "caddyshack.db")
	for range 3 {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashChild$", "-test.timeout=5m")
		child.Env = append(os.Environ(), crashEnv+"="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		var stored []string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			uuid, ok := strings.CutPrefix(lines.Text(), "stored ")
			if !ok {
				t.Errorf("child: %s", lines.Text())
				continue
			}
			if stored = append(stored, uuid); len(stored) == 100 {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := child.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		if len(stored) < 100 {
			t.Fatalf("the child stored %d nodes", len(stored))
		}
		s, err := store.Open(t.Context(), store.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		for _, uuid := range stored {
			if n := read(t, s, uuid); n.LastError != n.Name {
				t.Errorf("an answered update of %s is lost", n.Name)
			}
		}
		var torn int
		if err := s.Nodes(t.Context(), baremetal.NodeQuery{}, func(n *baremetal.Node) error {
			if n.ResourceClass != "rpi4" {
				torn++
			}
			return s.Ping(t.Context()) // a second reader
		}); err != nil || torn > 0 {
			t.Errorf("%d torn rows, %v", torn, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		var verdict string
		if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
			t.Errorf("integrity: %s, %v", verdict, err)
		}
		if _, err := db.ExecContext(t.Context(), "DELETE FROM nodes"); err != nil { // the names are used again
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
