package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// TestMain lets the test program be the shell that the ssh server starts.
func TestMain(m *testing.M) {
	if name := filepath.Base(os.Args[0]); name == "sh" || name == "-sh" {
		os.Exit(shellMain(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// sh runs a script in a new folder and returns what it prints, and its status.
func sh(t *testing.T, script string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	s, err := newShell(strings.NewReader("one\ntwo\nthree\n"), &out, &out)
	if err != nil {
		t.Fatal(err)
	}
	code := s.script(strings.NewReader("cd "+t.TempDir()+"\n"+script), "test")
	return out.String(), code
}

func TestShellAndCommands(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"echo a b | cat": "a b\n",
		"for i in 1 2 3; do echo $i; done | tail -n 2 | head -n 1": "2\n",
		"cat":                        "one\ntwo\nthree\n",
		"grep t; echo $?":            "two\nthree\n0\n",
		"grep -v t; grep x; echo $?": "one\n1\n",
		"wc -l | cat":                "      3 \n",
		"wc":                         "      3       3      14 \n",
		"mkdir -p a/b; touch a/b/c; ls a; ls a/b":     "b\nc\n",
		"mkdir a; mkdir a":                            "mkdir: ",
		"echo x > f; cp f g; mv g h; cat h; ls":       "x\nf\nh\n",
		"ln -s f l; readlink l; ls -l | cat":          "f\n",
		"echo x > f; ln f g; rm f; cat g":             "x\n",
		"mkdir d; rm d; echo $?":                      "is a directory\n1\n",
		"mkdir d; rmdir d; ls; touch f; rmdir f":      "not a directory\n",
		"mkdir -p d/e; rm -r d; ls; rm -f d; echo $?": "0\n",
		"rm d; echo $?":                               "no such file or directory\n1\n",
		"touch f; chmod 640 f; ls -l f":               "-rw-r-----",
		"cat nosuch; echo $?":                         "nosuch: no such file or directory\n1\n",
		"hostname x y z > /dev/null; uname":           "Linux\n",
		"export A=b; env | grep ^A=":                  "A=b\n",
		"nosuchcommand; echo $?":                      "127\n",
		"ls -Z; echo $?":                              "usage: ls [-la] [FILE…]\n1\n",
		"ip route > /dev/null; ip a | grep 'lo:'":     "lo: <",
		"ps | grep PID":                               "PID",
		"help | grep poweroff":                        "poweroff",
		"x=$(echo 1; echo 2); echo \"$x\" | wc -l":    "      2 \n",
		"exit 7":             "",
		"sleep; sleep 0.001": "usage: sleep",
		"kill -NOSUCH 1":     "no signal",
		"mount -t ext4 a b":  "usage: mount [-t nfs] [-o OPTIONS] [SERVER:PATH FOLDER]",
		"mount -o; mount x":  "usage: mount ",
		"mount -t nfs a: b":  "not SERVER:PATH with the address of the server",
		"umount":             "usage: umount FOLDER",
		"uptime; date; free; df; mount; id; whoami; sync": "up ",
	} {
		if strings.HasPrefix(script, "hostname") {
			script = "uname" // setting the name is for the image alone
		}
		if got, _ := sh(t, script); !strings.Contains(got, want) {
			t.Errorf("%s\nprints %q, want %q", script, got, want)
		}
	}
	if _, code := sh(t, "exit 7"); code != 7 {
		t.Errorf("exit 7 gives %d", code)
	}
	if out, code := sh(t, "if then"); code != 2 || !strings.Contains(out, "sh:") {
		t.Errorf("a syntax error gives %d and %q", code, out)
	}
}

func TestPowerKey(t *testing.T) {
	t.Parallel()
	event := func(kind, code uint16, value uint32) []byte {
		b := make([]byte, inputEvent)
		binary.NativeEndian.PutUint16(b[16:], kind)
		binary.NativeEndian.PutUint16(b[18:], code)
		binary.NativeEndian.PutUint32(b[20:], value)
		return b
	}
	other := bytes.Join([][]byte{event(0, 0, 0), event(evKey, 30, 1), event(evKey, keyPower, 0)}, nil)
	if powerKeyPressed(bytes.NewReader(other)) {
		t.Error("another key counts as the power key")
	}
	if !powerKeyPressed(bytes.NewReader(append(other, event(evKey, keyPower, 1)...))) {
		t.Error("the power key is not seen")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "event0"), event(evKey, keyPower, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	off := make(chan struct{})
	watchPowerKey(dir, func() { close(off) })
	select {
	case <-off:
	case <-time.After(10 * time.Second):
		t.Error("the power key does nothing")
	}
}

// newSigner makes a key.
func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sshServer runs a server that lets in the keys, and returns how to reach it.
func sshServer(t *testing.T, authorized string) (addr string, host ssh.PublicKey) {
	t.Helper()
	return sshServerWith(t, authorized, "")
}

// sshServerWith is one of a system with passwords.
func sshServerWith(t *testing.T, authorized, shadow string) (addr string, host ssh.PublicKey) {
	t.Helper()
	dir := t.TempDir()
	passwords := filepath.Join(dir, "shadow")
	if err := os.WriteFile(passwords, []byte(shadow), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(dir, "authorized_keys")
	if err := os.WriteFile(keys, []byte(authorized), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := hostKey(filepath.Join(dir, "ssh", "host_key"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := hostKey(filepath.Join(dir, "ssh", "host_key"))
	if err != nil || !bytes.Equal(again.PublicKey().Marshal(), key.PublicKey().Marshal()) {
		t.Errorf("the host key is not kept: %v", err)
	}
	if fi, err := os.Stat(filepath.Join(dir, "ssh", "host_key")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode of the host key: %v, %v", fi.Mode(), err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- serveSSH(l, sshConfig(key, keys, passwords), self) }()
	t.Cleanup(func() {
		_ = l.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), key.PublicKey()
}

func dial(t *testing.T, addr, user string, host ssh.PublicKey, auth ...ssh.AuthMethod) (*ssh.Client, error) {
	t.Helper()
	c, err := ssh.Dial("tcp", addr, &ssh.ClientConfig{User: user, Auth: auth, HostKeyCallback: ssh.FixedHostKey(host), Timeout: 30 * time.Second})
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

func TestSSHLetsInKeysOnly(t *testing.T) {
	t.Parallel()
	good, restricted, stranger := newSigner(t), newSigner(t), newSigner(t)
	addr, host := sshServer(t, "# comment\n\nnonsense\ncommand=\"true\" "+string(ssh.MarshalAuthorizedKey(restricted.PublicKey()))+string(ssh.MarshalAuthorizedKey(good.PublicKey())))
	if _, err := dial(t, addr, "root", host, ssh.PublicKeys(stranger, good)); err != nil {
		t.Errorf("a good key is refused: %v", err)
	}
	for name, c := range map[string]struct {
		user string
		auth ssh.AuthMethod
	}{
		"stranger":       {"root", ssh.PublicKeys(stranger)},
		"restricted key": {"root", ssh.PublicKeys(restricted)},
		"other user":     {"nobody", ssh.PublicKeys(good)},
		"password":       {"root", ssh.Password("")},
	} {
		if _, err := dial(t, addr, c.user, host, c.auth); err == nil {
			t.Errorf("%s is let in", name)
		}
	}
	empty, host := sshServer(t, "")
	if _, err := dial(t, empty, "root", host, ssh.PublicKeys(good)); err == nil {
		t.Error("without keys somebody is let in")
	}
}

// A rescue system lets in its user rescue with the rescue password, as
// `openssl passwd -6` hashes it, and nobody else with any.
func TestSSHLetsInRescue(t *testing.T) {
	t.Parallel()
	const password, hash = "Hello world!", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
	addr, host := sshServerWith(t, "", "root:*:1::::::\nother:"+hash+":1:0:99999:7:::\nrescue:"+hash+":1:0:99999:7:::\n")
	if _, err := dial(t, addr, "rescue", host, ssh.Password(password)); err != nil {
		t.Errorf("the rescue password is refused: %v", err)
	}
	locked, lockedHost := sshServerWith(t, "", "rescue:!:1::::::\n")
	for name, c := range map[string]struct {
		addr, user, password string
		host                 ssh.PublicKey
	}{
		"wrong password":    {addr, "rescue", "Hello world", host},
		"no password":       {addr, "rescue", "", host},
		"longest password":  {addr, "rescue", strings.Repeat("x", 100_000), host},
		"another user":      {addr, "other", password, host},
		"root":              {addr, "root", password, host},
		"a locked password": {locked, "rescue", "!", lockedHost},
	} {
		if _, err := dial(t, c.addr, c.user, c.host, ssh.Password(c.password)); err == nil {
			t.Errorf("%s is let in", name)
		}
	}
}

func TestSSHExec(t *testing.T) {
	t.Parallel()
	key := newSigner(t)
	addr, host := sshServer(t, string(ssh.MarshalAuthorizedKey(key.PublicKey())))
	c, err := dial(t, addr, "root", host, ssh.PublicKeys(key))
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	s.Stdin = strings.NewReader("typed\n")
	var stderr strings.Builder // a stream of its own: there is no order between the two
	s.Stderr = &stderr
	out, err := s.Output("cat; echo to stderr >&2; exit 3")
	var status *ssh.ExitError
	if !errors.As(err, &status) || status.ExitStatus() != 3 || string(out) != "typed\n" || stderr.String() != "to stderr\n" {
		t.Errorf("%q, %q, %v", out, stderr.String(), err)
	}
	if _, _, err := c.OpenChannel("direct-tcpip", nil); err == nil {
		t.Error("forwarding is served")
	}
}

// screen collects output and lets the test wait for it.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	news chan struct{}
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(b)
	select {
	case s.news <- struct{}{}:
	default:
	}
	return len(b), nil
}

// expect waits for text and forgets what came up to it.
func (s *screen) expect(t *testing.T, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		s.mu.Lock()
		i := strings.Index(s.text.String(), text)
		if i >= 0 {
			s.text.Next(i + len(text))
		}
		rest := s.text.String()
		s.mu.Unlock()
		if i >= 0 {
			return
		}
		select {
		case <-s.news:
		case <-ctx.Done():
			t.Fatalf("%q did not appear in %q", text, rest)
		}
	}
}

func TestSSHTerminal(t *testing.T) {
	t.Parallel()
	key := newSigner(t)
	addr, host := sshServer(t, string(ssh.MarshalAuthorizedKey(key.PublicKey())))
	c, err := dial(t, addr, "root", host, ssh.PublicKeys(key))
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out := &screen{news: make(chan struct{}, 1)}
	s.Stdout = out
	keys, err := s.StdinPipe()
	if err == nil {
		err = errors.Join(s.RequestPty("xterm", 24, 100, nil), s.WindowChange(30, 120), s.Shell())
	}
	if err != nil {
		t.Fatal(err)
	}
	send := func(text string) {
		t.Helper()
		if _, err := io.WriteString(keys, text); err != nil {
			t.Fatal(err)
		}
	}
	out.expect(t, "# ")
	send("echo $TERM $((6*7)); tty\r")
	out.expect(t, "\nxterm 42\r\n/dev/pts/")
	out.expect(t, "# ")
	// ^C ends what runs, and what is typed, but not the shell.
	send("echo begun; sleep 100; echo not here\r")
	out.expect(t, "\nbegun")
	send("\x03")
	out.expect(t, "# ")
	send("echo wrong\x03")
	out.expect(t, "# ")
	send("echo $?\r")
	out.expect(t, "\n130\r\n")
	// A command of several lines.
	send("for i in a b; do\r")
	out.expect(t, "> ")
	send("echo $i$i; done\r")
	out.expect(t, "\naa\r\nbb\r\n")
	send("exit 5\r")
	var status *ssh.ExitError
	if err := s.Wait(); !errors.As(err, &status) || status.ExitStatus() != 5 {
		t.Errorf("the shell ended with %v", err)
	}
}

func TestRunOnce(t *testing.T) {
	t.Parallel()
	from, ran := t.TempDir(), filepath.Join(t.TempDir(), "ran")
	for name, mode := range map[string]os.FileMode{"b": 0o755, "a": 0o700, "README": 0o644} {
		if err := os.WriteFile(filepath.Join(from, name), []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	run := func(path string) error {
		got = append(got, path)
		return errors.New("a script that fails")
	}
	runOnce(from, ran, run)
	runOnce(from, ran, run)
	runOnce(filepath.Join(from, "nothing"), ran, run)
	if want := []string{filepath.Join(ran, "a"), filepath.Join(ran, "b")}; !slices.Equal(got, want) {
		t.Errorf("run were %q, want %q", got, want)
	}
}
