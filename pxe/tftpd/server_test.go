package tftpd_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"caddyshack/pxe/tftpd"
)

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

func pi(id, client, prefix string, files map[string]tftpd.Content) tftpd.Tree {
	t := tftpd.Tree{ID: id, Files: files}
	if client != "" {
		t.Client = netip.MustParseAddr(client)
	}
	if prefix != "" {
		t.Prefixes = []string{prefix}
	}
	return t
}

func TestSizesAndBlocks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	big := pattern(1468*3 + 17)
	if err := os.WriteFile(filepath.Join(dir, "kernel"), big, 0o600); err != nil {
		t.Fatal(err)
	}
	f := start(t, dir, nil)
	files := map[string]tftpd.Content{"kernel8.img": {Path: "kernel"}, "empty": {}}
	for _, n := range []int{1, 511, 512, 513, 1468, 2936} {
		files["f"+string(rune('a'+len(files)))] = tftpd.Content{Data: pattern(n)}
	}
	f.put(t, pi("n1", "127.77.1.1", "0a1b2c3d", files))
	for name, c := range files {
		want := c.Data
		if c.Path != "" {
			want = big
		}
		for _, blksize := range []int{0, 512, 1024, 1468} {
			c := newRaw(t, "127.77.1.1", f.Addr())
			got, size, err := c.get("0a1b2c3d/"+name, blksize)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s at %d: %d bytes, %v; want %d", name, blksize, len(got), err, len(want))
			}
			// RFC 2349's answer is left out for an empty file.
			if size != int64(len(want)) && len(want) != 0 {
				t.Errorf("%s: tsize %d, want %d", name, size, len(want))
			}
		}
	}
	ev := f.event(t, tftpd.Done)
	if ev.ID != "n1" || ev.Client.Addr() != netip.MustParseAddr("127.77.1.1") || ev.Offset != ev.Size {
		t.Errorf("event %+v", ev)
	}
}

func TestBlockNumberRollsOver(t *testing.T) {
	t.Parallel()
	f := start(t, "", nil)
	data := pattern(512*65537 + 100)
	f.put(t, pi("n1", "127.77.1.2", "0a1b2c3d", map[string]tftpd.Content{"big": {Data: data}}))
	got, _, err := newRaw(t, "127.77.1.2", f.Addr()).get("0a1b2c3d/big", 512)
	if err != nil || sha256.Sum256(got) != sha256.Sum256(data) {
		t.Fatalf("%d bytes of %d, %v", len(got), len(data), err)
	}
}

func TestBlockSizeIsClampedNeverRaised(t *testing.T) {
	t.Parallel()
	f := start(t, "", nil)
	f.put(t, pi("n1", "127.77.1.3", "0a1b2c3d", map[string]tftpd.Content{"f": {Data: pattern(5000)}}))
	for ask, want := range map[string]string{"1024": "1024", "1468": "1468", "1469": "1468", "65464": "1468"} {
		c := newRaw(t, "127.77.1.3", f.Addr())
		if got := oack(t, c.ask(rrq("0a1b2c3d/f", "octet", "blksize", ask)))["blksize"]; got != want {
			t.Errorf("blksize %s answered %q, want %s", ask, got, want)
		}
	}
	// Only what was asked for is answered.
	c := newRaw(t, "127.77.1.3", f.Addr())
	if m := oack(t, c.ask(rrq("0a1b2c3d/f", "OCTET", "TSIZE", "0", "windowsize", "64", "timeout", "1"))); len(m) != 1 || m["tsize"] != "5000" {
		t.Errorf("options answered: %v", m)
	}
	// Too small to serve: no such option in the answer, and so blocks of 512.
	c = newRaw(t, "127.77.1.3", f.Addr())
	if p := c.ask(rrq("0a1b2c3d/f", "octet", "blksize", "8")); len(p) != 516 || p[1] != 3 {
		t.Errorf("answer to blksize 8: % x", p[:8])
	}
}

func TestProbeIsNoFailure(t *testing.T) {
	t.Parallel()
	f := start(t, "", nil)
	f.put(t, pi("n1", "127.77.1.4", "0a1b2c3d", map[string]tftpd.Content{"start4.elf": {Data: pattern(9000)}}))
	terminate := append([]byte{0, 5, 0, 0}, "Early terminate\x00"...)
	for _, opts := range [][]string{{"tsize", "0", "blksize", "1468"}, nil} {
		c := newRaw(t, "127.77.1.4", f.Addr())
		c.ask(rrq("0a1b2c3d/start4.elf", "octet", opts...))
		c.sendTo(c.tid, terminate)
		if ev := f.event(t, tftpd.Probe); ev.Name != "start4.elf" || ev.Err != "" || ev.Size != 9000 {
			t.Errorf("event %+v", ev)
		}
		if p := c.recv(50 * time.Millisecond); p != nil {
			t.Errorf("an ERROR was answered with % x", p)
		}
		if got, _, err := c.get("0a1b2c3d/start4.elf", 1468); err != nil || len(got) != 9000 {
			t.Errorf("after the probe: %d bytes, %v", len(got), err)
		}
	}
	// The same in the middle of a file is a failure, with its offset.
	c := newRaw(t, "127.77.1.4", f.Addr())
	c.ask(rrq("0a1b2c3d/start4.elf", "octet"))
	for b := uint16(1); b <= 4; b++ {
		c.ack(b)
		c.mustRecv()
	}
	c.sendTo(c.tid, terminate)
	if ev := f.event(t, tftpd.Failed); ev.Offset != 4*512 {
		t.Errorf("event %+v", ev)
	}
}

func TestDuplicateAckAndRetransmission(t *testing.T) {
	t.Parallel()
	f := start(t, "", nil)
	f.put(t, pi("n1", "127.77.1.5", "0a1b2c3d", map[string]tftpd.Content{"f": {Data: pattern(4000)}}))
	c := newRaw(t, "127.77.1.5", f.Addr())
	c.ask(rrq("0a1b2c3d/f", "octet"))
	c.ack(1)
	first := bytes.Clone(c.mustRecv())
	sent := time.Now()
	c.ack(1)
	c.ack(1)
	if p := c.recv(300 * time.Millisecond); p != nil {
		t.Fatalf("a repeated ACK was answered with % x", p[:4])
	}
	again := c.mustRecv()
	if wait := time.Since(sent); wait < 900*time.Millisecond {
		t.Errorf("sent again after %v", wait)
	}
	if !bytes.Equal(first, again) {
		t.Errorf("block 2 came back different")
	}
	c.ack(2)
	if p := c.mustRecv(); binary.BigEndian.Uint16(p[2:]) != 3 {
		t.Errorf("block %d after 2", binary.BigEndian.Uint16(p[2:]))
	}
}

// TestUselessPacketsHoldNothingUp: the block comes again, and the transfer is
// given up, however many packets come that are no answer.
func TestUselessPacketsHoldNothingUp(t *testing.T) {
	t.Parallel()
	f := start(t, "", func(c *tftpd.Config) { c.GiveUp = 2 * time.Second })
	f.put(t, pi("n1", "127.77.1.8", "0a1b2c3d", map[string]tftpd.Content{"f": {Data: pattern(4000)}}))
	c := newRaw(t, "127.77.1.8", f.Addr())
	c.ask(rrq("0a1b2c3d/f", "octet"))
	again := 0
	for deadline := time.Now().Add(30 * time.Second); ; {
		if time.Now().After(deadline) {
			t.Fatal("not given up within 30 s")
		}
		for _, useless := range [][]byte{{0, 4, 0, 9}, {0, 3, 0, 1, 9}, {0}} {
			if _, err := c.conn.WriteToUDPAddrPort(useless, c.tid); err != nil {
				t.Fatal(err)
			}
		}
		if p := c.recv(20 * time.Millisecond); p != nil {
			if binary.BigEndian.Uint16(p[2:]) != 1 {
				t.Fatalf("a useless packet was answered with % x", p[:4])
			}
			again++
		}
		select {
		case ev := <-f.events:
			if ev.Kind != tftpd.Failed {
				continue
			}
			if again != 1 || ev.Resent != 1 || ev.Offset != 0 {
				t.Errorf("sent again %d times; event %+v", again, ev)
			}
			return
		default:
		}
	}
}

func TestStoppedClientIsGivenUpWithOffset(t *testing.T) {
	t.Parallel()
	f := start(t, "", func(c *tftpd.Config) { c.GiveUp = 2 * time.Second })
	f.put(t, pi("n1", "127.77.1.6", "0a1b2c3d", map[string]tftpd.Content{"f": {Data: pattern(9000)}}))
	c := newRaw(t, "127.77.1.6", f.Addr())
	c.ask(rrq("0a1b2c3d/f", "octet"))
	c.ack(1)
	c.mustRecv()
	if ev := f.event(t, tftpd.Failed); ev.Offset != 512 || ev.Size != 9000 || ev.Name != "f" {
		t.Errorf("event %+v", ev)
	}
}

func TestWhoGetsWhat(t *testing.T) {
	t.Parallel()
	f := start(t, "", nil)
	file := func(s string) map[string]tftpd.Content {
		return map[string]tftpd.Content{"config.txt": {Data: []byte(s)}, "bootcode.bin": {Data: []byte("boot" + s)}}
	}
	one := pi("one", "127.77.2.1", "00000001", file("1"))
	one.Prefixes = append(one.Prefixes, "DC-A6-32-01-36-c2")
	f.put(t, one)
	f.put(t, pi("two", "127.77.2.2", "00000002", file("2")))
	f.put(t, pi("free", "", "00000003", file("3")))
	for _, c := range []struct{ client, name, want string }{
		{"127.77.2.1", "00000001/config.txt", "1"},
		{"127.77.2.1", "/00000001//./config.txt", "1"},
		{"127.77.2.1", "dc-a6-32-01-36-c2/config.txt", "1"},
		{"127.77.2.2", "00000002/config.txt", "2"},
		{"127.77.2.1", "bootcode.bin", "boot1"},
		{"127.77.2.9", "00000003/config.txt", "3"},
		{"127.77.2.1", "config.txt", ""},
		{"127.77.2.1", "00000001", ""},
		{"127.77.2.1", "00000002/config.txt", ""},
		{"127.77.2.1", "00000003/config.txt", ""},
		{"127.77.2.9", "00000001/config.txt", ""},
		{"127.77.2.9", "bootcode.bin", ""},
		{"127.77.2.9", "config.txt", ""},
	} {
		got, _, err := newRaw(t, c.client, f.Addr()).get(c.name, 1468)
		var e tftpError
		if c.want == "" {
			if !errors.As(err, &e) || e.code != 1 {
				t.Errorf("%s asks %s: %q, %v; want error 1", c.client, c.name, got, err)
			}
		} else if err != nil || string(got) != c.want {
			t.Errorf("%s asks %s: %q, %v; want %q", c.client, c.name, got, err, c.want)
		}
	}
	ev := f.event(t, tftpd.Denied)
	if ev.ID != "one" || ev.Owner != "two" {
		t.Errorf("event %+v", ev)
	}

	f.trees.Remove("one")
	if _, _, err := newRaw(t, "127.77.2.1", f.Addr()).get("00000001/config.txt", 0); err == nil {
		t.Error("a removed tree is still served")
	}
}

func TestStopsWhileATransferHangs(t *testing.T) {
	t.Parallel()
	trees, err := tftpd.NewTrees("")
	if err != nil {
		t.Fatal(err)
	}
	s, err := tftpd.Listen(t.Context(), tftpd.Config{Addr: "127.0.0.1:0", Source: trees})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	if err := trees.Put(pi("n1", "127.77.1.7", "0a1b2c3d", map[string]tftpd.Content{"f": {Data: pattern(9000)}})); err != nil {
		t.Fatal(err)
	}
	c := newRaw(t, "127.77.1.7", s.Addr())
	c.ask(rrq("0a1b2c3d/f", "octet"))
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("still serving 5 s after the context ended")
	}
	if e, ok := asError(c.mustRecv()); !ok || e.code != 0 {
		t.Errorf("the client was told %v", e)
	}
}
