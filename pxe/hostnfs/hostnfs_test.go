package hostnfs

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"caddyshack/baremetal"
	"caddyshack/pxe/nfsd"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/roots"
)

// newRoot makes an empty root.
func newRoot(t *testing.T, kind rootfs.Kind) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	im, err := rootfs.Create(dir, kind, rootfs.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := im.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// plainRoot makes what passes for a root of plain files; real ones need rights
// that the tests may not have.
func plainRoot(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "format"), []byte("caddyshack native tree 1\n"), 0o600),
		os.Mkdir(rootfs.NativeFiles(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// fake plays the other server: when told to, it exports to the loopback address
// what the file says. The embedded server answers MOUNT for it.
type fake struct {
	nfs  *nfsd.Server
	file string
	root string // of what it exports, whatever the file says
	deaf bool
}

var pseudo = regexp.MustCompile(`Pseudo = "(.*)"`)

func (f *fake) reload(ctx context.Context) error {
	if f.deaf {
		return nil
	}
	text, err := os.ReadFile(f.file)
	if err != nil {
		return err
	}
	for _, e := range f.nfs.Exports() {
		if err := f.nfs.RemoveExport(ctx, e.ID); err != nil {
			return err
		}
	}
	for _, m := range pseudo.FindAllStringSubmatch(string(text), -1) {
		e := nfsd.Export{ID: m[1], Path: m[1], Client: netip.MustParseAddr("127.0.0.1"), Dir: f.root}
		if err := f.nfs.AddExport(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func startFake(t *testing.T) (*fake, Config) {
	t.Helper()
	dir := t.TempDir()
	f := &fake{nfs: &nfsd.Server{Addr: "127.0.0.1:0"}, file: filepath.Join(dir, "exports"), root: newRoot(t, rootfs.Sidecar)}
	if err := f.nfs.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.nfs.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return f, Config{Kind: Ganesha, StateFile: filepath.Join(dir, "state"), ExportsFile: f.file,
		Reload: f.reload, MountAddr: netip.MustParseAddrPort(f.nfs.BoundAddr().String()), Wait: time.Minute}
}

func TestExportsComeAndGo(t *testing.T) {
	t.Parallel()
	_, cfg := startFake(t)
	x, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	dir := plainRoot(t)
	one := roots.Export{NodeID: "one", Path: "/nodes/one", Dir: dir, Client: netip.MustParseAddr("10.0.0.1")}
	for range 2 { // again is no change
		if err := x.OpenExport(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	number := x.state.Exports[0].Number
	// A later life goes on with it, at another address, and lets it go.
	if x, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	one.Client = netip.MustParseAddr("10.0.0.2")
	if err := x.OpenExport(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(cfg.ExportsFile)
	if err != nil || strings.Contains(string(text), "10.0.0.1") || !strings.Contains(string(text), "Clients = 10.0.0.2;") {
		t.Errorf("%v, the file holds\n%s", err, text)
	}
	if got := x.state.Exports[0].Number; len(x.state.Exports) != 1 || got != number {
		t.Errorf("%d exports, number %d, it was %d", len(x.state.Exports), got, number)
	}
	if id, ok := x.nodeOf(one.Client); id != "one" || !ok {
		t.Errorf("the address belongs to %q", id)
	}
	for range 2 {
		if err := x.CloseExport(t.Context(), "one"); err != nil {
			t.Fatal(err)
		}
	}
	two := roots.Export{NodeID: "two", Path: "/nodes/two", Dir: dir, Client: one.Client}
	if err := x.OpenExport(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	if got := x.state.Exports[0].Number; got == number {
		t.Errorf("the number %d was given again at once", got)
	}
}

// What the server does not do is an error, and it can be done later.
func TestServerDoesNotFollow(t *testing.T) {
	t.Parallel()
	f, cfg := startFake(t)
	x, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e := roots.Export{NodeID: "n", Path: "/nodes/n", Dir: plainRoot(t), Client: netip.MustParseAddr("10.0.0.1")}
	refused := func(err error, want string) {
		t.Helper()
		if baremetal.KindOf(err) != baremetal.Unavailable || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	deaf := func(yes bool) {
		f.deaf, x.cfg.Wait = yes, time.Minute
		if yes {
			x.cfg.Wait = 3 * time.Second // in which it must answer at least once
		}
	}
	deaf(true)
	refused(x.OpenExport(t.Context(), e), "does not export")
	deaf(false)
	if err := x.OpenExport(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	deaf(true)
	refused(x.CloseExport(t.Context(), "n"), "still exports")
	deaf(false)
	if err := x.CloseExport(t.Context(), "n"); err != nil {
		t.Fatal(err)
	}
	x.cfg.MountAddr, x.cfg.Wait = netip.MustParseAddrPort("127.0.0.1:1"), time.Second
	refused(x.OpenExport(t.Context(), e), "does not answer")
	x.cfg.Reload = Hangup(filepath.Join(t.TempDir(), "none.pid"))
	refused(x.OpenExport(t.Context(), e), "none.pid")
}

func TestWhatCannotBeExported(t *testing.T) {
	t.Parallel()
	x, err := Open(Config{Kind: Kernel, StateFile: filepath.Join(t.TempDir(), "state")})
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{newRoot(t, rootfs.Sidecar): "plain files", plainRoot(t): "holds"} {
		e := roots.Export{NodeID: "a b", Path: "/nodes/n", Dir: dir, Client: netip.MustParseAddr("10.0.0.1")}
		if err := x.OpenExport(t.Context(), e); baremetal.KindOf(err) != baremetal.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", dir, err)
		}
	}
}

func TestRenderKernel(t *testing.T) {
	t.Parallel()
	s := state{Exports: []entry{{Export: roots.Export{NodeID: "n", Client: netip.MustParseAddr("10.0.0.7")}, Files: "/srv/n/root"}}}
	want := fileHeader + "/srv/n/root 10.0.0.7(rw,sync,no_root_squash,no_subtree_check,sec=sys,fsid=ID)\n"
	got := regexp.MustCompile(`fsid=[0-9a-f]{32}\)`).ReplaceAllString(s.render(Kernel, netip.Addr{}), "fsid=ID)")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadConnections(t *testing.T) {
	t.Parallel()
	table := `  sl  local_address rem_address   st tx_queue
   0: 00000000:0801 00000000:0000 0A 00000000:00000000
   1: 0100007F:0801 0700000A:03E8 01 00000000:00000000
   2: 0100007F:0802 0800000A:03E8 01 00000000:00000000
   3: 0000000000000000FFFF00000100007F:0801 0000000000000000FFFF00000900000A:0400 01 0
   4: 0100007F:0801 0A00000A:03E8 06 00000000:00000000
`
	got := map[netip.AddrPort]bool{}
	if err := readConnections(strings.NewReader(table), 2049, got); err != nil {
		t.Fatal(err)
	}
	want := map[netip.AddrPort]bool{netip.MustParseAddrPort("10.0.0.7:1000"): true, netip.MustParseAddrPort("10.0.0.9:1024"): true}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseExports(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00"))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = parseExports(b, 1) })
}
