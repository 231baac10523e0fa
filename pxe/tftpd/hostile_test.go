package tftpd_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"caddyshack/pxe/tftpd"
)

func TestHostileNames(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dir := filepath.Join(base, "boot")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(base, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"up": "../secret", "abs": "/etc/passwd", "dir": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := start(t, dir, nil)
	f.put(t, pi("n1", "127.77.3.1", "0a1b2c3d", map[string]tftpd.Content{
		"config.txt": {Data: []byte("x")},
		"up":         {Path: "up"}, "abs": {Path: "abs"}, "dir": {Path: "dir/secret"},
		"fifo": {Path: "fifo"}, "folder": {Path: "."}, "gone": {Path: "gone"},
	}))
	for _, client := range []string{"127.77.3.1", "127.77.3.2"} {
		for _, name := range []string{
			"../../etc/passwd", "/etc/passwd", "etc/passwd", "0a1b2c3d/..%2f..%2fsecret", "0a1b2c3d/../secret",
			"0a1b2c3d/..\\secret", `\secret`, "..", ".", "/", "", "0a1b2c3d/", "0a1b2c3d//", "0a1b2c3d/\x01", "0a1b2c3d/\xff",
			strings.Repeat("a", 300), strings.Repeat("../", 90), "0a1b2c3d/config.txt/", "0a1b2c3d/config.txt/..",
			"0a1b2c3d/up", "0a1b2c3d/abs", "0a1b2c3d/dir", "0a1b2c3d/fifo", "0a1b2c3d/folder", "0a1b2c3d/gone",
		} {
			if client == "127.77.3.1" && name == "0a1b2c3d/config.txt/" {
				continue // the same file by another spelling
			}
			p := newRaw(t, client, f.Addr()).ask(rrq(name, "octet", "tsize", "0"))
			if e, ok := asError(p); !ok || e.code != 1 && e.code != 2 {
				t.Errorf("%s asks %q: % x", client, name, p[:min(len(p), 40)])
			}
		}
	}
	// A 600 byte name makes the packet longer than any request may be.
	p := newRaw(t, "127.77.3.1", f.Addr()).ask(rrq(strings.Repeat("a", 600), "octet"))
	if e, ok := asError(p); !ok || e.code != 2 {
		t.Errorf("600 byte name: % x", p[:min(len(p), 40)])
	}
}

func TestHostileRequests(t *testing.T) {
	t.Parallel()
	f := start(t, "", nil)
	f.put(t, pi("n1", "127.77.3.3", "0a1b2c3d", map[string]tftpd.Content{"f": {Data: pattern(9000)}}))
	write := rrq("0a1b2c3d/f", "octet")
	write[1] = 2
	var flood []string
	for i := range 20 {
		flood = append(flood, fmt.Sprint("o", i), "1")
	}
	name := "0a1b2c3d/f"
	for what, c := range map[string]struct {
		packet []byte
		code   uint16
	}{
		"write":              {write, 2},
		"mail":               {rrq(name, "mail"), 2},
		"netascii":           {rrq(name, "netascii"), 2},
		"no mode":            {rrq(name, "")[:13], 4},
		"no end":             {rrq(name, "octet")[:17], 4},
		"blksize 0":          {rrq(name, "octet", "blksize", "0"), 8},
		"blksize -1":         {rrq(name, "octet", "blksize", "-1"), 8},
		"blksize 65465":      {rrq(name, "octet", "blksize", "65465"), 8},
		"blksize text":       {rrq(name, "octet", "blksize", "x"), 8},
		"blksize twice":      {rrq(name, "octet", "blksize", "512", "blksize", "1024"), 8},
		"tsize -1":           {rrq(name, "octet", "tsize", "-1"), 8},
		"many options":       {rrq(name, "octet", flood...), 8},
		"option, no value":   {append(rrq(name, "octet"), "blksize\x00"...), 4},
		"zero bytes in name": {rrq("0a1b2c3d/f\x00x", "octet"), 4},
	} {
		p := newRaw(t, "127.77.3.3", f.Addr()).ask(c.packet)
		if e, ok := asError(p); !ok || e.code != c.code {
			t.Errorf("%s: % x; want error %d", what, p[:min(len(p), 40)], c.code)
		}
		if len(p) > 10*len(c.packet) {
			t.Errorf("%s: %d bytes were answered with %d", what, len(c.packet), len(p))
		}
	}
	// Packets outside a transfer are not answered at all.
	c := newRaw(t, "127.77.3.3", f.Addr())
	for _, p := range [][]byte{{}, {0}, {0, 9}, {0, 4, 0, 1}, {0, 5, 0, 0, 0}, {0, 3, 0, 1, 9}} {
		c.sendTo(c.server, p)
	}
	if p := c.recv(50 * time.Millisecond); p != nil {
		t.Errorf("noise was answered with % x", p)
	}
}

func TestOneClientCannotTakeAll(t *testing.T) {
	t.Parallel()
	f := start(t, "", func(c *tftpd.Config) { c.Limits.PerClient, c.Limits.PerStranger = 3, 2 })
	f.put(t, pi("free", "", "00000003", map[string]tftpd.Content{"f": {Data: pattern(9000)}}))
	f.put(t, pi("n1", "127.77.3.4", "00000001", map[string]tftpd.Content{"f": {Data: pattern(9000)}}))
	f.put(t, pi("n2", "127.77.3.5", "00000002", map[string]tftpd.Content{"f": {Data: pattern(9000)}}))
	for range 3 {
		newRaw(t, "127.77.3.4", f.Addr()).ask(rrq("00000001/f", "octet"))
	}
	c := newRaw(t, "127.77.3.4", f.Addr())
	c.sendTo(c.server, rrq("00000001/f", "octet"))
	if ev := f.event(t, tftpd.Refused); !strings.Contains(ev.Err, "too many open transfers of this client") {
		t.Errorf("event %+v", ev)
	}
	if got, _, err := newRaw(t, "127.77.3.5", f.Addr()).get("00000002/f", 1468); err != nil || len(got) != 9000 {
		t.Errorf("the other client: %d bytes, %v", len(got), err)
	}
	// The same among those that are not registered.
	for range 2 {
		newRaw(t, "127.77.3.7", f.Addr()).ask(rrq("00000003/f", "octet"))
	}
	c = newRaw(t, "127.77.3.7", f.Addr())
	c.sendTo(c.server, rrq("00000003/f", "octet"))
	if ev := f.event(t, tftpd.Refused); !strings.Contains(ev.Err, "too many open transfers of this client") {
		t.Errorf("event %+v", ev)
	}
	if got, _, err := newRaw(t, "127.77.3.8", f.Addr()).get("00000003/f", 1468); err != nil || len(got) != 9000 {
		t.Errorf("the other stranger: %d bytes, %v", len(got), err)
	}
}

// TestStrangersAreNotSentMuch: who may have made up its address gets no more
// than ten times the bytes of its request before it answers, or one block.
func TestStrangersAreNotSentMuch(t *testing.T) {
	t.Parallel()
	f := start(t, "", func(c *tftpd.Config) { c.GiveUp = 4 * time.Second })
	file := map[string]tftpd.Content{"f": {Data: pattern(9000)}}
	f.put(t, pi("free", "", "00000003", file))
	f.put(t, pi("n1", "127.77.3.9", "00000001", file))
	for what, c := range map[string]struct {
		client  string
		request []byte
		least   int // packets
		most    int
	}{
		"no options": {"127.77.3.10", rrq("00000003/f", "octet"), 1, 1},
		"options":    {"127.77.3.11", rrq("00000003/f", "octet", "tsize", "0", "blksize", "1468"), 3, 10},
		"registered": {"127.77.3.9", rrq("00000001/f", "octet"), 3, 10},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRaw(t, c.client, f.Addr())
			size := len(r.ask(c.request))
			packets := 1
			for p := r.recv(6 * time.Second); p != nil; p = r.recv(6 * time.Second) {
				packets++
				size += len(p)
			}
			if packets < c.least || packets > c.most {
				t.Errorf("%d packets, %d bytes", packets, size)
			}
			if what == "options" && size > 10*len(c.request) {
				t.Errorf("%d bytes were answered with %d", len(c.request), size)
			}
		})
	}
	// Who has answered once gets its blocks again.
	r := newRaw(t, "127.77.3.12", f.Addr())
	r.ask(rrq("00000003/f", "octet"))
	r.ack(1)
	for range 2 {
		if p := r.mustRecv(); binary.BigEndian.Uint16(p[2:]) != 2 {
			t.Errorf("got % x, want block 2", p[:4])
		}
	}
}

// TestRefusalIsLoggedOnce: a name that leads out of the tree is in the log once,
// on one line whatever it holds.
func TestRefusalIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	f := start(t, "", func(c *tftpd.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	for _, name := range []string{"../../etc/passwd", "/../x\nlevel=ERROR msg=forged"} {
		newRaw(t, "127.77.3.13", f.Addr()).ask(rrq(name, "octet"))
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "name=../../etc/passwd") || !strings.Contains(lines[1], `\nlevel=ERROR msg=forged`) {
		t.Errorf("the log: %q", lines)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestTreesRefuseBadInput(t *testing.T) {
	t.Parallel()
	trees, err := tftpd.NewTrees("")
	if err != nil {
		t.Fatal(err)
	}
	good := pi("n1", "10.0.0.1", "00000001", nil)
	if err := trees.Put(good); err != nil {
		t.Fatal(err)
	}
	for what, tree := range map[string]tftpd.Tree{
		"no id":              pi("", "10.0.0.2", "x", nil),
		"nobody":             pi("n2", "", "", nil),
		"same client":        pi("n2", "10.0.0.1", "00000002", nil),
		"same client mapped": pi("n2", "::ffff:10.0.0.1", "00000002", nil),
		"same prefix":        pi("n2", "10.0.0.2", "00000001", nil),
		"prefix dots":        pi("n2", "10.0.0.2", "..", nil),
		"prefix slash":       pi("n2", "10.0.0.2", "a/b", nil),
		"prefix root file":   pi("n2", "10.0.0.2", "bootcode.bin", nil),
		"file dots":          pi("n2", "10.0.0.2", "2", map[string]tftpd.Content{"../x": {}}),
		"path, no folder":    pi("n2", "10.0.0.2", "2", map[string]tftpd.Content{"x": {Path: "x"}}),
	} {
		if err := trees.Put(tree); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	if ids := trees.IDs(); len(ids) != 1 || ids[0] != "n1" {
		t.Errorf("registered: %v", ids)
	}
	// The same machine may move.
	if err := trees.Put(pi("n1", "10.0.0.3", "00000004", nil)); err != nil {
		t.Error(err)
	}
	if trees.Knows(good.Client) || !trees.Knows(netip.MustParseAddr("10.0.0.3")) {
		t.Error("the old address is still known")
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(rrq("0a1b2c3d/config.txt", "octet", "tsize", "0", "blksize", "1468"))
	f.Add(rrq("../x", "octet"))
	f.Add([]byte{0, 2, 'a', 0})
	f.Add([]byte{0, 1})
	f.Fuzz(func(t *testing.T, p []byte) {
		name, packet, ok := tftpd.ParseForTest(p)
		if !ok {
			return
		}
		// Whatever passes is asked for again in the same meaning.
		again, _, ok := tftpd.ParseForTest(packet)
		if !ok || again != name || binary.BigEndian.Uint16(packet) != 1 {
			t.Errorf("%q became %q", p, packet)
		}
		if clean, err := tftpd.CleanName(name); err == nil {
			if twice, err := tftpd.CleanName(clean); err != nil || twice != clean || !filepath.IsLocal(clean) {
				t.Errorf("%q cleaned to %q, then %q, %v", name, clean, twice, err)
			}
		}
	})
}
