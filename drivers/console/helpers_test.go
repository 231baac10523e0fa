package console

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"caddyshack/web"
)

// patience bounds every wait of the tests.
const patience = 10 * time.Second

const nodeID = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"

// newService runs a Service on free loopback ports until the test ends.
func newService(t *testing.T, change func(*Service)) *Service {
	t.Helper()
	s := &Service{Pages: web.Dist(), PagesVersion: web.Version(), RetryMin: 5 * time.Millisecond, RetryMax: 20 * time.Millisecond}
	if change != nil {
		change(s)
	}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background()) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

func start(t *testing.T, s Consoles, spec Spec) Info {
	t.Helper()
	if spec.NodeID == "" {
		spec.NodeID = nodeID
	}
	info, err := s.Start(testContext(t), spec)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// testContext ends with the test, or when patience does.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// machine is the far end of a serial line over TCP.
type machine struct {
	t     *testing.T
	ln    net.Listener
	conns chan net.Conn
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, conns: make(chan net.Conn, 16)}
	m.listen("127.0.0.1:0")
	return m
}

func (m *machine) listen(addr string) {
	m.t.Helper()
	ln := listen(m.t, addr)
	m.ln = ln
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			m.conns <- c
		}
	}()
}

func (m *machine) port() string { return "tcp://" + m.ln.Addr().String() }

// conn is the next connection that the service makes.
func (m *machine) conn() net.Conn {
	m.t.Helper()
	select {
	case c := <-m.conns:
		m.t.Cleanup(func() { _ = c.Close() })
		return c
	case <-time.After(patience):
		m.t.Fatal("the service did not connect to the machine")
		return nil
	}
}

// newPTY is a serial line that is a device: its far end and its path.
func newPTY(t *testing.T) (far *os.File, path string) {
	t.Helper()
	far, near, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	// near stays open, so that the far end is not hung up before the service opens it.
	t.Cleanup(func() { _, _ = far.Close(), near.Close() })
	return far, near.Name()
}

func dialRaw(t *testing.T, url string) net.Conn {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(testContext(t), "tcp", strings.TrimPrefix(url, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func write(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

// expect reads until want has come and returns all that was read.
func expect(t *testing.T, r io.Reader, want string) string {
	t.Helper()
	type deadliner interface{ SetReadDeadline(time.Time) error }
	if d, ok := r.(deadliner); ok {
		_ = d.SetReadDeadline(time.Now().Add(patience))
		defer func() { _ = d.SetReadDeadline(time.Time{}) }()
	}
	var got bytes.Buffer
	buf := make([]byte, 4096)
	for !strings.Contains(got.String(), want) {
		n, err := r.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			t.Fatalf("waiting for %q: %v; got %q", want, err, tail(got.String()))
		}
	}
	return got.String()
}

func tail(s string) string { return s[max(0, len(s)-500):] }

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// waitViewers waits until the node's console has n viewers.
func waitViewers(t *testing.T, s *Service, n int) {
	t.Helper()
	eventually(t, "the viewers are counted", func() bool {
		st, err := s.Get(context.Background(), nodeID)
		return err == nil && st.Viewers == n
	})
}

// syncBuffer is a buffer that several goroutines may use.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func textLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
