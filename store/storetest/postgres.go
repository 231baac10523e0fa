// Package storetest opens stores for tests: on SQLite in a temporary folder,
// and on PostgreSQL in a cluster of its own that ends with the test binary.
// The server programs come from Debian's package postgresql.
package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// Cluster is a PostgreSQL server on a unix socket in a temporary folder.
type Cluster struct {
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
	admin  *sql.DB
	count  atomic.Int64
}

// shared is the cluster of this test binary: starting one takes longer than most tests.
var shared struct {
	once    sync.Once
	cluster *Cluster
	err     error
}

// Main runs the tests of a package and stops the cluster that they used. Call
// it from TestMain; without it the server still ends with the process, but
// leaves its folder.
func Main(m *testing.M) {
	code := m.Run()
	if shared.cluster != nil {
		if err := shared.cluster.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping PostgreSQL:", err)
		}
	}
	os.Exit(code)
}

// Postgres returns the URL of a new empty database, dropped when the test ends.
func Postgres(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() { shared.cluster, shared.err = StartCluster() })
	if shared.err != nil {
		t.Fatalf("starting PostgreSQL (Debian's package postgresql is needed): %v", shared.err)
	}
	return shared.cluster.Database(t)
}

const startTimeout = 2 * time.Minute

// StartCluster makes and starts a cluster with settings for tests: nothing is
// synced to disk. Most tests want Postgres, which shares one.
func StartCluster() (c *Cluster, err error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	attr, owner, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	if attr.Credential != nil {
		if err := os.Chown(dir, int(attr.Credential.Uid), int(attr.Credential.Gid)); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(dir, "data")
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb as %s: %w\n%s", owner, err, out)
	}
	c = &Cluster{dir: dir, exited: make(chan struct{})}
	c.cmd = exec.CommandContext(context.Background(), filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off",
		"-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "shared_buffers=16MB", "-c", "max_connections=200",
		"-c", "autovacuum=off", "-c", "deadlock_timeout=50ms", "-c", "max_wal_size=256MB")
	c.cmd.Dir = dir
	running := *attr
	running.Pdeathsig = syscall.SIGQUIT // ends with this process, however that ends
	c.cmd.SysProcAttr = &running
	if err := c.start(); err != nil {
		return nil, err
	}
	if err := c.connect(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// start keeps the thread that started the server: its end would be taken for
// the end of the process.
func (c *Cluster) start() error {
	log, err := os.Create(filepath.Join(c.dir, "log"))
	if err != nil {
		return err
	}
	c.cmd.Stdout, c.cmd.Stderr = log, log
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer close(c.exited)
		defer func() { _ = log.Close() }()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait() // it was told to stop, or connect tells
		}
	}()
	return <-started
}

func (c *Cluster) connect(ctx context.Context) (err error) {
	if c.admin, err = sql.Open("pgx", c.url("postgres")); err != nil {
		return err
	}
	for {
		if err = c.admin.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case <-c.exited:
			text, _ := os.ReadFile(filepath.Join(c.dir, "log"))
			return fmt.Errorf("the server ended:\n%s", text)
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *Cluster) url(database string) string {
	q := url.Values{"host": {c.dir}, "user": {"postgres"}}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: q.Encode()}).String()
}

// Database makes a new empty database and returns its URL; it is dropped when the test ends.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	name := "test" + strconv.FormatInt(c.count.Add(1), 10)
	if _, err := c.admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("making a database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		if _, err := c.admin.ExecContext(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("dropping a database: %v", err)
		}
	})
	return c.url(name)
}

// Admin is a connection pool of the superuser, for tests that break things.
func (c *Cluster) Admin() *sql.DB { return c.admin }

// Stop ends the server and removes its folder.
func (c *Cluster) Stop() error {
	if c.admin != nil {
		_ = c.admin.Close()
	}
	if err := c.cmd.Process.Signal(syscall.SIGINT); err == nil { // fast shutdown
		select {
		case <-c.exited:
		case <-time.After(30 * time.Second):
			_ = c.cmd.Process.Signal(syscall.SIGQUIT)
			<-c.exited
		}
	}
	return os.RemoveAll(c.dir)
}

// programs is the folder of the newest server programs.
func programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		slices.SortFunc(found, func(a, b string) int { return version(a) - version(b) })
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("initdb")
	return filepath.Dir(path), err
}

func version(initdb string) int {
	v, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
	return v
}

// unprivileged is who runs the server: PostgreSQL refuses to run as root.
func unprivileged() (*syscall.SysProcAttr, string, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, "this user", nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil {
			return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, name, nil
		}
	}
	return nil, "", fmt.Errorf("no user postgres or nobody to run the server as")
}
