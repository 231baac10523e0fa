package sidecar

import (
	"encoding/binary"
	"math"
	"syscall"

	"golang.org/x/sys/unix"

	"caddyshack/pxe/nfsd/tree"
)

// dirSize is the size shown for every directory, in bytes.
const dirSize = 4096

// Root implements tree.Tree.
func (t *Tree) Root() tree.ID { return t.makeID(rootIno) }

// inode finds the inode of an ID. The caller holds mu.
func (t *Tree) inode(id tree.ID) (uint64, *inode, error) {
	ino, err := t.number(id)
	if err != nil {
		return 0, nil, err
	}
	n := t.state.inodes[ino]
	if n == nil || t.closed {
		return 0, nil, syscall.ESTALE
	}
	return ino, n, nil
}

func (t *Tree) directory(id tree.ID) (uint64, *inode, error) {
	ino, n, err := t.inode(id)
	if err == nil && n.typ != tree.Directory {
		err = syscall.ENOTDIR
	}
	return ino, n, err
}

func (t *Tree) regular(id tree.ID) (uint64, *inode, error) {
	ino, n, err := t.inode(id)
	switch {
	case err != nil:
	case n.typ == tree.Directory:
		err = syscall.EISDIR
	case n.typ != tree.Regular:
		err = syscall.EINVAL
	}
	return ino, n, err
}

// attr builds the attributes of an inode. The caller holds mu.
func (t *Tree) attr(ino uint64, n *inode) (tree.Attr, error) {
	a := tree.Attr{
		Type: n.typ, Mode: n.mode, Nlink: n.nlink, UID: n.uid, GID: n.gid,
		FSID: binary.BigEndian.Uint64(t.id[:]), FileID: ino, Ctime: n.ctime,
	}
	if n.typ == tree.Regular {
		return a, t.data.stat(ino, &a)
	}
	r := n.rest
	a.Atime, a.Mtime, a.Major, a.Minor = r.atime, r.mtime, r.major, r.minor
	switch n.typ {
	case tree.Directory:
		a.Size, a.Used = dirSize, dirSize
	case tree.Symlink:
		a.Size = uint64(len(r.target))
	}
	return a, nil
}

// Attr implements tree.Tree.
func (t *Tree) Attr(id tree.ID) (tree.Attr, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	ino, n, err := t.inode(id)
	if err != nil {
		return tree.Attr{}, err
	}
	return t.attr(ino, n)
}

// Lookup implements tree.Tree.
func (t *Tree) Lookup(dir tree.ID, name string) (tree.ID, tree.Attr, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	dirIno, d, err := t.directory(dir)
	if err != nil {
		return "", tree.Attr{}, err
	}
	ino := dirIno
	switch name {
	case ".":
	case "..":
		ino = d.rest.parent
	default:
		if len(name) > tree.MaxName {
			return "", tree.Attr{}, syscall.ENAMETOOLONG
		}
		var ok bool
		if ino, ok = d.rest.dir.get(name); !ok || name == "" {
			return "", tree.Attr{}, syscall.ENOENT
		}
	}
	a, err := t.attr(ino, t.state.inodes[ino])
	return t.makeID(ino), a, err
}

// Readlink implements tree.Tree.
func (t *Tree) Readlink(id tree.ID) (string, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	_, n, err := t.inode(id)
	if err != nil {
		return "", err
	}
	if n.typ != tree.Symlink {
		return "", syscall.EINVAL
	}
	return n.rest.target, nil
}

// ReadDir implements tree.Tree.
func (t *Tree) ReadDir(id tree.ID, cookie uint64, limit int, full bool) ([]tree.Entry, bool, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	ino, d, err := t.directory(id)
	if err != nil {
		return nil, false, err
	}
	var out []tree.Entry
	add := func(name string, ino, cookie uint64) error {
		e := tree.Entry{Name: name, FileID: ino, Cookie: cookie}
		if full {
			e.ID = t.makeID(ino)
			var err error
			if e.Attr, err = t.attr(ino, t.state.inodes[ino]); err != nil {
				return err
			}
		}
		out = append(out, e)
		return nil
	}
	if cookie < cookieSelf {
		if err := add(".", ino, cookieSelf); err != nil {
			return nil, false, err
		}
	}
	if cookie < cookieParent {
		if err := add("..", d.rest.parent, cookieParent); err != nil {
			return nil, false, err
		}
	}
	if cookie >= math.MaxUint64-1 {
		return nil, true, nil
	}
	list := d.rest.dir.list
	i := d.rest.dir.after(cookie)
	for ; i < len(list) && len(out) < limit; i++ {
		if list[i].name == "" {
			continue
		}
		if err := add(list[i].name, list[i].ino, list[i].cookie); err != nil {
			return nil, false, err
		}
	}
	return out, i == len(list), nil
}

// Read implements tree.Tree.
func (t *Tree) Read(id tree.ID, p []byte, off uint64) (int, bool, error) {
	f, err := t.content(id)
	if err != nil {
		return 0, false, err
	}
	defer t.data.put(f)
	if off > math.MaxInt64-uint64(len(p)) {
		return 0, true, nil
	}
	n, eof, err := readFull(f, p, int64(off))
	return n, eof, errno(err)
}

// content opens the data of a regular file.
func (t *Tree) content(id tree.ID) (*dataFile, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	ino, _, err := t.regular(id)
	if err != nil {
		return nil, err
	}
	return t.data.get(ino)
}

// Write implements tree.Tree.
func (t *Tree) Write(id tree.ID, p []byte, off uint64, sync tree.Sync) error {
	f, err := t.content(id)
	if err != nil {
		return err
	}
	defer t.data.put(f)
	if off > math.MaxInt64-uint64(len(p)) {
		return syscall.EFBIG
	}
	if _, err := f.WriteAt(p, int64(off)); err != nil {
		return errno(err)
	}
	if sync == tree.Unstable {
		return nil
	}
	return unix.Fdatasync(int(f.Fd()))
}

// Commit implements tree.Tree.
func (t *Tree) Commit(id tree.ID) error {
	f, err := t.content(id)
	if err != nil {
		return err
	}
	defer t.data.put(f)
	return unix.Fdatasync(int(f.Fd()))
}

// StatFS implements tree.Tree.
func (t *Tree) StatFS() (tree.Stat, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(t.data.root.Fd()), &st); err != nil {
		return tree.Stat{}, err
	}
	size := uint64(st.Bsize)
	return tree.Stat{
		TotalBytes: st.Blocks * size, FreeBytes: st.Bfree * size, AvailBytes: st.Bavail * size,
		TotalFiles: st.Files, FreeFiles: st.Ffree, AvailFiles: st.Ffree,
	}, nil
}
