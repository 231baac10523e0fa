package nfsmount

import (
	"bytes"
	"context"

	"github.com/willscott/go-nfs-client/nfs"
	"github.com/willscott/go-nfs-client/nfs/xdr"
)

// Attr are a file's attributes.
type Attr = nfs.Fattr

// Entry is one name in a directory.
type Entry struct {
	Name string
	// Attr is nil if the server did not send attributes along.
	Attr *Attr
}

// GetAttr returns the attributes of a file.
func (f *FS) GetAttr(ctx context.Context, h Handle) (Attr, error) {
	var res struct{ Attr Attr }
	err := f.call(ctx, nfs.NFSProc3GetAttr, &struct{ FH []byte }{h}, into(&res))
	return res.Attr, err
}

// lookup finds one name in a directory.
func (f *FS) lookup(ctx context.Context, dir Handle, name string) (Handle, Attr, error) {
	var res struct {
		FH   []byte
		Attr nfs.PostOpAttr
		Dir  nfs.PostOpAttr
	}
	err := f.call(ctx, nfs.NFSProc3Lookup, &nfs.Diropargs3{FH: dir, Filename: name}, into(&res))
	if err != nil {
		return nil, Attr{}, err
	}
	if res.Attr.IsSet {
		return res.FH, res.Attr.Attr, nil
	}
	a, err := f.GetAttr(ctx, res.FH)
	return res.FH, a, err
}

func (f *FS) readlink(ctx context.Context, h Handle) (string, error) {
	var res struct {
		Attr   nfs.PostOpAttr
		Target string
	}
	err := f.call(ctx, nfs.NFSProc3Readlink, &struct{ FH []byte }{h}, into(&res))
	return res.Target, err
}

// ReadAt reads at most the mount's RSize bytes and tells whether they are the
// file's last.
func (f *FS) ReadAt(ctx context.Context, h Handle, offset uint64) (data []byte, eof bool, err error) {
	args := struct {
		FH     []byte
		Offset uint64
		Count  uint32
	}{h, offset, f.cfg.RSize}
	var res struct {
		Attr  nfs.PostOpAttr
		Count uint32
		EOF   bool
		Data  []byte
	}
	err = f.call(ctx, nfs.NFSProc3Read, &args, into(&res))
	return res.Data, res.EOF, err
}

// fileSync asks that a write be on stable storage before it is answered.
const fileSync = 2

// writeAt writes some of the bytes and returns how many.
func (f *FS) writeAt(ctx context.Context, h Handle, offset uint64, p []byte) (int, error) {
	p = p[:min(len(p), int(f.cfg.WSize))]
	args := struct {
		FH     []byte
		Offset uint64
		Count  uint32
		Stable uint32
		Data   []byte
	}{h, offset, uint32(len(p)), fileSync, p}
	var res struct {
		Wcc       nfs.WccData
		Count     uint32
		Committed uint32
		Verifier  [8]byte
	}
	err := f.call(ctx, nfs.NFSProc3Write, &args, into(&res))
	return int(res.Count), err
}

// create makes a regular file, or opens one that is there, and empties it.
func (f *FS) create(ctx context.Context, dir Handle, name string, mode uint32) (Handle, error) {
	args := struct {
		Where nfs.Diropargs3
		How   uint32 // 0 = unchecked
		Attr  nfs.Sattr3
	}{Where: nfs.Diropargs3{FH: dir, Filename: name}}
	args.Attr.Mode = nfs.SetMode{SetIt: true, Mode: mode}
	args.Attr.Size = nfs.SetSize{SetIt: true}
	var res struct {
		FH   nfs.PostOpFH3
		Attr nfs.PostOpAttr
		Wcc  nfs.WccData
	}
	if err := f.call(ctx, nfs.NFSProc3Create, &args, into(&res)); err != nil {
		return nil, err
	}
	if res.FH.IsSet {
		return res.FH.FH, nil
	}
	h, _, err := f.lookup(ctx, dir, name)
	return h, err
}

// readDir lists a directory.
func (f *FS) readDir(ctx context.Context, h Handle) ([]Entry, error) {
	type args struct {
		FH       []byte
		Cookie   uint64
		Verifier [8]byte
		DirCount uint32
		MaxCount uint32
	}
	var list []Entry
	next := args{FH: h, DirCount: 8 << 10, MaxCount: 32 << 10}
	for eof := false; !eof; {
		start := len(list)
		err := f.call(ctx, nfs.NFSProc3ReadDirPlus, &next, func(r *bytes.Reader) error {
			var head struct {
				Dir      nfs.PostOpAttr
				Verifier [8]byte
			}
			if err := xdr.Read(r, &head); err != nil {
				return err
			}
			next.Verifier = head.Verifier
			// The entries are a linked list: each is announced by a boolean.
			var more bool
			for {
				if err := xdr.Read(r, &more); err != nil {
					return err
				}
				if !more {
					return xdr.Read(r, &eof)
				}
				var e nfs.EntryPlus
				if err := xdr.Read(r, &e); err != nil {
					return err
				}
				entry := Entry{Name: e.FileName}
				if e.Attr.IsSet {
					entry.Attr = &e.Attr.Attr
				}
				list = append(list, entry)
				next.Cookie = e.Cookie
			}
		})
		if err != nil {
			return nil, err
		}
		if len(list) == start {
			break // nothing more came: asking again would not end
		}
	}
	return list, nil
}
