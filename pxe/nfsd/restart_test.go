package nfsd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	nfsrpc "github.com/willscott/go-nfs-client/nfs/rpc"

	"caddyshack/pxe/nfsd/nfstest"
	"caddyshack/pxe/nfsd/xdr"
)

// childEnv makes the test binary a server: its value is a childConfig.
const childEnv = "NFSD_TEST_SERVER"

type childConfig struct {
	Addr     string
	StateDir string
	Export   Export
	Ready    string // file that gets the address once the server listens
}

func TestMain(m *testing.M) {
	if conf := os.Getenv(childEnv); conf != "" {
		if err := serveChild(conf); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	nfsrpc.DefaultReadTimeout = deadline // after which that client calls once more
	os.Exit(m.Run())
}

func serveChild(conf string) error {
	var c childConfig
	if err := json.Unmarshal([]byte(conf), &c); err != nil {
		return err
	}
	ctx := context.Background()
	s := &Server{Addr: c.Addr, StateDir: c.StateDir}
	if err := s.AddExport(ctx, c.Export); err != nil {
		return err
	}
	if err := s.Listen(ctx); err != nil {
		return err
	}
	if err := os.WriteFile(c.Ready+".new", []byte(s.BoundAddr().String()), 0o600); err != nil {
		return err
	}
	if err := os.Rename(c.Ready+".new", c.Ready); err != nil {
		return err
	}
	return s.Serve(ctx)
}

// child runs a server in a process of its own that can be killed.
type child struct {
	t    *testing.T
	conf childConfig
	cmd  *exec.Cmd
}

func (c *child) start() {
	c.t.Helper()
	_ = os.Remove(c.conf.Ready)
	conf, err := json.Marshal(c.conf)
	if err != nil {
		c.t.Fatal(err)
	}
	c.cmd = exec.CommandContext(context.Background(), os.Args[0])
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(conf))
	c.cmd.Stderr = os.Stderr
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	for end := time.Now().Add(deadline); ; time.Sleep(2 * time.Millisecond) {
		if b, err := os.ReadFile(c.conf.Ready); err == nil {
			c.conf.Addr = string(b)
			return
		}
		if time.Now().After(end) {
			c.t.Fatal("the server does not start")
		}
	}
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// hard is a client as a hard mount: it sends a call, with its transaction
// number, again until it is answered.
type hard struct {
	t    *testing.T
	ctx  context.Context
	addr string
	c    *nfstest.Client
	xid  uint32
}

func (h *hard) call(prog, proc uint32, args func(*xdr.Encoder)) *xdr.Decoder {
	h.xid++
	e := nfstest.Header(h.xid, prog, 3, proc, &nfstest.Cred{})
	args(e)
	msg := nfstest.Seal(e)
	for {
		if h.ctx.Err() != nil {
			h.t.Error("no answer in time")
			return nil
		}
		if h.c == nil {
			c, err := nfstest.Dial(h.ctx, h.addr, netip.Addr{})
			if err != nil {
				time.Sleep(3 * time.Millisecond)
				continue
			}
			h.c = c
		}
		d, err := h.c.Exchange(h.ctx, h.xid, msg)
		if err == nil {
			return d
		}
		_ = h.c.Close()
		h.c = nil
	}
}

// nfs makes a call that has to succeed.
func (h *hard) nfs(what string, proc uint32, args func(*xdr.Encoder)) *xdr.Decoder {
	d := h.call(nfstest.NFS, proc, args)
	if d == nil {
		return nil
	}
	if st := d.Uint32(); st != 0 {
		h.t.Errorf("%s: status %d", what, st)
		return nil
	}
	return d
}

// newHandle makes a call that makes an inode.
func (h *hard) newHandle(what string, proc uint32, args func(*xdr.Encoder)) nfstest.Handle {
	d := h.nfs(what, proc, args)
	if d == nil || !d.Bool() {
		return nil
	}
	return d.Opaque(64)
}

func noAttrs(e *xdr.Encoder) {
	for range 6 {
		e.Uint32(0)
	}
}

// round uses every call that must not be done twice; none may fail. It leaves
// a file "kept" with contents that were acknowledged as safe.
func (h *hard) round(root nfstest.Handle, name string, contents []byte) bool {
	dir := h.newHandle("mkdir "+name, nfstest.Mkdir, func(e *xdr.Encoder) { e.Opaque(root); e.String(name); noAttrs(e) })
	f := h.newHandle("create", nfstest.Create, func(e *xdr.Encoder) {
		e.Opaque(dir)
		e.String("new")
		e.Uint32(1)
		noAttrs(e)
	})
	if dir == nil || f == nil {
		return false
	}
	for { // write and commit until both came from one life of the server
		d := h.nfs("write", nfstest.Write, func(e *xdr.Encoder) {
			e.Opaque(f)
			e.Uint64(0)
			e.Uint32(uint32(len(contents)))
			e.Uint32(0)
			e.Opaque(contents)
		})
		if d == nil {
			return false
		}
		wrote := bytes.Clone(d.Rest()[len(d.Rest())-8:])
		d = h.nfs("commit", nfstest.Commit, func(e *xdr.Encoder) { e.Opaque(f); e.Uint64(0); e.Uint32(0) })
		if d == nil {
			return false
		}
		if bytes.Equal(wrote, d.Rest()[len(d.Rest())-8:]) {
			break
		}
	}
	two := func(a nfstest.Handle, an string, b nfstest.Handle, bn string) func(*xdr.Encoder) {
		return func(e *xdr.Encoder) {
			e.Opaque(a)
			if an != "" {
				e.String(an)
			}
			e.Opaque(b)
			e.String(bn)
		}
	}
	in := func(n string) func(*xdr.Encoder) { return func(e *xdr.Encoder) { e.Opaque(dir); e.String(n) } }
	return h.nfs("link", nfstest.Link, two(f, "", dir, "second")) != nil &&
		h.nfs("rename", nfstest.Rename, two(dir, "new", dir, "kept")) != nil &&
		h.nfs("remove", nfstest.Remove, in("second")) != nil &&
		h.newHandle("symlink", nfstest.Symlink, func(e *xdr.Encoder) { in("sym")(e); noAttrs(e); e.String("target") }) != nil &&
		h.nfs("remove symlink", nfstest.Remove, in("sym")) != nil &&
		h.newHandle("mkdir", nfstest.Mkdir, func(e *xdr.Encoder) { in("sub")(e); noAttrs(e) }) != nil &&
		h.nfs("rmdir", nfstest.Rmdir, in("sub")) != nil
}

// TestKillUnderLoad kills the server again and again while clients work: they
// must see nothing but a pause, and everything acknowledged must be there.
func TestKillUnderLoad(t *testing.T) {
	t.Parallel()
	for i, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			const workers, kills = 4, 12
			state := t.TempDir()
			srv := &child{t: t, conf: childConfig{
				// Its own address: nobody else gets the port while it is dead.
				Addr: fmt.Sprintf("127.77.200.%d:0", i+1), StateDir: state, Ready: filepath.Join(state, "ready"),
				Export: Export{ID: "n", Path: "/n", Client: netip.MustParseAddr("127.0.0.1"), Dir: newRoot(t, kind)},
			}}
			srv.start()
			defer func() { srv.kill() }()
			ctx := testContext(t)
			_, root := mount(t, srv.conf.Addr, netip.Addr{}, "/n")

			stop := make(chan struct{})
			var wg sync.WaitGroup
			rounds := make([]int, workers)
			ended := make(chan struct{}, 1) // a round, at some time since the last look
			contents := func(w, i int) []byte { return []byte(strings.Repeat(fmt.Sprintf("worker %d round %d\n", w, i), 50)) }
			for w := range workers {
				wg.Go(func() {
					h := &hard{t: t, ctx: ctx, addr: srv.conf.Addr, xid: uint32(w) << 24}
					for i := 0; ; i++ {
						select {
						case <-stop:
							return
						default:
						}
						if !h.round(root, fmt.Sprintf("%d-%d", w, i), contents(w, i)) {
							return
						}
						rounds[w]++
						select {
						case ended <- struct{}{}:
						default:
						}
					}
				})
			}
			for range kills {
				select { // what was left from before counts, so that it may also be killed at once
				case <-ended:
				case <-ctx.Done():
					t.Error("no round ends between two kills")
				}
				time.Sleep(rand.N(60 * time.Millisecond)) // somewhere in the rounds under way
				srv.kill()
				srv.start()
			}
			close(stop)
			wg.Wait()

			c := dial(t, srv.conf.Addr, netip.Addr{})
			total := 0
			for w := range workers {
				total += rounds[w]
				for i := range rounds[w] {
					dir, _, err := c.Lookup(ctx, root, fmt.Sprintf("%d-%d", w, i))
					if err != nil {
						t.Fatal(err)
					}
					f, a, err := c.Lookup(ctx, dir, "kept")
					if err != nil || a.Nlink != 1 {
						t.Fatalf("link count %d, %v", a.Nlink, err)
					}
					if b, _, err := c.Read(ctx, f, 0, 4096); err != nil || !bytes.Equal(b, contents(w, i)) {
						t.Fatalf("worker %d round %d: %d bytes, %v", w, i, len(b), err)
					}
				}
			}
			if total < kills {
				t.Errorf("only %d rounds between %d kills", total, kills)
			}
			t.Logf("%d rounds over %d kills", total, kills)
		})
	}
}

// TestReplay sends a call twice: it must be done once.
func TestReplay(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	s := twoNodes(t, &Server{Limits: patient})
	c, root := mount(t, s.addr, loopback(1, 1), "/nodes/one")
	xid := c.NextXID()
	e := nfstest.Header(xid, nfstest.NFS, 3, nfstest.Mkdir, &c.Cred)
	e.Opaque(root)
	e.String("d")
	noAttrs(e)
	msg := nfstest.Seal(e)
	first, err := c.Exchange(ctx, xid, msg)
	if err != nil {
		t.Fatal(err)
	}
	again := dial(t, s.addr, loopback(1, 1)) // over another connection
	second, err := again.Exchange(ctx, xid, msg)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Rest(), second.Rest()) || first.Uint32() != 0 {
		t.Error("the second reply is another")
	}
	// The same transaction number with another call is another call.
	e = nfstest.Header(xid, nfstest.NFS, 3, nfstest.Mkdir, &c.Cred)
	e.Opaque(root)
	e.String("e")
	noAttrs(e)
	if d, err := again.Exchange(ctx, xid, nfstest.Seal(e)); err != nil || d.Uint32() != 0 {
		t.Errorf("another call: %v", err)
	}
	if _, _, err := c.Lookup(ctx, root, "e"); err != nil {
		t.Error(err)
	}
	// Another node's replies are its own.
	two, rootTwo := mount(t, s.addr, loopback(1, 2), "/nodes/two")
	if _, err := two.Exchange(ctx, xid, msg); err != nil {
		t.Error(err)
	}
	if _, _, err := two.Lookup(ctx, rootTwo, "d"); !errors.Is(err, nfstest.NoEnt) {
		t.Errorf("in the other node's root: %v", err)
	}
	if n := s.Stats().Replayed; n != 1 {
		t.Errorf("%d calls replayed", n)
	}
	// Who has lost the export is not told again what became of a call.
	if err := s.RemoveExport(ctx, "one"); err != nil {
		t.Fatal(err)
	}
	if d, err := c.Exchange(ctx, xid, msg); err != nil || d.Uint32() != nfsErrStale {
		t.Errorf("sent once more after the end of the export: %v", err)
	}
}
