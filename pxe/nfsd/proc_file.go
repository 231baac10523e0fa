package nfsd

import (
	"caddyshack/pxe/nfsd/posix"
	"caddyshack/pxe/nfsd/tree"
)

// Procedures on one inode.

func getAttr(r *request) uint32 {
	a, err := r.x.fs.Attr(r.id)
	if err == nil {
		putAttr(r.e, &a)
	}
	return status(err)
}

func setAttr(r *request) uint32 {
	set := getSet(r.d)
	if r.d.Bool() {
		guard := getStamp(r.d)
		if !r.interrupted { // the call may have changed the ctime itself
			set.Guard = &guard
		}
	}
	if r.d.Err() != nil {
		return nfsErrInval
	}
	w, err := r.x.fs.SetAttr(r.cred, r.id, set)
	putWCC(r.e, w)
	return status(err)
}

func access(r *request) uint32 {
	want := r.d.Uint32()
	if r.d.Err() != nil {
		return nfsErrInval
	}
	have, a, err := r.x.fs.Access(r.cred, r.id, want)
	putPostOp(r.e, &a)
	if err == nil {
		r.e.Uint32(have)
	}
	return status(err)
}

func readLink(r *request) uint32 {
	target, err := r.x.fs.Readlink(r.id)
	putPostOp(r.e, r.x.fs.After(r.id))
	if err == nil {
		r.e.String(target)
	}
	return status(err)
}

func read(r *request) uint32 {
	off, count := r.d.Uint64(), int(min(r.d.Uint32(), maxTransfer))
	if r.d.Err() != nil {
		return nfsErrInval
	}
	if !r.holdReply(int64(count), 0) {
		return nfsErrJukebox
	}
	// Attributes come before the data on the wire but are known after it, so
	// room is kept for them.
	start := r.e.Len()
	const head = 4 + 84 + 4 + 4 + 4
	buf := r.e.Reserve(head + count)
	n, eof, a, err := r.x.fs.Read(r.cred, r.id, buf[head:], off)
	r.e.Truncate(start)
	if a.Type == 0 {
		r.e.Bool(false)
		return status(err)
	}
	putPostOp(r.e, &a)
	if err != nil {
		return status(err)
	}
	r.e.Uint32(uint32(n))
	r.e.Bool(eof)
	r.e.Uint32(uint32(n))
	r.e.Extend(n)
	r.x.stats.read.Add(uint64(n))
	if p, first := r.x.reads.read(r.x.fs.Root(), r.id); first {
		r.s.event(Event{Kind: EventFirstRead, ExportID: r.x.ID, Client: r.x.Client, Path: p, OK: true})
	}
	return nfsOK
}

func write(r *request) uint32 {
	off, count, how := r.d.Uint64(), r.d.Uint32(), r.d.Uint32()
	data := r.d.Opaque(maxTransfer)
	if r.d.Err() != nil || uint64(count) > uint64(len(data)) || how > uint32(tree.FileSync) {
		r.d.Fail(errBadArgs)
		return nfsErrInval
	}
	w, err := r.x.fs.Write(r.cred, r.id, data[:count], off, tree.Sync(how))
	putWCC(r.e, w)
	if err != nil {
		return status(err)
	}
	r.e.Uint32(count)
	r.e.Uint32(how)
	r.e.Fixed(r.s.verifier[:])
	r.x.stats.written.Add(uint64(count))
	return nfsOK
}

func commit(r *request) uint32 {
	r.d.Uint64() // offset and count: all of the file is committed
	r.d.Uint32()
	if r.d.Err() != nil {
		return nfsErrInval
	}
	w, err := r.x.fs.Commit(r.id)
	putWCC(r.e, w)
	if err == nil {
		r.e.Fixed(r.s.verifier[:])
	}
	return status(err)
}

func fsStat(r *request) uint32 {
	st, err := r.x.fs.StatFS()
	a := r.x.fs.After(r.id)
	if a == nil && err == nil {
		return nfsErrStale
	}
	putPostOp(r.e, a)
	if err != nil {
		return status(err)
	}
	for _, v := range []uint64{st.TotalBytes, st.FreeBytes, st.AvailBytes, st.TotalFiles, st.FreeFiles, st.AvailFiles} {
		r.e.Uint64(v)
	}
	r.e.Uint32(0) // invarsec: it may change any time
	return nfsOK
}

// Properties in FSINFO.
const (
	fsfLink        = 0x01
	fsfSymlink     = 0x02
	fsfHomogeneous = 0x08
	fsfCanSetTime  = 0x10
)

func fsInfo(r *request) uint32 {
	a, err := r.x.fs.Attr(r.id)
	if err != nil {
		r.e.Bool(false)
		return status(err)
	}
	putPostOp(r.e, &a)
	for _, v := range []uint32{
		maxTransfer, maxTransfer, 1, // READ: largest, preferred, multiple
		maxTransfer, maxTransfer, 1, // WRITE
		preferredReadDir,
	} {
		r.e.Uint32(v)
	}
	r.e.Uint64(1<<63 - 1) // largest file
	r.e.Uint32(0)         // time_delta: 1 ns
	r.e.Uint32(1)
	r.e.Uint32(fsfLink | fsfSymlink | fsfHomogeneous | fsfCanSetTime)
	return nfsOK
}

// maxLinks is the largest link count told to clients; the tree may set a
// smaller one by refusing.
const maxLinks = 65000

func pathConf(r *request) uint32 {
	a, err := r.x.fs.Attr(r.id)
	if err != nil {
		r.e.Bool(false)
		return status(err)
	}
	putPostOp(r.e, &a)
	r.e.Uint32(maxLinks)
	r.e.Uint32(tree.MaxName)
	r.e.Bool(true)  // no_trunc: long names are refused, not cut
	r.e.Bool(true)  // chown_restricted
	r.e.Bool(false) // case_insensitive
	r.e.Bool(true)  // case_preserving
	return nfsOK
}

// lookup is here for its likeness to the others, although it takes a name.
func lookup(r *request) uint32 {
	name := r.name()
	if r.d.Err() != nil {
		return nfsErrInval
	}
	found, err := r.x.fs.Lookup(r.cred, r.id, name)
	if err != nil {
		putPostOp(r.e, &found.Dir)
		return status(err)
	}
	r.x.reads.found(r.id, name, found.ID)
	r.handle(found.ID)
	putPostOp(r.e, &found.Attr)
	putPostOp(r.e, &found.Dir)
	return nfsOK
}

// wccAround is the WCC of an object that a call did not change.
func wccAround(a *tree.Attr) posix.WCC { return posix.WCC{Before: a, After: a} }
