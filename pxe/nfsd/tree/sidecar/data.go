package sidecar

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"caddyshack/pxe/nfsd/tree"
)

// dataFiles is the folder of contents with a cache of open files.
type dataFiles struct {
	root *os.File
	path string
	max  int

	mu   sync.Mutex
	open map[uint64]*dataFile
	lru  list.List // of *dataFile, the latest used in front
}

// dataFile is an open content; refs counts the users and the cache.
type dataFile struct {
	*os.File
	ino  uint64
	refs int
	elem *list.Element // nil once out of the cache
}

func openData(path string, maxOpen int) (*dataFiles, error) {
	root, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &dataFiles{root: root, path: path, max: maxOpen, open: make(map[uint64]*dataFile)}, nil
}

func groupName(ino uint64) string { return strconv.FormatUint(ino>>8, 16) }

func dataName(ino uint64) string {
	return groupName(ino) + "/" + strconv.FormatUint(ino&0xff, 16)
}

// create makes the content of a new inode, empty.
func (d *dataFiles) create(ino uint64) error {
	f, err := d.openFile(ino, unix.O_CREAT|unix.O_TRUNC|unix.O_RDWR)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.insert(&dataFile{File: f, ino: ino, refs: 1})
	d.mu.Unlock()
	return nil
}

func (d *dataFiles) openFile(ino uint64, flags int) (*os.File, error) {
	flags |= unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(int(d.root.Fd()), dataName(ino), flags, 0o600)
	if errors.Is(err, unix.ENOENT) && flags&unix.O_CREAT != 0 {
		if err := unix.Mkdirat(int(d.root.Fd()), groupName(ino), 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, err
		}
		fd, err = unix.Openat(int(d.root.Fd()), dataName(ino), flags, 0o600)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), dataName(ino)), nil
}

// get opens the content of an existing inode. A missing file, which a power
// cut can leave of a file that was never committed, is made anew.
func (d *dataFiles) get(ino uint64) (*dataFile, error) {
	d.mu.Lock()
	if f := d.open[ino]; f != nil {
		f.refs++
		d.lru.MoveToFront(f.elem)
		d.mu.Unlock()
		return f, nil
	}
	d.mu.Unlock()
	file, err := d.openFile(ino, unix.O_RDWR|unix.O_CREAT)
	if errors.Is(err, unix.EROFS) {
		file, err = d.openFile(ino, unix.O_RDONLY)
	}
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.open[ino]; f != nil { // another call was faster
		f.refs++
		_ = file.Close()
		return f, nil
	}
	f := &dataFile{File: file, ino: ino, refs: 2}
	d.insert(f)
	return f, nil
}

// insert puts f in the cache and the least recently used file out of it. The
// caller holds mu.
func (d *dataFiles) insert(f *dataFile) {
	d.open[f.ino] = f
	f.elem = d.lru.PushFront(f)
	for d.lru.Len() > d.max {
		d.evict(d.lru.Back().Value.(*dataFile))
	}
}

func (d *dataFiles) evict(f *dataFile) {
	d.lru.Remove(f.elem)
	f.elem = nil
	delete(d.open, f.ino)
	d.unref(f)
}

func (d *dataFiles) put(f *dataFile) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unref(f)
}

func (d *dataFiles) unref(f *dataFile) {
	if f.refs--; f.refs == 0 {
		// Data that matters was synced by COMMIT, so an error here tells nothing.
		_ = f.Close()
	}
}

// stat fills in what the host knows about a regular file.
func (d *dataFiles) stat(ino uint64, a *tree.Attr) error {
	var st unix.Stat_t
	err := unix.Fstatat(int(d.root.Fd()), dataName(ino), &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		a.Atime, a.Mtime = a.Ctime, a.Ctime
		return nil
	}
	if err != nil {
		return err
	}
	a.Size = uint64(st.Size)
	a.Used = uint64(st.Blocks) * 512
	a.Atime = tree.Stamp(st.Atim.Nano())
	a.Mtime = tree.Stamp(st.Mtim.Nano())
	a.Ctime = max(a.Ctime, tree.Stamp(st.Ctim.Nano()))
	return nil
}

// setTimes sets time stamps of a content; nil leaves one as it is.
func (d *dataFiles) setTimes(ino uint64, atime, mtime *tree.Stamp) error {
	if atime == nil && mtime == nil {
		return nil
	}
	f, err := d.get(ino)
	if err != nil {
		return err
	}
	defer d.put(f)
	ts := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	if atime != nil {
		ts[0] = unix.NsecToTimespec(int64(*atime))
	}
	if mtime != nil {
		ts[1] = unix.NsecToTimespec(int64(*mtime))
	}
	return unix.UtimesNanoAt(int(d.root.Fd()), dataName(ino), ts[:], unix.AT_SYMLINK_NOFOLLOW)
}

// remove deletes the content of an inode that is gone.
func (d *dataFiles) remove(ino uint64) error {
	d.mu.Lock()
	if f := d.open[ino]; f != nil {
		d.evict(f)
	}
	d.mu.Unlock()
	err := unix.Unlinkat(int(d.root.Fd()), dataName(ino), 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// sweep deletes contents that keep does not know, and empty groups.
func (d *dataFiles) sweep(keep func(ino uint64) bool) error {
	groups, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, g := range groups {
		high, err := strconv.ParseUint(g.Name(), 16, 56)
		if err != nil {
			return fmt.Errorf("unexpected entry %q in %q", g.Name(), d.path)
		}
		files, err := os.ReadDir(d.path + "/" + g.Name())
		if err != nil {
			return err
		}
		for _, f := range files {
			low, err := strconv.ParseUint(f.Name(), 16, 8)
			if err != nil {
				return fmt.Errorf("unexpected entry %q in %q", f.Name(), d.path+"/"+g.Name())
			}
			if keep(high<<8 | low) {
				continue
			}
			if err := d.remove(high<<8 | low); err != nil {
				return err
			}
		}
		// Fails, as it should, on a group with files in it.
		_ = unix.Unlinkat(int(d.root.Fd()), g.Name(), unix.AT_REMOVEDIR)
	}
	return nil
}

func (d *dataFiles) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.lru.Len() > 0 {
		d.evict(d.lru.Back().Value.(*dataFile))
	}
	return d.root.Close()
}

// readFull reads until p is full or the file ends.
func readFull(f io.ReaderAt, p []byte, off int64) (n int, eof bool, err error) {
	n, err = f.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		return n, true, nil
	}
	return n, false, err
}

// errno strips the wrapping of the os package, whose texts name host paths.
func errno(err error) error {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return err
}
