package nfsmount_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"archive/tar"

	"caddyshack/pxe/nfsd"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/sim/pi/nfsmount"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// mount puts a root in service and mounts it.
func mount(t *testing.T, client string, headers ...tar.Header) *nfsmount.FS {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "root")
	im, err := rootfs.Create(dir, rootfs.Sidecar, rootfs.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := im.Add(&h, strings.NewReader("")); err != nil {
			t.Fatal(err)
		}
	}
	if err := im.Close(); err != nil {
		t.Fatal(err)
	}
	s := &nfsd.Server{Addr: "127.0.0.1:0"}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	local := netip.MustParseAddr(client)
	if err := s.AddExport(t.Context(), nfsd.Export{ID: "x", Path: "/x", Client: local, Dir: dir}); err != nil {
		t.Fatal(err)
	}
	port := uint16(s.BoundAddr().(*net.TCPAddr).Port)
	fs, err := nfsmount.Mount(t.Context(), nfsmount.Config{
		Local: local, Server: loopback, Port: port, MountPort: port, Path: "/x", Hostname: "h", RSize: 32 << 10, WSize: 32 << 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fs.Close)
	return fs
}

func TestPaths(t *testing.T) {
	t.Parallel()
	dir := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeDir} }
	link := func(name, to string) tar.Header {
		return tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeSymlink}
	}
	fs := mount(t, "127.77.7.1", dir("usr"), dir("usr/bin"), tar.Header{Name: "usr/bin/true", Typeflag: tar.TypeReg},
		link("bin", "usr/bin"), link("abs", "/usr/bin/true"), link("loop", "loop"), link("a", "b"), link("b", "a"),
		link("up", "../../../../../usr"), link("dangling", "nowhere"), tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3})
	for name, want := range map[string]error{
		"/": nil, "": nil, "/bin/true": nil, "abs": nil, "up/bin/./true": nil, "/../usr": nil, "bin/../bin/true": nil,
		"loop": syscall.ELOOP, "a": syscall.ELOOP, "dangling": nfsmount.ErrNotFound, "usr/bin/true/x": nfsmount.ErrNotDir,
		strings.Repeat("x", 300): errAny,
	} {
		_, err := fs.Stat(t.Context(), name)
		if errors.Is(want, errAny) && err != nil {
			continue
		}
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
	}
	if _, err := fs.ReadFile(t.Context(), "/usr", 10); !errors.Is(err, nfsmount.ErrIsDir) {
		t.Errorf("reading a directory: %v", err)
	}
	if _, err := fs.ReadFile(t.Context(), "/null", 10); !errors.Is(err, nfsmount.ErrNotRegular) {
		t.Errorf("reading a device: %v", err)
	}
	if _, err := fs.ReadDir(t.Context(), "/bin/true"); !errors.Is(err, nfsmount.ErrNotDir) {
		t.Errorf("listing a file: %v", err)
	}
}

var errAny = errors.New("any")

func TestWriteReadList(t *testing.T) {
	t.Parallel()
	fs := mount(t, "127.77.7.2", tar.Header{Name: "d", Typeflag: tar.TypeDir})
	big := bytes.Repeat([]byte("0123456789"), 20_000)
	for _, data := range [][]byte{big, []byte("short"), nil} {
		if err := fs.WriteFile(t.Context(), "/d/file", data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := fs.ReadFile(t.Context(), "/d/file", 1<<20)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("read back %d bytes of %d, %v", len(got), len(data), err)
		}
	}
	for i := range 500 {
		if err := fs.WriteFile(t.Context(), fmt.Sprintf("/d/%s-%d", strings.Repeat("n", 100), i), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := fs.ReadDir(t.Context(), "/d")
	if err != nil || len(list) != 501 {
		t.Errorf("%d entries, %v", len(list), err)
	}
	if err := fs.Unmount(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestBadServer talks to servers that answer nonsense.
func TestBadServer(t *testing.T) {
	t.Parallel()
	word := func(w ...uint32) (p []byte) {
		for _, v := range w {
			p = binary.BigEndian.AppendUint32(p, v)
		}
		return p
	}
	for name, answer := range map[string][]byte{
		"too long":    word(1<<31 | 64<<20),
		"empty":       word(1 << 31),
		"other call":  word(1<<31|24, 7, 1, 0, 0, 0, 0),
		"just closes": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var lc net.ListenConfig
			l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = c.Read(make([]byte, 1000))
					_, _ = c.Write(answer)
					_ = c.Close()
				}
			}()
			port := uint16(l.Addr().(*net.TCPAddr).Port)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err = nfsmount.Mount(ctx, nfsmount.Config{Local: loopback, Server: loopback, Port: port, MountPort: port, Path: "/x"})
			if err == nil || ctx.Err() != nil {
				t.Errorf("mounted: %v", err)
			}
		})
	}
}
