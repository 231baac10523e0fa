package qemu

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"caddyshack/sim/pi"
)

func TestRelayedRoot(t *testing.T) {
	t.Parallel()
	got := relayedRoot("console=ttyAMA0 root=/dev/nfs nfsroot=127.0.0.1:/nodes/x,vers=3,tcp,port=2049,nolock,mountport=2049 rw ip=dhcp", "/nodes/x", 1001, 1002)
	want := "console=ttyAMA0 root=/dev/nfs nfsroot=10.0.2.2:/nodes/x,vers=3,tcp,nolock,port=1001,mountport=1002 rw ip=dhcp"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// echo is a server that tells a client its address and then repeats what it says.
func echo(t *testing.T, at string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", at) //nolint:noctx // binding does not block
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close() //nolint:errcheck // a test's
				host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
				_, _ = io.WriteString(c, host+"\n")
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l
}

// talk sends a text through a relay and returns all that comes back.
func talk(t *testing.T, port uint16, text string) (string, error) {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp4", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String())
	if err != nil {
		return "", err
	}
	defer c.Close() //nolint:errcheck // a test's
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	got, err := io.ReadAll(c)
	return string(got), err
}

// TestRelay: the server sees the Pi's address; its loss resets the guest's
// connection, and a later one reaches it again.
func TestRelay(t *testing.T) {
	t.Parallel()
	server := echo(t, "127.0.0.1:0")
	at := server.Addr().(*net.TCPAddr).AddrPort()
	r, err := startRelay(t.Context(), netip.MustParseAddr("127.77.9.1"), at, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("all of it\n", 100_000)
	if got, err := talk(t, r.port, text); err != nil || got != "127.77.9.1\n"+text {
		t.Errorf("%d bytes came back, %.20q…, %v", len(got), got, err)
	}
	_ = server.Close()
	if got, err := talk(t, r.port, "x"); err == nil {
		t.Errorf("without a server the relay answers %q", got)
	}
	echo(t, at.String())
	if got, err := talk(t, r.port, "back"); err != nil || got != "127.77.9.1\nback" {
		t.Errorf("after the server came back: %q, %v", got, err)
	}
	r.close()
	if _, err := talk(t, r.port, "x"); err == nil {
		t.Error("a closed relay answers")
	}
}

func TestStartsAreSpaced(t *testing.T) {
	t.Parallel()
	s := &Starts{Pause: 50 * time.Millisecond}
	began := time.Now()
	for range 3 {
		if err := s.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("three starts within %s", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Pause = time.Hour
	_ = s.wait(t.Context())
	if err := s.wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a guest whose power is cut while it waits: %v", err)
	}
	if err := (*Starts)(nil).wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestQEMUThatFails: what QEMU complains of is told.
func TestQEMUThatFails(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("false")
	if err != nil {
		t.Fatal(err)
	}
	for program, want := range map[string]string{program: "it said nothing", "/nonexistent": syscall.ENOENT.Error()} {
		m, err := New(Config{Program: program})
		if err != nil {
			t.Fatal(err)
		}
		err = m.Run(t.Context(), pi.Loaded{Model: pi.Pi4, Address: netip.MustParseAddr("127.77.9.2"), Output: io.Discard,
			Typed: func(ctx context.Context, _ []byte) (int, error) { <-ctx.Done(); return 0, ctx.Err() }})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", program, err, want)
		}
	}
	if _, err := New(Config{}); !errors.Is(err, ErrMissing) {
		t.Errorf("without a program: %v", err)
	}
	if _, err := New(Config{Program: "x", Board: "toaster"}); err == nil || !strings.Contains(err.Error(), "toaster") {
		t.Errorf("with an unknown board: %v", err)
	}
}
