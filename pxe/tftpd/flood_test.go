package tftpd_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"caddyshack/internal/flood"
	"caddyshack/pxe/tftpd"
)

const (
	// floodRate is how many requests a second must come, and floodAim how many
	// are sent, by the clock: a sender that was held up makes good for it.
	floodRate = 10_000
	floodAim  = 12_000
	// floodSources is how many addresses they seem to come from.
	floodSources = 5000
	// floodTime is how long the flood lasts at least.
	floodTime = 2 * time.Second
)

// startFlood begins a flood of requests from many addresses. names are what it
// asks for, in turn; %d in them is the number of the request.
func startFlood(t *testing.T, to netip.AddrPort, names ...string) *flood.Flood {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "0.0.0.0:0") //nolint:noctx // it does not wait for anything
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return flood.Start(conn, net.UDPAddrFromAddrPort(to), floodAim, func(n int64) ([]byte, net.IP) {
		name := names[n%int64(len(names))]
		if strings.Contains(name, "%d") {
			name = fmt.Sprintf(name, n)
		}
		from := n % floodSources
		return rrq(name, "octet", "tsize", "0"), net.IPv4(127, 78, byte(from>>8), byte(from))
	})
}

// dropped is how many packets the kernel has thrown away for want of room in a
// socket's queue.
func dropped(t *testing.T, socket netip.AddrPort) int {
	t.Helper()
	table, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		t.Fatal(err)
	}
	a := socket.Addr().As4()
	local := fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(a[:]), socket.Port())
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 12 && f[1] == local {
			n, err := strconv.Atoi(f[12])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s is not in /proc/net/udp:\n%s", socket, table)
	return 0
}

// TestFlood sends 10,000 requests a second from thousands of addresses: for
// files of a Pi, for those of one whose address is not known, which are begun
// and never acknowledged, and nonsense. A registered Pi boots meanwhile, from
// its first request to the last byte of its kernel, again and again; memory,
// transfers and events stay bounded.
func TestFlood(t *testing.T) {
	var events atomic.Int64
	f := start(t, "", func(c *tftpd.Config) {
		inner := c.OnEvent
		c.OnEvent = func(e tftpd.Event) {
			if e.Client.Addr() != netip.MustParseAddr("127.77.3.6") {
				events.Add(1)
			}
			inner(e)
		}
	})
	files := map[string]tftpd.Content{"config.txt": {Data: pattern(600)}, "start4.elf": {Data: pattern(2 << 20)}, "kernel8.img": {Data: pattern(6 << 20)}}
	f.put(t, pi("n1", "127.77.3.6", "00000001", files))
	f.put(t, pi("n2", "", "00000002", map[string]tftpd.Content{"config.txt": {Data: pattern(9000)}}))
	inUse := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse) //nolint:gosec // not that much
	}
	before := inUse()

	storm := startFlood(t, f.Addr(), "00000001/config.txt", "00000002/config.txt", "00000001/f%d", "../../etc/passwd", "f%d")
	var grown int64
	var routines, boots, repeated int
	for deadline := time.Now().Add(5 * time.Minute); boots < 2 || time.Since(storm.Begin) < floodTime; boots++ {
		if time.Now().After(deadline) {
			t.Fatalf("%d boots in 5 min", boots)
		}
		for _, name := range []string{"start4.elf", "config.txt", "none.txt", "kernel8.img"} {
			repeated += fetchInFlood(t, f, name, files[name].Data)
		}
		routines = max(routines, runtime.NumGoroutine())
		grown = max(grown, inUse()-before)
	}
	took := time.Since(storm.Begin)
	rate, err := storm.End()
	if err != nil {
		t.Errorf("the flood broke off: %v", err)
	}
	t.Logf("flood of %d requests a second, of which the kernel dropped %d %%; the Pi booted %d times, %v each, and repeated %d requests; memory grew by %d kB; %d goroutines; %d events of strangers",
		rate, 100*dropped(t, f.Addr())/int(storm.Sent()), boots, (took / time.Duration(boots)).Round(time.Millisecond), repeated, grown>>10, routines, events.Load())
	if rate < floodRate {
		t.Errorf("the flood had %d requests a second only", rate)
	}
	if grown > 4<<20 {
		t.Errorf("memory in use grew by %d bytes", grown)
	}
	if routines > 64 { // 16 transfers of strangers, the test's own
		t.Errorf("%d goroutines during the flood", routines)
	}
	// Two for each transfer of a stranger, one for each refusal.
	if most := int64(100 + 60*took.Seconds()); events.Load() > most {
		t.Errorf("strangers caused %d events in %v, more than %d", events.Load(), took, most)
	}
}

// fetchInFlood gets one file of the registered Pi, and checks it; nil means
// that there is none. A request may be lost in a full queue: a Pi asks again.
// It returns how often it had to.
func fetchInFlood(t *testing.T, f *fixture, name string, want []byte) (repeated int) {
	t.Helper()
	c := newRaw(t, "127.77.3.6", f.Addr())
	defer func() { _ = c.conn.Close() }()
	var p []byte
	for ; p == nil; repeated++ {
		if repeated == 30 {
			t.Fatalf("%s: no answer to 30 requests", name)
		}
		c.sendTo(c.server, rrq("00000001/"+name, "octet", "tsize", "0", "blksize", "1468"))
		p = c.recv(time.Second)
	}
	repeated--
	if want == nil {
		if e, ok := asError(p); !ok || e.code != 1 {
			t.Errorf("%s: % x; want error 1", name, p[:min(len(p), 40)])
		}
		return repeated
	}
	if size := oack(t, p)["tsize"]; size != strconv.Itoa(len(want)) {
		t.Errorf("%s: tsize %s", name, size)
	}
	sum, got := sha256.New(), 0
	from := c.tid
	for block := uint16(0); ; {
		c.sendTo(from, binary.BigEndian.AppendUint16([]byte{0, 4}, block))
		if block > 0 && len(p) < 1472 {
			break
		}
		// An earlier request that came late has a transfer of its own, and a
		// block may come twice.
		for p = c.mustRecv(); c.tid != from || binary.BigEndian.Uint16(p[2:]) != block+1; p = c.mustRecv() {
			if e, ok := asError(p); ok && c.tid == from {
				t.Fatalf("%s: %v", name, e)
			}
		}
		block++
		sum.Write(p[4:])
		got += len(p) - 4
	}
	if whole := sha256.Sum256(want); got != len(want) || !bytes.Equal(sum.Sum(nil), whole[:]) {
		t.Errorf("%s: the Pi got %d bytes of %d, or others", name, got, len(want))
	}
	return repeated
}
