//go:build e2e && netns

package e2e

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"caddyshack/internal/flood"
)

// A flood of 10,000 TFTP requests a second under made-up addresses, from a
// machine on the Pis' own network: a Pi that is registered goes from power-on to
// active meanwhile, and the program's memory stays as it is.
func TestDHCPWithTFTPFlood(t *testing.T) {
	t.Parallel()
	const least, aim = 10_000, 12_000 // a second
	seg := newSegment(t)
	r := newRack(t, seg, 2, seg.server())
	r.serve(t)
	r.simulate(t)
	for i := range 2 {
		r.enroll(i + 1)
	}
	r.deployAll(1)
	before := r.resident()

	ns := seg.plug("flood", "")
	seg.ip("-n", ns, "addr", "add", seg.address(66)+"/24", "dev", "eth0")
	var conn net.PacketConn
	in(t, ns, func() (err error) {
		conn, err = transparent()
		return err
	})
	t.Cleanup(func() { _ = conn.Close() })
	names := []string{piSerial(1) + "/cmdline.txt", piSerial(2) + "/cmdline.txt", "bootcode.bin", "../../etc/passwd", "start4.elf"}
	storm := flood.Start(conn, &net.UDPAddr{IP: net.ParseIP(seg.own()), Port: 69}, aim, func(n int64) ([]byte, net.IP) {
		from := net.IPv4(172, byte(16+n%16), byte(n>>8), byte(n))
		if n%2 == 0 { // one that answers can go to
			from = net.IPv4(10, 77, byte(seg.n), byte(130+n/2%120))
		}
		return append([]byte("\x00\x01"+names[n%int64(len(names))]), "\x00octet\x00tsize\x000\x00"...), from
	})
	for verb := "active"; verb == "active" || time.Since(storm.Begin) < 3*time.Second; verb = "rebuild" { // again if that was too fast for a flood
		r.api.provision("caddy-2", verb)
		if n := r.awaitState("caddy-2", "active", "deploy failed"); n.Provision != "active" {
			t.Fatalf("%s of caddy-2: %s", verb, text(n.LastError))
		}
	}
	rate, err := storm.End()
	if err != nil {
		t.Errorf("the flood broke off: %v", err)
	}
	after := r.resident()
	t.Logf("%d requests a second; resident memory %d MiB before, %d after", rate, before>>20, after>>20)
	if !strings.Contains(r.program.stderr(), "TFTP request not served") {
		t.Error("nothing of the flood has come to the server")
	}
	if rate < least {
		t.Errorf("the flood had %d requests a second only", rate)
	}
	if after-before > 64<<20 {
		t.Errorf("the program's memory grew from %d to %d bytes", before, after)
	}
}

// transparent is a socket that may send from addresses that are not this machine's.
func transparent() (net.PacketConn, error) {
	c, err := net.ListenPacket("udp4", "0.0.0.0:0") //nolint:noctx // it does not wait for anything
	if err != nil {
		return nil, err
	}
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		return nil, err
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1) }); err != nil {
		return nil, err
	}
	return c, set
}

// resident is the program's memory in bytes.
func (r *rack) resident() int {
	r.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.program.cmd.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		r.t.Fatalf("no VmRSS in %s", status)
	}
	kib, err := strconv.Atoi(string(m[1]))
	if err != nil {
		r.t.Fatal(err)
	}
	return kib << 10
}
