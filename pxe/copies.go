package pxe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"caddyshack/baremetal"
	"caddyshack/pxe/tftpd"
)

// Copies keeps the boot files of nodes whose roots are on another machine, so
// that TFTP serves them also while that machine is away. What is in service is
// whole and on stable storage. A folder per node:
//
//	tree.json   the tftpd.Tree in service
//	files/      what its paths name
//	new/        what is being fetched
type Copies struct {
	dir   string
	trees *tftpd.Trees

	mu    sync.Mutex
	nodes map[string]*sync.Mutex // one thing at a time with each
}

const (
	copiedTree  = "tree.json"
	copiedFiles = "files"
	copiedNew   = "new"
)

// OpenCopies serves what was copied before by trees, whose paths must be
// relative to dir. What cannot be served is logged, and fetched again.
func OpenCopies(dir string, trees *tftpd.Trees, log *slog.Logger) (*Copies, error) {
	c := &Copies{dir: dir, trees: trees, nodes: make(map[string]*sync.Mutex)}
	known, err := c.known()
	if err != nil {
		return nil, err
	}
	for _, id := range known {
		t, err := c.read(id)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its first copy was broken off
		}
		if err == nil {
			err = trees.Put(t)
		}
		if err != nil {
			log.Warn("serving copied boot files failed; they are fetched again from the operating-system server", "node", id, "err", err)
		}
	}
	return c, nil
}

func (c *Copies) known() ([]string, error) {
	list, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, fmt.Errorf("listing the copied boot files: %w", err)
	}
	var ids []string
	for _, e := range list {
		if baremetal.IsUUID(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

func (c *Copies) read(id string) (tftpd.Tree, error) {
	var t tftpd.Tree
	text, err := os.ReadFile(filepath.Join(c.dir, id, copiedTree))
	if err == nil {
		err = json.Unmarshal(text, &t)
	}
	return t, err
}

// lock waits until nothing else is done with the node's copies.
func (c *Copies) lock(id string) (unlock func(), err error) {
	if !baremetal.IsUUID(id) {
		return nil, baremetal.Errorf(baremetal.Invalid, "node id %q is not a uuid", id)
	}
	c.mu.Lock()
	m := c.nodes[id]
	if m == nil {
		m = new(sync.Mutex)
		c.nodes[id] = m
	}
	c.mu.Unlock()
	m.Lock()
	return m.Unlock, nil
}

// SyncAll brings the copies of all nodes up to date.
func (c *Copies) SyncAll(ctx context.Context, from OSServer) error {
	ids, err := c.known()
	if err != nil {
		return err
	}
	list, err := from.List(ctx)
	if err != nil {
		return err
	}
	for _, r := range list {
		if r.Published != nil && (r.Published.Client.IsValid() || !r.Published.Learn) {
			ids = append(ids, r.NodeID)
		}
	}
	slices.Sort(ids)
	var failures []error
	for _, id := range slices.Compact(ids) {
		if err := c.Sync(ctx, from, id); err != nil {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// Sync brings the copies of a node up to date and serves them; a node that is
// not exported has none.
func (c *Copies) Sync(ctx context.Context, from OSServer, id string) error {
	unlock, err := c.lock(id)
	if err != nil {
		return err
	}
	defer unlock()
	tree, err := from.BootTree(ctx, id)
	if baremetal.IsKind(err, baremetal.NotFound) {
		return c.remove(id)
	}
	if err == nil && tree.NodeID != id {
		err = fmt.Errorf("the operating-system server told those of %q", tree.NodeID)
	}
	if err == nil {
		err = c.sync(ctx, from, tree)
	}
	if err != nil {
		return fmt.Errorf("copying the boot files of node %s: %w", id, err)
	}
	return nil
}

func (c *Copies) sync(ctx context.Context, from OSServer, t BootTree) error {
	dir := filepath.Join(c.dir, t.NodeID)
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, copiedNew)), os.MkdirAll(filepath.Join(dir, copiedFiles), 0o750)); err != nil {
		return err
	}
	node, err := os.OpenRoot(dir) // whatever names the other side tells
	if err != nil {
		return err
	}
	defer node.Close() //nolint:errcheck // a folder
	out := tftpd.Tree{ID: t.NodeID, Client: t.Client, Prefixes: t.Prefixes, Files: make(map[string]tftpd.Content, len(t.Files))}
	var fresh []string
	for name, f := range t.Files {
		if clean, err := tftpd.CleanName(name); err != nil || clean != name {
			return fmt.Errorf("the operating-system server names a boot file %q", name)
		}
		if !f.Stored {
			out.Files[name] = tftpd.Content{Data: f.Data}
			continue
		}
		out.Files[name] = tftpd.Content{Path: path.Join(t.NodeID, copiedFiles, name)}
		if fi, err := node.Lstat(path.Join(copiedFiles, name)); err == nil && fi.Mode().IsRegular() && fi.Size() == f.Size && fi.ModTime().Equal(f.ModTime) {
			continue
		}
		if err := fetchBootFile(ctx, from, t.NodeID, name, f, node); err != nil {
			return err
		}
		fresh = append(fresh, name)
	}
	if err := place(node, fresh); err != nil {
		return err
	}
	text, err := json.Marshal(out)
	if err != nil {
		return err
	}
	if err := c.trees.Put(out); err != nil {
		return err
	}
	if err := writeWhole(node, copiedTree, text); err != nil {
		return err
	}
	return prune(filepath.Join(dir, copiedFiles), t.Files)
}

// fetchBootFile copies a file to the folder for new ones.
func fetchBootFile(ctx context.Context, from OSServer, id, name string, f BootFile, node *os.Root) (err error) {
	in, err := from.OpenBootFile(ctx, id, name)
	if err != nil {
		return err
	}
	defer in.Close()
	to := path.Join(copiedNew, name)
	if err := node.MkdirAll(path.Dir(to), 0o750); err != nil {
		return err
	}
	out, err := node.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(in, f.Size+1))
	if err == nil && n != f.Size {
		err = fmt.Errorf("boot file %q came with %d bytes, not %d; it is fetched again", name, n, f.Size)
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return node.Chtimes(to, f.ModTime, f.ModTime)
}

// place moves new files to the others once they are on stable storage.
func place(node *os.Root, names []string) error {
	if len(names) == 0 {
		return nil
	}
	dir, err := node.Open(copiedNew)
	if err != nil {
		return err
	}
	if err := errors.Join(unix.Syncfs(int(dir.Fd())), dir.Close()); err != nil {
		return err
	}
	for _, name := range names {
		to := path.Join(copiedFiles, name)
		if err := node.MkdirAll(path.Dir(to), 0o750); err != nil {
			return err
		}
		if err := node.Rename(path.Join(copiedNew, name), to); err != nil {
			return err
		}
	}
	return node.RemoveAll(copiedNew)
}

// writeWhole replaces a file in one step.
func writeWhole(root *os.Root, name string, data []byte) error {
	f, err := root.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return root.Rename(name+".new", name)
}

// prune deletes copies that are not served any more.
func prune(dir string, keep map[string]BootFile) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, p)
		if err != nil || keep[filepath.ToSlash(name)].Stored {
			return err
		}
		return os.Remove(p)
	})
}

// Remove ends the service of a node's boot files and deletes the copies.
func (c *Copies) Remove(id string) error {
	unlock, err := c.lock(id)
	if err != nil {
		return err
	}
	defer unlock()
	return c.remove(id)
}

func (c *Copies) remove(id string) error {
	c.trees.Remove(id)
	// What tells that it is served goes first.
	err := os.Remove(filepath.Join(c.dir, id, copiedTree))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err := errors.Join(err, os.RemoveAll(filepath.Join(c.dir, id))); err != nil {
		return fmt.Errorf("removing the copied boot files of node %s: %w", id, err)
	}
	return nil
}
