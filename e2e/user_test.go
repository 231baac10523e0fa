//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestOrdinaryUserWithoutGo runs the demo as a user without rights, without a
// Go tool chain in PATH (and, where one is found elsewhere, without modules for
// it) and with nothing cached.
func TestOrdinaryUserWithoutGo(t *testing.T) {
	t.Parallel()
	home := openFolder(t)
	bin := filepath.Join(home, "caddyshack")
	copyFile(t, binary(), bin)
	readyFile := filepath.Join(home, "ready")
	argv := []string{"env", "-i", "HOME=" + home, "TMPDIR=" + home, "PATH=/nowhere", "GOPROXY=off",
		bin, "demo", "--listen", "127.0.0.1:0", "--ready-file", readyFile}
	if os.Geteuid() == 0 {
		argv = append([]string{"setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"}, argv...)
	}
	begin := time.Now()
	p := &program{process: start(t, "caddyshack demo", nil, argv...)}
	awaitReadyFile(t, p.process, readyFile, &p.ready)
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("ready after %s", took)
	}
	s := newSite(t, p, home)
	s.available("caddy-1")
	s.deploy("caddy-1")
	p.stop(stopLimit)
}

// openFolder is a temporary folder that other users may use.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "caddyshack-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // that is what it is for
		t.Fatal(err)
	}
	return dir
}

// copyFile copies a program. Another process does it: a file that this one has
// open to write cannot be run as long as a child that is just being forked for
// another test has it open, too.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	if r := run(t, nil, "cp", from, to); r.code != 0 {
		t.Fatal(r)
	}
}
