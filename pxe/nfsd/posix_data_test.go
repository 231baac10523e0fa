package nfsd

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"caddyshack/pxe/nfsd/nfstest"
)

// posixData is the part about files, their contents and their owners.
var posixData = []posixCase{
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
}
