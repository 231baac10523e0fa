//go:build qemu

package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
)

const node = "11111111-2222-3333-4444-555555555501"

// screen collects what the console prints and lets the test wait for it.
type screen struct {
	mu    sync.Mutex
	text  bytes.Buffer
	seen  int
	wrote chan struct{}
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(b)
	select {
	case s.wrote <- struct{}{}:
	default:
	}
	return len(b), nil
}

// expect waits until text appears after what was seen before.
func (s *screen) expect(t *testing.T, text string) string {
	t.Helper()
	limit := time.After(180 * time.Second)
	for {
		s.mu.Lock()
		rest := s.text.String()[s.seen:]
		if i := strings.Index(rest, text); i >= 0 {
			s.seen += i + len(text)
			s.mu.Unlock()
			return rest[:i]
		}
		s.mu.Unlock()
		select {
		case <-s.wrote:
		case <-limit:
			t.Fatalf("%q did not appear; the console shows\n%s", text, s.text.String())
		}
	}
}

// publish serves the demo image's root, made with a config drive, and returns
// the files to boot from.
func publish(t *testing.T, drive json.RawMessage) (files map[string][]byte) {
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
	server := &nfsd.Server{Addr: "127.0.0.1:0", StateDir: dir}
	if err := server.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	boot, err := tftpd.NewTrees(dir)
	if err != nil {
		t.Fatal(err)
	}
	nfs := roots.NewNFS(server, rootfs.Auto)
	m, err := roots.Open(roots.Config{Dir: dir, Trees: nfs, Exports: nfs, BootFiles: boot})
	if err != nil {
		t.Fatal(err)
	}
	// The guest's own network ends in QEMU, which calls from 127.0.0.1, and the
	// host is 10.0.2.2 to the guest.
	s := &pxe.LocalOSServer{Images: store, Roots: m, Dir: t.TempDir(),
		Address: netip.MustParseAddr("10.0.2.2"), NFSPort: uint16(server.BoundAddr().(*net.TCPAddr).Port)}
	const mac = "52:54:00:00:00:01"
	err = s.CreateRoot(t.Context(), pxe.RootRequest{NodeID: node, Generation: "1", Hostname: "caddy-1", MAC: mac,
		Image: pxe.ImageSource{URL: "builtin:demo"}, ConfigDrive: drive})
	if err == nil {
		err = s.Export(t.Context(), pxe.PublishRequest{NodeID: node, Client: netip.MustParseAddr("127.0.0.1"), MAC: mac})
	}
	if err != nil {
		t.Fatal(err)
	}
	files = map[string][]byte{}
	for _, name := range []string{"kernel8.img", "cmdline.txt"} {
		f, err := boot.Open(t.Context(), netip.MustParseAddr("127.0.0.1"), "52-54-00-00-00-01/"+name)
		if err != nil {
			t.Fatal(err)
		}
		if files[name], err = io.ReadAll(f.Body); err != nil {
			t.Fatal(err)
		}
		_ = f.Body.Close()
	}
	return files
}

// freePort finds a TCP port for QEMU to listen on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // only its number matters
	return l.Addr().(*net.TCPAddr).Port
}

// guest is a running QEMU with the demo image.
type guest struct {
	t       *testing.T
	console *screen
	keys    io.Writer
	port    int // of the host, where the guest's ssh server is
	began   time.Time
	ended   chan error
}

// bootGuest boots the image's kernel with its root over NFS. QEMU is ended with
// the test. Debian package: qemu-system-arm.
func bootGuest(t *testing.T, drive json.RawMessage) *guest {
	t.Helper()
	files := publish(t, drive)
	kernel := filepath.Join(t.TempDir(), "kernel8.img")
	if err := os.WriteFile(kernel, files["kernel8.img"], 0o600); err != nil {
		t.Fatal(err)
	}
	// What a Pi's firmware does to the command line, for this board's UART.
	cmdline := strings.Replace(strings.TrimSpace(string(files["cmdline.txt"])), "serial0", "ttyAMA0", 1)
	g := &guest{t: t, console: &screen{wrote: make(chan struct{}, 1)}, port: freePort(t), began: time.Now(), ended: make(chan error, 1)}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	qemu := exec.CommandContext(ctx, "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-smp", "1", "-m", "512",
		"-display", "none", "-monitor", "none", "-no-reboot", "-kernel", kernel, "-append", cmdline,
		"-netdev", fmt.Sprintf("user,id=n0,hostfwd=tcp:127.0.0.1:%d-:22", g.port),
		"-device", "virtio-net-pci,netdev=n0,romfile=,mac=52:54:00:00:00:01", "-serial", "stdio")
	qemu.Stdout, qemu.Stderr = g.console, g.console
	var err error
	if g.keys, err = qemu.StdinPipe(); err == nil {
		err = qemu.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		g.ended <- qemu.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		cancel()
		<-exited
		if t.Failed() {
			t.Logf("console:\n%s", g.console.text.String())
		}
	})
	return g
}

func (g *guest) typeIn(line string) {
	g.t.Helper()
	if _, err := io.WriteString(g.keys, line); err != nil {
		g.t.Fatal(err)
	}
}
