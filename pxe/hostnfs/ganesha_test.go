//go:build ganesha

package hostnfs

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"caddyshack/internal/ganesha"
	"caddyshack/pxe/nfsd/nfstest"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/roots"
)

// nfsServer is a running Ganesha and its exports.
type nfsServer struct {
	*ganesha.Server
	nfsAddr, mountAddr string
	exports            *Exports
}

func startGanesha(t *testing.T) *nfsServer {
	t.Helper()
	g := &nfsServer{Server: ganesha.StartT(t)}
	g.mountAddr, g.nfsAddr = fmt.Sprint("127.0.0.1:", g.MountPort), fmt.Sprint("127.0.0.1:", g.NFSPort)
	var err error
	g.exports, err = Open(Config{Kind: Ganesha, StateFile: filepath.Join(t.TempDir(), "state"), ExportsFile: g.ExportsFile,
		Reload: Hangup(g.PIDFile), MountAddr: netip.MustParseAddrPort(g.mountAddr), Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestGanesha has a real Ganesha serve two nodes in turn, one of which stays
// connected all the time.
func TestGanesha(t *testing.T) {
	if !ganesha.Again(t) {
		return
	}
	g := startGanesha(t)
	x, mountAddr, nfsAddr := g.exports, g.mountAddr, g.nfsAddr
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	export := func(id, client string) roots.Export {
		return roots.Export{NodeID: id, Path: "/nodes/" + id, Dir: newRoot(t, rootfs.Native), Client: netip.MustParseAddr(client)}
	}
	stays, goes := export("stays", "127.0.0.2"), export("goes", "127.0.0.3")
	for _, e := range []roots.Export{stays, goes} {
		start := time.Now()
		if err := x.OpenExport(ctx, e); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s was opened after %v", e.NodeID, time.Since(start).Round(time.Millisecond))
	}
	kept := mountAt(t, ctx, mountAddr, nfsAddr, stays)
	file := kept.create(t, ctx, "f")
	other := mountAt(t, ctx, mountAddr, nfsAddr, goes)
	if _, err := mount(ctx, mountAddr, goes.Path, stays.Client); err == nil {
		t.Error("a node may mount another's root")
	}
	// The handle of another node's file is worth nothing elsewhere.
	if _, err := other.GetAttr(ctx, file); err == nil {
		t.Error("a node may use another's handle")
	}
	start := time.Now()
	if err := x.CloseExport(ctx, goes.NodeID); err != nil {
		t.Fatal(err)
	}
	t.Logf("it was closed after %v", time.Since(start).Round(time.Millisecond))
	if _, err := other.GetAttr(ctx, other.root); err == nil {
		t.Error("the closed export is still served")
	}
	if _, err := mount(ctx, mountAddr, goes.Path, goes.Client); err == nil {
		t.Error("the closed export can still be mounted")
	}
	if _, err := kept.GetAttr(ctx, file); err != nil {
		t.Errorf("the export that stays: %v", err)
	}
	// A node that comes back after its export was gone finds its handles good.
	if err := x.OpenExport(ctx, goes); err != nil {
		t.Fatal(err)
	}
	mountAt(t, ctx, mountAddr, nfsAddr, goes)
	mounted := make(chan string, 10)
	wctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	if err := x.WatchMounts(wctx, g.NFSPort, func(id string) {
		select {
		case mounted <- id:
		default:
		}
		stop()
	}); err != nil {
		t.Fatal(err)
	}
	if len(mounted) == 0 {
		t.Error("no connection was seen")
	}
}

// node is a client of a server, with the handle of its root.
type node struct {
	*nfstest.Client
	root nfstest.Handle
}

func mount(ctx context.Context, addr, path string, from netip.Addr) (nfstest.Handle, error) {
	c, err := nfstest.Dial(ctx, addr, from)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	return c.Mount(ctx, path)
}

func mountAt(t *testing.T, ctx context.Context, mountAddr, nfsAddr string, e roots.Export) node {
	t.Helper()
	root, err := mount(ctx, mountAddr, e.Path, e.Client)
	if err != nil {
		t.Fatalf("mounting %s: %v", e.Path, err)
	}
	c, err := nfstest.Dial(ctx, nfsAddr, e.Client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return node{c, root}
}

func (n node) create(t *testing.T, ctx context.Context, name string) nfstest.Handle {
	t.Helper()
	m, err := n.Create(ctx, n.root, name, true, nfstest.Set{})
	if err != nil {
		t.Fatal(err)
	}
	return m.Handle
}
