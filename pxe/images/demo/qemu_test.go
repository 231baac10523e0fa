//go:build qemu

package demo_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
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

	"golang.org/x/crypto/ssh"

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

// publish serves the demo image's root and returns the files to boot from.
func publish(t *testing.T, key ssh.PublicKey) (m *roots.Manager, files map[string][]byte) {
	t.Helper()
	builder := demo.New(demo.Config{RequireReal: true})
	if err := builder.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	store, err := images.Open(images.Config{Dir: t.TempDir(), Builtins: map[string]images.Builtin{demo.Name: builder}})
	if err != nil {
		t.Fatal(err)
	}
	img, err := store.Fetch(t.Context(), images.Source{URL: "builtin:demo"}, nil)
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
	m, err = roots.Open(roots.Config{Dir: dir, Trees: nfs, Exports: nfs, BootFiles: boot})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	root, err := m.Create(t.Context(), roots.Spec{NodeID: node, Generation: "1", Hostname: "caddy-1", Image: img}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("root made in %s", time.Since(began))
	tree, err := nfs.OpenTree(filepath.Join(dir, "nodes", node, "root", "tree"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tree.WriteFile("root/.ssh/authorized_keys", ssh.MarshalAuthorizedKey(key), 0o600, roots.Owner{}), tree.Close()); err != nil {
		t.Fatal(err)
	}
	// The guest's own network ends in QEMU, which calls from this address and
	// is 10.0.2.2 to the guest.
	err = m.Publish(t.Context(), roots.BootSpec{
		NodeID: root.NodeID, Client: netip.MustParseAddr("127.0.0.1"), Server: netip.MustParseAddr("10.0.2.2"),
		MAC: "52:54:00:00:00:01", NFSPort: uint16(server.BoundAddr().(*net.TCPAddr).Port),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("published after %s", time.Since(began))
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
	return m, files
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

// TestBootsInQEMU boots the image's kernel with its root over NFS, uses its
// shell and its ssh server, and switches it off. Debian package: qemu-system-arm.
func TestBootsInQEMU(t *testing.T) {
	t.Parallel()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	_, files := publish(t, signer.PublicKey())
	kernel := filepath.Join(t.TempDir(), "kernel8.img")
	if err := os.WriteFile(kernel, files["kernel8.img"], 0o600); err != nil {
		t.Fatal(err)
	}
	// What a Pi's firmware does to the command line, for this board's UART.
	cmdline := strings.Replace(strings.TrimSpace(string(files["cmdline.txt"])), "serial0", "ttyAMA0", 1)
	port := freePort(t)

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	qemu := exec.CommandContext(ctx, "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-smp", "1", "-m", "512",
		"-display", "none", "-monitor", "none", "-no-reboot", "-kernel", kernel, "-append", cmdline,
		"-netdev", fmt.Sprintf("user,id=n0,hostfwd=tcp:127.0.0.1:%d-:22", port),
		"-device", "virtio-net-pci,netdev=n0,romfile=,mac=52:54:00:00:00:01", "-serial", "stdio")
	console := &screen{wrote: make(chan struct{}, 1)}
	qemu.Stdout, qemu.Stderr = console, console
	keys, err := qemu.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := qemu.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- qemu.Wait() }()
	typeIn := func(line string) {
		t.Helper()
		if _, err := io.WriteString(keys, line); err != nil {
			t.Fatal(err)
		}
	}
	const prompt = "root@caddy-1:~# "
	console.expect(t, prompt)
	t.Logf("prompt after %s", time.Since(began))

	typeIn("uname -m; cat /etc/hostname; mount | grep nfs | wc -l\r")
	if out := console.expect(t, "\n"+prompt); !strings.Contains(out, "aarch64") || !strings.Contains(out, "caddy-1\r\n      1") {
		t.Errorf("commands printed %q", out)
	}
	// ^C ends a command, not the shell.
	typeIn("echo now sleeping; sleep 1000\r")
	console.expect(t, "\nnow sleeping")
	typeIn("\x03")
	console.expect(t, prompt)
	// A file written by the node is there after sync, and orphans are reaped.
	typeIn("sh -c 'env sleep 0.1 &'; echo written > /root/file; sync; cat /root/file; sleep 0.5; ps | grep -v ' \\['\r")
	out := console.expect(t, "\n"+prompt)
	if !strings.Contains(out, "\nwritten\r") || strings.Contains(out, " Z ") || !strings.Contains(out, "sshd") {
		t.Errorf("commands printed %q", out)
	}

	client, err := ssh.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 60 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	b, err := session.CombinedOutput("hostname; whoami; ip addr show eth0 | grep 10.0.2; exit 3")
	var status *ssh.ExitError
	if !errors.As(err, &status) || status.ExitStatus() != 3 || !strings.HasPrefix(string(b), "caddy-1\nroot\n") || !strings.Contains(string(b), "10.0.2.15") {
		t.Errorf("over ssh: %q, %v", b, err)
	}
	_ = client.Close()

	typeIn("poweroff\r")
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("QEMU ended with %v", err)
		}
	case <-time.After(60 * time.Second):
		t.Error("poweroff does not switch off")
		cancel()
		t.Logf("QEMU: %v", <-ended)
	}
	t.Logf("switched off after %s", time.Since(began))
	if t.Failed() {
		t.Logf("console:\n%s", console.text.String())
	}
}
