package native

import (
	"container/list"
	"errors"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"caddyshack/pxe/nfsd/tree"
)

// noData stands for a descriptor that is not open.
const noData = -1

// file is an open inode: a descriptor with O_PATH, and one for data once that
// was needed. Of a file that was made here both are the same.
type file struct {
	id   tree.ID
	fd   int
	refs int           // users and the cache; guarded by cache.mu
	elem *list.Element // nil once out of the cache

	dataMu sync.Mutex
	data   int
}

// shut closes the descriptors. Data that matters was synced by COMMIT, so an
// error tells nothing.
func (f *file) shut() {
	_ = unix.Close(f.fd)
	if f.data != noData && f.data != f.fd {
		_ = unix.Close(f.data)
	}
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
	return c.insert(id, fd, noData), nil
}

// insert takes over the descriptors and returns the open inode of id, with a
// reference.
func (c *cache) insert(id tree.ID, fd, data int) *file {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := &file{id: id, fd: fd, refs: 2, data: data}
	if f := c.open[id]; f != nil { // another call was faster
		f.refs++
		c.lru.MoveToFront(f.elem)
		fresh.shut()
		return f
	}
	f := fresh
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
	if f.refs--; f.refs == 0 {
		f.shut()
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
func (f *file) content(t *Tree) (int, error) {
	f.dataMu.Lock()
	defer f.dataMu.Unlock()
	if f.data != noData {
		return f.data, nil
	}
	a, err := t.statAt(f.fd, "")
	switch {
	case err != nil:
		return noData, err
	case a.Type == tree.Directory:
		return noData, syscall.EISDIR
	case a.Type != tree.Regular:
		return noData, syscall.EINVAL
	}
	fd, err := t.open(f.id, unix.O_RDWR)
	if errors.Is(err, unix.EROFS) {
		fd, err = t.open(f.id, unix.O_RDONLY)
	}
	if err != nil {
		return noData, err
	}
	f.data = fd
	return fd, nil
}
