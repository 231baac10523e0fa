//go:build debian

package debian

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"caddyshack/pxe/images/demo"
)

//go:embed make-root
var makeRoot []byte

// debianRoot returns the archive of a Debian for 64-bit Pis, without a kernel.
// It is made once for each version of make-root.
func debianRoot(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(makeRoot)
	archive := filepath.Join(cache, "caddyshack", "debian", fmt.Sprintf("root-%x.tar", sum[:6]))
	if _, err := os.Stat(archive); err == nil {
		return archive
	}
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	script := filepath.Join(t.TempDir(), "make-root")
	if err := os.WriteFile(script, makeRoot, 0o755); err != nil {
		t.Fatal(err)
	}
	unfinished := archive + ".new"
	cmd := exec.CommandContext(t.Context(), script, unfinished)
	// The same users as outside, but no rights there.
	all := []syscall.SysProcIDMap{{Size: 65536}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true, Pdeathsig: syscall.SIGKILL,
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("making the root: %v\n%s", err, out)
	}
	if err := os.Rename(unfinished, archive); err != nil {
		t.Fatal(err)
	}
	t.Logf("the root was made in %s", time.Since(began).Round(time.Second))
	return archive
}

// added is a file that the image has besides Debian's.
type added struct {
	name  string
	mode  int64
	owner int
	data  string
}

// makeImage writes Debian's root with the Pi's kernel and firmware, as the demo
// image has them, and a key for the user pi.
func makeImage(t *testing.T, to, root, authorized string) {
	t.Helper()
	builder := demo.New(demo.Config{RequireReal: true})
	if err := builder.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	withKernel, err := builder.Image(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(out)
	err = errors.Join(
		copyTar(w, root, func(*tar.Header) bool { return true }),
		copyTar(w, withKernel.Path, func(h *tar.Header) bool { return strings.HasPrefix(strings.TrimPrefix(h.Name, "./"), "boot/") }),
	)
	const pi = 1000
	for _, f := range []added{
		{"home/pi/.ssh/", 0o700, pi, ""},
		{"home/pi/.ssh/authorized_keys", 0o600, pi, authorized},
		// Debian makes host keys when the package is installed, and nodes get
		// none: this one makes them at its first start.
		{"etc/systemd/system/ssh.service.d/", 0o755, 0, ""},
		{"etc/systemd/system/ssh.service.d/host-keys.conf", 0o644, 0, "[Service]\nExecStartPre=\nExecStartPre=/bin/sh -c 'test -e /etc/ssh/ssh_host_ed25519_key || ssh-keygen -q -t ed25519 -N \"\" -f /etc/ssh/ssh_host_ed25519_key'\nExecStartPre=/usr/sbin/sshd -t\n"},
	} {
		h := &tar.Header{Name: f.name, Mode: f.mode, Uid: f.owner, Gid: f.owner, Size: int64(len(f.data)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(f.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		err = errors.Join(err, w.WriteHeader(h))
		_, werr := io.Copy(w, bytes.NewReader([]byte(f.data)))
		err = errors.Join(err, werr)
	}
	if err := errors.Join(err, w.Close(), out.Close()); err != nil {
		t.Fatalf("making the image: %v", err)
	}
}

func copyTar(w *tar.Writer, from string, keep func(*tar.Header) bool) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	r := tar.NewReader(in)
	for {
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case !keep(h):
			continue
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
	}
}
