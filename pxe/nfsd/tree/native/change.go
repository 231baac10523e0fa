package native

import (
	"errors"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"caddyshack/pxe/nfsd/tree"
)

// settle puts a change in a directory on stable storage.
func (t *Tree) settle(dir *file) error {
	if t.noSync {
		return nil
	}
	fd, err := unix.Openat(dir.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = unix.Fsync(fd)
	return errors.Join(err, unix.Close(fd))
}

// Create implements tree.Tree. An inode that is not root's gets its owner and
// mode after its name; until then, and after a crash in between, only root can
// use it.
func (t *Tree) Create(dir tree.ID, name string, n tree.New) (tree.ID, tree.Attr, error) {
	if err := tree.CheckName(name); err != nil {
		return "", tree.Attr{}, err
	}
	d, err := t.files.get(dir)
	if err != nil {
		return "", tree.Attr{}, err
	}
	defer t.files.put(d)
	f, a, err := t.make(d, name, &n)
	if err != nil {
		return "", tree.Attr{}, err
	}
	defer t.files.put(f)
	if set, differs := missing(&a, &n); differs {
		if err := t.set(f, n.Type, set); err != nil {
			return "", tree.Attr{}, errors.Join(err, undo(d.fd, name, n.Type))
		}
		if a, err = t.statAt(f.fd, ""); err != nil {
			return "", a, err
		}
	}
	return f.id, a, t.settle(d)
}

// make makes an inode and keeps it open; the caller puts it back.
func (t *Tree) make(d *file, name string, n *tree.New) (*file, tree.Attr, error) {
	fd, err := makeInode(d.fd, name, n)
	if err != nil {
		return nil, tree.Attr{}, err
	}
	var f *file
	var a tree.Attr
	if fd != noData {
		f, a, err = t.adopt(fd, fd)
	} else {
		f, a, err = t.openChild(d, name)
	}
	if err != nil {
		return nil, a, errors.Join(err, undo(d.fd, name, n.Type))
	}
	return f, a, nil
}

// missing is what an inode still needs to be as it is wanted.
func missing(a *tree.Attr, n *tree.New) (set tree.SetAttr, differs bool) {
	set = tree.SetAttr{Atime: n.Atime, Mtime: n.Mtime}
	if a.UID != n.UID || a.GID != n.GID {
		set.UID, set.GID = &n.UID, &n.GID
	}
	// A change of the owner takes set-id bits away.
	if a.Mode != n.Mode || set.UID != nil {
		set.Mode = &n.Mode
	}
	return set, set.UID != nil || set.Mode != nil || set.Atime != nil || set.Mtime != nil
}

// makeInode makes an inode of root's: at once as it is wanted, as far as the
// umask allows, if it is to be root's, else one that nobody can use yet. A
// regular file is open afterwards.
func makeInode(dirfd int, name string, n *tree.New) (fd int, err error) {
	mode := uint32(0)
	if n.UID == 0 {
		mode = n.Mode & 0o777
	}
	switch n.Type {
	case tree.Regular:
		return unix.Openat(dirfd, name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	case tree.Directory:
		return noData, unix.Mkdirat(dirfd, name, mode)
	case tree.Symlink:
		if n.Target == "" || len(n.Target) > tree.MaxTarget {
			return noData, syscall.ENAMETOOLONG
		}
		return noData, unix.Symlinkat(n.Target, dirfd, name)
	case tree.Block:
		return noData, unix.Mknodat(dirfd, name, unix.S_IFBLK, int(unix.Mkdev(n.Major, n.Minor)))
	case tree.Char:
		return noData, unix.Mknodat(dirfd, name, unix.S_IFCHR, int(unix.Mkdev(n.Major, n.Minor)))
	case tree.FIFO:
		return noData, unix.Mknodat(dirfd, name, unix.S_IFIFO, 0)
	case tree.Socket:
		return noData, unix.Mknodat(dirfd, name, unix.S_IFSOCK, 0)
	}
	return noData, syscall.EINVAL
}

func undo(dirfd int, name string, typ tree.Type) error {
	flags := 0
	if typ == tree.Directory {
		flags = unix.AT_REMOVEDIR
	}
	return unix.Unlinkat(dirfd, name, flags)
}

// SetAttr implements tree.Tree.
func (t *Tree) SetAttr(id tree.ID, set tree.SetAttr) error {
	f, err := t.files.get(id)
	if err != nil {
		return err
	}
	defer t.files.put(f)
	a, err := t.statAt(f.fd, "")
	if err != nil {
		return err
	}
	if set.Size != nil {
		if err := t.truncate(id, *set.Size); err != nil {
			return err
		}
	}
	if err := t.set(f, a.Type, set); err != nil || t.noSync || a.Type != tree.Regular && a.Type != tree.Directory {
		return err
	}
	if a.Type == tree.Directory {
		return t.settle(f)
	}
	data, err := f.content(t)
	if err != nil {
		return err
	}
	return unix.Fsync(data)
}

func (t *Tree) truncate(id tree.ID, size uint64) error {
	if size > 1<<63-1 {
		return syscall.EFBIG
	}
	f, data, err := t.content(id)
	if err != nil {
		return err
	}
	defer t.files.put(f)
	for {
		if err := unix.Ftruncate(data, int64(size)); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// set changes everything but the size, in the order in which one change does
// not undo another: owner, mode, times.
func (t *Tree) set(f *file, typ tree.Type, set tree.SetAttr) error {
	if set.UID != nil || set.GID != nil {
		uid, gid := -1, -1
		if set.UID != nil {
			uid = int(*set.UID)
		}
		if set.GID != nil {
			gid = int(*set.GID)
		}
		if err := unix.Fchownat(f.fd, "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
			return err
		}
	}
	if set.Mode != nil && typ != tree.Symlink { // Linux: links have no mode
		// The magic link leads to the inode itself, whatever its type.
		if err := unix.Chmod("/proc/self/fd/"+strconv.Itoa(f.fd), *set.Mode&0o7777); err != nil {
			return err
		}
	}
	if set.Atime == nil && set.Mtime == nil {
		return nil
	}
	ts := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	if set.Atime != nil {
		ts[0] = unix.NsecToTimespec(int64(*set.Atime))
	}
	if set.Mtime != nil {
		ts[1] = unix.NsecToTimespec(int64(*set.Mtime))
	}
	return unix.UtimesNanoAt(f.fd, "", ts[:], unix.AT_EMPTY_PATH)
}

// Link implements tree.Tree.
func (t *Tree) Link(id, dir tree.ID, name string) error {
	if err := tree.CheckName(name); err != nil {
		return err
	}
	d, err := t.files.get(dir)
	if err != nil {
		return err
	}
	defer t.files.put(d)
	f, err := t.files.get(id)
	if err != nil {
		return err
	}
	defer t.files.put(f)
	if a, err := t.statAt(f.fd, ""); err != nil {
		return err
	} else if a.Type == tree.Directory {
		return syscall.EPERM
	}
	if err := unix.Linkat(f.fd, "", d.fd, name, unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	return t.settle(d)
}

// Remove implements tree.Tree.
func (t *Tree) Remove(dir tree.ID, name string) error { return t.unlink(dir, name, 0) }

// Rmdir implements tree.Tree.
func (t *Tree) Rmdir(dir tree.ID, name string) error {
	return t.unlink(dir, name, unix.AT_REMOVEDIR)
}

func (t *Tree) unlink(dir tree.ID, name string, flags int) error {
	d, err := t.files.get(dir)
	if err != nil {
		return err
	}
	defer t.files.put(d)
	if errors.Is(tree.CheckName(name), syscall.EEXIST) { // "." and ".."
		return syscall.EINVAL
	}
	if err := tree.CheckName(name); err != nil {
		return err
	}
	victim, err := idOf(d.fd, name)
	if err != nil {
		return err
	}
	if err := unix.Unlinkat(d.fd, name, flags); err != nil {
		return err
	}
	t.files.drop(victim)
	return t.settle(d)
}

// Rename implements tree.Tree.
func (t *Tree) Rename(fromDir tree.ID, fromName string, toDir tree.ID, toName string) error {
	if err := errors.Join(tree.CheckName(fromName), tree.CheckName(toName)); err != nil {
		return err
	}
	from, err := t.files.get(fromDir)
	if err != nil {
		return err
	}
	defer t.files.put(from)
	to, err := t.files.get(toDir)
	if err != nil {
		return err
	}
	defer t.files.put(to)
	victim, _ := idOf(to.fd, toName) // "" if there is none
	if err := unix.Renameat(from.fd, fromName, to.fd, toName); err != nil {
		return err
	}
	if victim != "" {
		t.files.drop(victim)
	}
	if err := t.settle(to); err != nil || fromDir == toDir {
		return err
	}
	return t.settle(from)
}
