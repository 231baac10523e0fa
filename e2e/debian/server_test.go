//go:build debian

package debian

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"caddyshack/pxe/remote"
)

// server is the operating-system server, as a process of its own.
type server struct {
	t      *testing.T
	config string
	log    *os.File
	remote.OSClient

	mu    sync.Mutex
	cmd   *exec.Cmd
	kills int
}

// freeAddress is an address of loopback that nobody listened on just now; the
// server keeps it over its restarts.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startServer starts it with roots of the given kind and the images of a folder.
func startServer(t *testing.T, tree, images string) *server {
	t.Helper()
	dir := t.TempDir()
	secret := strings.Repeat("s", 32)
	s := &server{t: t, config: filepath.Join(dir, "caddyshack.toml"), OSClient: remote.OSClient{Secret: secret, HTTP: &http.Client{Transport: remote.NewTransport()}}}
	listen := freeAddress(t)
	s.URL = "http://" + listen
	text := fmt.Sprintf(`
state_dir = %q
roles = ["os-server"]
[boot]
address = "10.0.2.2" # as QEMU shows this machine to its guests
nfs_listen = %q
tree = %q
[os_server]
listen = %q
token_file = %q
[images]
folders = [%q]
`, filepath.Join(dir, "state"), freeAddress(t), tree, listen, filepath.Join(dir, "token"), images)
	for name, text := range map[string]string{s.config: text, filepath.Join(dir, "token"): secret} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if s.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			b, _ := os.ReadFile(s.log.Name())
			t.Logf("the server's log:\n%s", b[max(0, len(b)-8000):])
		}
	})
	return s
}

func (s *server) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cmd = exec.CommandContext(context.Background(), os.Getenv("CADDYSHACK_BIN"), "serve", "--config", s.config)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Error(err)
		return
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		_, err := s.Health(s.t.Context())
		if err == nil {
			return
		}
		if time.Now().After(end) || s.t.Context().Err() != nil {
			s.t.Errorf("the server does not start: %v", err)
			return
		}
	}
}

// kill is kill -9.
func (s *server) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.kills++
}

// killEvery is the time between two kills: a Linux client that has lost its
// connection waits 3 s before it comes back, and shall get something done.
const killEvery = 8 * time.Second

// killed does work while the server is killed and started again and again.
func (s *server) killed(work func()) {
	stop := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(killEvery):
			}
			s.kill()
			s.start()
		}
	})
	defer killer.Wait()
	defer close(stop)
	work()
}
