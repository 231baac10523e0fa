//go:build debian

package debian

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"caddyshack/pxe"
)

const node = "11111111-2222-4333-8444-555555555501"

// loginTime is how long the system may take to its login on a busy machine,
// which is ten times what it takes on a quiet one.
const loginTime = 12 * time.Minute

// patience keeps systemd from giving up on an emulated machine.
const patience = "net.ifnames=0 systemd.default_device_timeout_sec=900 systemd.default_timeout_start_sec=900 systemd.show_status=0"

// TestDebian boots Debian on both kinds of trees.
func TestDebian(t *testing.T) {
	if _, err := os.Stat(os.Getenv("CADDYSHACK_BIN")); err != nil {
		t.Fatalf("CADDYSHACK_BIN must name the built program: run `make test-debian` (%v)", err)
	}
	signer := newKey(t)
	images := t.TempDir()
	makeImage(t, filepath.Join(images, "debian.tar"), debianRoot(t), authorized(signer))
	for _, tree := range []string{"privileged", "unprivileged"} {
		t.Run(tree, func(t *testing.T) { liveIn(t, tree, images, signer) })
	}
}

// newKey makes a key to log in with.
func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// authorized is a line of authorized_keys.
func authorized(key ssh.Signer) string { return string(ssh.MarshalAuthorizedKey(key.PublicKey())) }

// liveIn makes a root, boots it and uses it, most of the time with a server
// that is killed again and again.
func liveIn(t *testing.T, tree, images string, signer ssh.Signer) {
	s := startServer(t, tree, images)
	ctx := t.Context()
	began := time.Now()
	since := func(what string) { t.Logf("%6.1f s  %s", time.Since(began).Seconds(), what) }
	img := pxe.ImageSource{URL: "file://" + filepath.Join(images, "debian.tar")}
	for {
		got, err := s.FetchImage(ctx, img)
		if err != nil {
			t.Fatal(err)
		}
		if got.Ready {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := s.CreateRoot(ctx, pxe.RootRequest{NodeID: node, Generation: "1", Hostname: "caddy-1", Image: img}); err != nil {
		t.Fatal(err)
	}
	since("root made")
	if err := s.Export(ctx, pxe.PublishRequest{NodeID: node, Client: netip.MustParseAddr("127.0.0.1"), MAC: "52:54:00:00:00:01", KernelParams: patience}); err != nil {
		t.Fatal(err)
	}
	m := boot(t, s, freeAddress(t))
	m.expect("caddy-1 login:", loginTime)
	since("login prompt")
	m.dial(signer)
	since("logged in over ssh")

	is := func(command, want string) {
		t.Helper()
		if got := m.run(command); got != want {
			t.Errorf("%s printed %q, want %q", command, got, want)
		}
	}
	is("uname -m; hostname; sudo id -u; stat -c '%U %a' /usr/bin/sudo /home/pi/.ssh/authorized_keys", "aarch64\ncaddy-1\n0\nroot 4755\npi 600\n")
	is("findmnt -n -o FSTYPE /", "nfs\n")
	s.killed(func() {
		m.run("sudo dpkg -i /var/local/later/*.deb")
		since("packages installed, the server being killed")
		is("file -b --mime-type /usr/bin/less /etc/passwd; dpkg -V file less libmagic1 libmagic-mgc; dpkg --audit", "application/x-pie-executable\ntext/plain\n")
		m.run(`sqlite3 ~/db "PRAGMA journal_mode=WAL; CREATE TABLE t(n INTEGER PRIMARY KEY, s TEXT)"`)
		m.run(`for i in $(seq 40); do sqlite3 ~/db "BEGIN; INSERT INTO t(s) SELECT hex(randomblob(64)) FROM generate_series(1,50); COMMIT"; done`)
		is(`sqlite3 ~/db "SELECT count(*), count(DISTINCT s) FROM t; PRAGMA integrity_check"`, "2000|2000\nok\n")
		since("2000 rows in 40 transactions, the server being killed")
		m.run("sudo dpkg -P less && cd /tmp && mkdir many && cd many && seq 2000 | xargs touch && cd .. && rm -rf many")
		m.dial(signer) // sshd takes new connections
		since("a package removed, 2000 files made and removed")
	})
	s.killed(func() { // its restart is the next start's business, too
		is("test ! -e /usr/bin/less && echo gone; sqlite3 ~/db 'SELECT count(*) FROM t'", "gone\n2000\n")
	})
	is("systemctl --failed --no-legend --plain | grep -v 'systemd-modules-load' | wc -l", "0\n")
	m.start("sudo systemctl poweroff")
	select {
	case err := <-m.ended:
		if err != nil {
			t.Errorf("QEMU ended with %v", err)
		}
	case <-time.After(3 * time.Minute):
		t.Error("poweroff does not switch off")
	}
	since("switched off")
	t.Logf("the server was killed %d times", s.kills)
	if s.kills < 5 {
		t.Errorf("the server was killed %d times only", s.kills)
	}
	if err := s.Remove(ctx, node); err != nil {
		t.Error(err)
	}
}

// machine is a Pi that QEMU plays.
type machine struct {
	t       *testing.T
	console *screen
	sshAddr string
	ended   chan error
	ssh     *ssh.Client
}

// boot starts QEMU with the files that TFTP would give the node.
func boot(t *testing.T, s *server, sshAddr string) *machine {
	t.Helper()
	ctx := t.Context()
	bt, err := s.BootTree(ctx, node)
	if err != nil {
		t.Fatal(err)
	}
	kernel := filepath.Join(t.TempDir(), "kernel8.img")
	in, err := s.OpenBootFile(ctx, node, "kernel8.img")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	data, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kernel, data, 0o600); err != nil {
		t.Fatal(err)
	}
	// What a Pi's firmware does to the command line, for this board's UART.
	cmdline := strings.Replace(strings.TrimSpace(string(bt.Files["cmdline.txt"].Data)), "serial0", "ttyAMA0", 1)
	m := &machine{t: t, console: &screen{wrote: make(chan struct{}, 1)}, sshAddr: sshAddr, ended: make(chan error, 1)}
	host, port, _ := strings.Cut(sshAddr, ":")
	qemu := exec.CommandContext(ctx, "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "1024",
		"-display", "none", "-monitor", "none", "-no-reboot", "-kernel", kernel, "-append", cmdline,
		"-netdev", fmt.Sprintf("user,id=n0,hostfwd=tcp:%s:%s-:22", host, port),
		"-device", "virtio-net-pci,netdev=n0,romfile=,mac=52:54:00:00:00:01", "-device", "virtio-rng-pci", "-serial", "stdio")
	qemu.Stdout, qemu.Stderr = m.console, m.console
	if err := qemu.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { m.ended <- qemu.Wait() }()
	t.Cleanup(func() {
		_ = qemu.Process.Kill()
		if t.Failed() {
			t.Logf("console:\n%s", m.console)
		}
	})
	return m
}

// expect waits until the console shows text.
func (m *machine) expect(text string, within time.Duration) {
	m.t.Helper()
	limit := time.After(within)
	for !strings.Contains(m.console.String(), text) {
		select {
		case <-m.console.wrote:
		case err := <-m.ended:
			m.t.Fatalf("QEMU ended (%v) before %q", err, text)
		case <-limit:
			m.t.Fatalf("%q did not appear within %s", text, within)
		}
	}
}

// dial connects to sshd as the user pi, until it answers.
func (m *machine) dial(signer ssh.Signer) {
	m.t.Helper()
	for end := time.Now().Add(loginTime); ; time.Sleep(time.Second) {
		c, err := ssh.Dial("tcp", m.sshAddr, &ssh.ClientConfig{User: "pi", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
			HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 2 * time.Minute})
		if err == nil {
			m.ssh = c
			m.t.Cleanup(func() { _ = c.Close() })
			return
		}
		if time.Now().After(end) {
			m.t.Fatalf("sshd does not answer: %v", err)
		}
	}
}

// run runs a command, which must succeed, and returns what it printed.
func (m *machine) run(command string) string {
	m.t.Helper()
	session, err := m.ssh.NewSession()
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	var out, errout bytes.Buffer
	session.Stdout, session.Stderr = &out, &errout
	if err := session.Run(command); err != nil {
		m.t.Fatalf("%s: %v\n%s%s", command, err, &out, &errout)
	}
	return out.String()
}

// start runs a command that may end the connection.
func (m *machine) start(command string) {
	m.t.Helper()
	session, err := m.ssh.NewSession()
	if err != nil {
		m.t.Fatal(err)
	}
	var exit *ssh.ExitMissingError
	if err := session.Run(command); err != nil && !errors.As(err, &exit) {
		m.t.Errorf("%s: %v", command, err)
	}
}

// screen collects what the console prints.
type screen struct {
	mu    sync.Mutex
	text  bytes.Buffer
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

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
