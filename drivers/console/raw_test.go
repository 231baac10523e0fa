package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRawOverTCPLine(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	s := newService(t, nil)
	info := start(t, s, Spec{Port: m.port(), Type: TypeSocat})
	if info.Type != "socat" || !strings.HasPrefix(info.URL, "tcp://127.0.0.1:") {
		t.Fatalf("info %+v", info)
	}
	far := m.conn()
	write(t, far, "before anyone looked\r\n")
	eventually(t, "the line is read", func() bool { return s.find(nodeID).line.ring.tail() > 0 })

	a, b := dialRaw(t, info.URL), dialRaw(t, info.URL)
	waitViewers(t, s, 2)
	write(t, a, "from a\n")
	expect(t, far, "from a\n")
	write(t, b, "from b\n")
	expect(t, far, "from b\n")
	write(t, far, "to all\r\n")
	for _, v := range []net.Conn{a, b} {
		if got := expect(t, v, "to all\r\n"); got != "to all\r\n" {
			t.Errorf("a raw viewer got %q, want the live bytes alone", got)
		}
	}
}

func TestRawOverDevice(t *testing.T) {
	t.Parallel()
	far, path := newPTY(t)
	s := newService(t, nil)
	info := start(t, s, Spec{Port: path, Type: TypeSocat})
	v := dialRaw(t, info.URL)
	waitViewers(t, s, 1)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	// Raw: no byte is special in either direction, and nothing is echoed.
	write(t, v, string(all)+"|end")
	if got := expect(t, far, "|end"); got != string(all)+"|end" {
		t.Errorf("the machine got %q", got)
	}
	write(t, far, string(all)+"|end")
	if got := expect(t, v, "|end"); got != string(all)+"|end" {
		t.Errorf("the viewer got %q", got)
	}
}

func TestManyViewersSeeTheSame(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	s := newService(t, nil)
	info := start(t, s, Spec{Port: m.port(), Type: TypeSocat})
	far := m.conn()
	viewers := make([]net.Conn, maxViewers)
	for i := range viewers {
		viewers[i] = dialRaw(t, info.URL)
	}
	waitViewers(t, s, maxViewers)
	if got := expect(t, dialRaw(t, info.URL), "too many viewers"); !strings.Contains(got, "caddyshack") {
		t.Errorf("one viewer too many got %q", got)
	}
	var want strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&want, "line %d of the boot log\r\n", i)
	}
	want.WriteString("login: ")
	go func() { _, _ = io.WriteString(far, want.String()) }()
	var wg sync.WaitGroup
	for i, v := range viewers {
		wg.Go(func() {
			got := make([]byte, want.Len())
			_ = v.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.ReadFull(v, got); err != nil || string(got) != want.String() {
				t.Errorf("viewer %d: differs (%v)", i, err)
			}
		})
	}
	wg.Wait()
}

// A viewer that takes nothing is skipped over and then dropped; the line and
// the other viewers go on at full speed.
func TestSlowViewer(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	s := newService(t, func(s *Service) { s.RingSize = 32 << 10; s.WriteTimeout = 300 * time.Millisecond })
	info := start(t, s, Spec{Port: m.port(), Type: TypeSocat})
	far := m.conn()
	slow := dialRaw(t, info.URL)
	if err := slow.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	waitViewers(t, s, 1)
	fast := dialRaw(t, info.URL)
	waitViewers(t, s, 2)

	block := strings.Repeat("x", 16<<10)
	for i := 0; ; i++ {
		mark := fmt.Sprintf("<%d>", i)
		write(t, far, block+mark)
		expect(t, fast, mark)
		if st, err := s.Get(context.Background(), nodeID); err != nil {
			t.Fatal(err)
		} else if st.Viewers == 1 {
			break
		}
	}
	write(t, far, "still here")
	expect(t, fast, "still here")
}

func TestSkippedOutputIsMarked(t *testing.T) {
	t.Parallel()
	l := newLine("", 1000, 0, 0, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var got strings.Builder
	err := l.follow(ctx, 0, func(p []byte) error {
		got.Write(p)
		switch {
		case got.Len() == 0:
			l.ring.write([]byte("first "))
		case got.String() == "first ":
			l.ring.write([]byte(strings.Repeat("x", 1500) + "last"))
		case strings.HasSuffix(got.String(), "last"):
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	want := "first \r\n[caddyshack: 504 bytes of output skipped, this viewer is too slow]\r\n" + strings.Repeat("x", 996) + "last"
	if got.String() != want {
		t.Errorf("got %q", got.String())
	}
}

func TestLineLossAndReturn(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	var log syncBuffer
	s := newService(t, func(s *Service) { s.Logger = textLogger(&log) })
	info := start(t, s, Spec{Port: m.port(), Type: TypeSocat})
	v := dialRaw(t, info.URL)
	waitViewers(t, s, 1)
	far := m.conn()
	write(t, far, "one")
	expect(t, v, "one")

	addr := m.ln.Addr().String()
	_ = m.ln.Close()
	_ = far.Close()
	expect(t, v, "[caddyshack: serial line lost: the other end closed it; trying again]\r\n")
	st, err := s.Get(context.Background(), nodeID)
	if err != nil || st.Line != LineDown || st.LineDetail == "" {
		t.Errorf("status %+v, %v", st, err)
	}
	write(t, v, "typed into the void\n")
	eventually(t, "several attempts fail", func() bool {
		st, _ := s.Get(context.Background(), nodeID)
		return strings.Contains(st.LineDetail, "nothing answers")
	})

	m.listen(addr)
	far = m.conn()
	got := expect(t, v, "[caddyshack: the serial line is back]\r\n")
	if strings.Contains(got, "lost") {
		t.Errorf("one outage was told more than once: %q", got)
	}
	write(t, v, "two\n")
	if got := expect(t, far, "two\n"); got != "two\n" {
		t.Errorf("after the return the machine got %q", got)
	}
}

func TestDeviceLossAndReturn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	far, path := newPTY(t)
	link := dir + "/ttyUSB0"
	symlink(t, path, link)
	s := newService(t, nil)
	info := start(t, s, Spec{Port: link, Type: TypeSocat})
	v := dialRaw(t, info.URL)
	waitViewers(t, s, 1)
	remove(t, link)
	_ = far.Close()
	expect(t, v, "serial line lost")
	eventually(t, "the device is missed", func() bool {
		st, _ := s.Get(context.Background(), nodeID)
		return st.LineDetail == "the device is not there"
	})
	far, path = newPTY(t)
	symlink(t, path, link)
	expect(t, v, "is back")
	write(t, v, "hello\n")
	expect(t, far, "hello\n")
}

// A machine that reads nothing holds up neither the output nor Stop.
func TestMachineThatTakesNoInput(t *testing.T) {
	t.Parallel()
	far, path := newPTY(t)
	s := newService(t, nil)
	info := start(t, s, Spec{Port: path, Type: TypeSocat})
	v := dialRaw(t, info.URL)
	waitViewers(t, s, 1)
	go func() { _, _ = io.WriteString(v, strings.Repeat("y", 1<<20)) }()
	eventually(t, "the line's input is full", func() bool { return len(s.find(nodeID).line.input) == 1 })
	write(t, far, "output")
	expect(t, v, "output")
	stopped := make(chan struct{})
	go func() { defer close(stopped); _ = s.Stop(context.Background(), nodeID) }()
	select {
	case <-stopped:
	case <-time.After(inputTimeout - time.Second):
		t.Fatal("Stop waits for the machine")
	}
}

func TestViewerThatHasSaidAll(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	s := newService(t, nil)
	info := start(t, s, Spec{Port: m.port(), Type: TypeSocat})
	far := m.conn()
	v := dialRaw(t, info.URL)
	write(t, v, "uptime\n")
	_ = v.(*net.TCPConn).CloseWrite()
	expect(t, far, "uptime\n")
	write(t, far, "up 3 days")
	expect(t, v, "up 3 days")
	waitViewers(t, s, 0)
}

func TestPortRange(t *testing.T) {
	t.Parallel()
	taken := listen(t, "127.0.0.1:0")
	port := taken.Addr().(*net.TCPAddr).Port
	s := newService(t, func(s *Service) { s.PortMin, s.PortMax = port, port })
	_, err := s.Start(t.Context(), Spec{NodeID: nodeID, Port: "/dev/null", Type: TypeSocat})
	if err == nil {
		t.Fatal("a port that is taken was bound")
	}
	_ = taken.Close()
	// Enabling again at once, as Nova does, gets the same port.
	for range 3 {
		info := start(t, s, Spec{Port: "/dev/null", Type: TypeSocat})
		if want := fmt.Sprintf("tcp://127.0.0.1:%d", port); info.URL != want {
			t.Errorf("URL %q, want %q", info.URL, want)
		}
		_ = dialRaw(t, info.URL)
		if err := s.Stop(t.Context(), nodeID); err != nil {
			t.Fatal(err)
		}
	}
}
