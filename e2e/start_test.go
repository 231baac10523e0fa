//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to make a state of a newer version
)

// TestRefusedStarts starts what cannot run: one clear line each, and an exit
// code that tells mistakes of people (2) from those of the world (1).
func TestRefusedStarts(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binding does not block
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = busy.Close() })
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config, _ := settings{dir: dir}.write(t)
	wrong, _ := settings{dir: t.TempDir(), more: "[log]\ncolour = \"red\""}.write(t)
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"busy port of the demo", []string{"demo", "--listen", busy.Addr().String()}, 1, []string{busy.Addr().String(), "in use", "--listen"}},
		{"busy port of serve", []string{"serve", "--config", config, "--listen", busy.Addr().String()}, 1, []string{busy.Addr().String(), "in use", "--listen"}},
		{"state is a file", []string{"demo", "--listen", "127.0.0.1:0", "--state", file}, 1, []string{file, "not a directory"}},
		{"state below a file", []string{"demo", "--listen", "127.0.0.1:0", "--state", file + "/x"}, 1, []string{file, "not a directory"}},
		{"demo for all", []string{"demo", "--listen", "0.0.0.0:0"}, 2, []string{"loopback"}},
		{"no configuration", []string{"serve", "--config", file + "x"}, 2, []string{file + "x", "config example"}},
		{"no --config", []string{"serve"}, 2, []string{"--config", "config example"}},
		{"half a user", []string{"nodes", "--endpoint", "http://127.0.0.1:1", "--username", "ann"}, 2, []string{"OS_USERNAME", "OS_PASSWORD"}},
		{"unknown key", []string{"serve", "--config", wrong}, 2, []string{wrong + ":", "log.colour"}},
		{"unknown flag", []string{"demo", "--colour"}, 2, []string{"--colour"}},
		{"unknown command", []string{"explode"}, 2, []string{"explode"}},
		{"too many caddies", []string{"demo", "--listen", "127.0.0.1:0", "--caddies", "100000"}, 2, []string{"--caddies"}},
		{"no service", []string{"nodes", "--endpoint", "http://127.0.0.1:1"}, 1, []string{"http://127.0.0.1:1", "is caddyshack running there"}},
		{"endpoint is no URL", []string{"nodes", "--endpoint", "here"}, 2, []string{"here", "--endpoint"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			oneLine(t, run(t, nil, append([]string{binary()}, c.args...)...), c.code, c.says...)
		})
	}
}

// oneLine checks that a command was refused with one line for people.
func oneLine(t *testing.T, r result, code int, says ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("want exit code %d: %v", code, r)
	}
	if r.stdout != "" || strings.Count(r.stderr, "\n") != 1 || !strings.HasPrefix(r.stderr, "caddyshack: ") {
		t.Errorf("want one line on standard error: %v", r)
	}
	for _, s := range says {
		if !strings.Contains(r.stderr, s) {
			t.Errorf("must say %q: %v", s, r)
		}
	}
}

// TestStateOfAnotherVersion opens a state that a later version has written.
func TestStateOfAnotherVersion(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	p := startProgram(t, "demo", "--state", state)
	p.stop(10 * time.Second)
	db := openDatabase(t, filepath.Join(state, "caddyshack.db"))
	if _, err := db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	oneLine(t, run(t, nil, binary(), "demo", "--listen", "127.0.0.1:0", "--state", state), 1, "newer")
}

// TestOneProcessPerState starts a second process on the same state.
func TestOneProcessPerState(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	startProgram(t, "demo", "--state", state)
	oneLine(t, run(t, nil, binary(), "demo", "--listen", "127.0.0.1:0", "--state", state), 1, state)
}

// TestConfigExample makes a configuration as the messages tell.
func TestConfigExample(t *testing.T) {
	t.Parallel()
	example := run(t, nil, binary(), "config", "example")
	path := filepath.Join(t.TempDir(), "caddyshack.toml")
	if err := os.WriteFile(path, []byte(example.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := run(t, nil, binary(), "config", "check", path); r.code != 0 {
		t.Errorf("the example: %v", r)
	}
	bad := strings.Replace(example.stdout, "[api]\n", "[api]\nlisten = \"0.0.0.0:6385\"\n", 1)
	if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	oneLine(t, run(t, nil, binary(), "config", "check", path), 2, fmt.Sprintf("%s:", path), "api.auth", "http_basic")
}
