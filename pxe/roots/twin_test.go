package roots

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"caddyshack/pxe/images"
	"caddyshack/pxe/tftpd"
)

// plainTrees keeps trees as plain files, without owners.
type plainTrees struct{}

func (plainTrees) CreateTree(dir string) (Importer, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	r, err := os.OpenRoot(dir)
	return &plainTree{r}, err
}

func (plainTrees) OpenTree(dir string) (Tree, error) {
	r, err := os.OpenRoot(dir)
	return &plainTree{r}, err
}

type plainTree struct{ root *os.Root }

// direct fails for names that lead through a symbolic link.
func (t *plainTree) direct(name string) error {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		fi, err := t.root.Lstat(dir)
		if err != nil {
			return err
		}
		if !fi.IsDir() {
			return &fs.PathError{Op: "walk", Path: name, Err: fs.ErrNotExist}
		}
	}
	return nil
}

func (t *plainTree) Add(h *tar.Header, r io.Reader) error {
	if err := t.root.MkdirAll(path.Dir(h.Name), 0o755); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeDir {
		return t.root.MkdirAll(h.Name, 0o755)
	}
	_ = t.root.Remove(h.Name)
	switch h.Typeflag {
	case tar.TypeReg:
		f, err := t.root.Create(h.Name)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close(), t.root.Chtimes(h.Name, h.ModTime, h.ModTime))
	case tar.TypeSymlink:
		return t.root.Symlink(h.Linkname, h.Name)
	case tar.TypeLink:
		return t.root.Link(h.Linkname, h.Name)
	}
	return t.root.WriteFile(h.Name, fmt.Appendf(nil, "device %d:%d", h.Devmajor, h.Devminor), 0o644)
}

func (t *plainTree) Stat(name string) (fs.FileInfo, error) {
	if err := t.direct(name); err != nil {
		return nil, err
	}
	return t.root.Lstat(name)
}

func (t *plainTree) ReadDir(name string) ([]fs.FileInfo, error) {
	if fi, err := t.Stat(name); err != nil || !fi.IsDir() {
		return nil, errors.Join(err, fs.ErrNotExist)
	}
	list, err := fs.ReadDir(t.root.FS(), name)
	var infos []fs.FileInfo
	for _, e := range list {
		fi, err := e.Info()
		if err != nil {
			return nil, err
		}
		infos = append(infos, fi)
	}
	return infos, err
}

func (t *plainTree) Open(name string) (io.ReadCloser, error) {
	if fi, err := t.Stat(name); err != nil || !fi.Mode().IsRegular() {
		return nil, errors.Join(err, fs.ErrInvalid)
	}
	return t.root.Open(name)
}

func (t *plainTree) WriteFile(name string, data []byte, mode fs.FileMode, _ Owner) error {
	if err := t.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if err := t.direct(name); err != nil {
		return err
	}
	_ = t.root.Remove(name)
	return t.root.WriteFile(name, data, mode)
}

func (t *plainTree) Mkdir(name string, mode fs.FileMode, _ Owner) error {
	if fi, err := t.Stat(name); err == nil && fi.IsDir() {
		return nil
	}
	return errors.Join(t.direct(name), t.root.Mkdir(name, mode))
}

func (t *plainTree) Symlink(name, target string) error {
	_ = t.root.Remove(name)
	return errors.Join(t.direct(name), t.root.Symlink(target, name))
}

func (t *plainTree) Remove(name string) error { return t.root.Remove(name) }
func (t *plainTree) Abort() error             { return t.root.Close() }
func (t *plainTree) Close() error             { return t.root.Close() }

// world is what a manager serves through, and what outlives its process.
type world struct {
	dir    string
	image  images.Image
	rescue images.Image // of rescue roots, where a test has them

	mu      sync.Mutex
	exports map[string]Export
	boot    map[string]tftpd.Tree
	fail    error // of OpenExport
}

func (w *world) OpenExport(_ context.Context, e Export) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail == nil {
		w.exports[e.NodeID] = e
	}
	return w.fail
}

func (w *world) CloseExport(_ context.Context, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.exports, id)
	return nil
}

func (w *world) Put(t tftpd.Tree) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.boot[t.ID] = t
	return nil
}

func (w *world) Remove(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.boot, id)
}

// restart loses what lives in memory.
func (w *world) restart() {
	w.exports, w.boot = map[string]Export{}, map[string]tftpd.Tree{}
}

const node1, node2 = "11111111-2222-3333-4444-555555555501", "11111111-2222-3333-4444-555555555502"

// entry is a file of a test image; link is set for symbolic links.
type entry struct{ name, body, link string }

// rootEntries is a root with all that is mended.
func rootEntries() []entry {
	return []entry{
		{name: "etc/os-release", body: "ID=test\n"},
		{name: "etc/hostname", body: "image\n"},
		{name: "etc/hosts", body: "127.0.0.1\tlocalhost\n127.0.1.1 image\n"},
		{name: "etc/fstab", body: "proc /proc proc defaults 0 0\n# /dev/mmcblk0p9 comment\nPARTUUID=1-02 / ext4 defaults 0 1\n/dev/mmcblk0p1 /boot/firmware vfat defaults 0 2\nLABEL=data /srv ext4 nofail 0 2\n/swapfile none swap sw 0 0\n"},
		{name: "etc/machine-id", body: "0123456789abcdef0123456789abcdef\n"},
		{name: "etc/ssh/ssh_host_ed25519_key", body: "secret"},
		{name: "etc/ssh/ssh_host_ed25519_key.pub", body: "public"},
		{name: "etc/ssh/sshd_config", body: "x"},
		{name: "var/lib/dbus/machine-id", link: "/etc/machine-id"},
		{name: "boot/firmware/kernel8.img", body: "kernel"},
		{name: "boot/firmware/start4.elf", body: "firmware"},
		{name: "boot/firmware/config.txt", body: "cmdline=mine.txt\ndtparam=audio=on"},
		{name: "boot/firmware/cmdline.txt", body: "root=/dev/mmcblk0p2"},
		{name: "boot/firmware/overlays/gpio-shutdown.dtbo", body: "dtbo"},
		{name: "boot/firmware/evil", link: "/etc/shadow"},
	}
}

// imageOf writes an archive with the entries.
func imageOf(t testing.TB, entries []entry) images.Image {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: "./" + e.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(e.body))}
		if e.link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	img := images.Image{Path: filepath.Join(t.TempDir(), "image.tar"), Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(b.Len())}
	if err := os.WriteFile(img.Path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return img
}

func newWorld(t testing.TB) *world {
	w := &world{dir: t.TempDir(), image: imageOf(t, rootEntries())}
	w.restart()
	return w
}

// manager is a fresh process on the same disk.
func (w *world) manager(t testing.TB) *Manager {
	t.Helper()
	m, err := Open(Config{Dir: w.dir, Trees: plainTrees{}, Exports: w, BootFiles: w, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (w *world) spec() Spec {
	return Spec{NodeID: node1, Generation: "deploy-1", Hostname: "caddy-1.example", Image: w.image}
}

// file reads a file of a node's root.
func (w *world) file(t testing.TB, id, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, "nodes", id, "root", "tree", name))
	if errors.Is(err, fs.ErrNotExist) {
		return "(none)"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// snapshot lists all that is on the disk, without time stamps and without the
// random parts of names.
func (w *world) snapshot(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(w.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(w.dir, p)
		if !d.Type().IsRegular() {
			fmt.Fprintln(&b, name, d.Type())
			return nil
		}
		data, err := os.ReadFile(p)
		if filepath.Base(p) == rootInfo || filepath.Base(p) == "machine-id" || strings.HasPrefix(filepath.Base(p), "ssh_host_") {
			data = nil // holds the time, or what is new each time
		}
		fmt.Fprintf(&b, "%s %q\n", name, data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
