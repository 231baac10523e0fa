package nfsd

import (
	"encoding/binary"
	"errors"
	"syscall"

	"caddyshack/pxe/nfsd/posix"
	"caddyshack/pxe/nfsd/tree"
)

// Procedures that make and remove names.

// Ways of CREATE.
const (
	createUnchecked = 0
	createGuarded   = 1
	createExclusive = 2
)

var errBadArgs = errors.New("arguments contradict each other")

// asNew builds a new inode from the attributes a client gave.
func asNew(t tree.Type, set *posix.Set, mode uint32) tree.New {
	n := tree.New{Type: t, Mode: mode, Atime: set.Atime, Mtime: set.Mtime}
	if set.Mode != nil {
		n.Mode = *set.Mode & 0o7777
	}
	return n
}

// verifierStamps hides the verifier of an exclusive create in the time stamps
// of the file, as every server without a better place does; the client sets
// real ones next.
func verifierStamps(v []byte) (atime, mtime tree.Stamp) {
	const mask = 0x7fffffff
	return tree.Stamp(int64(binary.BigEndian.Uint32(v)&mask) * 1e9), tree.Stamp(int64(binary.BigEndian.Uint32(v[4:])&mask) * 1e9)
}

func create(r *request) uint32 {
	name, how := r.name(), r.d.Uint32()
	var set posix.Set
	var atime, mtime tree.Stamp
	switch how {
	case createUnchecked, createGuarded:
		set = getSet(r.d)
	case createExclusive:
		if v := r.d.Fixed(8); v != nil {
			atime, mtime = verifierStamps(v)
			set.Atime, set.Mtime = &atime, &mtime
		}
	default:
		r.d.Fail(errBadArgs)
	}
	if r.d.Err() != nil {
		return nfsErrInval
	}
	m, err := r.x.fs.Create(r.cred, r.id, name, asNew(tree.Regular, &set, 0))
	if m.Existed && m.Attr.Type == tree.Regular {
		switch {
		case how == createExclusive && m.Attr.Atime == atime && m.Attr.Mtime == mtime:
			err = nil // the same call, repeated after its answer was lost
		case how == createGuarded && r.interrupted:
			err = r.applyRest(&m, &set)
		case how == createUnchecked:
			// Only the size of an existing file is changed: open(2) with
			// O_CREAT|O_TRUNC.
			err = r.truncateExisting(&m, set.Size)
		}
	} else if err == nil && how != createExclusive {
		err = r.applyRest(&m, &set)
	}
	return r.made(&m, err)
}

func (r *request) truncateExisting(m *posix.Made, size *uint64) error {
	if size == nil {
		return nil
	}
	w, err := r.x.fs.SetAttr(r.cred, m.ID, posix.Set{SetAttr: tree.SetAttr{Size: size}})
	if w.After != nil {
		m.Attr = *w.After
	}
	return err
}

// applyRest sets what a create cannot: owners other than the caller, a size.
// That the caller may not is no reason to fail a create that was done.
func (r *request) applyRest(m *posix.Made, set *posix.Set) error {
	rest := posix.Set{SetAttr: tree.SetAttr{Size: set.Size}}
	if set.Size != nil && *set.Size == 0 {
		rest.Size = nil
	}
	if set.UID != nil && *set.UID != m.Attr.UID {
		rest.UID = set.UID
	}
	if set.GID != nil && *set.GID != m.Attr.GID {
		rest.GID = set.GID
	}
	if rest.Size == nil && rest.UID == nil && rest.GID == nil {
		return nil
	}
	w, err := r.x.fs.SetAttr(r.cred, m.ID, rest)
	if w.After != nil {
		m.Attr = *w.After
	}
	if errors.Is(err, syscall.EPERM) {
		return nil
	}
	return err
}

// made writes the reply of the calls that make an inode.
func (r *request) made(m *posix.Made, err error) uint32 {
	if err != nil {
		putWCC(r.e, m.Dir)
		return status(err)
	}
	r.e.Bool(true)
	r.handle(m.ID)
	putPostOp(r.e, &m.Attr)
	putWCC(r.e, m.Dir)
	return nfsOK
}

func (r *request) makeNode(name string, n tree.New, set *posix.Set) uint32 {
	m, err := r.x.fs.Create(r.cred, r.id, name, n)
	if r.interrupted && m.Existed && m.Attr.Type == n.Type {
		err = nil
	}
	if err == nil {
		err = r.applyRest(&m, set)
	}
	return r.made(&m, err)
}

func mkdir(r *request) uint32 {
	name, set := r.name(), getSet(r.d)
	if r.d.Err() != nil {
		return nfsErrInval
	}
	set.Size = nil
	return r.makeNode(name, asNew(tree.Directory, &set, 0o755), &set)
}

func symlink(r *request) uint32 {
	name, set := r.name(), getSet(r.d)
	target := r.d.String(maxWirePath)
	if r.d.Err() != nil {
		return nfsErrInval
	}
	set.Size, set.Mode = nil, nil
	n := asNew(tree.Symlink, &set, 0o777)
	n.Target = target
	return r.makeNode(name, n, &set)
}

func mknod(r *request) uint32 {
	name, typ := r.name(), tree.Type(r.d.Uint32())
	var set posix.Set
	var n tree.New
	switch typ {
	case tree.Block, tree.Char:
		set = getSet(r.d)
		n = asNew(typ, &set, 0)
		n.Major, n.Minor = r.d.Uint32(), r.d.Uint32()
	case tree.Socket, tree.FIFO:
		set = getSet(r.d)
		n = asNew(typ, &set, 0)
	case tree.Regular, tree.Directory, tree.Symlink:
		putWCC(r.e, posix.WCC{})
		return nfsErrBadType
	default:
		r.d.Fail(errBadArgs)
	}
	if r.d.Err() != nil {
		return nfsErrInval
	}
	set.Size = nil
	return r.makeNode(name, n, &set)
}

func remove(r *request) uint32 { return r.removeName(false) }

func rmdir(r *request) uint32 { return r.removeName(true) }

func (r *request) removeName(dir bool) uint32 {
	name := r.name()
	if r.d.Err() != nil {
		return nfsErrInval
	}
	w, err := r.x.fs.Remove(r.cred, r.id, name, dir)
	if r.interrupted && errors.Is(err, syscall.ENOENT) {
		err = nil
	}
	putWCC(r.e, w)
	return status(err)
}

func rename(r *request) uint32 {
	fromName := r.name()
	toDir, st := r.secondHandle()
	toName := r.name()
	if r.d.Err() != nil {
		return nfsErrInval
	}
	if st != nfsOK {
		a := r.x.fs.After(r.id)
		putWCC(r.e, wccAround(a))
		putWCC(r.e, posix.WCC{})
		return st
	}
	from, to, err := r.x.fs.Rename(r.cred, r.id, fromName, toDir, toName)
	if r.interrupted && errors.Is(err, syscall.ENOENT) {
		if _, there := r.x.fs.Lookup(r.cred, toDir, toName); there == nil {
			err = nil
		}
	}
	putWCC(r.e, from)
	putWCC(r.e, to)
	return status(err)
}

func link(r *request) uint32 {
	dir, st := r.secondHandle()
	name := r.name()
	if r.d.Err() != nil {
		return nfsErrInval
	}
	if st != nfsOK {
		putPostOp(r.e, r.x.fs.After(r.id))
		putWCC(r.e, posix.WCC{})
		return st
	}
	file, w, err := r.x.fs.Link(r.cred, r.id, dir, name)
	if r.interrupted && errors.Is(err, syscall.EEXIST) {
		if found, there := r.x.fs.Lookup(r.cred, dir, name); there == nil && found.ID == r.id {
			err = nil
		}
	}
	putPostOp(r.e, file)
	putWCC(r.e, w)
	return status(err)
}
