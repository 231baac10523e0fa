//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// program is a running caddyshack.
type program struct {
	*process
	tmp   string // its temporary folder, since a killed demo cannot remove what it made
	ready struct {
		API, MQTT, TFTP, NFS, DHCP string
		PID                        int
	}
}

// readyTimeout is far above what a start takes on a busy machine.
const readyTimeout = 2 * time.Minute

// startProgram runs caddyshack and waits for its ready file.
func startProgram(t testing.TB, args ...string) *program {
	t.Helper()
	p := launch(t, args...)
	p.awaitReady()
	return p
}

// launch runs caddyshack with a ready file and a free port for the API.
func launch(t testing.TB, args ...string) *program {
	t.Helper()
	readyFile := filepath.Join(t.TempDir(), "ready")
	argv := append([]string{binary()}, args...)
	argv = append(argv, "--listen", "127.0.0.1:0", "--ready-file", readyFile)
	tmp := t.TempDir()
	return &program{process: start(t, "caddyshack "+args[0], []string{"TMPDIR=" + tmp}, argv...), tmp: tmp}
}

func (p *program) awaitReady() {
	p.t.Helper()
	awaitReadyFile(p.t, p.process, p.cmd.Args[len(p.cmd.Args)-1], &p.ready)
}

// awaitReadyFile waits until the process has written its ready file.
func awaitReadyFile(t testing.TB, p *process, path string, into any) {
	t.Helper()
	deadline := time.After(readyTimeout)
	for {
		text, err := os.ReadFile(path)
		if err == nil {
			if err := json.Unmarshal(text, into); err != nil {
				t.Fatalf("ready file of %s: %v\n%s", p.name, err, text)
			}
			return
		}
		select {
		case <-p.exited:
			t.Fatalf("%s ended before it was ready", p.name)
		case <-deadline:
			t.Fatalf("%s is not ready after %s", p.name, readyTimeout)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stop ends it as systemd or Ctrl-C does, and fails unless that is clean.
func (p *program) stop(within time.Duration) {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(within); code != 0 {
		p.t.Fatalf("%s exits with %d after SIGTERM, want 0", p.name, code)
	}
}
