package native

import (
	"errors"
	"math"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"caddyshack/pxe/nfsd/tree"
)

// Root implements tree.Tree.
func (t *Tree) Root() tree.ID { return t.rootID }

// statAt reads the attributes of an entry, or of the open file fd if name is
// "".
func (t *Tree) statAt(fd int, name string) (tree.Attr, error) {
	var st unix.Stat_t
	flags := unix.AT_SYMLINK_NOFOLLOW
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	if err := unix.Fstatat(fd, name, &st, flags); err != nil {
		return tree.Attr{}, err
	}
	switch {
	case st.Nlink == 0:
		return tree.Attr{}, syscall.ESTALE
	case st.Dev != t.dev:
		return tree.Attr{}, syscall.EXDEV // something is mounted here on the host
	}
	a := tree.Attr{
		Mode: st.Mode & 0o7777, Nlink: uint32(min(st.Nlink, math.MaxUint32)), UID: st.Uid, GID: st.Gid,
		Size: uint64(st.Size), Used: uint64(st.Blocks) * 512, FSID: t.fsid, FileID: st.Ino,
		Atime: tree.Stamp(st.Atim.Nano()), Mtime: tree.Stamp(st.Mtim.Nano()), Ctime: tree.Stamp(st.Ctim.Nano()),
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		a.Type = tree.Regular
	case unix.S_IFDIR:
		a.Type = tree.Directory
	case unix.S_IFLNK:
		a.Type = tree.Symlink
	case unix.S_IFBLK:
		a.Type = tree.Block
	case unix.S_IFCHR:
		a.Type = tree.Char
	case unix.S_IFIFO:
		a.Type = tree.FIFO
	case unix.S_IFSOCK:
		a.Type = tree.Socket
	default:
		return a, syscall.EIO
	}
	if a.Type == tree.Block || a.Type == tree.Char {
		a.Major, a.Minor = unix.Major(st.Rdev), unix.Minor(st.Rdev)
	}
	return a, nil
}

// Attr implements tree.Tree.
func (t *Tree) Attr(id tree.ID) (tree.Attr, error) {
	f, err := t.files.get(id)
	if err != nil {
		return tree.Attr{}, err
	}
	defer t.files.put(f)
	return t.statAt(f.fd, "")
}

// directory opens a directory, for what the kernel would not refuse on
// anything else.
func (t *Tree) directory(id tree.ID) (*file, error) {
	f, err := t.files.get(id)
	if err != nil {
		return nil, err
	}
	a, err := t.statAt(f.fd, "")
	if err == nil && a.Type != tree.Directory {
		err = syscall.ENOTDIR
	}
	if err != nil {
		t.files.put(f)
		return nil, err
	}
	return f, nil
}

// Lookup implements tree.Tree.
func (t *Tree) Lookup(dir tree.ID, name string) (tree.ID, tree.Attr, error) {
	d, err := t.files.get(dir)
	if err != nil {
		return "", tree.Attr{}, err
	}
	defer t.files.put(d)
	if name == "." || name == ".." && dir == t.rootID {
		a, err := t.statAt(d.fd, "")
		if err == nil && a.Type != tree.Directory {
			err = syscall.ENOTDIR
		}
		return dir, a, err
	}
	if name != ".." {
		if err := tree.CheckName(name); err != nil {
			return "", tree.Attr{}, err
		}
	}
	return t.child(d, name)
}

// child finds an entry. Its ID and its attributes are asked for by name, one
// after the other, which is cheaper than opening it; that both are of one inode
// is seen by its number, where the ID tells it.
func (t *Tree) child(d *file, name string) (tree.ID, tree.Attr, error) {
	id, err := idOf(d.fd, name)
	if err != nil {
		return "", tree.Attr{}, err
	}
	a, err := t.statAt(d.fd, name)
	if err == nil && numberIn(id) == uint32(a.FileID) {
		return id, a, nil
	}
	if err != nil && !errors.Is(err, syscall.ESTALE) {
		return "", tree.Attr{}, err
	}
	f, a, err := t.openChild(d, name)
	if err != nil {
		return "", a, err
	}
	defer t.files.put(f)
	return f.id, a, nil
}

// openChild opens an entry; the caller puts it back.
func (t *Tree) openChild(d *file, name string) (*file, tree.Attr, error) {
	fd, err := unix.Openat(d.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, tree.Attr{}, err
	}
	f, a, err := t.adopt(fd, noData)
	if errors.Is(err, syscall.ESTALE) {
		err = syscall.ENOENT // removed a moment ago
	}
	return f, a, err
}

// adopt takes over the descriptor of an inode; data is one for its contents,
// which may be the same, or noData. The caller puts the file back.
func (t *Tree) adopt(fd, data int) (*file, tree.Attr, error) {
	a, err := t.statAt(fd, "")
	var id tree.ID
	if err == nil {
		id, err = idOf(fd, "")
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, a, err
	}
	return t.files.insert(id, fd, data), a, nil
}

// Readlink implements tree.Tree.
func (t *Tree) Readlink(id tree.ID) (string, error) {
	f, err := t.files.get(id)
	if err != nil {
		return "", err
	}
	defer t.files.put(f)
	a, err := t.statAt(f.fd, "")
	if err != nil {
		return "", err
	}
	if a.Type != tree.Symlink {
		return "", syscall.EINVAL
	}
	buf := make([]byte, tree.MaxTarget+1)
	n, err := unix.Readlinkat(f.fd, "", buf)
	return string(buf[:max(n, 0)]), err
}

// ReadDir implements tree.Tree; a cookie is the d_off of the host.
func (t *Tree) ReadDir(id tree.ID, cookie uint64, limit int, full bool) ([]tree.Entry, bool, error) {
	d, err := t.directory(id)
	if err != nil {
		return nil, false, err
	}
	defer t.files.put(d)
	fd, err := unix.Openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = unix.Close(fd) }()
	if cookie > math.MaxInt64 {
		return nil, true, nil
	}
	if cookie != 0 {
		if _, err := unix.Seek(fd, int64(cookie), unix.SEEK_SET); err != nil {
			return nil, false, err
		}
	}
	var out []tree.Entry
	buf := make([]byte, min(max(limit*40, 1024), 64<<10))
	for len(out) < limit {
		n, err := unix.Getdents(fd, buf)
		if err != nil {
			return nil, false, err
		}
		if n == 0 {
			return out, true, nil
		}
		for b := buf[:n]; len(b) > 0 && len(out) < limit; {
			e, size := parseDirent(b)
			b = b[size:]
			if full {
				t.fill(d, id, &e)
			}
			if e.Name == ".." && id == t.rootID {
				e.FileID = t.rootIno // what is above the root is nobody's business
			}
			out = append(out, e)
		}
	}
	return out, false, nil
}

// fill sets ID and Attr of an entry, or leaves them zero if it is gone.
func (t *Tree) fill(d *file, dir tree.ID, e *tree.Entry) {
	name := e.Name
	if name == ".." && dir == t.rootID {
		name = "."
	}
	a, err := t.statAt(d.fd, name)
	if err != nil {
		return
	}
	if e.ID, err = idOf(d.fd, name); err == nil {
		e.Attr = a
	}
}

// parseDirent reads one struct linux_dirent64 and returns its length.
func parseDirent(b []byte) (tree.Entry, int) {
	d := (*unix.Dirent)(unsafe.Pointer(&b[0]))
	name := b[unsafe.Offsetof(d.Name):d.Reclen]
	for i, c := range name {
		if c == 0 {
			name = name[:i]
			break
		}
	}
	return tree.Entry{Name: string(name), FileID: d.Ino, Cookie: uint64(d.Off)}, int(d.Reclen)
}

// content opens the data of a regular file; the caller puts back the file.
func (t *Tree) content(id tree.ID) (*file, int, error) {
	f, err := t.files.get(id)
	if err != nil {
		return nil, noData, err
	}
	data, err := f.content(t)
	if err != nil {
		t.files.put(f)
		return nil, noData, err
	}
	return f, data, nil
}

// Read implements tree.Tree.
func (t *Tree) Read(id tree.ID, p []byte, off uint64) (n int, eof bool, err error) {
	f, data, err := t.content(id)
	if err != nil {
		return 0, false, err
	}
	defer t.files.put(f)
	if off > math.MaxInt64-uint64(len(p)) {
		return 0, true, nil
	}
	for n < len(p) {
		m, err := unix.Pread(data, p[n:], int64(off)+int64(n))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return n, false, err
		case m == 0:
			return n, true, nil
		default:
			n += m
		}
	}
	return n, false, nil
}

// Write implements tree.Tree.
func (t *Tree) Write(id tree.ID, p []byte, off uint64, sync tree.Sync) error {
	f, data, err := t.content(id)
	if err != nil {
		return err
	}
	defer t.files.put(f)
	if off > math.MaxInt64-uint64(len(p)) {
		return syscall.EFBIG
	}
	for n := 0; n < len(p); {
		m, err := unix.Pwrite(data, p[n:], int64(off)+int64(n))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case m == 0:
			return syscall.EIO
		default:
			n += m
		}
	}
	if sync == tree.Unstable {
		return nil
	}
	return unix.Fdatasync(data)
}

// Commit implements tree.Tree.
func (t *Tree) Commit(id tree.ID) error {
	f, data, err := t.content(id)
	if err != nil {
		return err
	}
	defer t.files.put(f)
	return unix.Fdatasync(data)
}

// StatFS implements tree.Tree.
func (t *Tree) StatFS() (tree.Stat, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(t.root.Fd()), &st); err != nil {
		return tree.Stat{}, err
	}
	size := uint64(st.Bsize)
	return tree.Stat{
		TotalBytes: st.Blocks * size, FreeBytes: st.Bfree * size, AvailBytes: st.Bavail * size,
		TotalFiles: st.Files, FreeFiles: st.Ffree, AvailFiles: st.Ffree,
	}, nil
}
