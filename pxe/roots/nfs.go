package roots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"caddyshack/pxe/nfsd"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/nfsd/tree"
	"caddyshack/pxe/nfsd/tree/paths"
	"caddyshack/pxe/nfsd/tree/quota"
)

// Server is what NFS asks of an NFS server; *nfsd.Server is one.
type Server interface {
	AddExport(ctx context.Context, e nfsd.Export) error
	RemoveExport(ctx context.Context, id string) error
}

// NFS keeps roots as the embedded NFS server serves them, and opens them there:
// it is both Trees and Exports. A tree can be open only once; NFS shares it
// between the server and the manager. Use NewNFS.
type NFS struct {
	// Unsynced leaves it to the kernel when the names and attributes that
	// nodes change reach the disk; see rootfs.OpenUnsynced.
	Unsynced bool

	server Server
	kind   rootfs.Kind

	mu      sync.Mutex
	trees   map[string]*sharedTree // by folder
	exports map[string]Export      // by node
}

// NewNFS returns an NFS that keeps trees of the given kind (rootfs.Auto is
// right for most) and serves them by server.
func NewNFS(server Server, kind rootfs.Kind) *NFS {
	return &NFS{server: server, kind: kind, trees: map[string]*sharedTree{}, exports: map[string]Export{}}
}

// sharedTree is an open tree and how many use it.
type sharedTree struct {
	root  *rootfs.Root
	users int
}

// CreateTree implements Trees.
func (n *NFS) CreateTree(dir string) (Importer, error) {
	// What may be unpacked was limited when the archive was read.
	return rootfs.Create(dir, n.kind, rootfs.Limits{Entries: math.MaxInt, Bytes: math.MaxInt64})
}

// OpenTree implements Trees.
func (n *NFS) OpenTree(dir string) (Tree, error) {
	h, err := n.acquire(dir, rootfs.Open)
	if err != nil {
		return nil, err
	}
	return &files{h}, nil
}

// handle is one use of a shared tree.
type handle struct {
	tree.Tree
	root  *rootfs.Root
	close func() error
}

// Close ends the use; the last one closes the tree.
func (h *handle) Close() error { return h.close() }

// acquire returns the open tree, or opens it.
func (n *NFS) acquire(dir string, open func(dir string) (*rootfs.Root, error)) (*handle, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.trees[dir]
	if s == nil {
		root, err := open(dir)
		if err != nil {
			return nil, err
		}
		s = &sharedTree{root: root}
		n.trees[dir] = s
	}
	s.users++
	return &handle{s.root, s.root, sync.OnceValue(func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		if s.users--; s.users > 0 {
			return nil
		}
		delete(n.trees, dir)
		return s.root.Close()
	})}, nil
}

// OpenExport implements Exports.
func (n *NFS) OpenExport(ctx context.Context, e Export) error {
	n.mu.Lock()
	old, open := n.exports[e.NodeID]
	n.mu.Unlock()
	if open && old == e {
		return nil
	}
	if open {
		if err := n.CloseExport(ctx, e.NodeID); err != nil {
			return err
		}
	}
	openTree := rootfs.Open
	if n.Unsynced {
		openTree = rootfs.OpenUnsynced
	}
	h, err := n.acquire(e.Dir, openTree)
	if err != nil {
		return err
	}
	var served tree.Tree = h
	if e.LimitBytes > 0 {
		served = quota.New(h, e.LimitBytes)
	}
	err = n.server.AddExport(ctx, nfsd.Export{ID: e.NodeID, Path: e.Path, Client: e.Client, Dir: e.Dir, Tree: served})
	if err != nil {
		return errors.Join(err, served.Close())
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.exports[e.NodeID] = e
	return nil
}

// CloseExport implements Exports.
func (n *NFS) CloseExport(ctx context.Context, nodeID string) error {
	if err := n.server.RemoveExport(ctx, nodeID); err != nil && !errors.Is(err, nfsd.ErrNoExport) {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.exports, nodeID)
	return nil
}

// files is a Tree on a tree of the NFS server.
type files struct{ *handle }

// find looks a name up. What cannot be reached does not exist.
func (f *files) find(name string) (tree.ID, tree.Attr, error) {
	id, a, err := paths.Find(f.Tree, name)
	if errors.Is(err, paths.ErrThroughLink) || errors.Is(err, syscall.ENOTDIR) {
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return id, a, err
}

func (f *files) Stat(name string) (fs.FileInfo, error) {
	_, a, err := f.find(name)
	if err != nil {
		return nil, err
	}
	return info{path.Base(name), a}, nil
}

// readDirChunk is how many entries are asked for at a time.
const readDirChunk = 1024

func (f *files) ReadDir(name string) ([]fs.FileInfo, error) {
	id, a, err := f.find(name)
	if err != nil {
		return nil, err
	}
	if a.Type != tree.Directory {
		return nil, fmt.Errorf("%q is not a folder: %w", name, fs.ErrNotExist)
	}
	var list []fs.FileInfo
	for cookie, eof := uint64(0), false; !eof; {
		var entries []tree.Entry
		if entries, eof, err = f.Tree.ReadDir(id, cookie, readDirChunk, true); err != nil {
			return nil, fmt.Errorf("listing %q: %w", name, err)
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			cookie = e.Cookie
			if e.Name != "." && e.Name != ".." && e.Attr.Type != 0 {
				list = append(list, info{e.Name, e.Attr})
			}
		}
	}
	slices.SortFunc(list, func(a, b fs.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

func (f *files) Open(name string) (io.ReadCloser, error) {
	id, a, err := f.find(name)
	if err != nil {
		return nil, err
	}
	if a.Type != tree.Regular {
		return nil, fmt.Errorf("%q is not a regular file", name)
	}
	return &reader{t: f.Tree, id: id}, nil
}

func (f *files) WriteFile(name string, data []byte, mode fs.FileMode, owner Owner) error {
	return f.root.WriteFile(name, data, uint32(mode.Perm()), owner.UID, owner.GID)
}

func (f *files) Mkdir(name string, mode fs.FileMode, owner Owner) error {
	_, err := f.create(name, tree.New{Type: tree.Directory, Mode: uint32(mode.Perm()), UID: owner.UID, GID: owner.GID})
	if errors.Is(err, syscall.EEXIST) {
		if fi, serr := f.Stat(name); serr == nil && fi.IsDir() {
			return nil
		}
	}
	return err
}

func (f *files) Symlink(name, target string) error {
	if err := f.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err := f.create(name, tree.New{Type: tree.Symlink, Mode: 0o777, Target: target})
	return err
}

// create makes an inode in a folder that exists.
func (f *files) create(name string, n tree.New) (tree.ID, error) {
	dir, _, err := f.find(path.Dir(name))
	if err != nil {
		return "", err
	}
	id, _, err := f.Create(dir, path.Base(name), n)
	if err != nil {
		return "", fmt.Errorf("making %q: %w", name, err)
	}
	return id, nil
}

func (f *files) Remove(name string) error {
	dir, _, err := f.find(path.Dir(name))
	if err != nil {
		return err
	}
	if err := f.Tree.Remove(dir, path.Base(name)); err != nil {
		return fmt.Errorf("removing %q: %w", name, err)
	}
	return nil
}

// reader reads a file from its start.
type reader struct {
	t   tree.Tree
	id  tree.ID
	off uint64
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, eof, err := r.t.Read(r.id, p, r.off)
	r.off += uint64(n)
	if err == nil && n == 0 && eof {
		err = io.EOF
	}
	return n, err
}

func (r *reader) Close() error { return nil }

// info shows the attributes of an entry as fs.FileInfo.
type info struct {
	name string
	a    tree.Attr
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return int64(i.a.Size) }
func (i info) ModTime() time.Time { return time.Unix(0, int64(i.a.Mtime)) }
func (i info) IsDir() bool        { return i.a.Type == tree.Directory }
func (i info) Sys() any           { return i.a }

func (i info) Mode() fs.FileMode {
	mode := fs.FileMode(i.a.Mode & 0o777)
	switch i.a.Type {
	case tree.Regular:
	case tree.Directory:
		mode |= fs.ModeDir
	case tree.Symlink:
		mode |= fs.ModeSymlink
	case tree.Char:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case tree.Block:
		mode |= fs.ModeDevice
	case tree.FIFO:
		mode |= fs.ModeNamedPipe
	case tree.Socket:
		mode |= fs.ModeSocket
	default:
		mode |= fs.ModeIrregular
	}
	return mode
}
