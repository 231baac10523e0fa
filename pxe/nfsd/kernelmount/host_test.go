//go:build guest && !inguest

package kernelmount

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"caddyshack/internal/guest"
	"caddyshack/pxe/nfsd"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/nfsd/tree/native"
)

// guestTime bounds one guest.
const guestTime = 15 * time.Minute

// serverEnv makes the test binary an NFS server with the given configuration.
const serverEnv = "KERNELMOUNT_SERVER"

type serverConfig struct {
	Addr, StateDir, Ready string
	Export                nfsd.Export
}

func TestMain(m *testing.M) {
	if conf := os.Getenv(serverEnv); conf != "" {
		fmt.Fprintln(os.Stderr, serve(conf))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func serve(conf string) error {
	var c serverConfig
	if err := json.Unmarshal([]byte(conf), &c); err != nil {
		return err
	}
	ctx := context.Background()
	s := &nfsd.Server{Addr: c.Addr, StateDir: c.StateDir}
	if err := errors.Join(s.AddExport(ctx, c.Export), s.Listen(ctx)); err != nil {
		return err
	}
	if err := os.WriteFile(c.Ready+".new", []byte(s.BoundAddr().String()), 0o600); err != nil {
		return err
	}
	if err := os.Rename(c.Ready+".new", c.Ready); err != nil {
		return err
	}
	return s.Serve(ctx)
}

// server is an NFS server in a process of its own.
type server struct {
	t    *testing.T
	conf serverConfig
	cmd  *exec.Cmd
}

func (s *server) start() {
	s.t.Helper()
	_ = os.Remove(s.conf.Ready)
	conf, err := json.Marshal(s.conf)
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.CommandContext(context.Background(), os.Args[0])
	s.cmd.Env = append(os.Environ(), serverEnv+"="+string(conf))
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if b, err := os.ReadFile(s.conf.Ready); err == nil {
			s.conf.Addr = string(b)
			return
		}
		if time.Now().After(end) {
			s.t.Fatal("the server does not start")
		}
	}
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func kinds() []rootfs.Kind {
	if native.Works(os.TempDir()) != nil {
		return []rootfs.Kind{rootfs.Sidecar} // an ordinary user
	}
	return []rootfs.Kind{rootfs.Sidecar, rootfs.Native}
}

// TestKernelMount runs the table of in_guest_test.go over a kernel mount, once
// with a server that stays up and once with one that is killed all the time.
func TestKernelMount(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "inguest.test")
	ctx, cancel := context.WithTimeout(t.Context(), guestTime)
	defer cancel()
	if err := guest.BuildTest(ctx, ".", "inguest", program); err != nil {
		t.Fatal(err)
	}
	for _, kind := range kinds() {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/killed=%v", kind, killed), func(t *testing.T) {
				state := t.TempDir()
				root := filepath.Join(state, "root")
				im, err := rootfs.Create(root, kind, rootfs.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				if err := im.Close(); err != nil {
					t.Fatal(err)
				}
				s := &server{t: t, conf: serverConfig{
					Addr: "127.0.0.1:0", StateDir: state, Ready: filepath.Join(state, "ready"),
					Export: nfsd.Export{ID: "n", Path: "/nodes/n", Client: netip.MustParseAddr("127.0.0.1"), Dir: root},
				}}
				s.start()
				stop := make(chan struct{})
				var killer sync.WaitGroup
				if killed {
					killer.Go(func() { s.killAgainAndAgain(stop) })
				}
				defer func() {
					close(stop)
					killer.Wait()
					s.kill()
				}()
				port := netip.MustParseAddrPort(s.conf.Addr).Port()
				start := time.Now()
				r, err := guest.Run(ctx, guest.Config{
					Modules: []string{"nfsv3"},
					Files:   map[string]string{"/inguest.test": program},
					Env:     []string{fmt.Sprintf("NFS_PORT=%d", port), fmt.Sprintf("NFS_KILLED=%v", killed)},
					Command: []string{"/inguest.test", "-test.v", "-test.timeout=10m"},
				})
				t.Logf("guest ran for %v", time.Since(start).Round(time.Second))
				if err != nil {
					t.Fatalf("%v\n%s", err, r.Output)
				}
				if r.ExitCode != 0 || !strings.Contains(r.Output, "\nPASS\n") {
					t.Fatalf("exit code %d\n%s\nconsole:\n%s", r.ExitCode, r.Output, r.Console)
				}
				t.Logf("%d cases passed", strings.Count(r.Output, "    --- PASS"))
			})
		}
	}
}

// killAgainAndAgain kills the server every second, and starts it again, until
// stop is closed.
func (s *server) killAgainAndAgain(stop chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			s.t.Logf("the server was killed %d times", n)
			return
		case <-time.After(time.Second):
		}
		s.kill()
		s.start()
	}
}
