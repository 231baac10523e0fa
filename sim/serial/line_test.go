package serial_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caddyshack/sim/serial"
)

func open(t *testing.T, cfg serial.Config) *serial.Line {
	t.Helper()
	l, err := serial.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Serve did not end")
		}
	})
	return l
}

func dial(t *testing.T, l *serial.Line) net.Conn {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", l.TCPAddr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// echo makes the device answer each byte, so that a test knows that its viewer
// is connected.
func echo(t *testing.T, l *serial.Line) {
	go func() {
		buf := make([]byte, 100)
		for {
			n, err := l.Read(t.Context(), buf)
			if err != nil {
				return
			}
			_, _ = l.Write(buf[:n])
		}
	}()
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func TestManyClients(t *testing.T) {
	t.Parallel()
	l := open(t, serial.Config{TCPAddr: "127.0.0.1:0"})
	_, _ = l.Write([]byte("printed before anybody looked"))
	echo(t, l)
	a := dial(t, l)
	_, _ = a.Write([]byte("x"))
	expect(t, a, "x")
	b := dial(t, l)
	_, _ = b.Write([]byte("y"))
	expect(t, b, "y")
	expect(t, a, "y")
	_, _ = l.Write([]byte("hello\x00\xff\r\n"))
	expect(t, a, "hello\x00\xff\r\n")
	expect(t, b, "hello\x00\xff\r\n")
}

func TestSlowViewerNeverBlocksTheDevice(t *testing.T) {
	t.Parallel()
	l := open(t, serial.Config{TCPAddr: "127.0.0.1:0"})
	echo(t, l)
	slow := dial(t, l)
	_, _ = slow.Write([]byte("x"))
	expect(t, slow, "x")
	block := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	begin := time.Now()
	for range 1000 { // 64 MB, more than any buffer on the way
		_, _ = l.Write(block)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("printing took %v", d)
	}
}

func TestTooManyClients(t *testing.T) {
	t.Parallel()
	l := open(t, serial.Config{TCPAddr: "127.0.0.1:0", MaxClients: 1})
	echo(t, l)
	a := dial(t, l)
	_, _ = a.Write([]byte("x"))
	expect(t, a, "x")
	b := dial(t, l)
	if _, err := b.Read(make([]byte, 1)); err == nil {
		t.Error("a second viewer was served")
	}
}

func TestTypedWhileOffIsLost(t *testing.T) {
	t.Parallel()
	l := open(t, serial.Config{TCPAddr: "127.0.0.1:0"})
	a := dial(t, l)
	_, _ = a.Write([]byte("12"))
	if n, err := l.Read(t.Context(), make([]byte, 1)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	l.Flush()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if n, err := l.Read(ctx, make([]byte, 1)); !errors.Is(err, context.DeadlineExceeded) {
		// The second byte may still have been on its way when flushed.
		if n != 1 {
			t.Error(n, err)
		}
	}
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	link := filepath.Join(t.TempDir(), "by-path", "slot-1")
	l := open(t, serial.Config{Link: link})
	if l.Device() != link {
		t.Errorf("device %q", l.Device())
	}
	_, _ = l.Write([]byte("printed before anybody looked"))
	echo(t, l)
	for range 2 {
		f, err := os.OpenFile(link, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		// All bytes pass as they are, and nothing is echoed by the terminal.
		want := "a\r\n\x03\x04\x11\x13\x7f\xff"
		if _, err := f.WriteString(want); err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 1)
		go func() {
			b := make([]byte, len(want))
			_, _ = io.ReadFull(f, b)
			got <- string(b)
		}()
		select {
		case s := <-got:
			if s != want {
				t.Errorf("got %q, want %q", s, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("nothing came back; in use: %v", !l.Idle())
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		// Printed while nobody has it open: not replayed to the next.
		deadline := time.Now().Add(10 * time.Second)
		for !l.Idle() {
			if time.Now().After(deadline) {
				t.Fatal("the terminal stays in use")
			}
			time.Sleep(time.Millisecond)
		}
		_, _ = l.Write([]byte("nobody sees this"))
	}
}

func TestTerminalLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	if err := os.Symlink("/dev/pts/none", stale); err != nil {
		t.Fatal(err)
	}
	l, err := serial.Open(t.Context(), serial.Config{Link: stale})
	if err != nil {
		t.Fatal(err)
	}
	if target, _ := os.Readlink(stale); !strings.HasPrefix(target, "/dev/pts/") || target == "/dev/pts/none" {
		t.Errorf("link leads to %q", target)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(stale); err == nil {
		t.Error("the link is still there")
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := serial.Open(t.Context(), serial.Config{Link: file}); err == nil {
		t.Error("a file was replaced")
	}
}

func TestOrderIsKept(t *testing.T) {
	t.Parallel()
	l := open(t, serial.Config{TCPAddr: "127.0.0.1:0"})
	echo(t, l)
	a := dial(t, l)
	_, _ = a.Write([]byte("x"))
	expect(t, a, "x")
	go func() {
		for i := range 2000 {
			_, _ = l.Write([]byte(strings.Repeat(string(rune('a'+i%26)), 20) + "\n"))
		}
	}()
	in := bufio.NewScanner(a)
	for i := 0; i < 2000 && in.Scan(); i++ {
		if want := strings.Repeat(string(rune('a'+i%26)), 20); in.Text() != want {
			t.Fatalf("line %d is %q", i, in.Text())
		}
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
}
