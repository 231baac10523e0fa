package sidecar

import (
	"fmt"

	"caddyshack/pxe/nfsd/tree"
)

// state is all inodes and names; the owner locks it.
type state struct {
	inodes  map[uint64]*inode
	nextIno uint64
	cookie  uint64 // last one given out
}

func newState(now tree.Stamp) *state {
	root := &inode{typ: tree.Directory, mode: 0o755, nlink: 2, ctime: now,
		rest: &rest{atime: now, mtime: now, parent: rootIno}}
	return &state{
		inodes:  map[uint64]*inode{rootIno: root},
		nextIno: rootIno + 1,
		cookie:  firstCookie,
	}
}

// apply makes the change r; calls have checked beforehand that it is allowed,
// so an error means that the journal does not fit the checkpoint.
func (s *state) apply(r *record) error {
	switch r.op {
	case opMake:
		return s.applyMake(r)
	case opLink:
		dir, n := s.inodes[r.dir], s.inodes[r.ino]
		if dir == nil || dir.typ != tree.Directory || n == nil {
			return fmt.Errorf("link of inode %d into %d: no such inode", r.ino, r.dir)
		}
		n.nlink++
		n.ctime = r.now
		s.enter(dir, r.name, r.ino, r.cookie, r.now)
	case opUnlink:
		dir := s.inodes[r.dir]
		if dir == nil || dir.typ != tree.Directory {
			return fmt.Errorf("removal in inode %d: no such directory", r.dir)
		}
		s.drop(dir, r.name, r.now)
	case opRename:
		return s.applyRename(r)
	case opSet:
		n := s.inodes[r.ino]
		if n == nil {
			return fmt.Errorf("change of inode %d: no such inode", r.ino)
		}
		s.applySet(n, r)
	}
	return nil
}

func (s *state) applyMake(r *record) error {
	dir := s.inodes[r.dir]
	if dir == nil || dir.typ != tree.Directory {
		return fmt.Errorf("new inode %d in %d: no such directory", r.ino, r.dir)
	}
	n := &inode{typ: r.typ, mode: r.mode, nlink: 1, uid: r.uid, gid: r.gid, ctime: r.now}
	if r.typ != tree.Regular {
		n.rest = &rest{atime: r.atime, mtime: r.mtime, major: r.major, minor: r.minor, target: r.target}
	}
	if r.typ == tree.Directory {
		n.nlink = 2
		n.rest.parent = r.dir
		dir.nlink++
	}
	s.inodes[r.ino] = n
	s.nextIno = max(s.nextIno, r.ino+1)
	s.enter(dir, r.name, r.ino, r.cookie, r.now)
	return nil
}

func (s *state) applyRename(r *record) error {
	from, to := s.inodes[r.dir], s.inodes[r.toDir]
	if from == nil || to == nil || from.typ != tree.Directory || to.typ != tree.Directory {
		return fmt.Errorf("rename from %d to %d: no such directory", r.dir, r.toDir)
	}
	ino, ok := from.rest.dir.get(r.name)
	if !ok || s.inodes[ino] == nil {
		return fmt.Errorf("rename of %q in %d: no such entry", r.name, r.dir)
	}
	n := s.inodes[ino]
	s.drop(to, r.toName, r.now)
	from.rest.dir.del(r.name)
	from.rest.mtime, from.ctime = r.now, r.now
	s.enter(to, r.toName, ino, r.cookie, r.now)
	n.ctime = r.now
	if n.typ == tree.Directory && r.dir != r.toDir {
		n.rest.parent = r.toDir
		from.nlink--
		to.nlink++
	}
	return nil
}

func (s *state) applySet(n *inode, r *record) {
	n.ctime = r.now
	if r.mask&setMode != 0 {
		n.mode = r.mode
	}
	if r.mask&setUID != 0 {
		n.uid = r.uid
	}
	if r.mask&setGID != 0 {
		n.gid = r.gid
	}
	if n.rest != nil {
		if r.mask&setAtime != 0 {
			n.rest.atime = r.atime
		}
		if r.mask&setMtime != 0 {
			n.rest.mtime = r.mtime
		}
	}
}

// enter adds a name to a directory.
func (s *state) enter(dir *inode, name string, ino, cookie uint64, now tree.Stamp) {
	dir.rest.dir.add(name, ino, cookie)
	dir.rest.mtime, dir.ctime = now, now
	s.cookie = max(s.cookie, cookie)
}

// drop takes a name from a directory, if it is there, and the inode with its
// last name.
func (s *state) drop(dir *inode, name string, now tree.Stamp) {
	ino, ok := dir.rest.dir.get(name)
	if !ok {
		return
	}
	dir.rest.dir.del(name)
	dir.rest.mtime, dir.ctime = now, now
	n := s.inodes[ino]
	if n == nil {
		return
	}
	n.ctime = now
	n.nlink--
	if n.typ == tree.Directory {
		dir.nlink--
		n.nlink = 0
	}
	if n.nlink == 0 {
		delete(s.inodes, ino)
	}
}

// inside reports whether directory ino is top or lies below it.
func (s *state) inside(ino, top uint64) bool {
	for {
		if ino == top {
			return true
		}
		n := s.inodes[ino]
		if ino == rootIno || n == nil || n.rest == nil {
			return false
		}
		ino = n.rest.parent
	}
}
