package sidecar

import (
	"math"
	"syscall"

	"caddyshack/pxe/nfsd/tree"
)

// commit journals r and applies it. The caller holds mu and has checked that
// r is allowed; after unlocking it calls the returned function, which waits
// until r is safe.
func (t *Tree) commit(r *record, grows bool) (func() error, error) {
	if t.journal == nil { // being made: nothing is kept before Seal
		return func() error { return nil }, t.state.apply(r)
	}
	if err := t.journal.add(r.append(nil), grows); err != nil {
		return nil, errno(err)
	}
	if err := t.state.apply(r); err != nil {
		t.journal.fail(err)
		return nil, syscall.EIO
	}
	j, end := t.journal, t.journal.size
	t.maybeCompact()
	return func() error { return errno(j.flush(end)) }, nil
}

// change runs check under the lock, then journals and applies the record that
// it returns; a nil record means that there is nothing to do.
func (t *Tree) change(grows bool, check func() (*record, error)) error {
	t.mu.Lock()
	wait, err := func() (func() error, error) {
		defer t.mu.Unlock()
		r, err := check()
		if err != nil || r == nil {
			return nil, err
		}
		return t.commit(r, grows)
	}()
	if err != nil || wait == nil {
		return err
	}
	return wait()
}

// Create implements tree.Tree.
func (t *Tree) Create(dir tree.ID, name string, n tree.New) (tree.ID, tree.Attr, error) {
	if err := tree.CheckName(name); err != nil {
		return "", tree.Attr{}, err
	}
	if n.Type == tree.Symlink && (n.Target == "" || len(n.Target) > tree.MaxTarget) {
		return "", tree.Attr{}, syscall.ENAMETOOLONG
	}
	var ino uint64
	var attr tree.Attr
	t.mu.Lock()
	wait, err := func() (func() error, error) {
		defer t.mu.Unlock()
		dirIno, d, err := t.directory(dir)
		if err != nil {
			return nil, err
		}
		if _, taken := d.rest.dir.get(name); taken {
			return nil, syscall.EEXIST
		}
		now := tree.Now()
		ino = t.state.nextIno
		r := &record{op: opMake, now: now, ino: ino, dir: dirIno, cookie: t.state.cookie + 1, name: name,
			typ: n.Type, mode: n.Mode & 0o7777, uid: n.UID, gid: n.GID, major: n.Major, minor: n.Minor,
			target: n.Target, atime: now, mtime: now}
		if n.Atime != nil {
			r.atime = *n.Atime
		}
		if n.Mtime != nil {
			r.mtime = *n.Mtime
		}
		if n.Type == tree.Regular {
			if err := t.makeContent(ino, n); err != nil {
				return nil, err
			}
		}
		wait, err := t.commit(r, true)
		if err != nil {
			if n.Type == tree.Regular {
				_ = t.data.remove(ino) // else the next sweep does it
			}
			return nil, err
		}
		attr, err = t.attr(ino, t.state.inodes[ino])
		return wait, err
	}()
	if err != nil {
		return "", tree.Attr{}, err
	}
	return t.makeID(ino), attr, wait()
}

func (t *Tree) makeContent(ino uint64, n tree.New) error {
	if err := t.data.create(ino); err != nil {
		return errno(err)
	}
	return errno(t.data.setTimes(ino, n.Atime, n.Mtime))
}

// Link implements tree.Tree.
func (t *Tree) Link(id, dir tree.ID, name string) error {
	if err := tree.CheckName(name); err != nil {
		return err
	}
	return t.change(true, func() (*record, error) {
		ino, n, err := t.inode(id)
		if err != nil {
			return nil, err
		}
		dirIno, d, err := t.directory(dir)
		if err != nil {
			return nil, err
		}
		if n.typ == tree.Directory {
			return nil, syscall.EPERM
		}
		if n.nlink == math.MaxUint32 {
			return nil, syscall.EMLINK
		}
		if _, taken := d.rest.dir.get(name); taken {
			return nil, syscall.EEXIST
		}
		return &record{op: opLink, now: tree.Now(), ino: ino, dir: dirIno, cookie: t.state.cookie + 1, name: name}, nil
	})
}

// Remove implements tree.Tree.
func (t *Tree) Remove(dir tree.ID, name string) error { return t.unlink(dir, name, false) }

// Rmdir implements tree.Tree.
func (t *Tree) Rmdir(dir tree.ID, name string) error { return t.unlink(dir, name, true) }

func (t *Tree) unlink(dir tree.ID, name string, wantDir bool) error {
	var gone uint64
	err := t.change(false, func() (*record, error) {
		dirIno, d, err := t.directory(dir)
		if err != nil {
			return nil, err
		}
		ino, n, err := t.child(d, name)
		if err != nil {
			return nil, err
		}
		switch isDir := n.typ == tree.Directory; {
		case isDir && !wantDir:
			return nil, syscall.EISDIR
		case !isDir && wantDir:
			return nil, syscall.ENOTDIR
		case isDir && n.rest.dir.len() > 0:
			return nil, syscall.ENOTEMPTY
		}
		gone = lastName(ino, n)
		return &record{op: opUnlink, now: tree.Now(), dir: dirIno, name: name}, nil
	})
	if err == nil && gone != 0 {
		err = errno(t.data.remove(gone))
	}
	return err
}

// lastName returns ino if its content goes with the next name taken away,
// else 0.
func lastName(ino uint64, n *inode) uint64 {
	if n.typ == tree.Regular && n.nlink == 1 {
		return ino
	}
	return 0
}

// child finds an entry. The caller holds mu.
func (t *Tree) child(d *inode, name string) (uint64, *inode, error) {
	ino, ok := d.rest.dir.get(name)
	if !ok || name == "" {
		return 0, nil, syscall.ENOENT
	}
	return ino, t.state.inodes[ino], nil
}

// Rename implements tree.Tree.
func (t *Tree) Rename(fromDir tree.ID, fromName string, toDir tree.ID, toName string) error {
	if err := tree.CheckName(toName); err != nil {
		return err
	}
	var gone uint64
	err := t.change(false, func() (*record, error) {
		fromIno, from, err := t.directory(fromDir)
		if err != nil {
			return nil, err
		}
		toIno, to, err := t.directory(toDir)
		if err != nil {
			return nil, err
		}
		ino, n, err := t.child(from, fromName)
		if err != nil {
			return nil, err
		}
		if n.typ == tree.Directory && t.state.inside(toIno, ino) {
			return nil, syscall.EINVAL
		}
		if oldIno, old, err := t.child(to, toName); err == nil {
			if oldIno == ino {
				return nil, nil // two names of one inode: rename(2) does nothing
			}
			if err := replaceable(n, old); err != nil {
				return nil, err
			}
			gone = lastName(oldIno, old)
		}
		return &record{op: opRename, now: tree.Now(), dir: fromIno, name: fromName, toDir: toIno, toName: toName,
			cookie: t.state.cookie + 1}, nil
	})
	if err == nil && gone != 0 {
		err = errno(t.data.remove(gone))
	}
	return err
}

// replaceable says whether a rename of n may take the place of old.
func replaceable(n, old *inode) error {
	switch {
	case n.typ == tree.Directory && old.typ != tree.Directory:
		return syscall.ENOTDIR
	case n.typ != tree.Directory && old.typ == tree.Directory:
		return syscall.EISDIR
	case old.typ == tree.Directory && old.rest.dir.len() > 0:
		return syscall.ENOTEMPTY
	}
	return nil
}

// SetAttr implements tree.Tree.
func (t *Tree) SetAttr(id tree.ID, set tree.SetAttr) error {
	return t.change(false, func() (*record, error) {
		ino, n, err := t.inode(id)
		if err != nil {
			return nil, err
		}
		if set.Size != nil {
			if err := t.truncate(id, *set.Size); err != nil {
				return nil, err
			}
		}
		r := &record{op: opSet, now: tree.Now(), ino: ino}
		if set.Mode != nil {
			r.mask |= setMode
			r.mode = *set.Mode & 0o7777
		}
		if set.UID != nil {
			r.mask |= setUID
			r.uid = *set.UID
		}
		if set.GID != nil {
			r.mask |= setGID
			r.gid = *set.GID
		}
		if n.typ == tree.Regular {
			if err := t.data.setTimes(ino, set.Atime, set.Mtime); err != nil {
				return nil, errno(err)
			}
			if r.mask == 0 {
				return nil, nil // the data file has kept it all
			}
			return r, nil
		}
		if set.Atime != nil {
			r.mask |= setAtime
			r.atime = *set.Atime
		}
		if set.Mtime != nil {
			r.mask |= setMtime
			r.mtime = *set.Mtime
		}
		if r.mask == 0 {
			return nil, nil
		}
		return r, nil
	})
}

// truncate sets the size of a regular file. The caller holds mu.
func (t *Tree) truncate(id tree.ID, size uint64) error {
	ino, _, err := t.regular(id)
	if err != nil {
		return err
	}
	if size > math.MaxInt64 {
		return syscall.EFBIG
	}
	f, err := t.data.get(ino)
	if err != nil {
		return errno(err)
	}
	defer t.data.put(f)
	return errno(f.Truncate(int64(size)))
}
