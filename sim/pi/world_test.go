package pi_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"caddyshack/pxe/nfsd"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/tftpd"
	"caddyshack/sim/pi"
)

// line is a serial line that keeps what was printed.
type line struct {
	mu     sync.Mutex
	all    []byte
	change chan struct{}
	typed  chan byte
}

func newLine() *line {
	return &line{change: make(chan struct{}), typed: make(chan byte, 4096)}
}

func (l *line) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, p...)
	close(l.change)
	l.change = make(chan struct{})
	return len(p), nil
}

func (l *line) Read(ctx context.Context, p []byte) (int, error) {
	select {
	case p[0] = <-l.typed:
		return 1, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (l *line) Flush() {
	for len(l.typed) > 0 {
		<-l.typed
	}
}

func (l *line) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.all)
}

// wait waits until something is printed after the first from bytes, and
// returns where it ends.
func (l *line) wait(tb testing.TB, from int, want string) int {
	tb.Helper()
	deadline := time.After(30 * time.Second)
	for {
		l.mu.Lock()
		at, change := bytes.Index(l.all[from:], []byte(want)), l.change
		l.mu.Unlock()
		if at >= 0 {
			return from + at + len(want)
		}
		select {
		case <-change:
		case <-deadline:
			tb.Fatalf("%q was not printed; there is:\n%s", want, l.text()[from:])
		}
	}
}

// run types a command and returns what it printed.
func (l *line) run(tb testing.TB, command string) string {
	tb.Helper()
	from := len(l.text())
	l.enter(command + "\r")
	from = l.wait(tb, from, command+"\r\n")
	const prompt = "root@caddy-one:~# "
	end := l.wait(tb, from, prompt)
	return strings.ReplaceAll(l.text()[from:end-len(prompt)], "\r\n", "\n")
}

func (l *line) enter(keys string) {
	for _, c := range []byte(keys) {
		l.typed <- c
	}
}

// world is a boot service with one Pi's files.
type world struct {
	dir   string // of the roots
	roots int
	tftp  *tftpd.Server
	trees *tftpd.Trees
	nfs   *nfsd.Server
	port  int
	mu    sync.Mutex
	asked []string
}

// serve starts something that runs until the test ends.
func serve(tb testing.TB, f func(context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	return newWorldWith(tb, nil, nil)
}

// newWorldWith also tells somebody what the servers see.
func newWorldWith(tb testing.TB, files func(tftpd.Event), mounts func(nfsd.Event)) *world {
	tb.Helper()
	// The first to ask for a folder is the last to clean up: after the servers
	// and the Pis, which are writing in it.
	w := &world{dir: tb.TempDir()}
	var err error
	if w.trees, err = tftpd.NewTrees(""); err != nil {
		tb.Fatal(err)
	}
	w.tftp, err = tftpd.Listen(tb.Context(), tftpd.Config{Addr: "127.0.0.1:0", Source: w.trees, OnEvent: func(e tftpd.Event) {
		w.hear(e)
		if files != nil {
			files(e)
		}
	}})
	if err != nil {
		tb.Fatal(err)
	}
	serve(tb, w.tftp.Serve)
	w.nfs = &nfsd.Server{Addr: "127.0.0.1:0", OnEvent: mounts}
	if err := w.nfs.Listen(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	serve(tb, w.nfs.Serve)
	w.port = w.nfs.BoundAddr().(*net.TCPAddr).Port
	return w
}

func (w *world) hear(e tftpd.Event) {
	if e.Kind != tftpd.Started && e.Kind != tftpd.Progress {
		w.mu.Lock()
		w.asked = append(w.asked, fmt.Sprintf("%s %s", e.Kind, e.Name))
		w.mu.Unlock()
	}
}

func (w *world) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.asked...)
}

// entry is one thing of a root file system.
type entry struct {
	name, link, text string
	mode             int64
}

// system is a small root in which /sbin is a link, as in most systems today.
func system() []entry {
	return []entry{
		{name: "etc/"},
		{name: "etc/os-release", text: "NAME=Test\nPRETTY_NAME=\"Test Linux 1\x1b[31m\"\n"},
		{name: "etc/hostname", text: "caddy-one\n"},
		{name: "usr/"}, {name: "usr/sbin/"},
		{name: "usr/lib/"},
		{name: "sbin", link: "usr/sbin"},
		{name: "usr/sbin/init", link: "/usr/lib/init"},
		{name: "usr/lib/init", text: "#!/bin/sh\n" + strings.Repeat("x", 300_000), mode: 0o755},
		{name: "var/"}, {name: "var/lib/"},
	}
}

// export puts a root in service.
func (w *world) export(tb testing.TB, id, client string, files []entry) {
	tb.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, e := range files {
		h := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.text)), Typeflag: tar.TypeReg}
		switch {
		case e.link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		case h.Mode == 0:
			h.Mode = 0o644
		}
		if err := tw.WriteHeader(h); err != nil {
			tb.Fatal(err)
		}
		if _, err := tw.Write([]byte(e.text)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		tb.Fatal(err)
	}
	w.roots++
	dir := filepath.Join(w.dir, fmt.Sprint("root", w.roots))
	im, err := rootfs.Create(dir, rootfs.Sidecar, rootfs.Limits{})
	if err != nil {
		tb.Fatal(err)
	}
	if err := im.AddAll(&buf); err != nil {
		tb.Fatal(err)
	}
	if err := im.Close(); err != nil {
		tb.Fatal(err)
	}
	err = w.nfs.AddExport(tb.Context(), nfsd.Export{ID: id, Path: "/nodes/" + id, Client: netip.MustParseAddr(client), Dir: dir})
	if err != nil {
		tb.Fatal(err)
	}
}

const configText = "[all]\narm_64bit=1\nenable_uart=1\nuart_2ndstage=1\ndtoverlay=gpio-shutdown,gpio_pin=3\n"

func (w *world) cmdline(id string) string {
	return fmt.Sprintf("console=serial0,115200 root=/dev/nfs nfsroot=127.0.0.1:/nodes/%s,vers=3,tcp,nolock,port=%d,mountport=%d,rsize=131072,wsize=131072 rw ip=dhcp rootwait panic=10\n", id, w.port, w.port)
}

// files is the smallest tree with which a Pi 4 boots.
func (w *world) files(id string) map[string]tftpd.Content {
	text := func(s string) tftpd.Content { return tftpd.Content{Data: []byte(s)} }
	return map[string]tftpd.Content{
		"start4.elf":                  text(strings.Repeat("s", 20_000)),
		"fixup4.dat":                  text("fixup"),
		"config.txt":                  text(configText),
		"cmdline.txt":                 text(w.cmdline(id)),
		"bcm2711-rpi-4-b.dtb":         text("dtb"),
		"overlays/gpio-shutdown.dtbo": text("dtbo"),
		"kernel8.img":                 {Data: bytes.Repeat([]byte("kernel"), 500_000)},
	}
}

func (w *world) put(tb testing.TB, id, client, serial string, files map[string]tftpd.Content) {
	tb.Helper()
	err := w.trees.Put(tftpd.Tree{ID: id, Client: netip.MustParseAddr(client), Prefixes: []string{serial}, Files: files})
	if err != nil {
		tb.Fatal(err)
	}
}

// testPi is a Pi with its line and its events.
type testPi struct {
	*pi.Pi
	*line
	events chan pi.Event
}

func (w *world) pi(tb testing.TB, model pi.Model, addr, serial string) *testPi {
	tb.Helper()
	t := &testPi{line: newLine(), events: make(chan pi.Event, 1000)}
	var err error
	t.Pi, err = pi.New(pi.Config{
		Model: model, MAC: "dc:a6:32:01:36:c2", Serial: serial, Address: netip.MustParseAddr(addr),
		TFTP: w.tftp.Addr(), Line: t.line, OnEvent: func(e pi.Event) { t.events <- e },
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(t.Close)
	return t
}

func (t *testPi) stage(tb testing.TB, want pi.Stage) pi.Event {
	tb.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case e := <-t.events:
			if e.Stage == want {
				return e
			}
		case <-deadline:
			tb.Fatalf("stage %q was not reached; printed:\n%s", want, t.text())
		}
	}
}
