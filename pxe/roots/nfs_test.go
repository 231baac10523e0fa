package roots

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"caddyshack/pxe/images"
	"caddyshack/pxe/nfsd"
	"caddyshack/pxe/nfsd/nfstest"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/nfsd/tree/native"
	"caddyshack/pxe/tftpd"
)

// served is a manager on the embedded servers.
type served struct {
	*Manager
	nfs  *nfsd.Server
	tftp *tftpd.Trees
}

// serve starts a server and a manager in dir, until the test ends or stop is
// called.
func serve(t *testing.T, dir string) (s *served, stop func()) {
	t.Helper()
	return serveKind(t, dir, rootfs.Sidecar)
}

func serveKind(t *testing.T, dir string, kind rootfs.Kind) (s *served, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	server := &nfsd.Server{Addr: "127.0.0.1:0", StateDir: dir}
	if err := server.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		done <- nil
	}
	t.Cleanup(stop)
	trees, err := tftpd.NewTrees(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = trees.Close() })
	nfs := NewNFS(server, kind)
	m, err := Open(Config{Dir: dir, Trees: nfs, Exports: nfs, BootFiles: trees, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	return &served{m, server, trees}, stop
}

// specialImage has what only root could unpack.
func specialImage(t *testing.T) images.Image {
	t.Helper()
	img := imageOf(t, append(rootEntries(), entry{name: "bin/su", body: "x"}))
	b, err := os.ReadFile(img.Path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r, w := tar.NewReader(bytes.NewReader(b)), tar.NewWriter(&out)
	add := func(h *tar.Header, body io.Reader) {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, body); err != nil {
			t.Fatal(err)
		}
	}
	for {
		h, err := r.Next()
		if err != nil {
			break
		}
		if h.Name == "./bin/su" {
			h.Mode, h.Uid, h.Gid = 0o4751, 0, 42
		}
		add(h, r)
	}
	add(&tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3}, bytes.NewReader(nil))
	add(&tar.Header{Name: "bin/doas", Typeflag: tar.TypeLink, Linkname: "bin/su"}, bytes.NewReader(nil))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(img.Path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return img
}

// walk looks a path up.
func walk(t *testing.T, c *nfstest.Client, root nfstest.Handle, names ...string) (nfstest.Handle, nfstest.Attr) {
	t.Helper()
	var a nfstest.Attr
	for _, n := range names {
		var err error
		if root, a, err = c.Lookup(t.Context(), root, n); err != nil {
			t.Fatalf("%q of %q: %v", n, names, err)
		}
	}
	return root, a
}

func dial(t *testing.T, s *served, from string) *nfstest.Client {
	t.Helper()
	c, err := nfstest.Dial(t.Context(), s.nfs.BoundAddr().String(), netip.MustParseAddr(from))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestNFSServesTheRootToItsNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, stop := serve(t, dir)
	spec := Spec{NodeID: node1, Generation: "1", Hostname: "caddy-1", Image: specialImage(t)}
	create(t, s.Manager, spec)
	boot := bootSpec(node1)
	boot.Client = netip.MustParseAddr("127.77.5.1")
	if err := s.Publish(t.Context(), boot); err != nil {
		t.Fatal(err)
	}

	c := dial(t, s, "127.77.5.1")
	root, err := c.Mount(t.Context(), "/nodes/"+node1)
	if err != nil {
		t.Fatal(err)
	}
	h, _ := walk(t, c, root, "etc", "hostname")
	if b, _, err := c.Read(t.Context(), h, 0, 100); err != nil || string(b) != "caddy-1\n" {
		t.Errorf("hostname: %q, %v", b, err)
	}
	if _, a := walk(t, c, root, "bin", "doas"); a.Mode != 0o4751 || a.GID != 42 || a.Nlink != 2 {
		t.Errorf("set-id file is %+v", a)
	}
	if _, a := walk(t, c, root, "dev", "null"); a.Major != 1 || a.Minor != 3 {
		t.Errorf("device is %+v", a)
	}
	other := dial(t, s, "127.77.5.2")
	if _, err := other.Mount(t.Context(), "/nodes/"+node1); err == nil {
		t.Error("another address may mount the root")
	}
	if _, _, err := other.Lookup(t.Context(), root, "etc"); err == nil {
		t.Error("another address may use a handle")
	}

	// The node upgrades its kernel while it runs; the next boot gets it.
	h, _ = walk(t, c, root, "boot", "firmware", "kernel8.img")
	if _, _, err := c.Write(t.Context(), h, 0, []byte("KERNEL v2"), 2); err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(t.Context(), boot); err != nil {
		t.Fatal(err)
	}
	f, err := s.tftp.Open(t.Context(), boot.Client, "abcd1234/kernel8.img")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f.Body)
	if err := errors.Join(err, f.Body.Close()); err != nil || string(b) != "KERNEL v2" {
		t.Errorf("kernel over TFTP: %q, %v", b, err)
	}

	// A restart: the handles of the node live on.
	stop()
	s, _ = serve(t, dir)
	if err := s.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	c = dial(t, s, "127.77.5.1")
	if b, _, err := c.Read(t.Context(), h, 0, 100); err != nil || string(b) != "KERNEL v2" {
		t.Errorf("after a restart: %q, %v", b, err)
	}
	if err := s.Unpublish(t.Context(), node1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Read(t.Context(), h, 0, 100); !errors.Is(err, nfstest.Stale) {
		t.Errorf("reading after Unpublish: %v", err)
	}
	if _, err := s.tftp.Open(t.Context(), boot.Client, "abcd1234/kernel8.img"); err == nil {
		t.Error("boot files are served after Unpublish")
	}
	if err := s.Remove(t.Context(), node1); err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(filepath.Join(dir, "nodes")); err != nil || len(list) != 0 {
		t.Errorf("after Remove: %v, %v", list, err)
	}
}

// A node is undeployed and deployed again: what its last tenant kept of the
// handles opens nothing, neither in between nor later, on either tree.
func TestNFSHandlesEndWithTheRoot(t *testing.T) {
	t.Parallel()
	kinds := []rootfs.Kind{rootfs.Sidecar}
	if native.Works(os.TempDir()) == nil {
		kinds = append(kinds, rootfs.Native)
	}
	for i, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s, _ := serveKind(t, t.TempDir(), kind)
			boot := bootSpec(node1)
			boot.Client = netip.AddrFrom4([4]byte{127, 77, 8, byte(i + 1)})
			deploy := func(generation string) (*nfstest.Client, nfstest.Handle) {
				t.Helper()
				create(t, s.Manager, Spec{NodeID: node1, Generation: generation, Hostname: "caddy-1", Image: imageOf(t, rootEntries())})
				if err := s.Publish(t.Context(), boot); err != nil {
					t.Fatal(err)
				}
				c := dial(t, s, boot.Client.String())
				root, err := c.Mount(t.Context(), "/nodes/"+node1)
				if err != nil {
					t.Fatal(err)
				}
				return c, root
			}
			c, root := deploy("1")
			file, _ := walk(t, c, root, "etc", "hostname")
			stale := func(when string) {
				t.Helper()
				c := dial(t, s, boot.Client.String())
				for _, h := range []nfstest.Handle{root, file} {
					if _, err := c.GetAttr(t.Context(), h); !errors.Is(err, nfstest.Stale) {
						t.Errorf("a handle of the first root %s: %v", when, err)
					}
				}
			}
			if err := s.Remove(t.Context(), node1); err != nil {
				t.Fatal(err)
			}
			stale("while there is none")
			again, second := deploy("2")
			stale("beside the second")
			if h, _ := walk(t, again, second, "etc", "hostname"); bytes.Equal(h, file) {
				t.Error("both roots have the same handles")
			}
		})
	}
}

func TestNFSMovesAnExportToAnotherAddress(t *testing.T) {
	t.Parallel()
	s, _ := serve(t, t.TempDir())
	create(t, s.Manager, Spec{NodeID: node1, Generation: "1", Image: imageOf(t, rootEntries())})
	for _, from := range []string{"127.77.6.1", "127.77.6.2", "127.77.6.2"} {
		boot := bootSpec(node1)
		boot.Client = netip.MustParseAddr(from)
		if err := s.Publish(t.Context(), boot); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if _, err := dial(t, s, from).Mount(ctx, "/nodes/"+node1); err != nil {
			t.Errorf("from %s: %v", from, err)
		}
		cancel()
	}
	if _, err := dial(t, s, "127.77.6.1").Mount(t.Context(), "/nodes/"+node1); err == nil {
		t.Error("the old address still has access")
	}
}

func TestNFSTreeFollowsNoLink(t *testing.T) {
	t.Parallel()
	s, _ := serve(t, t.TempDir())
	create(t, s.Manager, Spec{NodeID: node1, Generation: "1", Hostname: "h", Image: imageOf(t, []entry{
		{name: "etc/hostname", link: "/etc/shadow"}, {name: "etc/ssh", link: "/etc"}, {name: "boot/kernel8.img", body: "k"},
		{name: "boot/firmware", link: ".."},
	})})
	boot := bootSpec(node1)
	boot.Client = netip.MustParseAddr("127.77.7.1")
	if err := s.Publish(t.Context(), boot); err != nil {
		t.Fatal(err)
	}
	c := dial(t, s, "127.77.7.1")
	root, err := c.Mount(t.Context(), "/nodes/"+node1)
	if err != nil {
		t.Fatal(err)
	}
	h, _ := walk(t, c, root, "etc", "hostname")
	if b, _, err := c.Read(t.Context(), h, 0, 100); err != nil || string(b) != "h\n" {
		t.Errorf("hostname: %q, %v", b, err)
	}
}
