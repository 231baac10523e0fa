package nfsd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"caddyshack/pxe/nfsd/nfstest"
	"caddyshack/pxe/nfsd/rootfs"
)

// posixCase is one row of the table: it works in its own empty directory,
// which belongs to root and which everybody may use.
type posixCase struct {
	name string
	run  func(t *testing.T, p *posixEnv)
}

type posixEnv struct {
	ctx   context.Context
	t     *testing.T
	dir   nfstest.Handle
	root  *nfstest.Client // uid 0
	user  *nfstest.Client // uid 1000, groups 1000, 2000
	other *nfstest.Client // uid 1001, group 1001
}

func (p *posixEnv) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *posixEnv) want(err, want error) {
	p.t.Helper()
	if !errors.Is(err, want) {
		p.t.Fatalf("got %v, want %v", err, want)
	}
}

func (p *posixEnv) file(c *nfstest.Client, dir nfstest.Handle, name string, mode uint32) nfstest.Handle {
	p.t.Helper()
	m, err := c.Create(p.ctx, dir, name, true, nfstest.Set{Mode: &mode})
	p.must(err)
	return m.Handle
}

func (p *posixEnv) mkdir(c *nfstest.Client, dir nfstest.Handle, name string, mode uint32) nfstest.Handle {
	p.t.Helper()
	m, err := c.Mkdir(p.ctx, dir, name, nfstest.Set{Mode: &mode})
	p.must(err)
	return m.Handle
}

func (p *posixEnv) attr(h nfstest.Handle) nfstest.Attr {
	p.t.Helper()
	a, err := p.root.GetAttr(p.ctx, h)
	p.must(err)
	return a
}

func (p *posixEnv) set(c *nfstest.Client, h nfstest.Handle, s nfstest.Set) error {
	_, err := c.SetAttr(p.ctx, h, s, nil)
	return err
}

func (p *posixEnv) mode(h nfstest.Handle, want uint32) {
	p.t.Helper()
	if got := p.attr(h).Mode; got != want {
		p.t.Fatalf("mode is %04o, want %04o", got, want)
	}
}

func mode(m uint32) nfstest.Set { return nfstest.Set{Mode: &m} }

var posixTable = []posixCase{
	{"create and owners", func(t *testing.T, p *posixEnv) {
		h := p.file(p.user, p.dir, "f", 0o4751)
		a := p.attr(h)
		if a.Type != 1 || a.Mode != 0o4751 || a.UID != 1000 || a.GID != 1000 || a.Nlink != 1 || a.Size != 0 {
			t.Fatalf("attributes %+v", a)
		}
		_, err := p.user.Create(p.ctx, p.dir, "f", true, mode(0o600))
		p.want(err, nfstest.Exist)
		m, err := p.user.Create(p.ctx, p.dir, "f", false, nfstest.Set{Mode: nfstest.P(uint32(0o600)), Size: nfstest.P(uint64(0))})
		p.must(err)
		if !bytes.Equal(m.Handle, h) {
			t.Fatal("unchecked create made another file")
		}
		p.mode(h, 0o751) // truncation by its owner clears set-uid, nothing else is changed
	}},
	{"exclusive create", func(t *testing.T, p *posixEnv) {
		m, err := p.user.CreateExclusive(p.ctx, p.dir, "x", [8]byte{1, 2, 3, 4, 0x85, 6, 7, 8})
		p.must(err)
		again, err := p.user.CreateExclusive(p.ctx, p.dir, "x", [8]byte{1, 2, 3, 4, 0x85, 6, 7, 8})
		p.must(err)
		if !bytes.Equal(m.Handle, again.Handle) {
			t.Fatal("repeated exclusive create made another file")
		}
		_, err = p.user.CreateExclusive(p.ctx, p.dir, "x", [8]byte{9})
		p.want(err, nfstest.Exist)
		_, err = p.user.Create(p.ctx, p.dir, "x", true, mode(0o600))
		p.want(err, nfstest.Exist)
	}},
	{"names", func(t *testing.T, p *posixEnv) {
		long := strings.Repeat("n", 255)
		h := p.file(p.user, p.dir, long, 0o644)
		got, _, err := p.user.Lookup(p.ctx, p.dir, long)
		p.must(err)
		if !bytes.Equal(got, h) {
			t.Fatal("another handle")
		}
		for name, want := range map[string]error{
			long + "n": nfstest.NameTooLong, "": nfstest.Inval, "a/b": nfstest.Inval, "a\x00b": nfstest.Inval,
			".": nfstest.Exist, "..": nfstest.Exist,
		} {
			_, err := p.user.Create(p.ctx, p.dir, name, true, mode(0o600))
			if !errors.Is(err, want) {
				t.Errorf("create %.20q: got %v, want %v", name, err, want)
			}
		}
		p.file(p.user, p.dir, "ümläut\xff\n", 0o600)
		_, _, err = p.user.Lookup(p.ctx, p.dir, long+"n")
		p.want(err, nfstest.NameTooLong)
		_, _, err = p.user.Lookup(p.ctx, p.dir, "none")
		p.want(err, nfstest.NoEnt)
		_, _, err = p.user.Lookup(p.ctx, h, "x")
		p.want(err, nfstest.NotDir)
	}},
	{"dot and dotdot", func(t *testing.T, p *posixEnv) {
		d := p.mkdir(p.user, p.dir, "d", 0o755)
		h, _, err := p.user.Lookup(p.ctx, d, "..")
		p.must(err)
		if !bytes.Equal(h, p.dir) {
			t.Fatal(`".." is not the parent`)
		}
		h, _, err = p.user.Lookup(p.ctx, d, ".")
		p.must(err)
		if !bytes.Equal(h, d) {
			t.Fatal(`"." is not the directory`)
		}
		p.want(p.user.Rmdir(p.ctx, d, "."), nfstest.Inval)
		p.want(p.user.Rmdir(p.ctx, d, ".."), nfstest.NotEmpty)
	}},
	{"read, write, holes", func(t *testing.T, p *posixEnv) {
		h := p.file(p.user, p.dir, "f", 0o600)
		_, w, err := p.user.Write(p.ctx, h, 5000, []byte("end"), 0)
		p.must(err)
		if !w.Before || w.BeforeSize != 0 || w.After == nil || w.After.Size != 5003 {
			t.Fatalf("wcc %+v", w)
		}
		b, eof, err := p.user.Read(p.ctx, h, 0, 10000)
		p.must(err)
		if want := append(make([]byte, 5000), "end"...); !bytes.Equal(b, want) || !eof {
			t.Fatalf("read %d bytes, eof %v", len(b), eof)
		}
		b, eof, err = p.user.Read(p.ctx, h, 4999, 2)
		p.must(err)
		if string(b) != "\x00e" || eof {
			t.Fatalf("read %q, eof %v", b, eof)
		}
		b, eof, err = p.user.Read(p.ctx, h, 1<<40, 2)
		p.must(err)
		if len(b) != 0 || !eof {
			t.Fatalf("beyond the end: %q, eof %v", b, eof)
		}
		_, err = p.user.Commit(p.ctx, h)
		p.must(err)
		big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		_, _, err = p.user.Write(p.ctx, h, 0, big, 2)
		p.must(err)
		b, _, err = p.user.Read(p.ctx, h, 0, 1<<20)
		p.must(err)
		if !bytes.Equal(b, big) {
			t.Fatal("1 MiB does not come back")
		}
		_, _, err = p.user.Write(p.ctx, h, 1<<63-1, []byte("x"), 0)
		p.want(err, nfstest.FBig)
		_, _, err = p.user.Read(p.ctx, p.dir, 0, 1)
		p.want(err, nfstest.IsDir)
	}},
	{"truncate", func(t *testing.T, p *posixEnv) {
		h := p.file(p.user, p.dir, "f", 0o600)
		_, _, err := p.user.Write(p.ctx, h, 0, []byte("0123456789"), 2)
		p.must(err)
		p.must(p.set(p.user, h, nfstest.Set{Size: nfstest.P(uint64(4))}))
		p.must(p.set(p.user, h, nfstest.Set{Size: nfstest.P(uint64(6))}))
		b, _, err := p.user.Read(p.ctx, h, 0, 100)
		p.must(err)
		if string(b) != "0123\x00\x00" {
			t.Fatalf("contents %q", b)
		}
		p.want(p.set(p.other, h, nfstest.Set{Size: nfstest.P(uint64(0))}), nfstest.Acces)
		p.want(p.set(p.user, p.dir, nfstest.Set{Size: nfstest.P(uint64(0))}), nfstest.IsDir)
	}},
	{"permissions of data", func(t *testing.T, p *posixEnv) {
		h := p.file(p.user, p.dir, "f", 0o640)
		_, _, err := p.other.Read(p.ctx, h, 0, 1)
		p.want(err, nfstest.Acces)
		_, _, err = p.other.Write(p.ctx, h, 0, []byte("x"), 0)
		p.want(err, nfstest.Acces)
		p.must(p.set(p.user, h, nfstest.Set{GID: nfstest.P(uint32(2000))}))
		p.other.Cred.Groups = []uint32{2000}
		_, _, err = p.other.Read(p.ctx, h, 0, 1)
		p.must(err)
		_, _, err = p.other.Write(p.ctx, h, 0, []byte("x"), 0)
		p.want(err, nfstest.Acces)
		// The owner of a file that is open goes on when its mode changes.
		p.must(p.set(p.user, h, mode(0)))
		_, _, err = p.user.Write(p.ctx, h, 0, []byte("x"), 0)
		p.must(err)
		// What may be executed may be read.
		p.must(p.set(p.user, h, mode(0o701)))
		p.other.Cred.Groups = nil
		_, _, err = p.other.Read(p.ctx, h, 0, 1)
		p.must(err)
		_, _, err = p.root.Read(p.ctx, h, 0, 1)
		p.must(err)
	}},
	{"ACCESS", func(t *testing.T, p *posixEnv) {
		f, d := p.file(p.user, p.dir, "f", 0o754), p.mkdir(p.user, p.dir, "d", 0o750)
		for _, c := range []struct {
			who  *nfstest.Client
			h    nfstest.Handle
			want uint32
		}{
			{p.user, f, 0x01 | 0x04 | 0x08 | 0x20}, {p.other, f, 0x01}, {p.root, f, 0x01 | 0x04 | 0x08 | 0x20},
			{p.user, d, 0x01 | 0x02 | 0x04 | 0x08 | 0x10}, {p.other, d, 0}, {p.root, d, 0x1f},
		} {
			got, err := c.who.Access(p.ctx, c.h, 0x3f)
			p.must(err)
			if got != c.want {
				t.Errorf("uid %d: access %#x, want %#x", c.who.Cred.UID, got, c.want)
			}
		}
		p.must(p.set(p.user, f, mode(0o644)))
		if got, _ := p.root.Access(p.ctx, f, 0x20); got != 0 {
			t.Error("root may execute what nobody may")
		}
	}},
	{"permissions of directories", func(t *testing.T, p *posixEnv) {
		d := p.mkdir(p.user, p.dir, "d", 0o755)
		f := p.file(p.user, d, "f", 0o644)
		_, err := p.other.Create(p.ctx, d, "g", true, mode(0o644))
		p.want(err, nfstest.Acces)
		_, err = p.other.Create(p.ctx, d, "f", true, mode(0o644))
		p.want(err, nfstest.Exist)
		_, err = p.other.Mkdir(p.ctx, d, "g", mode(0o755))
		p.want(err, nfstest.Acces)
		p.want(p.other.Remove(p.ctx, d, "f"), nfstest.Acces)
		p.want(p.other.Rename(p.ctx, d, "f", p.dir, "f"), nfstest.Acces)
		p.want(p.other.Link(p.ctx, f, d, "g"), nfstest.Acces)
		p.must(p.set(p.user, d, mode(0o711)))
		_, _, err = p.other.Lookup(p.ctx, d, "f")
		p.must(err)
		_, err = p.other.List(p.ctx, d, 4096, false)
		p.want(err, nfstest.Acces)
		p.must(p.set(p.user, d, mode(0o744)))
		_, err = p.other.List(p.ctx, d, 4096, false)
		p.must(err)
		_, _, err = p.other.Lookup(p.ctx, d, "f")
		p.want(err, nfstest.Acces)
	}},
	{"chown and chmod", func(t *testing.T, p *posixEnv) {
		h := p.file(p.user, p.dir, "f", 0o6755)
		p.want(p.set(p.user, h, nfstest.Set{UID: nfstest.P(uint32(1001))}), nfstest.Perm)
		p.want(p.set(p.user, h, nfstest.Set{GID: nfstest.P(uint32(3000))}), nfstest.Perm)
		p.want(p.set(p.other, h, mode(0o777)), nfstest.Perm)
		p.mode(h, 0o6755)
		p.must(p.set(p.user, h, nfstest.Set{GID: nfstest.P(uint32(2000))}))
		p.mode(h, 0o755) // a change of owner clears set-id bits
		p.must(p.set(p.user, h, mode(0o2755)))
		p.mode(h, 0o2755)
		p.must(p.set(p.root, h, nfstest.Set{UID: nfstest.P(uint32(5)), GID: nfstest.P(uint32(6)), Mode: nfstest.P(uint32(0o4711))}))
		a := p.attr(h)
		if a.UID != 5 || a.GID != 6 || a.Mode != 0o711 {
			t.Fatalf("attributes %+v", a)
		}
		// A group one is not in cannot get set-gid.
		h = p.file(p.user, p.dir, "g", 0o755)
		p.must(p.set(p.root, h, nfstest.Set{GID: nfstest.P(uint32(7))}))
		p.must(p.set(p.user, h, mode(0o2755)))
		p.mode(h, 0o755)
		// Directories keep their set-gid bit.
		d := p.mkdir(p.root, p.dir, "d", 0o2775)
		p.must(p.set(p.root, d, nfstest.Set{GID: nfstest.P(uint32(7))}))
		p.mode(d, 0o2775)
	}},
	{"writing clears set-id", func(t *testing.T, p *posixEnv) {
		h := p.file(p.user, p.dir, "f", 0o6777)
		_, _, err := p.root.Write(p.ctx, h, 0, []byte("x"), 0)
		p.must(err)
		p.mode(h, 0o6777)
		_, _, err = p.user.Write(p.ctx, h, 0, []byte("x"), 0)
		p.must(err)
		p.mode(h, 0o777)
	}},
	{"set-gid directory", func(t *testing.T, p *posixEnv) {
		d := p.mkdir(p.root, p.dir, "d", 0o777)
		p.must(p.set(p.root, d, nfstest.Set{GID: nfstest.P(uint32(77)), Mode: nfstest.P(uint32(0o2777))}))
		f, sub := p.file(p.user, d, "f", 0o2755), p.mkdir(p.user, d, "sub", 0o755)
		if a := p.attr(f); a.GID != 77 || a.Mode != 0o755 {
			t.Fatalf("file: %+v", a)
		}
		if a := p.attr(sub); a.GID != 77 || a.Mode != 0o2755 {
			t.Fatalf("directory: %+v", a)
		}
	}},
	{"sticky directory", func(t *testing.T, p *posixEnv) {
		d := p.mkdir(p.root, p.dir, "tmp", 0o1777)
		p.file(p.user, d, "f", 0o666)
		p.file(p.other, d, "g", 0o666)
		p.want(p.other.Remove(p.ctx, d, "f"), nfstest.Perm)
		p.want(p.other.Rename(p.ctx, d, "f", d, "h"), nfstest.Perm)
		p.want(p.other.Rename(p.ctx, d, "g", d, "f"), nfstest.Perm)
		p.must(p.user.Rename(p.ctx, d, "f", d, "h"))
		p.must(p.user.Remove(p.ctx, d, "h"))
		p.must(p.root.Remove(p.ctx, d, "g"))
	}},
	{"hard links", func(t *testing.T, p *posixEnv) {
		h := p.file(p.user, p.dir, "f", 0o644)
		d := p.mkdir(p.user, p.dir, "d", 0o755)
		p.must(p.user.Link(p.ctx, h, d, "g"))
		if n := p.attr(h).Nlink; n != 2 {
			t.Fatalf("link count %d", n)
		}
		g, _, err := p.user.Lookup(p.ctx, d, "g")
		p.must(err)
		if !bytes.Equal(g, h) {
			t.Fatal("two names, two handles")
		}
		p.want(p.user.Link(p.ctx, h, d, "g"), nfstest.Exist)
		p.must(p.user.Remove(p.ctx, p.dir, "f"))
		if n := p.attr(h).Nlink; n != 1 {
			t.Fatalf("link count %d", n)
		}
		p.must(p.user.Remove(p.ctx, d, "g"))
		_, err = p.user.GetAttr(p.ctx, h)
		p.want(err, nfstest.Stale)
		p.want(p.root.Link(p.ctx, d, p.dir, "dirlink"), nfstest.Perm)
		s, err := p.user.Symlink(p.ctx, p.dir, "s", "x")
		p.must(err)
		p.must(p.user.Link(p.ctx, s.Handle, p.dir, "s2"))
	}},
	{"symbolic links", func(t *testing.T, p *posixEnv) {
		for i, target := range []string{"/etc/passwd", "../../..", "a/b", strings.Repeat("t", 4095)} {
			m, err := p.user.Symlink(p.ctx, p.dir, fmt.Sprint("l", i), target)
			p.must(err)
			if m.Attr.Type != 5 || m.Attr.Mode != 0o777 || m.Attr.Size != uint64(len(target)) {
				t.Fatalf("attributes %+v", m.Attr)
			}
			got, err := p.user.ReadLink(p.ctx, m.Handle)
			p.must(err)
			if got != target {
				t.Fatalf("target %q, want %q", got, target)
			}
			_, _, err = p.user.Lookup(p.ctx, m.Handle, "x")
			p.want(err, nfstest.NotDir)
			_, _, err = p.root.Read(p.ctx, m.Handle, 0, 10)
			p.want(err, nfstest.Inval)
		}
		_, err := p.user.Symlink(p.ctx, p.dir, "long", strings.Repeat("t", 4096))
		p.want(err, nfstest.NameTooLong)
		_, err = p.user.ReadLink(p.ctx, p.dir)
		p.want(err, nfstest.Inval)
	}},
	{"special files", func(t *testing.T, p *posixEnv) {
		for _, typ := range []uint32{3, 4, 6, 7} {
			m, err := p.root.Mknod(p.ctx, p.dir, fmt.Sprint("n", typ), typ, mode(0o660), 300, 70000)
			p.must(err)
			a := m.Attr
			if a.Type != typ || a.Mode != 0o660 {
				t.Fatalf("attributes %+v", a)
			}
			if typ < 5 && (a.Major != 300 || a.Minor != 70000) {
				t.Fatalf("device %d:%d", a.Major, a.Minor)
			}
			_, _, err = p.root.Read(p.ctx, m.Handle, 0, 10)
			p.want(err, nfstest.Inval)
			_, err = p.user.Mknod(p.ctx, p.dir, fmt.Sprint("u", typ), typ, mode(0o660), 1, 3)
			if typ < 5 {
				p.want(err, nfstest.Perm)
			} else {
				p.must(err)
			}
		}
		_, err := p.root.Mknod(p.ctx, p.dir, "reg", 1, mode(0o660), 0, 0)
		p.want(err, nfstest.BadType)
	}},
	{"directories", func(t *testing.T, p *posixEnv) {
		before := p.attr(p.dir).Nlink
		d := p.mkdir(p.user, p.dir, "d", 0o755)
		if a := p.attr(d); a.Type != 2 || a.Nlink != 2 || a.UID != 1000 {
			t.Fatalf("attributes %+v", a)
		}
		if n := p.attr(p.dir).Nlink; n != before+1 {
			t.Fatalf("link count of the parent %d, want %d", n, before+1)
		}
		p.file(p.user, d, "f", 0o644)
		p.want(p.user.Rmdir(p.ctx, p.dir, "d"), nfstest.NotEmpty)
		p.want(p.user.Remove(p.ctx, p.dir, "d"), nfstest.IsDir)
		p.want(p.user.Rmdir(p.ctx, d, "f"), nfstest.NotDir)
		p.must(p.user.Remove(p.ctx, d, "f"))
		p.must(p.user.Rmdir(p.ctx, p.dir, "d"))
		p.want(p.user.Rmdir(p.ctx, p.dir, "d"), nfstest.NoEnt)
		_, err := p.user.GetAttr(p.ctx, d)
		p.want(err, nfstest.Stale)
		if n := p.attr(p.dir).Nlink; n != before {
			t.Fatalf("link count of the parent %d, want %d", n, before)
		}
	}},
	{"rename", func(t *testing.T, p *posixEnv) {
		a, b := p.mkdir(p.user, p.dir, "a", 0o755), p.mkdir(p.user, p.dir, "b", 0o755)
		f, g := p.file(p.user, a, "f", 0o644), p.file(p.user, b, "g", 0o644)
		p.must(p.user.Rename(p.ctx, a, "f", b, "g"))
		h, _, err := p.user.Lookup(p.ctx, b, "g")
		p.must(err)
		if !bytes.Equal(h, f) {
			t.Fatal("handle changed by rename")
		}
		_, err = p.user.GetAttr(p.ctx, g)
		p.want(err, nfstest.Stale)
		_, _, err = p.user.Lookup(p.ctx, a, "f")
		p.want(err, nfstest.NoEnt)
		// Directories: not into themselves, not over files, only over empty ones.
		sub := p.mkdir(p.user, a, "sub", 0o755)
		p.want(p.user.Rename(p.ctx, p.dir, "a", sub, "a"), nfstest.Inval)
		p.want(p.user.Rename(p.ctx, p.dir, "a", b, "g"), nfstest.NotDir)
		p.want(p.user.Rename(p.ctx, b, "g", p.dir, "a"), nfstest.IsDir)
		p.want(p.user.Rename(p.ctx, p.dir, "a", p.dir, "b"), nfstest.NotEmpty)
		links := p.attr(b).Nlink
		p.must(p.user.Rename(p.ctx, a, "sub", b, "sub"))
		up, _, err := p.user.Lookup(p.ctx, sub, "..")
		p.must(err)
		if !bytes.Equal(up, b) || p.attr(b).Nlink != links+1 || p.attr(a).Nlink != 2 {
			t.Fatalf("the moved directory's parent is not right (links %d, %d)", p.attr(b).Nlink, p.attr(a).Nlink)
		}
		p.must(p.user.Rename(p.ctx, b, "sub", p.dir, "a"))
		_, err = p.user.GetAttr(p.ctx, a)
		p.want(err, nfstest.Stale)
		// Two names of one file: nothing happens.
		p.must(p.user.Link(p.ctx, f, b, "h"))
		p.must(p.user.Rename(p.ctx, b, "g", b, "h"))
		if n := p.attr(f).Nlink; n != 2 {
			t.Fatalf("link count %d", n)
		}
		p.want(p.user.Rename(p.ctx, b, "none", b, "x"), nfstest.NoEnt)
		p.must(p.user.Rename(p.ctx, b, "g", b, "g"))
	}},
	{"rename of others' directories", func(_ *testing.T, p *posixEnv) {
		a, b := p.mkdir(p.root, p.dir, "a", 0o777), p.mkdir(p.root, p.dir, "b", 0o777)
		p.mkdir(p.root, a, "d", 0o755)
		p.want(p.user.Rename(p.ctx, a, "d", b, "d"), nfstest.Acces) // its ".." would change
		p.must(p.user.Rename(p.ctx, a, "d", a, "e"))
	}},
	{"time stamps", func(t *testing.T, p *posixEnv) {
		h := p.file(p.user, p.dir, "f", 0o666)
		at, mt := nfstest.Time{Sec: 1000, Nsec: 5}, nfstest.Time{Sec: 2000, Nsec: 999_999_999}
		p.must(p.set(p.user, h, nfstest.Set{Atime: &at, Mtime: &mt}))
		a := p.attr(h)
		if a.Atime != at || a.Mtime != mt || a.Ctime.Sec < 1_000_000 {
			t.Fatalf("attributes %+v", a)
		}
		p.want(p.set(p.other, h, nfstest.Set{Mtime: &at}), nfstest.Perm)
		p.must(p.set(p.other, h, nfstest.Set{AtimeNow: true, MtimeNow: true}))
		if a := p.attr(h); a.Mtime.Sec < 1_000_000 {
			t.Fatalf("attributes %+v", a)
		}
		d := p.mkdir(p.user, p.dir, "d", 0o777)
		p.must(p.set(p.user, d, nfstest.Set{Mtime: &mt}))
		if a := p.attr(d); a.Mtime != mt {
			t.Fatalf("attributes %+v", a)
		}
		p.file(p.user, d, "x", 0o600)
		if a := p.attr(d); a.Mtime == mt {
			t.Fatal("a new entry did not change the directory's mtime")
		}
		s, err := p.user.Symlink(p.ctx, p.dir, "s", "x")
		p.must(err)
		p.must(p.set(p.user, s.Handle, nfstest.Set{Mtime: &mt}))
		if a := p.attr(s.Handle); a.Mtime != mt {
			t.Fatalf("attributes %+v", a)
		}
	}},
	{"guarded SETATTR", func(t *testing.T, p *posixEnv) {
		h := p.file(p.user, p.dir, "f", 0o644)
		old := p.attr(h).Ctime
		_, err := p.user.SetAttr(p.ctx, h, mode(0o600), &nfstest.Time{Sec: 1})
		p.want(err, nfstest.NotSync)
		w, err := p.user.SetAttr(p.ctx, h, mode(0o600), &old)
		p.must(err)
		if !w.Before || w.BeforeCtime != old || w.After == nil || w.After.Mode != 0o600 {
			t.Fatalf("wcc %+v", w)
		}
	}},
	{"wcc of directories", func(t *testing.T, p *posixEnv) {
		before := p.attr(p.dir)
		m, err := p.user.Create(p.ctx, p.dir, "f", true, mode(0o644))
		p.must(err)
		if !m.Dir.Before || m.Dir.BeforeMtime != before.Mtime || m.Dir.BeforeCtime != before.Ctime || m.Dir.After == nil {
			t.Fatalf("wcc %+v, was %+v", m.Dir, before)
		}
		if diff := cmp.Diff(p.attr(p.dir), *m.Dir.After); diff != "" {
			t.Fatal(diff)
		}
	}},
	{"listing while entries come and go", func(t *testing.T, p *posixEnv) {
		const n = 300
		for i := range n {
			p.file(p.root, p.dir, fmt.Sprintf("file-%03d", i), 0o644)
		}
		for _, plus := range []bool{false, true} {
			seen := map[string]int{}
			cookie := uint64(0)
			for eof := false; !eof; {
				entries, end, err := p.root.ReadDir(p.ctx, p.dir, cookie, 1024, plus)
				p.must(err)
				for _, e := range entries {
					seen[e.Name]++
					cookie = e.Cookie
					if plus && e.Attr == nil {
						t.Fatalf("%q has no attributes", e.Name)
					}
				}
				eof = end
				// Removing what was listed and adding more moves no cookie.
				if len(entries) > 0 && !plus && entries[0].Name[0] == 'f' {
					p.must(p.root.Remove(p.ctx, p.dir, entries[0].Name))
				}
			}
			for name, times := range seen {
				if times != 1 {
					t.Errorf("%q was listed %d times", name, times)
				}
			}
			if !plus && len(seen) != n+2 {
				t.Errorf("%d entries of %d", len(seen), n+2)
			}
		}
		entries, err := p.root.List(p.ctx, p.dir, 4096, true)
		p.must(err)
		for _, e := range entries { // rm -r with one listing
			p.must(p.root.Remove(p.ctx, p.dir, e.Name))
		}
		_, _, err = p.root.ReadDir(p.ctx, p.dir, 0, 10, false)
		p.want(err, nfstest.TooSmall)
	}},
}

func TestPOSIX(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds() {
		s := start(t, &Server{}, Export{ID: "n", Path: "/n", Client: loopback(1, 1), Dir: newRoot(t, kind)})
		admin, root := mount(t, s.addr, loopback(1, 1), "/n")
		for i, c := range posixTable {
			t.Run(string(kind)+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				p := &posixEnv{ctx: testContext(t), t: t}
				client := func(uid uint32, groups ...uint32) *nfstest.Client {
					c := dial(t, s.addr, loopback(1, 1))
					c.Cred = nfstest.Cred{UID: uid, GID: uid, Groups: groups}
					return c
				}
				p.root, p.user, p.other = client(0), client(1000, 2000), client(1001)
				m, err := admin.Mkdir(p.ctx, root, fmt.Sprint("case-", i), mode(0o777))
				p.must(err)
				p.dir = m.Handle
				c.run(t, p)
			})
		}
	}
}

// TestReadOnly checks that a read-only export refuses every change.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds() {
		dir := newRoot(t, kind)
		r, err := rootfs.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(r.WriteFile("/f", []byte("data"), 0o644, 0, 0), r.Close()); err != nil {
			t.Fatal(err)
		}
		s := start(t, &Server{}, Export{ID: "n", Path: "/n", Client: netip.MustParseAddr("127.0.0.1"), Dir: dir, ReadOnly: true})
		c, root := mount(t, s.addr, netip.Addr{}, "/n")
		ctx := testContext(t)
		h, _, err := c.Lookup(ctx, root, "f")
		if err != nil {
			t.Fatal(err)
		}
		if b, _, err := c.Read(ctx, h, 0, 10); err != nil || string(b) != "data" {
			t.Errorf("%s: read %q, %v", kind, b, err)
		}
		_, _, werr := c.Write(ctx, h, 0, []byte("x"), 0)
		_, cerr := c.Create(ctx, root, "g", true, nfstest.Set{})
		_, serr := c.SetAttr(ctx, h, mode(0), nil)
		for what, err := range map[string]error{
			"write": werr, "create": cerr, "setattr": serr,
			"remove": c.Remove(ctx, root, "f"), "rename": c.Rename(ctx, root, "f", root, "g"), "link": c.Link(ctx, h, root, "g"),
		} {
			if !errors.Is(err, nfstest.ROFS) {
				t.Errorf("%s: %s: got %v, want ROFS", kind, what, err)
			}
		}
	}
}
