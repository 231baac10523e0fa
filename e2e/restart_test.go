//go:build e2e

package e2e

import (
	"database/sql"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// stopLimit is how long a clean end may take.
const stopLimit = 10 * time.Second

func openDatabase(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// TestRestart stops a demo, kindly and not, and starts it again on its state.
func TestRestart(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	begin := func() *site { return newSite(t, startProgram(t, "demo", "--state", state), state) }
	s := begin()
	s.available("caddy-2")
	s.deploy("caddy-2")
	s.api.power("caddy-5", "power on")
	s.awaitPower("power on", "caddy-5")
	s.ok("node", "console", "enable", "caddy-2")
	s.awaitNode("caddy-2", "console enabled", func(n node) bool { return n.Console })
	before := s.api.nodes()

	s.program.stop(stopLimit)
	s = begin()
	comesBack(t, s, before)

	s.program.kill()
	s = begin()
	comesBack(t, s, before)
	s.ok("node", "reboot", "caddy-2")
	s.awaitPower("power on", "caddy-2")
	s.available("caddy-5")
	s.deploy("caddy-5")
}

// comesBack checks a restarted site. Units switch caddies on one after another,
// so those that were on may take a moment.
func comesBack(t *testing.T, s *site, before []node) {
	t.Helper()
	s.awaitPower("power on", "caddy-2", "caddy-5")
	sameNodes(t, before, s.api.nodes())
	consoleWorks(t, s, "caddy-2")
}

// sameNodes compares what survives a restart.
func sameNodes(t *testing.T, before, after []node) {
	t.Helper()
	if len(before) != caddies || len(after) != caddies {
		t.Fatalf("%d nodes before the restart, %d after it, want %d", len(before), len(after), caddies)
	}
	for i, b := range before {
		a := after[i]
		if a.UUID != b.UUID || a.Name != b.Name || text(a.Power) != text(b.Power) || a.Provision != b.Provision || a.Console != b.Console || a.Reservation != nil {
			t.Errorf("%s was %s, %s, console %v; is %s: %s, %s, console %v, held by %q, last_error %q", b.Name, text(b.Power), b.Provision, b.Console,
				a.Name, text(a.Power), a.Provision, a.Console, text(a.Reservation), text(a.LastError))
		}
	}
}

func consoleWorks(t *testing.T, s *site, ident string) {
	t.Helper()
	info, _ := s.object("node", "console", "show", ident)["console_info"].(map[string]any)
	address, _ := info["url"].(string)
	if address == "" {
		t.Fatalf("console_info of %s after a restart: %v", ident, info)
	}
	get(t, address)
}

// TestInterrupted stops a demo at every moment of its start; nothing is left behind.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond, time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			tmp := t.TempDir()
			p := start(t, "caddyshack demo", []string{"TMPDIR=" + tmp}, binary(), "demo", "--listen", "127.0.0.1:0")
			// The folder is made right after the signal handler is there.
			eventually(t, readyTimeout, "the temporary folder of the demo", func() bool { return len(entries(t, tmp)) > 0 })
			time.Sleep(after)
			p.signal(syscall.SIGINT)
			if code := p.wait(stopLimit); code != 0 {
				t.Errorf("exit code %d after Ctrl-C, want 0", code)
			}
			if left := entries(t, tmp); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range found {
		names = append(names, filepath.Join(dir, f.Name()))
	}
	return names
}

// TestKilledDemoLeavesNoTrap kills a demo without a state: the next one starts.
func TestKilledDemoLeavesNoTrap(t *testing.T) {
	t.Parallel()
	startProgram(t, "demo").kill()
	s := startDemo(t)
	s.program.stop(stopLimit)
}
