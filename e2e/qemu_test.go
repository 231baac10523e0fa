//go:build e2e && qemu

package e2e

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"caddyshack/pxe/images/demo"
	"caddyshack/sim/pi/nfsmount"
)

// guestTimeout is for anything a guest does; a busy machine takes two minutes to boot one.
const guestTimeout = 5 * time.Minute

// demoKernel makes the demo image, unless it is in the cache, and returns the
// digest of its kernel.
func demoKernel(t *testing.T) string {
	t.Helper()
	b := demo.New(demo.Config{RequireReal: true})
	if err := b.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	img, err := b.Image(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(img.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("looking for the kernel in %s: %v", img.Path, err)
		}
		if filepath.Base(h.Name) == "kernel8.img" {
			return digestOf(t, r)
		}
	}
}

func digestOf(t *testing.T, r io.Reader) string {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// guests returns the process ids of the QEMUs that boot from below a folder.
func guests(t *testing.T, folder string) []int {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, name := range lines {
		text, err := os.ReadFile(name)
		if err != nil || !strings.HasPrefix(filepath.Base(string(text)), "qemu-system-aarch64") && !strings.Contains(string(text), "qemu-system-aarch64\x00") {
			continue
		}
		if strings.Contains(string(text), "\x00-kernel\x00"+folder+"/") {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// typed is a raw console at which the test types.
type typed struct {
	t    *testing.T
	conn console
	seen strings.Builder
	from int
}

// console is a way to a console that may fall silent.
type console interface {
	io.ReadWriter
	SetReadDeadline(at time.Time) error
}

// openTyped enables the node's console for programs and connects.
func openTyped(t *testing.T, s *site, ident string) *typed {
	t.Helper()
	s.ok("node", "set", ident, "--console-interface", "serial-socat")
	s.ok("node", "console", "enable", ident)
	s.awaitNode(ident, "console enabled", func(n node) bool { return n.Console })
	info, _ := s.object("node", "console", "show", ident)["console_info"].(map[string]any)
	address, _ := info["url"].(string)
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(address, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &typed{t: t, conn: c}
}

// wait reads until text comes after what was waited for before, and returns
// what stood before it.
func (c *typed) wait(text string) string {
	c.t.Helper()
	buf := make([]byte, 4096)
	for deadline := time.Now().Add(guestTimeout); ; {
		if rest := c.seen.String()[c.from:]; strings.Contains(rest, text) {
			before, _, _ := strings.Cut(rest, text)
			c.from += len(before) + len(text)
			return before
		}
		_ = c.conn.SetReadDeadline(deadline)
		n, err := c.conn.Read(buf)
		c.seen.Write(buf[:n])
		if err != nil {
			c.t.Fatalf("no %q on the console: %v; there is:\n%s", text, err, c.seen.String()[c.from:])
		}
	}
}

// run types a line at the prompt and returns what it prints.
func (c *typed) run(prompt, line string) string {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, line+"\r"); err != nil {
		c.t.Fatal(err)
	}
	c.wait(line)
	return c.wait("\n" + prompt)
}

// TestQEMUDemo is `caddyshack demo --pi qemu` as people use it: our own client
// deploys a Pi, whose console answers in the real kernel.
func TestQEMUDemo(t *testing.T) {
	t.Parallel()
	kernel := demoKernel(t)
	s := startDemo(t, "--pi", "qemu", "--caddies", "3")
	c := openTyped(t, s, "caddy-3")
	began := time.Now()
	deploy := start(t, "deploy", []string{"OS_ENDPOINT=" + s.program.ready.API}, binary(), "deploy", "caddy-3")
	if code := deploy.wait(guestTimeout); code != 0 || !strings.Contains(deploy.stdout(), "caddy-3 is active after") {
		t.Fatalf("deploy exits with %d: %s%s", code, deploy.stdout(), deploy.stderr())
	}
	t.Logf("active after %s", time.Since(began))
	folder := filepath.Join(chassisFolder(t, s), "pi", "bpu-1-slot-3")
	running := guests(t, folder)
	if len(running) != 1 {
		t.Fatalf("QEMUs that run for caddy-3: %d", running)
	}
	f, err := os.Open(filepath.Join(folder, "kernel"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := digestOf(t, f); got != kernel {
		t.Errorf("the fetched kernel has the digest %s, the image's has %s", got, kernel)
	}

	const prompt = "root@caddy-3:~# "
	c.wait(prompt)
	t.Logf("prompt after %s", time.Since(began))
	if got := c.run(prompt, "cat /proc/version; echo $((6*7))"); !strings.Contains(got, "Linux version 6.12") || !strings.Contains(got, "\n42\r") {
		t.Errorf("the console answers %q", got)
	}
	c.run(prompt, "echo kept > /root/proof; sync")
	onlyFromItsAddress(t, s)

	// The system hears the shutdown pin, and halts.
	s.ok("node", "power", "off", "--soft", "caddy-3")
	c.wait("reboot: Power down")
	s.awaitPower("power off", "caddy-3")
	if left := guests(t, folder); len(left) != 0 {
		t.Errorf("QEMUs that are left: %d", left)
	}
	s.api.power("caddy-3", "power on")
	c.wait(prompt)
	if got := c.run(prompt, "cat /root/proof"); !strings.Contains(got, "\nkept\r") {
		t.Errorf("after a restart the file reads %q", got)
	}
	// A restart by the system goes through the boot ROM again.
	if _, err := io.WriteString(c.conn, "reboot\r"); err != nil {
		t.Fatal(err)
	}
	c.wait("boot loader, serial c0ff0103")
	c.wait(prompt)
	s.api.power("caddy-3", "power off")
	s.awaitPower("power off", "caddy-3")
	if left := guests(t, folder); len(left) != 0 {
		t.Errorf("QEMUs that are left after a hard power off: %d", left)
	}

	s.api.power("caddy-3", "power on")
	eventually(t, guestTimeout, "a guest runs", func() bool { return len(guests(t, folder)) == 1 })
	s.program.stop(stopLimit)
	if left := guests(t, folder); len(left) != 0 {
		t.Errorf("QEMUs that are left after the demo's end: %d", left)
	}
}

// chassisFolder is where a demo without --state keeps its simulated chassis.
func chassisFolder(t *testing.T, s *site) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.program.tmp, "caddyshack-demo-*", "chassis"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the demo's folder: %q, %v", found, err)
	}
	return found[0]
}

// onlyFromItsAddress mounts the running guest's root from elsewhere, in vain.
func onlyFromItsAddress(t *testing.T, s *site) {
	t.Helper()
	server := netip.MustParseAddrPort(s.program.ready.NFS)
	mount := func(from string) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		fs, err := nfsmount.Mount(ctx, nfsmount.Config{Local: netip.MustParseAddr(from), Server: server.Addr(), Port: server.Port(),
			MountPort: server.Port(), Path: "/nodes/" + s.api.node("caddy-3").UUID, Hostname: "other"})
		if err == nil {
			_, err = fs.Stat(ctx, "/")
			fs.Close()
		}
		return err
	}
	if err := mount("127.77.1.3"); err != nil {
		t.Errorf("mounting from the Pi's own address: %v", err)
	}
	if err := mount("127.77.1.2"); !errors.Is(err, nfsmount.ErrAccess) {
		t.Errorf("mounting from another Pi's address: %v, want %v", err, nfsmount.ErrAccess)
	}
}

// TestQEMUMissing asks for QEMU where there is none.
func TestQEMUMissing(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"demo", "--pi", "qemu", "--listen", "127.0.0.1:0"},
		{"sim", "--pi", "qemu", "--broker", "tcp://127.0.0.1:1"},
	} {
		cmd := exec.CommandContext(t.Context(), binary(), args...)
		cmd.Env = []string{"PATH=" + t.TempDir(), "HOME=" + t.TempDir()}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), "apt install qemu-system-arm") {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
}
