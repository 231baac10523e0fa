package nfsd

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"caddyshack/pxe/nfsd/nfstest"
)

// posixNames is the part about names and directories.
var posixNames = []posixCase{
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
