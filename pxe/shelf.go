package pxe

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"caddyshack/baremetal"
	"caddyshack/pxe/tftpd"
)

// Shelf holds the boot files of exported nodes for a TFTP server in another
// process. It implements roots.BootFiles.
type Shelf struct {
	root *os.Root

	mu    sync.Mutex
	trees map[string]tftpd.Tree
}

// NewShelf returns an empty shelf; dir is the folder that the paths of boot
// files are relative to.
func NewShelf(dir string) (*Shelf, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the folder of boot files: %w", err)
	}
	return &Shelf{root: root, trees: make(map[string]tftpd.Tree)}, nil
}

// Close gives back the folder.
func (s *Shelf) Close() error { return s.root.Close() }

// Put implements roots.BootFiles.
func (s *Shelf) Put(t tftpd.Tree) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trees[t.ID] = t
	return nil
}

// Remove implements roots.BootFiles.
func (s *Shelf) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.trees, id)
}

func (s *Shelf) get(id string) (tftpd.Tree, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.trees[id]
	if !ok {
		return t, baremetal.Errorf(baremetal.NotFound, "node %s is not exported here", id)
	}
	return t, nil
}

// Tree describes the boot files of a node.
func (s *Shelf) Tree(id string) (BootTree, error) {
	t, err := s.get(id)
	if err != nil {
		return BootTree{}, err
	}
	out := BootTree{NodeID: id, Client: t.Client, Prefixes: t.Prefixes, Files: make(map[string]BootFile, len(t.Files))}
	for name, c := range t.Files {
		if c.Path == "" {
			out.Files[name] = BootFile{Data: c.Data, Size: int64(len(c.Data))}
			continue
		}
		fi, err := s.root.Lstat(c.Path)
		if err != nil {
			return BootTree{}, fmt.Errorf("looking at the boot file %q of node %s: %w", name, id, err)
		}
		out.Files[name] = BootFile{Stored: true, Size: fi.Size(), ModTime: fi.ModTime()}
	}
	return out, nil
}

// Open reads a stored boot file of a node.
func (s *Shelf) Open(id, name string) (io.ReadCloser, error) {
	t, err := s.get(id)
	if err != nil {
		return nil, err
	}
	c, ok := t.Files[name]
	if !ok || c.Path == "" {
		return nil, baremetal.Errorf(baremetal.NotFound, "node %s has no stored boot file %q", id, name)
	}
	f, err := s.root.OpenFile(c.Path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, baremetal.Errorf(baremetal.NotFound, "the boot file %q of node %s is gone", name, id)
	}
	if err != nil {
		return nil, err
	}
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("the boot file %q of node %s is no regular file", name, id), err, f.Close())
	}
	return f, nil
}
