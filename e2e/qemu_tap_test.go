//go:build e2e && netns && qemu

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTAPGuestOnASegment boots a Pi as a real one boots: its ROM asks DHCP and
// TFTP by broadcast on a cable of its own, and then the kernel that it fetched
// asks again from the same MAC on a TAP interface, and mounts its root. When the
// controller is killed the system waits for it, and goes on when it is back.
func TestTAPGuestOnASegment(t *testing.T) {
	demoKernel(t)
	seg := newSegment(t)
	r := newRack(t, seg, 1, seg.server())
	r.useDemoImage(t)
	seg.ip("tuntap", "add", "tap1", "mode", "tap")
	seg.ip("link", "set", "tap1", "master", seg.bridge, "up")
	r.serve(t)
	r.simulate(t, "--pi", "qemu", "--tap", "tap%d", "--models", "pi4")
	line, err := os.OpenFile(filepath.Join(r.dir, "sim", "chassis", "serial", "bpu-1-slot-1"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = line.Close() })
	c := &typed{t: t, conn: line}
	r.enroll(1)
	began := time.Now()
	r.api.provision("caddy-1", "active")
	const prompt = "root@caddy-1:~# "
	c.wait("TFTP server " + seg.own())
	c.wait("Got DHCP answer from " + seg.own())
	c.wait(prompt)
	t.Logf("prompt after %s", time.Since(began))
	if n := r.awaitState("caddy-1", "active", "deploy failed"); n.Provision != "active" {
		t.Fatalf("the deploy failed: %s", text(n.LastError))
	}
	r.mounted(seg.address(100))
	got := c.run(prompt, "ip addr; mount | head -n 1")
	for _, want := range []string{piMAC(1), seg.address(100) + "/24", "nfs"} {
		if !strings.Contains(got, want) {
			t.Errorf("the guest shows no %q:\n%s", want, got)
		}
	}

	r.program.kill()
	if _, err := fmt.Fprint(line, "echo gone on > /root/proof; sync; cat /root/proof\r"); err != nil {
		t.Fatal(err)
	}
	c.wait("cat /root/proof")
	c.silent(3*time.Second, prompt)
	r.serve(t)
	if got := c.wait("\n" + prompt); !strings.Contains(got, "\ngone on\r") {
		t.Errorf("after the controller came back the guest printed %q", got)
	}
	if n := r.awaitState("caddy-1", "active"); text(n.Power) != "power on" || n.Maintenance {
		t.Errorf("after the controller came back: %q, maintenance %v", text(n.Power), n.Maintenance)
	}
}

// silent checks that text does not come for a time.
func (c *typed) silent(within time.Duration, text string) {
	c.t.Helper()
	buf := make([]byte, 4096)
	_ = c.conn.SetReadDeadline(time.Now().Add(within))
	for {
		n, err := c.conn.Read(buf)
		c.seen.Write(buf[:n])
		if rest := c.seen.String()[c.from:]; strings.Contains(rest, text) {
			c.t.Errorf("without its root the guest printed %q", rest)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// useDemoImage makes the demo image the rack's default.
func (r *rack) useDemoImage(t *testing.T) {
	t.Helper()
	text := readFile(t, r.config)
	before, rest, _ := strings.Cut(text, "default_image = ")
	_, rest, _ = strings.Cut(rest, "\n")
	if err := os.WriteFile(r.config, []byte(before+"default_image = \"builtin:demo\"\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
}
