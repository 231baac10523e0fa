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

// shortEnv makes everything as short as it must be for CI.
const shortEnv = "KERNELMOUNT_SHORT"

func short() bool { return os.Getenv(shortEnv) != "" }

// onServer starts our server with an empty tree of a kind, killed again and
// again if wanted, and runs the program of the guest against it.
func onServer(t *testing.T, kind rootfs.Kind, killed bool, c guest.Config) guest.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guestTime)
	defer cancel()
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
	port := netip.MustParseAddrPort(s.conf.Addr).Port() // the same after each kill
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
	c.Modules = []string{"nfsv3"}
	c.Env = append(c.Env, fmt.Sprintf("NFS_PORT=%d", port), fmt.Sprintf("NFS_KILLED=%v", killed))
	if short() {
		c.Env = append(c.Env, "NFS_SHORT=1")
	}
	start := time.Now()
	r, err := guest.Run(ctx, c)
	t.Logf("guest ran for %v", time.Since(start).Round(time.Second))
	if err != nil {
		t.Fatalf("%v\n%s", err, r.Output)
	}
	return r
}

// inGuest compiles the tests that run in the guest.
func inGuest(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "inguest.test")
	if err := guest.BuildTest(t.Context(), ".", "inguest", program); err != nil {
		t.Fatal(err)
	}
	return program
}

// TestKernelMount runs the table of in_guest_test.go over a kernel mount, once
// with a server that stays up and once with one that is killed all the time.
func TestKernelMount(t *testing.T) {
	t.Parallel()
	program := inGuest(t)
	for _, kind := range kinds() {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/killed=%v", kind, killed), func(t *testing.T) {
				t.Parallel()
				report(t, onServer(t, kind, killed, guest.Config{
					Files:   map[string]string{"/inguest.test": program},
					Command: []string{"/inguest.test", "-test.v", "-test.timeout=10m"},
				}))
			})
		}
	}
}

// TestStress runs stress-ng and dbench over a kernel mount while the server is
// killed all the time.
func TestStress(t *testing.T) {
	t.Parallel()
	stress, dbench := "10", "60"
	if short() {
		stress, dbench = "1", "5"
	}
	files := map[string]string{"/inguest.test": inGuest(t), "/client.txt": "/usr/share/dbench/client.txt"}
	if err := guest.AddPrograms(t.Context(), files, "stress-ng", "dbench"); err != nil {
		t.Fatal(err)
	}
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			r := onServer(t, kind, true, guest.Config{
				Files: files, MemoryMiB: 1024,
				Env:     []string{"NFS_STRESS_TIME=" + stress, "NFS_DBENCH_TIME=" + dbench},
				Command: []string{"/inguest.test", "-test.v", "-test.run=TestStress", "-test.timeout=14m"},
			})
			report(t, r)
			if i := strings.Index(r.Output, "Throughput"); i >= 0 {
				t.Log(strings.SplitN(r.Output[i:], "\n", 2)[0])
			}
		})
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
