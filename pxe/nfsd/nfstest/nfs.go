package nfstest

import (
	"fmt"

	"caddyshack/pxe/nfsd/xdr"
)

// Procedures of NFS version 3.
const (
	Null = iota
	GetAttr
	SetAttr
	Lookup
	Access
	ReadLink
	Read
	Write
	Create
	Mkdir
	Symlink
	Mknod
	Remove
	Rmdir
	Rename
	Link
	ReadDir
	ReadDirPlus
	FSStat
	FSInfo
	PathConf
	Commit
)

// Status is an NFS status other than NFS3_OK.
type Status uint32

func (s Status) Error() string { return fmt.Sprintf("nfs status %d", uint32(s)) }

// Some statuses.
const (
	Perm        Status = 1
	NoEnt       Status = 2
	IO          Status = 5
	Acces       Status = 13
	Exist       Status = 17
	XDev        Status = 18
	NotDir      Status = 20
	IsDir       Status = 21
	Inval       Status = 22
	FBig        Status = 27
	NoSpc       Status = 28
	DQuot       Status = 69
	ROFS        Status = 30
	NameTooLong Status = 63
	NotEmpty    Status = 66
	Stale       Status = 70
	BadHandle   Status = 10001
	NotSync     Status = 10002
	TooSmall    Status = 10005
	BadType     Status = 10007
	Jukebox     Status = 10008
)

// Handle is a file handle.
type Handle []byte

// Time is seconds and nanoseconds.
type Time struct{ Sec, Nsec uint32 }

// Attr is fattr3.
type Attr struct {
	Type, Mode, Nlink, UID, GID uint32
	Size, Used                  uint64
	Major, Minor                uint32
	FSID, FileID                uint64
	Atime, Mtime, Ctime         Time
}

// Set is sattr3; nil leaves a value, Now uses the server's time.
type Set struct {
	Mode, UID, GID     *uint32
	Size               *uint64
	Atime, Mtime       *Time
	AtimeNow, MtimeNow bool
}

// P returns a pointer to v, for Set.
func P[T any](v T) *T { return &v }

func putSet(e *xdr.Encoder, s Set) {
	for _, v := range []*uint32{s.Mode, s.UID, s.GID} {
		e.Bool(v != nil)
		if v != nil {
			e.Uint32(*v)
		}
	}
	e.Bool(s.Size != nil)
	if s.Size != nil {
		e.Uint64(*s.Size)
	}
	when := func(now bool, t *Time) {
		switch {
		case now:
			e.Uint32(1)
		case t != nil:
			e.Uint32(2)
			e.Uint32(t.Sec)
			e.Uint32(t.Nsec)
		default:
			e.Uint32(0)
		}
	}
	when(s.AtimeNow, s.Atime)
	when(s.MtimeNow, s.Mtime)
}

func getTime(d *xdr.Decoder) Time { return Time{d.Uint32(), d.Uint32()} }

func getAttr(d *xdr.Decoder) Attr {
	return Attr{
		Type: d.Uint32(), Mode: d.Uint32(), Nlink: d.Uint32(), UID: d.Uint32(), GID: d.Uint32(),
		Size: d.Uint64(), Used: d.Uint64(), Major: d.Uint32(), Minor: d.Uint32(),
		FSID: d.Uint64(), FileID: d.Uint64(), Atime: getTime(d), Mtime: getTime(d), Ctime: getTime(d),
	}
}

func postOp(d *xdr.Decoder) *Attr {
	if !d.Bool() {
		return nil
	}
	a := getAttr(d)
	return &a
}

// WCC is wcc_data.
type WCC struct {
	BeforeSize               uint64
	BeforeMtime, BeforeCtime Time
	Before                   bool
	After                    *Attr
}

func wcc(d *xdr.Decoder) WCC {
	var w WCC
	if w.Before = d.Bool(); w.Before {
		w.BeforeSize, w.BeforeMtime, w.BeforeCtime = d.Uint64(), getTime(d), getTime(d)
	}
	w.After = postOp(d)
	return w
}
