package nfsd

import (
	"errors"
	"syscall"

	"caddyshack/pxe/nfsd/posix"
	"caddyshack/pxe/nfsd/tree"
	"caddyshack/pxe/nfsd/xdr"
)

// Numbers of NFS version 3 (RFC 1813).
const (
	nfsProgram = 100003
	nfsVersion = 3
	nfsProcs   = 22

	nfsOK            = 0
	nfsErrPerm       = 1
	nfsErrNoEnt      = 2
	nfsErrIO         = 5
	nfsErrNXIO       = 6
	nfsErrAcces      = 13
	nfsErrExist      = 17
	nfsErrXDev       = 18
	nfsErrNoDev      = 19
	nfsErrNotDir     = 20
	nfsErrIsDir      = 21
	nfsErrInval      = 22
	nfsErrFBig       = 27
	nfsErrNoSpc      = 28
	nfsErrROFS       = 30
	nfsErrMLink      = 31
	nfsErrNameLong   = 63
	nfsErrNotEmpty   = 66
	nfsErrDQuot      = 69
	nfsErrStale      = 70
	nfsErrBadHandle  = 10001
	nfsErrNotSync    = 10002
	nfsErrNotSupp    = 10004
	nfsErrTooSmall   = 10005
	nfsErrBadType    = 10007
	nfsErrJukebox    = 10008
	maxWireName      = 4096 // longer names than tree.MaxName get NAMETOOLONG
	maxWirePath      = 8192 // the same for targets of symbolic links
	maxTransfer      = 1 << 20
	preferredReadDir = 64 << 10
)

// status maps the error of a tree to an NFS status.
func status(err error) uint32 {
	if err == nil {
		return nfsOK
	}
	var no syscall.Errno
	if !errors.As(err, &no) {
		return nfsErrIO
	}
	switch no {
	case syscall.EPERM:
		return nfsErrPerm
	case syscall.ENOENT:
		return nfsErrNoEnt
	case syscall.ENXIO:
		return nfsErrNXIO
	case syscall.EACCES:
		return nfsErrAcces
	case syscall.EEXIST:
		return nfsErrExist
	case syscall.EXDEV:
		return nfsErrXDev
	case syscall.ENODEV:
		return nfsErrNoDev
	case syscall.ENOTDIR:
		return nfsErrNotDir
	case syscall.EISDIR:
		return nfsErrIsDir
	case syscall.EINVAL:
		return nfsErrInval
	case syscall.EFBIG:
		return nfsErrFBig
	case syscall.ENOSPC:
		return nfsErrNoSpc
	case syscall.EROFS:
		return nfsErrROFS
	case syscall.EMLINK:
		return nfsErrMLink
	case syscall.ENAMETOOLONG:
		return nfsErrNameLong
	case syscall.ENOTEMPTY:
		return nfsErrNotEmpty
	case syscall.EDQUOT:
		return nfsErrDQuot
	case syscall.ESTALE:
		return nfsErrStale
	case syscall.EOPNOTSUPP, syscall.ENOSYS:
		return nfsErrNotSupp
	case posix.ErrNotSync:
		return nfsErrNotSync
	case syscall.EAGAIN, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EINTR:
		return nfsErrJukebox // may go well later
	}
	return nfsErrIO
}

// request is one NFS call on an export.
type request struct {
	s    *Server
	x    *export
	id   tree.ID // of the handle that every call begins with
	cred *posix.Cred
	d    *xdr.Decoder
	e    *xdr.Encoder
	held int64 // bytes taken from the budget for the reply
	c    *client
	// interrupted: an earlier life of the server began this very call and may
	// have done it. What it finds done already is then its own work.
	interrupted bool
}

// procedure describes one NFS procedure. run reads the arguments after the
// first handle, acts, and writes the reply after the status; its result is the
// status. When that is not nfsOK, what run wrote is the failure body.
type procedure struct {
	name string
	run  func(*request) uint32
	// void is the length, in words, of the failure body that tells nothing.
	void int
	// once marks calls that must not be done twice.
	once bool
	// brief marks calls about names and attributes, which as a rule are over at
	// once. Changes are not where they wait for the disk; that shows by itself.
	brief bool
}

var procTable = [nfsProcs]procedure{
	0:  {name: "NULL", brief: true},
	1:  {name: "GETATTR", run: getAttr, brief: true},
	2:  {name: "SETATTR", run: setAttr, void: 2, once: true, brief: true},
	3:  {name: "LOOKUP", run: lookup, void: 1, brief: true},
	4:  {name: "ACCESS", run: access, void: 1, brief: true},
	5:  {name: "READLINK", run: readLink, void: 1, brief: true},
	6:  {name: "READ", run: read, void: 1},
	7:  {name: "WRITE", run: write, void: 2},
	8:  {name: "CREATE", run: create, void: 2, once: true, brief: true},
	9:  {name: "MKDIR", run: mkdir, void: 2, once: true, brief: true},
	10: {name: "SYMLINK", run: symlink, void: 2, once: true, brief: true},
	11: {name: "MKNOD", run: mknod, void: 2, once: true, brief: true},
	12: {name: "REMOVE", run: remove, void: 2, once: true, brief: true},
	13: {name: "RMDIR", run: rmdir, void: 2, once: true, brief: true},
	14: {name: "RENAME", run: rename, void: 4, once: true, brief: true},
	15: {name: "LINK", run: link, void: 3, once: true, brief: true},
	16: {name: "READDIR", run: readDir, void: 1},
	17: {name: "READDIRPLUS", run: readDirPlus, void: 1},
	18: {name: "FSSTAT", run: fsStat, void: 1},
	19: {name: "FSINFO", run: fsInfo, void: 1, brief: true},
	20: {name: "PATHCONF", run: pathConf, void: 1, brief: true},
	21: {name: "COMMIT", run: commit, void: 2},
}

// handle writes the handle of an inode.
func (r *request) handle(id tree.ID) {
	var b [maxHandle]byte
	r.e.Opaque(r.s.signer.append(b[:0], r.x.tag, id))
}

// secondHandle reads a further handle, which must be of the same export.
func (r *request) secondHandle() (tree.ID, uint32) {
	h := r.d.Opaque(maxHandle)
	if r.d.Err() != nil {
		return "", nfsErrInval
	}
	t, id, err := r.s.signer.parse(h)
	switch {
	case err != nil:
		return "", nfsErrBadHandle
	case t != r.x.tag:
		return "", nfsErrXDev
	}
	return id, nfsOK
}

// name reads a file name; what is wrong with it is for the tree to say.
func (r *request) name() string { return r.d.String(maxWireName) }

func putStamp(e *xdr.Encoder, t tree.Stamp) {
	// Seconds are unsigned 32 bits on the wire.
	sec, nsec := int64(t)/1e9, int64(t)%1e9
	if t < 0 {
		sec, nsec = 0, 0
	}
	e.Uint32(uint32(min(sec, 1<<32-1)))
	e.Uint32(uint32(nsec))
}

func getStamp(d *xdr.Decoder) tree.Stamp {
	sec, nsec := d.Uint32(), d.Uint32()
	if nsec >= 1e9 {
		nsec = 1e9 - 1
	}
	return tree.Stamp(int64(sec)*1e9 + int64(nsec))
}

func putAttr(e *xdr.Encoder, a *tree.Attr) {
	e.Uint32(uint32(a.Type))
	e.Uint32(a.Mode)
	e.Uint32(a.Nlink)
	e.Uint32(a.UID)
	e.Uint32(a.GID)
	e.Uint64(a.Size)
	e.Uint64(a.Used)
	e.Uint32(a.Major)
	e.Uint32(a.Minor)
	e.Uint64(a.FSID)
	e.Uint64(a.FileID)
	putStamp(e, a.Atime)
	putStamp(e, a.Mtime)
	putStamp(e, a.Ctime)
}

// putPostOp writes post_op_attr; nil and the zero Attr mean none.
func putPostOp(e *xdr.Encoder, a *tree.Attr) {
	if a == nil || a.Type == 0 {
		e.Bool(false)
		return
	}
	e.Bool(true)
	putAttr(e, a)
}

// putWCC writes wcc_data.
func putWCC(e *xdr.Encoder, w posix.WCC) {
	if b := w.Before; b != nil {
		e.Bool(true)
		e.Uint64(b.Size)
		putStamp(e, b.Mtime)
		putStamp(e, b.Ctime)
	} else {
		e.Bool(false)
	}
	putPostOp(e, w.After)
}

// getSet reads sattr3.
func getSet(d *xdr.Decoder) posix.Set {
	var s posix.Set
	optional := func() *uint32 {
		if !d.Bool() {
			return nil
		}
		v := d.Uint32()
		return &v
	}
	s.Mode, s.UID, s.GID = optional(), optional(), optional()
	if d.Bool() {
		v := d.Uint64()
		s.Size = &v
	}
	when := func() (now bool, t *tree.Stamp) {
		switch d.Uint32() {
		case 0:
		case 1:
			now = true
		case 2:
			v := getStamp(d)
			t = &v
		default:
			d.Fail(errors.New("bad time_how"))
		}
		return now, t
	}
	s.AtimeNow, s.Atime = when()
	s.MtimeNow, s.Mtime = when()
	return s
}
