package nfstest

import (
	"context"
	"fmt"

	"caddyshack/pxe/nfsd/xdr"
)

// nfs makes an NFS call and returns the results after the status. With a
// Status as error the decoder is at the failure body.
func (c *Client) nfs(ctx context.Context, proc uint32, args func(*xdr.Encoder)) (*xdr.Decoder, error) {
	d, err := c.Call(ctx, NFS, proc, args)
	if err != nil {
		return nil, err
	}
	if st := d.Uint32(); st != 0 {
		return d, Status(st)
	}
	return d, d.Err()
}

// Mount mounts a path and returns its root.
func (c *Client) Mount(ctx context.Context, path string) (Handle, error) {
	d, err := c.Call(ctx, Mount, 1, func(e *xdr.Encoder) { e.String(path) })
	if err != nil {
		return nil, err
	}
	if st := d.Uint32(); st != 0 {
		return nil, Status(st)
	}
	return Handle(d.Opaque(64)), d.Err()
}

// Exports returns the paths that the server shows.
func (c *Client) Exports(ctx context.Context) ([]string, error) {
	d, err := c.Call(ctx, Mount, 5, nil)
	if err != nil {
		return nil, err
	}
	var out []string
	for d.Bool() {
		out = append(out, d.String(1024))
		for d.Bool() {
			_ = d.String(255)
		}
	}
	return out, d.Err()
}

// GetAttr returns attributes.
func (c *Client) GetAttr(ctx context.Context, h Handle) (Attr, error) {
	d, err := c.nfs(ctx, GetAttr, func(e *xdr.Encoder) { e.Opaque(h) })
	if err != nil {
		return Attr{}, err
	}
	return getAttr(d), d.Err()
}

// SetAttr changes attributes; guard may be nil.
func (c *Client) SetAttr(ctx context.Context, h Handle, s Set, guard *Time) (WCC, error) {
	d, err := c.nfs(ctx, SetAttr, func(e *xdr.Encoder) {
		e.Opaque(h)
		putSet(e, s)
		e.Bool(guard != nil)
		if guard != nil {
			e.Uint32(guard.Sec)
			e.Uint32(guard.Nsec)
		}
	})
	return wccOf(d), err
}

func wccOf(d *xdr.Decoder) WCC {
	if d == nil {
		return WCC{}
	}
	return wcc(d)
}

// Lookup finds a name.
func (c *Client) Lookup(ctx context.Context, dir Handle, name string) (Handle, Attr, error) {
	d, err := c.nfs(ctx, Lookup, func(e *xdr.Encoder) { e.Opaque(dir); e.String(name) })
	if err != nil {
		return nil, Attr{}, err
	}
	h := Handle(d.Opaque(64))
	a := postOp(d)
	if a == nil {
		a = &Attr{}
	}
	return h, *a, d.Err()
}

// Access asks for rights.
func (c *Client) Access(ctx context.Context, h Handle, want uint32) (uint32, error) {
	d, err := c.nfs(ctx, Access, func(e *xdr.Encoder) { e.Opaque(h); e.Uint32(want) })
	if err != nil {
		return 0, err
	}
	postOp(d)
	return d.Uint32(), d.Err()
}

// ReadLink returns the target of a symbolic link.
func (c *Client) ReadLink(ctx context.Context, h Handle) (string, error) {
	d, err := c.nfs(ctx, ReadLink, func(e *xdr.Encoder) { e.Opaque(h) })
	if err != nil {
		return "", err
	}
	postOp(d)
	return d.String(8192), d.Err()
}

// Read reads up to n bytes.
func (c *Client) Read(ctx context.Context, h Handle, off uint64, n uint32) (data []byte, eof bool, err error) {
	d, err := c.nfs(ctx, Read, func(e *xdr.Encoder) { e.Opaque(h); e.Uint64(off); e.Uint32(n) })
	if err != nil {
		return nil, false, err
	}
	postOp(d)
	d.Uint32()
	eof = d.Bool()
	return d.Opaque(1 << 24), eof, d.Err()
}

// Verifier is a write verifier.
type Verifier [8]byte

// Write writes data; how is 0 (unstable), 1 (data) or 2 (file).
func (c *Client) Write(ctx context.Context, h Handle, off uint64, data []byte, how uint32) (Verifier, WCC, error) {
	d, err := c.nfs(ctx, Write, func(e *xdr.Encoder) {
		e.Opaque(h)
		e.Uint64(off)
		e.Uint32(uint32(len(data)))
		e.Uint32(how)
		e.Opaque(data)
	})
	w := wccOf(d)
	if err != nil {
		return Verifier{}, w, err
	}
	if n := d.Uint32(); n != uint32(len(data)) {
		return Verifier{}, w, fmt.Errorf("wrote %d of %d bytes", n, len(data))
	}
	d.Uint32()
	var v Verifier
	copy(v[:], d.Fixed(8))
	return v, w, d.Err()
}

// Commit commits a file.
func (c *Client) Commit(ctx context.Context, h Handle) (Verifier, error) {
	d, err := c.nfs(ctx, Commit, func(e *xdr.Encoder) { e.Opaque(h); e.Uint64(0); e.Uint32(0) })
	if err != nil {
		return Verifier{}, err
	}
	wcc(d)
	var v Verifier
	copy(v[:], d.Fixed(8))
	return v, d.Err()
}

// Made is the result of the calls that make an inode.
type Made struct {
	Handle Handle
	Attr   Attr
	Dir    WCC
}

func (c *Client) make(ctx context.Context, proc uint32, args func(*xdr.Encoder)) (Made, error) {
	d, err := c.nfs(ctx, proc, args)
	if err != nil {
		return Made{Dir: wccOf(d)}, err
	}
	var m Made
	if d.Bool() {
		m.Handle = Handle(d.Opaque(64))
	}
	if a := postOp(d); a != nil {
		m.Attr = *a
	}
	m.Dir = wcc(d)
	return m, d.Err()
}

// Create makes a regular file, unchecked or guarded.
func (c *Client) Create(ctx context.Context, dir Handle, name string, guarded bool, s Set) (Made, error) {
	return c.make(ctx, Create, func(e *xdr.Encoder) {
		e.Opaque(dir)
		e.String(name)
		e.Bool(guarded)
		putSet(e, s)
	})
}

// CreateExclusive makes a regular file with a verifier.
func (c *Client) CreateExclusive(ctx context.Context, dir Handle, name string, verf [8]byte) (Made, error) {
	return c.make(ctx, Create, func(e *xdr.Encoder) {
		e.Opaque(dir)
		e.String(name)
		e.Uint32(2)
		e.Fixed(verf[:])
	})
}

// Mkdir makes a directory.
func (c *Client) Mkdir(ctx context.Context, dir Handle, name string, s Set) (Made, error) {
	return c.make(ctx, Mkdir, func(e *xdr.Encoder) { e.Opaque(dir); e.String(name); putSet(e, s) })
}

// Symlink makes a symbolic link.
func (c *Client) Symlink(ctx context.Context, dir Handle, name, target string) (Made, error) {
	return c.make(ctx, Symlink, func(e *xdr.Encoder) {
		e.Opaque(dir)
		e.String(name)
		putSet(e, Set{})
		e.String(target)
	})
}

// Mknod makes a special file of type 3 (block), 4 (char), 6 (socket) or 7
// (FIFO).
func (c *Client) Mknod(ctx context.Context, dir Handle, name string, typ uint32, s Set, major, minor uint32) (Made, error) {
	return c.make(ctx, Mknod, func(e *xdr.Encoder) {
		e.Opaque(dir)
		e.String(name)
		e.Uint32(typ)
		putSet(e, s)
		if typ == 3 || typ == 4 {
			e.Uint32(major)
			e.Uint32(minor)
		}
	})
}

// Remove removes a name of anything but a directory.
func (c *Client) Remove(ctx context.Context, dir Handle, name string) error {
	_, err := c.nfs(ctx, Remove, func(e *xdr.Encoder) { e.Opaque(dir); e.String(name) })
	return err
}

// Rmdir removes a directory.
func (c *Client) Rmdir(ctx context.Context, dir Handle, name string) error {
	_, err := c.nfs(ctx, Rmdir, func(e *xdr.Encoder) { e.Opaque(dir); e.String(name) })
	return err
}

// Rename moves an entry.
func (c *Client) Rename(ctx context.Context, from Handle, name string, to Handle, newName string) error {
	_, err := c.nfs(ctx, Rename, func(e *xdr.Encoder) {
		e.Opaque(from)
		e.String(name)
		e.Opaque(to)
		e.String(newName)
	})
	return err
}

// Link makes a further name.
func (c *Client) Link(ctx context.Context, h, dir Handle, name string) error {
	_, err := c.nfs(ctx, Link, func(e *xdr.Encoder) { e.Opaque(h); e.Opaque(dir); e.String(name) })
	return err
}

// Entry is an entry of a directory.
type Entry struct {
	Name   string
	FileID uint64
	Cookie uint64
	Attr   *Attr
	Handle Handle
}

// ReadDir makes one READDIR or, with plus, READDIRPLUS call.
func (c *Client) ReadDir(ctx context.Context, dir Handle, cookie uint64, size uint32, plus bool) (entries []Entry, eof bool, err error) {
	proc := uint32(ReadDir)
	if plus {
		proc = ReadDirPlus
	}
	d, err := c.nfs(ctx, proc, func(e *xdr.Encoder) {
		e.Opaque(dir)
		e.Uint64(cookie)
		e.Uint64(0)
		e.Uint32(size)
		if plus {
			e.Uint32(size)
		}
	})
	if err != nil {
		return nil, false, err
	}
	postOp(d)
	d.Uint64()
	for d.Bool() {
		x := Entry{FileID: d.Uint64(), Name: d.String(4096), Cookie: d.Uint64()}
		if plus {
			x.Attr = postOp(d)
			if d.Bool() {
				x.Handle = Handle(d.Opaque(64))
			}
		}
		entries = append(entries, x)
	}
	return entries, d.Bool(), d.Err()
}

// List returns all entries but "." and "..".
func (c *Client) List(ctx context.Context, dir Handle, size uint32, plus bool) ([]Entry, error) {
	var out []Entry
	cookie := uint64(0)
	for {
		entries, eof, err := c.ReadDir(ctx, dir, cookie, size, plus)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			cookie = e.Cookie
			if e.Name != "." && e.Name != ".." {
				out = append(out, e)
			}
		}
		if eof {
			return out, nil
		}
		if len(entries) == 0 {
			return nil, fmt.Errorf("a listing without entries that is not the end")
		}
	}
}
