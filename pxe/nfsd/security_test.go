package nfsd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"caddyshack/pxe/nfsd/nfstest"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/nfsd/xdr"
)

// twoNodes starts a server with one export for each of two nodes.
func twoNodes(t *testing.T, s *Server) *running {
	t.Helper()
	return start(t, s,
		Export{ID: "one", Path: "/nodes/one", Client: loopback(1, 1), Dir: newRoot(t, rootfs.Sidecar)},
		Export{ID: "two", Path: "/nodes/two", Client: loopback(1, 2), Dir: newRoot(t, rootfs.Sidecar)})
}

// patient lets a connection that has lost its export be silent for as long as a
// busy machine may want.
var patient = Limits{StrangerIdle: deadline}

func TestOtherNodesExport(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	refused := make(chan Event, 1)
	s := twoNodes(t, &Server{OnEvent: func(e Event) {
		if !e.OK {
			refused <- e
		}
	}})
	one, rootOne := mount(t, s.addr, loopback(1, 1), "/nodes/one")
	two, rootTwo := mount(t, s.addr, loopback(1, 2), "/nodes/two")
	made, err := two.Create(ctx, rootTwo, "secret", true, nfstest.Set{})
	if err != nil {
		t.Fatal(err)
	}

	if _, err := one.Mount(ctx, "/nodes/two"); !errors.Is(err, nfstest.Acces) {
		t.Errorf("mounting another node's root: %v", err)
	}
	if e := <-refused; e.Client != loopback(1, 1) || e.Path != "/nodes/two" || !strings.Contains(e.Reason, "belongs to 127.77.1.2") {
		t.Errorf("event %+v", e)
	}
	if _, err := one.Mount(ctx, "/nodes/none"); !errors.Is(err, nfstest.Acces) {
		t.Errorf("mounting what does not exist: %v", err)
	}
	<-refused
	paths, err := one.Exports(ctx)
	if err != nil || !slices.Equal(paths, []string{"/nodes/one"}) {
		t.Errorf("showmount shows %q, %v", paths, err)
	}
	// Handles that are real but another's.
	for _, h := range []nfstest.Handle{rootTwo, made.Handle} {
		if _, err := one.GetAttr(ctx, h); !errors.Is(err, nfstest.Stale) {
			t.Errorf("another node's handle: %v", err)
		}
		if err := one.Link(ctx, h, rootOne, "stolen"); !errors.Is(err, nfstest.Stale) {
			t.Errorf("linking another node's file: %v", err)
		}
		if err := one.Rename(ctx, rootOne, "x", h, "y"); !errors.Is(err, nfstest.XDev) {
			t.Errorf("renaming into another node's tree: %v", err)
		}
	}
	stranger := dial(t, s.addr, loopback(9, 9))
	if _, err := stranger.GetAttr(ctx, rootOne); !errors.Is(err, nfstest.Stale) {
		t.Errorf("a stranger with a stolen handle: %v", err)
	}
	if paths, err := stranger.Exports(ctx); err != nil || len(paths) != 0 {
		t.Errorf("a stranger sees %q, %v", paths, err)
	}
	if st := s.Stats(); st.Denied == 0 || st.RefusedMounts != 2 {
		t.Errorf("counters %+v", st)
	}
}

func TestForgedHandles(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	s := twoNodes(t, &Server{})
	c, root := mount(t, s.addr, loopback(1, 1), "/nodes/one")
	for bit := range len(root) * 8 {
		forged := bytes.Clone(root)
		forged[bit/8] ^= 1 << (bit % 8)
		if _, err := c.GetAttr(ctx, forged); !errors.Is(err, nfstest.BadHandle) {
			t.Fatalf("bit %d flipped: %v", bit, err)
		}
	}
	for _, forged := range []nfstest.Handle{{}, root[:len(root)-1], append(bytes.Clone(root), 0), make([]byte, 64)} {
		if _, err := c.GetAttr(ctx, forged); !errors.Is(err, nfstest.BadHandle) {
			t.Errorf("handle %x: %v", forged, err)
		}
	}
	var rpc *nfstest.RPCError
	if _, err := c.GetAttr(ctx, make([]byte, 65)); !errors.As(err, &rpc) || rpc.Stat != acceptGarbageArgs {
		t.Errorf("a handle of 65 bytes: %v", err)
	}
	// A key of another server makes other handles.
	other := twoNodes(t, &Server{})
	c2, _ := mount(t, other.addr, loopback(1, 1), "/nodes/one")
	if _, err := c2.GetAttr(ctx, root); !errors.Is(err, nfstest.BadHandle) {
		t.Errorf("handle of another server: %v", err)
	}
}

func TestRemovedExport(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	s := twoNodes(t, &Server{Limits: patient})
	c, root := mount(t, s.addr, loopback(1, 1), "/nodes/one")
	other, otherRoot := mount(t, s.addr, loopback(1, 2), "/nodes/two")

	// Calls keep running while the export goes; after it is gone none may
	// have an effect.
	stop, writes := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				writes <- nil
				return
			default:
			}
			if _, err := c.Create(ctx, root, "f", false, nfstest.Set{}); err != nil {
				writes <- err
				return
			}
		}
	}()
	if err := s.RemoveExport(ctx, "one"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetAttr(ctx, root); !errors.Is(err, nfstest.Stale) {
		t.Errorf("handle of a removed export: %v", err)
	}
	if err := <-writes; !errors.Is(err, nfstest.Stale) {
		t.Errorf("calls during the removal ended with %v", err)
	}
	close(stop)
	if _, err := c.Mount(ctx, "/nodes/one"); !errors.Is(err, nfstest.Acces) {
		t.Errorf("mounting a removed export: %v", err)
	}
	if _, err := other.GetAttr(ctx, otherRoot); err != nil {
		t.Errorf("the other export: %v", err)
	}
	if err := s.RemoveExport(ctx, "one"); !errors.Is(err, ErrNoExport) {
		t.Errorf("removing it again: %v", err)
	}
}

// A node that is undeployed and deployed again has another root at the same
// place; with handles of the one before it gets nothing, although that is still
// on the disk.
func TestHandlesOfAnEarlierRoot(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			ctx := testContext(t)
			before := Export{ID: "node", Path: "/nodes/node", Client: loopback(1, 1), Dir: newRoot(t, kind)}
			after := before
			after.Dir = newRoot(t, kind)
			s := start(t, &Server{Limits: patient}, before)
			c, root := mount(t, s.addr, before.Client, before.Path)
			file, err := c.Create(ctx, root, "secret", true, nfstest.Set{Mode: nfstest.P(uint32(0o666))})
			if err == nil {
				_, _, err = c.Write(ctx, file.Handle, 0, []byte("of the tenant before"), 2)
			}
			if err == nil {
				err = errors.Join(s.RemoveExport(ctx, "node"), s.AddExport(ctx, after))
			}
			if err != nil {
				t.Fatal(err)
			}
			newRoot, err := c.Mount(ctx, after.Path)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(root, newRoot) {
				t.Error("both roots have the same handle")
			}
			for name, h := range map[string]nfstest.Handle{"root": root, "file": file.Handle} {
				if _, err := c.GetAttr(ctx, h); !errors.Is(err, nfstest.Stale) {
					t.Errorf("attributes of the earlier %s: %v", name, err)
				}
				if b, _, err := c.Read(ctx, h, 0, 100); !errors.Is(err, nfstest.Stale) {
					t.Errorf("reading the earlier %s: %q, %v", name, b, err)
				}
				if _, _, err := c.Write(ctx, h, 0, []byte("x"), 2); !errors.Is(err, nfstest.Stale) {
					t.Errorf("writing to the earlier %s: %v", name, err)
				}
				if err := c.Link(ctx, h, newRoot, "stolen"); !errors.Is(err, nfstest.Stale) {
					t.Errorf("linking the earlier %s into the new root: %v", name, err)
				}
			}
			if _, _, err := c.Lookup(ctx, root, "secret"); !errors.Is(err, nfstest.Stale) {
				t.Errorf("looking into the earlier root: %v", err)
			}
			if err := c.Rename(ctx, newRoot, "x", root, "y"); !errors.Is(err, nfstest.XDev) {
				t.Errorf("renaming into the earlier root: %v", err)
			}
			// The same root again is the same to the node.
			if err := errors.Join(s.RemoveExport(ctx, "node"), s.AddExport(ctx, before)); err != nil {
				t.Fatal(err)
			}
			if b, _, err := c.Read(ctx, file.Handle, 0, 100); err != nil || string(b) != "of the tenant before" {
				t.Errorf("its own root again: %q, %v", b, err)
			}
			if _, err := c.GetAttr(ctx, newRoot); !errors.Is(err, nfstest.Stale) {
				t.Errorf("the other root's handle: %v", err)
			}
		})
	}
}

func TestExportConflicts(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	s := twoNodes(t, &Server{})
	same := s.Exports()[0]
	if err := s.AddExport(ctx, same); err != nil {
		t.Errorf("adding an export again: %v", err)
	}
	changed := same
	changed.Client = loopback(3, 3)
	if err := s.AddExport(ctx, changed); !errors.Is(err, ErrExportExists) {
		t.Errorf("same id, other client: %v", err)
	}
	for _, bad := range []Export{
		{Path: "/x", Client: same.Client, Dir: same.Dir}, {ID: "x", Path: "x", Client: same.Client, Dir: same.Dir},
		{ID: "x", Path: "/x/../y", Client: same.Client, Dir: same.Dir}, {ID: "x", Path: "/x", Dir: same.Dir},
		{ID: "x", Path: "/x", Client: same.Client}, {ID: "x", Path: "/x", Client: same.Client, Dir: t.TempDir()},
		{ID: "x", Path: "/x", Client: loopback(4, 4), Dir: same.Dir}, // open already
	} {
		if err := s.AddExport(ctx, bad); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	s := &Server{StateDir: dir, Addr: "127.0.0.1:0"}
	if err := s.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, keyFile)
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("key file: %v, %v", st, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := (&Server{StateDir: dir}).Listen(ctx); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a readable key: %v", err)
	}
	if err := errors.Join(os.Chmod(path, 0o600), os.Truncate(path, 5)); err != nil {
		t.Fatal(err)
	}
	if err := (&Server{StateDir: dir}).Listen(ctx); err == nil || !strings.Contains(err.Error(), "5 bytes") {
		t.Errorf("a short key: %v", err)
	}
	if err := (&Server{StateDir: dir + "/none"}).Listen(ctx); err == nil {
		t.Error("a state folder that does not exist was accepted")
	}
}

// expectClosed fails unless the server closes the connection.
func expectClosed(t *testing.T, nc net.Conn) {
	t.Helper()
	if err := nc.SetReadDeadline(time.Now().Add(deadline / 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the server keeps the connection")
	}
}

func rawDial(t *testing.T, addr string, unit, slot byte) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 77, unit, slot)}}
	nc, err := d.DialContext(testContext(t), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

func TestBadRecords(t *testing.T) {
	t.Parallel()
	s := twoNodes(t, &Server{Limits: Limits{Stall: 300 * time.Millisecond, StrangerIdle: 300 * time.Millisecond}})
	mark := func(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
	null := nfstest.Seal(nfstest.Header(7, nfstest.NFS, 3, 0, nil))
	for name, c := range map[string]struct {
		unit byte // 1: has an export, 9: has none
		send []byte
	}{
		"2 GiB record":             {1, mark(0xffffffff)},
		"over the limit":           {1, mark(1<<31 | maxRecord + 1)},
		"over it in two fragments": {1, append(append(mark(maxRecord), make([]byte, maxRecord)...), mark(1<<31|1)...)},
		"stranger, large record":   {9, mark(1<<31 | maxStrangerRecord + 1)},
		"half a record mark":       {9, []byte{0x80}},
		"half a record":            {1, append(mark(1<<31|100), make([]byte, 50)...)},
		"silent stranger":          {9, nil},
		"empty fragments for ever": {1, make([]byte, 4*(maxFragments+1))},
		"empty record":             {1, mark(1 << 31)},
		"a reply":                  {1, append(mark(1<<31|8), 0, 0, 0, 1, 0, 0, 0, 1)},
		"rubbish":                  {1, append(mark(1<<31|40), bytes.Repeat([]byte{0xaa}, 40)...)},
		"good call, then rubbish":  {1, append(bytes.Clone(null), append(mark(1<<31|40), bytes.Repeat([]byte{0xaa}, 40)...)...)},
		"credential of 4 GiB":      {1, append(mark(1<<31|32), bytes.Repeat([]byte{0, 0, 0, 0}, 8)...)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc := rawDial(t, s.addr, c.unit, 1)
			if name == "credential of 4 GiB" {
				e := xdr.NewEncoder(nil)
				for _, v := range []uint32{1<<31 | 32, 1, 0, 2, nfsProgram, 3, 1, 1, 0xffffffff} {
					e.Uint32(v)
				}
				c.send = e.Bytes()
			}
			if _, err := nc.Write(c.send); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Logf("write: %v", err) // closed before all of it was taken
			}
			expectClosed(t, nc)
		})
	}
	t.Run("others are served", func(t *testing.T) {
		t.Parallel()
		c, root := mount(t, s.addr, loopback(1, 2), "/nodes/two")
		if _, err := c.GetAttr(testContext(t), root); err != nil {
			t.Error(err)
		}
	})
}

func TestRPCErrors(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	s := twoNodes(t, &Server{})
	c, root := mount(t, s.addr, loopback(1, 1), "/nodes/one")
	cred := &nfstest.Cred{}
	for name, x := range map[string]struct {
		prog, vers, proc uint32
		cred             *nfstest.Cred
		want             nfstest.RPCError
	}{
		"unknown program":  {100227, 3, 0, cred, nfstest.RPCError{Stat: acceptProgUnavail}},
		"NFS version 4":    {nfsProgram, 4, 0, cred, nfstest.RPCError{Stat: acceptProgMismatch}},
		"MOUNT version 1":  {mountProgram, 1, 0, cred, nfstest.RPCError{Stat: acceptProgMismatch}},
		"NFS procedure":    {nfsProgram, 3, 22, cred, nfstest.RPCError{Stat: acceptProcUnavail}},
		"MOUNT procedure":  {mountProgram, 3, 6, cred, nfstest.RPCError{Stat: acceptProcUnavail}},
		"AUTH_NONE":        {nfsProgram, 3, 1, nil, nfstest.RPCError{Denied: true, Stat: authTooWeak}},
		"too many groups":  {nfsProgram, 3, 1, &nfstest.Cred{Groups: make([]uint32, 17)}, nfstest.RPCError{Denied: true, Stat: authBadCred}},
		"missing argument": {nfsProgram, 3, 3, cred, nfstest.RPCError{Stat: acceptGarbageArgs}},
	} {
		xid := c.NextXID()
		e := nfstest.Header(xid, x.prog, x.vers, x.proc, x.cred)
		e.Opaque(root)
		_, err := c.Exchange(ctx, xid, nfstest.Seal(e))
		var got *nfstest.RPCError
		if !errors.As(err, &got) || *got != x.want {
			t.Errorf("%s: got %v, want %v", name, err, &x.want)
		}
	}
	// RPC version 3.
	xid := c.NextXID()
	e := nfstest.Header(xid, nfsProgram, 3, 0, nil)
	e.Patch32(12, 3)
	var got *nfstest.RPCError
	if _, err := c.Exchange(ctx, xid, nfstest.Seal(e)); !errors.As(err, &got) || !got.Denied {
		t.Errorf("RPC version 3: %v", err)
	}
	// 16 groups are fine.
	c.Cred.Groups = make([]uint32, 16)
	if _, err := c.GetAttr(ctx, root); err != nil {
		t.Errorf("16 groups: %v", err)
	}
	// So is a call in many fragments.
	xid = c.NextXID()
	e = nfstest.Header(xid, nfsProgram, 3, nfstest.GetAttr, cred)
	e.Opaque(root)
	var frags []byte
	for body := e.Bytes()[4:]; len(body) > 0; {
		n := min(7, len(body))
		last := uint32(0)
		if n == len(body) {
			last = lastFragment
		}
		frags = append(binary.BigEndian.AppendUint32(frags, last|uint32(n)), body[:n]...)
		body = body[n:]
	}
	if d, err := c.Exchange(ctx, xid, frags); err != nil || d.Uint32() != 0 {
		t.Errorf("a call in fragments: %v", err)
	}
}

// TestConnectionLimits opens 1,000 connections from one node and from
// strangers; another node is served as if nothing were the matter.
func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	s := twoNodes(t, &Server{Limits: Limits{PerClient: 40, Strangers: 10, StrangerIdle: deadline}})
	good, root := mount(t, s.addr, loopback(1, 2), "/nodes/two")
	var wg sync.WaitGroup
	var mu sync.Mutex
	served := map[byte]int{}
	for i := range 1000 {
		unit := byte(1 + 8*(i%2))
		wg.Go(func() {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 77, unit, 1)}}
			nc, err := d.DialContext(ctx, "tcp", s.addr)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _ = nc.Close() })
			if _, err := nc.Write(nfstest.Seal(nfstest.Header(1, nfstest.NFS, 3, 0, nil))); err != nil {
				return // closed at once
			}
			_ = nc.SetReadDeadline(time.Now().Add(deadline / 2))
			if n, err := io.ReadFull(nc, make([]byte, 28)); n == 28 && err == nil {
				mu.Lock()
				served[unit]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if served[1] == 0 || served[1] > 40 || served[9] == 0 || served[9] > 10 {
		t.Errorf("served %d connections of a node and %d of strangers, limits are 40 and 10", served[1], served[9])
	}
	if _, err := good.GetAttr(ctx, root); err != nil {
		t.Errorf("the other node: %v", err)
	}
	if st := s.Stats(); st.Refused < 900 {
		t.Errorf("%d connections refused", st.Refused)
	}
}

// A node that has lost its root has the connections of a stranger: they do not
// stay open, silent as they are, in the place of others'.
func TestConnectionsOfAnEarlierNode(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	s := twoNodes(t, &Server{Limits: Limits{StrangerIdle: 300 * time.Millisecond}})
	silent, waiting := rawDial(t, s.addr, 1, 1), rawDial(t, s.addr, 1, 2)
	ping(t, silent)
	ping(t, waiting)
	if err := s.RemoveExport(ctx, "one"); err != nil {
		t.Fatal(err)
	}
	expectClosed(t, silent)
	// The other node may be silent for as long as it likes.
	ping(t, waiting)
}

// ping makes a NULL call.
func ping(t *testing.T, nc net.Conn) {
	t.Helper()
	if err := nc.SetDeadline(time.Now().Add(deadline / 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Write(nfstest.Seal(nfstest.Header(1, nfstest.NFS, 3, 0, nil))); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(nc, make([]byte, 28)); err != nil {
		t.Fatalf("a NULL call: %v", err)
	}
}

// Half-open connections, whose other side has gone without a word, are found
// out by the kernel: it probes those that are silent.
func TestHalfOpenConnections(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	s := twoNodes(t, &Server{})
	c := dial(t, s.addr, loopback(1, 1))
	if _, err := c.Call(ctx, nfstest.NFS, nfstest.Null, nil); err != nil {
		t.Fatal(err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for c := range s.conns {
		raw, err := c.nc.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		for name, x := range map[string]struct{ level, option, want int }{
			"keep-alive":          {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			"silence in seconds":  {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60},
			"interval in seconds": {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 10},
			"probes":              {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
		} {
			var got int
			var optErr error
			if err := errors.Join(raw.Control(func(fd uintptr) { got, optErr = unix.GetsockoptInt(int(fd), x.level, x.option) }), optErr); err != nil || got != x.want {
				t.Errorf("%s: %d, %v, want %d", name, got, err, x.want)
			}
		}
	}
}

// Listings are as large as a client wants them, up to a MiB, and count to the
// memory under way as reads do.
func TestListingsCount(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	s := twoNodes(t, &Server{})
	c, root := mount(t, s.addr, loopback(1, 1), "/nodes/one")
	for _, plus := range []bool{false, true} {
		if _, eof, err := c.ReadDir(ctx, root, 0, 8<<10, plus); err != nil || !eof {
			t.Fatal(err)
		}
	}
	if peak := s.Stats().PeakCallMemory; peak != 0 {
		t.Errorf("%d bytes were held for small listings", peak)
	}
	for _, plus := range []bool{false, true} {
		if _, eof, err := c.ReadDir(ctx, root, 0, 16<<20, plus); err != nil || !eof {
			t.Fatal(err)
		}
	}
	if peak := s.Stats().PeakCallMemory; peak < 1<<20 || peak > 4<<20 {
		t.Errorf("%d bytes were held for a listing of up to a MiB", peak)
	}
}

// TestSlowReader checks that a client that asks for much and takes nothing
// holds no more than its share of memory and no one else up.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	// The file is there before: a large WRITE from here might stall, too.
	dir := newRoot(t, rootfs.Sidecar)
	r, err := rootfs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.WriteFile("/big", make([]byte, 1<<20), 0o644, 0, 0), r.Close()); err != nil {
		t.Fatal(err)
	}
	s := start(t, &Server{Limits: Limits{Memory: 16 << 20, Stall: 500 * time.Millisecond}},
		Export{ID: "one", Path: "/nodes/one", Client: loopback(1, 1), Dir: dir},
		Export{ID: "two", Path: "/nodes/two", Client: loopback(1, 2), Dir: newRoot(t, rootfs.Sidecar)})
	c, root := mount(t, s.addr, loopback(1, 1), "/nodes/one")
	big, _, err := c.Lookup(ctx, root, "big")
	if err != nil {
		t.Fatal(err)
	}
	lazy := rawDial(t, s.addr, 1, 1)
	for i := range uint32(200) {
		e := nfstest.Header(i, nfstest.NFS, 3, nfstest.Read, &nfstest.Cred{})
		e.Opaque(big)
		e.Uint64(0)
		e.Uint32(1 << 20)
		if _, err := lazy.Write(nfstest.Seal(e)); err != nil {
			break // the server has had enough of it
		}
	}
	good, goodRoot := mount(t, s.addr, loopback(1, 2), "/nodes/two")
	if _, err := good.GetAttr(ctx, goodRoot); err != nil {
		t.Error(err)
	}
	// Nothing is read from the connection, so only the server can end it.
	for s.Stats().Connections > 2 {
		select {
		case <-ctx.Done():
			t.Fatal("the server keeps a connection that takes no replies")
		case <-time.After(10 * time.Millisecond):
		}
	}
	if peak := s.Stats().PeakCallMemory; peak > 16<<20 {
		t.Errorf("%d bytes under way at once", peak)
	}
}
