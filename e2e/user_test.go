//go:build e2e

package e2e

import (
	"io"
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

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
