//go:build qemu

package qemu_test

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"caddyshack/pxe"
	"caddyshack/pxe/images"
	"caddyshack/pxe/images/demo"
	"caddyshack/pxe/nfsd"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/roots"
	"caddyshack/pxe/tftpd"
	"caddyshack/sim/pi"
	"caddyshack/sim/qemu"
)

const (
	node   = "11111111-2222-3333-4444-555555555503"
	serial = "c0ff0b33"
	mac    = "b8:27:eb:ff:0b:33"
)

// own is the Pi's address, to which alone its root is open.
var own = netip.MustParseAddr("127.77.93.3")

// serve runs a server until the test ends.
func serve(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// publish serves the demo image to the Pi, and returns where TFTP is.
func publish(t *testing.T) netip.AddrPort {
	t.Helper()
	builder := demo.New(demo.Config{RequireReal: true})
	if err := builder.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	store, err := images.Open(images.Config{Dir: t.TempDir(), Builtins: map[string]images.Builtin{demo.Name: builder}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	nfs := &nfsd.Server{Addr: "127.0.0.1:0", StateDir: dir}
	if err := nfs.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	serve(t, nfs.Serve)
	trees, err := tftpd.NewTrees(dir)
	if err != nil {
		t.Fatal(err)
	}
	tftp, err := tftpd.Listen(t.Context(), tftpd.Config{Addr: "127.0.0.1:0", Source: trees})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, tftp.Serve)
	served := roots.NewNFS(nfs, rootfs.Auto)
	m, err := roots.Open(roots.Config{Dir: dir, Trees: served, Exports: served, BootFiles: trees})
	if err != nil {
		t.Fatal(err)
	}
	s := &pxe.LocalOSServer{Images: store, Roots: m, Dir: t.TempDir(), Address: netip.MustParseAddr("127.0.0.1"),
		NFSPort: uint16(nfs.BoundAddr().(*net.TCPAddr).Port)}
	err = s.CreateRoot(t.Context(), pxe.RootRequest{NodeID: node, Generation: "1", Hostname: "three", MAC: mac, Image: pxe.ImageSource{URL: "builtin:demo"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Export(t.Context(), pxe.PublishRequest{NodeID: node, Client: own, MAC: mac, Serial: serial}); err != nil {
		t.Fatal(err)
	}
	return tftp.Addr()
}

// line is a serial line with somebody at its end.
type line struct {
	mu    sync.Mutex
	text  []byte
	more  chan struct{} // closed when there is more
	from  int
	typed chan string
}

func (l *line) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	close(l.more)
	l.more = make(chan struct{})
	return len(p), nil
}

// Read returns what was typed at once.
func (l *line) Read(ctx context.Context, p []byte) (int, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case text := <-l.typed:
		return copy(p, text), nil
	}
}

func (l *line) Flush() {}

// patience is for each thing that is waited for. The prompt takes 50 s on two quiet
// processors, 80 s with four busy loops beside it and 2 min with eight.
const patience = 6 * time.Minute

// rest is what was printed after what was waited for.
func (l *line) rest() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.text[l.from:])
}

// wait waits for a text after what was waited for before.
func (l *line) wait(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		l.mu.Lock()
		rest, more := l.text[l.from:], l.more
		before, _, found := bytes.Cut(rest, []byte(text))
		if found {
			l.from += len(before) + len(text)
		}
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("%q is not printed; there is:\n%s", text, rest)
		}
	}
}

// TestRaspberryPi3 boots what a virtual Pi 3B fetched, its own device tree
// included, on QEMU's model of that board, to a prompt on its mini UART, types
// commands there, and has it switch itself off.
func TestRaspberryPi3(t *testing.T) {
	t.Parallel()
	program, err := qemu.Find()
	if err != nil {
		t.Fatal(err)
	}
	computer, err := qemu.New(qemu.Config{Program: program, Board: qemu.RaspberryPi3})
	if err != nil {
		t.Fatal(err)
	}
	l := &line{more: make(chan struct{}), typed: make(chan string, 1)}
	halted := make(chan struct{})
	p, err := pi.New(pi.Config{Model: pi.Pi3, MAC: mac, Serial: serial, Address: own, TFTP: publish(t), Line: l, Computer: computer, Dir: t.TempDir(),
		OnEvent: func(e pi.Event) {
			if e.Stage == pi.StageHalted {
				close(halted)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	began := time.Now()
	p.Power(true)
	l.wait(t, "bcm2710-rpi-3-b.dtb: ")
	l.wait(t, "Machine model: Raspberry Pi 3 Model B")
	const prompt = "root@three:~# "
	l.wait(t, prompt)
	t.Logf("prompt after %s", time.Since(began))

	l.typed <- "echo six times seven is $((6*7)); uname -m; mount\r"
	l.wait(t, "six times seven is 42\r\naarch64\r\n")
	l.wait(t, " type nfs ")
	l.wait(t, prompt)
	t.Logf("answered after %s", time.Since(began))

	l.typed <- "poweroff\r"
	select {
	case <-halted:
	case <-time.After(patience):
		t.Errorf("poweroff does not switch off; there is:\n%s", l.rest())
	}
	t.Logf("switched off after %s", time.Since(began))
	p.Power(false)
	if p.Alive() {
		t.Error("it is alive without power")
	}
}
