package native

import (
	"container/list"
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"caddyshack/pxe/nfsd/tree"
)

// file is an open inode: a descriptor with O_PATH, and one for data once that
// was needed.
type file struct {
	id   tree.ID
	fd   int
	refs int           // users and the cache; guarded by cache.mu
	elem *list.Element // nil once out of the cache

	dataMu sync.Mutex
	data   *os.File
}

// cache keeps the latest used inodes open. A removed inode must be dropped
// from it, since an open one keeps its space.
type cache struct {
	t    *Tree
	max  int
	mu   sync.Mutex
	open map[tree.ID]*file
	lru  list.List // of *file, the latest used in front
}

func (c *cache) init(t *Tree, limit int) {
	if limit == 0 {
		limit = 256
	}
	c.t, c.max, c.open = t, limit, make(map[tree.ID]*file)
}

// get returns the open inode of id; put gives it back.
func (c *cache) get(id tree.ID) (*file, error) {
	c.mu.Lock()
	if f := c.open[id]; f != nil {
		f.refs++
		c.lru.MoveToFront(f.elem)
		c.mu.Unlock()
		return f, nil
	}
	c.mu.Unlock()
	fd, err := c.t.open(id, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	return c.insert(id, fd), nil
}

// insert takes over fd and returns the open inode of id, with a reference.
func (c *cache) insert(id tree.ID, fd int) *file {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.open[id]; f != nil { // another call was faster
		f.refs++
		c.lru.MoveToFront(f.elem)
		_ = unix.Close(fd)
		return f
	}
	f := &file{id: id, fd: fd, refs: 2}
	c.open[id] = f
	f.elem = c.lru.PushFront(f)
	for c.lru.Len() > c.max {
		c.evict(c.lru.Back().Value.(*file))
	}
	return f
}

func (c *cache) evict(f *file) {
	c.lru.Remove(f.elem)
	f.elem = nil
	delete(c.open, f.id)
	c.unref(f)
}

func (c *cache) unref(f *file) {
	if f.refs--; f.refs > 0 {
		return
	}
	_ = unix.Close(f.fd)
	if f.data != nil {
		// Data that matters was synced by COMMIT, so an error tells nothing.
		_ = f.data.Close()
	}
}

func (c *cache) put(f *file) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unref(f)
}

// drop closes an inode that may be gone, once nobody uses it.
func (c *cache) drop(id tree.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.open[id]; f != nil {
		c.evict(f)
	}
}

func (c *cache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.lru.Len() > 0 {
		c.evict(c.lru.Back().Value.(*file))
	}
}

// content opens the inode for reading and writing; it must be a regular file,
// since opening a device or FIFO would act on the host.
func (f *file) content(t *Tree) (*os.File, error) {
	f.dataMu.Lock()
	defer f.dataMu.Unlock()
	if f.data != nil {
		return f.data, nil
	}
	a, err := t.statAt(f.fd, "")
	switch {
	case err != nil:
		return nil, err
	case a.Type == tree.Directory:
		return nil, syscall.EISDIR
	case a.Type != tree.Regular:
		return nil, syscall.EINVAL
	}
	fd, err := t.open(f.id, unix.O_RDWR)
	if errors.Is(err, unix.EROFS) {
		fd, err = t.open(f.id, unix.O_RDONLY)
	}
	if err != nil {
		return nil, err
	}
	f.data = os.NewFile(uintptr(fd), "content")
	return f.data, nil
}
