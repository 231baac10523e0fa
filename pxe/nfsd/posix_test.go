package nfsd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"

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

func TestPOSIX(t *testing.T) {
	t.Parallel()
	if other := os.Getenv("NFSD_OTHER_NFS"); other != "" {
		// Another server, for comparison: it answers NFS at this address and
		// MOUNT at the next, and exports the path to 127.0.0.1.
		local := netip.MustParseAddr("127.0.0.1")
		_, root := mount(t, os.Getenv("NFSD_OTHER_MOUNT"), local, os.Getenv("NFSD_OTHER_PATH"))
		posixTable(t, "other", other, local, root)
		return
	}
	for _, kind := range kinds() {
		s := start(t, &Server{}, Export{ID: "n", Path: "/n", Client: loopback(1, 1), Dir: newRoot(t, kind)})
		_, root := mount(t, s.addr, loopback(1, 1), "/n")
		posixTable(t, string(kind), s.addr, loopback(1, 1), root)
	}
}

// posixTable runs the table on a server whose clients come from the address local.
func posixTable(t *testing.T, server, addr string, local netip.Addr, root nfstest.Handle) {
	admin := dial(t, addr, local)
	for i, c := range slices.Concat(posixData, posixNames) {
		t.Run(server+"/"+c.name, func(t *testing.T) {
			t.Parallel()
			p := &posixEnv{ctx: testContext(t), t: t}
			client := func(uid uint32, groups ...uint32) *nfstest.Client {
				c := dial(t, addr, local)
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
