// Package rootfs makes and opens the root file system of a node, whichever
// kind of tree it is kept in.
package rootfs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"caddyshack/pxe/nfsd/tree"
	"caddyshack/pxe/nfsd/tree/native"
	"caddyshack/pxe/nfsd/tree/paths"
	"caddyshack/pxe/nfsd/tree/sidecar"
)

// Kind is a kind of tree.
type Kind string

// The kinds of trees.
const (
	// Auto tries Native and falls back to Sidecar.
	Auto Kind = ""
	// Native keeps real files and needs privileges; see package native.
	Native Kind = "native"
	// Sidecar needs no privileges; see package sidecar.
	Sidecar Kind = "sidecar"
)

// Limits bound what an archive may unpack to.
type Limits = paths.Limits

// Root is an open root file system.
type Root struct {
	tree.Tree
}

// maxFile is the largest file ReadFile returns, in bytes.
const maxFile = 16 << 20

// ReadFile returns a file of at most 16 MiB; no symbolic link is followed.
func (r *Root) ReadFile(path string) ([]byte, error) { return paths.ReadFile(r.Tree, path, maxFile) }

// WriteFile puts a file in place in one step and makes missing parents. A
// symbolic link in its place is replaced, one on the way to it is an error.
func (r *Root) WriteFile(path string, data []byte, mode, uid, gid uint32) error {
	return paths.WriteFile(r.Tree, path, data, mode, uid, gid)
}

// Open opens a finished root of either kind. A change of names or attributes
// is on stable storage before it is acknowledged, as RFC 1813 asks.
func Open(dir string) (*Root, error) { return open(dir, false) }

// OpenUnsynced is Open, but leaves it to the kernel when changes of names and
// attributes reach the disk, as NFS-Ganesha does: they survive a crash of the
// process but not a power cut. Data is safe after COMMIT in any case.
func OpenUnsynced(dir string) (*Root, error) { return open(dir, true) }

func open(dir string, noSync bool) (*Root, error) {
	if native.Is(dir) {
		t, err := native.Open(dir, native.Options{NoSync: noSync})
		if err != nil {
			return nil, err
		}
		return &Root{Tree: t}, nil
	}
	t, err := sidecar.Open(dir, sidecar.Options{NoSync: noSync})
	if err != nil {
		return nil, err
	}
	return &Root{Tree: t}, nil
}

// KindOf returns the kind of the finished root in dir, or Auto if there is
// none.
func KindOf(dir string) Kind {
	switch {
	case native.Is(dir):
		return Native
	case sidecar.Is(dir):
		return Sidecar
	}
	return Auto
}

// NativeFiles returns the folder with the files of the native root in dir, for
// another server to export.
func NativeFiles(dir string) string { return native.Files(dir) }

// Choose resolves Auto to the kind that works below the folder dir.
func Choose(dir string, kind Kind) Kind {
	if kind != Auto {
		return kind
	}
	if native.Works(dir) == nil {
		return Native
	}
	return Sidecar
}

// Importer makes a new root out of archives. Close makes it permanent; a
// folder that was not closed so is not a root, and Open refuses it.
type Importer struct {
	root   *Root
	dir    string
	im     *paths.Importer
	seal   func() error
	closed bool
}

// Create begins a new root in dir, which must be empty or not exist; its
// parent must exist.
func Create(dir string, kind Kind, limits Limits) (*Importer, error) {
	im := &Importer{dir: dir}
	switch Choose(filepath.Dir(dir), kind) {
	case Native:
		t, err := native.Create(dir, native.Options{})
		if err != nil {
			return nil, err
		}
		im.root, im.seal = &Root{Tree: t}, t.Seal
	case Sidecar:
		t, err := sidecar.Create(dir, sidecar.Options{})
		if err != nil {
			return nil, err
		}
		im.root, im.seal = &Root{Tree: t}, t.Seal
	default:
		return nil, fmt.Errorf("unknown kind of tree %q: use %q or %q", kind, Native, Sidecar)
	}
	im.im = paths.NewImporter(im.root.Tree, limits)
	return im, nil
}

// Add unpacks one entry of an archive. The error names the entry.
func (im *Importer) Add(h *tar.Header, r io.Reader) error { return im.im.Add(h, r) }

// AddAll unpacks a whole tar archive.
func (im *Importer) AddAll(r io.Reader) error { return im.im.AddAll(r) }

// WriteFile is Root.WriteFile.
func (im *Importer) WriteFile(path string, data []byte, mode, uid, gid uint32) error {
	return im.root.WriteFile(path, data, mode, uid, gid)
}

// ReadFile is Root.ReadFile.
func (im *Importer) ReadFile(path string) ([]byte, error) { return im.root.ReadFile(path) }

// Entries returns how many entries were unpacked.
func (im *Importer) Entries() int { return im.im.Entries() }

// Bytes returns the sum of the contents that were unpacked.
func (im *Importer) Bytes() int64 { return im.im.Bytes() }

// Close makes the root permanent, with everything on stable storage, and
// closes it.
func (im *Importer) Close() error {
	if im.closed {
		return nil
	}
	im.closed = true
	err := im.im.Finish()
	if err == nil {
		err = im.seal()
	}
	return errors.Join(err, im.root.Close())
}

// Abort throws away what was unpacked; after Close it does nothing.
func (im *Importer) Abort() error {
	if im.closed {
		return nil
	}
	im.closed = true
	return errors.Join(im.root.Close(), os.RemoveAll(im.dir))
}
