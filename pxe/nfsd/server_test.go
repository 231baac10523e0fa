package nfsd

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	nfsclient "github.com/willscott/go-nfs-client/nfs"
	nfsrpc "github.com/willscott/go-nfs-client/nfs/rpc"

	"caddyshack/pxe/nfsd/nfstest"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/nfsd/tree/native"
)

// deadline bounds every test that talks to a server, on a machine whose disk is
// slow and busy.
const deadline = 3 * time.Minute

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

// kinds are the kinds of trees that tests run on.
func kinds() []rootfs.Kind {
	if native.Works(os.TempDir()) != nil {
		return []rootfs.Kind{rootfs.Sidecar} // an ordinary user
	}
	return []rootfs.Kind{rootfs.Sidecar, rootfs.Native}
}

// newRoot makes an empty root of the given kind.
func newRoot(t testing.TB, kind rootfs.Kind) string {
	t.Helper()
	return emptyRoot(t, kind, t.TempDir()+"/root")
}

func emptyRoot(t testing.TB, kind rootfs.Kind, dir string) string {
	t.Helper()
	im, err := rootfs.Create(dir, kind, rootfs.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := im.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// running is a server under test.
type running struct {
	*Server
	addr string
	stop func()
}

// start runs a server; exports are added before it serves.
func start(t testing.TB, s *Server, exports ...Export) *running {
	t.Helper()
	if s.Addr == "" {
		s.Addr = "127.0.0.1:0"
	}
	if s.StateDir == "" {
		s.StateDir = t.TempDir()
	}
	ctx, cancel := context.WithCancel(context.Background())
	for _, e := range exports {
		if err := s.AddExport(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Serve: %v", err)
				}
			case <-time.After(deadline):
				t.Error("Serve did not end")
			}
		})
	}
	t.Cleanup(stop)
	return &running{Server: s, addr: s.BoundAddr().String(), stop: stop}
}

// loopback returns the address of a virtual node.
func loopback(unit, slot byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 77, unit, slot}) }

// dial connects from an address.
func dial(t testing.TB, addr string, from netip.Addr) *nfstest.Client {
	t.Helper()
	c, err := nfstest.Dial(testContext(t), addr, from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// mount connects and mounts.
func mount(t testing.TB, addr string, from netip.Addr, path string) (*nfstest.Client, nfstest.Handle) {
	t.Helper()
	c := dial(t, addr, from)
	root, err := c.Mount(testContext(t), path)
	if err != nil {
		t.Fatalf("mounting %q: %v", path, err)
	}
	return c, root
}

func TestWithClientLibrary(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var events []Event
			s := start(t, &Server{OnEvent: func(e Event) {
				mu.Lock()
				defer mu.Unlock()
				events = append(events, e)
			}}, Export{ID: "node-1", Path: "/nodes/1", Client: netip.MustParseAddr("127.0.0.1"), Dir: newRoot(t, kind)})

			cl, err := nfsrpc.DialTCP("tcp", s.addr, false)
			for try := 0; err != nil && try < 10; try++ { // it guesses at free ports
				cl, err = nfsrpc.DialTCP("tcp", s.addr, false)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			m := nfsclient.Mount{Client: cl}
			auth := nfsrpc.NewAuthUnix("test", 0, 0)
			target, err := m.Mount("/nodes/1", auth.Auth())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := target.Mkdir("etc", 0o755); err != nil {
				t.Fatal(err)
			}
			want := bytes.Repeat([]byte("os-release\n"), 20_000)
			f, err := target.OpenFile("/etc/os-release", 0o644)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(want); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			f, err = target.Open("/etc/os-release")
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if _, err := got.ReadFrom(f); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("read %d bytes, wrote %d, not the same", got.Len(), len(want))
			}
			entries, err := target.ReadDirPlus("/etc")
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			if fmt.Sprint(names) != "[os-release]" && fmt.Sprint(names) != "[. .. os-release]" {
				t.Errorf("directory holds %q", names)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(events) != 2 || events[0].Kind != EventMount || !events[0].OK || events[0].ExportID != "node-1" ||
				events[1].Kind != EventFirstRead || events[1].Path != "/etc/os-release" {
				t.Errorf("events: %+v", events)
			}
			st := s.Stats()
			if len(st.Exports) != 1 || st.Exports[0].BytesWritten != uint64(len(want)) || st.Exports[0].BytesRead != uint64(len(want)) {
				t.Errorf("stats: %+v", st)
			}
		})
	}
}
