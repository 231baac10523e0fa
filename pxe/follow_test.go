package pxe_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"caddyshack/baremetal"
	"caddyshack/pxe"
	"caddyshack/pxe/bootlog"
	"caddyshack/pxe/roots"
	"caddyshack/pxe/tftpd"
)

const (
	nodeA = "11111111-2222-4333-8444-55555555550a"
	nodeB = "11111111-2222-4333-8444-55555555550b"
	nodeC = "11111111-2222-4333-8444-55555555550c"
)

// far is an operating-system server that a test plays.
type far struct {
	pxe.OSServer // the calls that no test makes

	mu       sync.Mutex
	lost     bool
	instance string
	events   []bootlog.Event
	told     int
	trees    map[string]pxe.BootTree
	stored   map[string]string // by node/name
	opened   int
}

var errLost = &pxe.LostError{Part: "operating-system server", Err: baremetal.Errorf(baremetal.Unavailable, "it does not answer")}

func (f *far) Events(ctx context.Context, after pxe.Cursor) (pxe.Events, error) {
	for {
		f.mu.Lock()
		if f.lost {
			f.mu.Unlock()
			return pxe.Events{}, errLost
		}
		list := f.events[f.told:]
		f.told = len(f.events)
		out := pxe.Events{Cursor: pxe.Cursor{Instance: f.instance}, List: list}
		f.mu.Unlock()
		if len(list) > 0 || after.Instance != out.Instance {
			return out, nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return pxe.Events{}, ctx.Err()
		}
	}
}

func (f *far) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *far) List(context.Context) ([]roots.Root, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []roots.Root
	for id := range f.trees {
		list = append(list, roots.Root{NodeID: id, Published: &roots.BootSpec{}})
	}
	return list, nil
}

func (f *far) BootTree(_ context.Context, id string) (pxe.BootTree, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost {
		return pxe.BootTree{}, errLost
	}
	t, ok := f.trees[id]
	if !ok {
		return t, baremetal.Errorf(baremetal.NotFound, "not exported")
	}
	return t, nil
}

func (f *far) OpenBootFile(_ context.Context, id, name string) (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	return io.NopCloser(strings.NewReader(f.stored[id+"/"+name])), nil
}

var made = time.Unix(1_700_000_000, 5000)

func tree(id string, client byte, kernel string) pxe.BootTree {
	return pxe.BootTree{NodeID: id, Client: netip.AddrFrom4([4]byte{10, 0, 0, client}), Prefixes: []string{id[len(id)-8:]},
		Files: map[string]pxe.BootFile{
			"cmdline.txt":       {Data: []byte("root=/dev/nfs"), Size: 13},
			"overlays/uart.dtb": {Stored: true, Size: int64(len(kernel)), ModTime: made},
		}}
}

// fetch reads what TFTP would send.
func fetch(t *testing.T, trees *tftpd.Trees, id string, client byte, name string) (string, error) {
	t.Helper()
	f, err := trees.Open(t.Context(), netip.AddrFrom4([4]byte{10, 0, 0, client}), id[len(id)-8:]+"/"+name)
	if err != nil {
		return "", err
	}
	defer f.Body.Close()
	b, err := io.ReadAll(f.Body)
	return string(b), err
}

func copies(t *testing.T, dir string) (*pxe.Copies, *tftpd.Trees) {
	t.Helper()
	trees, err := tftpd.NewTrees(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = trees.Close() })
	c, err := pxe.OpenCopies(dir, trees, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c, trees
}

// Boot files are copied once, served also by a later process while their
// server is away, replaced when they change, and gone with the export.
func TestCopies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := &far{trees: map[string]pxe.BootTree{nodeA: tree(nodeA, 1, "one"), nodeB: tree(nodeB, 2, "other")},
		stored: map[string]string{nodeA + "/overlays/uart.dtb": "one", nodeB + "/overlays/uart.dtb": "other"}}
	c, trees := copies(t, dir)
	for range 2 {
		if err := c.SyncAll(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if f.opened != 2 {
		t.Errorf("two files were fetched %d times", f.opened)
	}
	want := func(trees *tftpd.Trees, id string, client byte, name, want string) {
		t.Helper()
		if got, err := fetch(t, trees, id, client, name); err != nil || got != want {
			t.Errorf("%s of %s: %q, %v; want %q", name, id, got, err, want)
		}
	}
	want(trees, nodeA, 1, "cmdline.txt", "root=/dev/nfs")
	want(trees, nodeA, 1, "overlays/uart.dtb", "one")
	want(trees, nodeB, 2, "overlays/uart.dtb", "other")

	f.lost = true
	c, trees = copies(t, dir)
	want(trees, nodeA, 1, "overlays/uart.dtb", "one")
	if err := c.Sync(t.Context(), f, nodeA); !isLost(err) {
		t.Errorf("a copy from a lost server: %v", err)
	}
	want(trees, nodeA, 1, "overlays/uart.dtb", "one")

	f.lost = false
	f.trees[nodeA], f.stored[nodeA+"/overlays/uart.dtb"] = tree(nodeA, 3, "longer"), "longer"
	delete(f.trees, nodeB)
	if err := c.SyncAll(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	want(trees, nodeA, 3, "overlays/uart.dtb", "longer")
	if _, err := fetch(t, trees, nodeB, 2, "cmdline.txt"); !errors.Is(err, tftpd.ErrNotFound) {
		t.Errorf("the boot files of a node that is not exported: %v", err)
	}
	if err := c.Remove(nodeA); err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(t, trees, nodeA, 3, "cmdline.txt"); !errors.Is(err, tftpd.ErrNotFound) {
		t.Errorf("removed boot files: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func isLost(err error) bool {
	var lost *pxe.LostError
	return errors.As(err, &lost)
}

// What breaks off or lies is not served.
func TestCopiesRefuse(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(f *far, bt *pxe.BootTree){
		"short":   func(f *far, _ *pxe.BootTree) { f.stored[nodeA+"/overlays/uart.dtb"] = "on" },
		"long":    func(f *far, _ *pxe.BootTree) { f.stored[nodeA+"/overlays/uart.dtb"] = "one more" },
		"outside": func(_ *far, bt *pxe.BootTree) { bt.Files["../../x"] = pxe.BootFile{Stored: true} },
		"node id": func(_ *far, bt *pxe.BootTree) { bt.NodeID = "../" + nodeB },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "copies")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			bt := tree(nodeA, 1, "one")
			f := &far{trees: map[string]pxe.BootTree{}, stored: map[string]string{nodeA + "/overlays/uart.dtb": "one"}}
			spoil(f, &bt)
			f.trees[nodeA] = bt
			c, trees := copies(t, dir)
			if err := c.Sync(t.Context(), f, nodeA); err == nil {
				t.Error("no error")
			}
			if ids := trees.IDs(); len(ids) != 0 {
				t.Errorf("served: %v", ids)
			}
			if around, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(around) != 1 {
				t.Errorf("beside the folder of copies: %v, %v", around, err)
			}
		})
	}
}

// Loss and return are told, mounts are passed on, and the copies follow each
// new life of the server.
func TestFollow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, trees := copies(t, dir)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := &far{instance: "one", trees: map[string]pxe.BootTree{nodeA: tree(nodeA, 1, "one")},
			stored: map[string]string{nodeA + "/overlays/uart.dtb": "one"}}
		var mounts []string
		s := &pxe.Service{OS: f, Copies: c, Log: bootlog.New(bootlog.Config{}), OnMount: func(id string) { mounts = append(mounts, id) }}
		ended := make(chan struct{})
		go func() { s.Follow(ctx); close(ended) }()
		settle := func() { time.Sleep(5 * time.Second); synctest.Wait() }
		settle()
		if ids := trees.IDs(); len(ids) != 1 || s.Link() != (pxe.Link{Up: true}) {
			t.Errorf("at first: serves %v, link %+v", ids, s.Link())
		}
		f.set(func() {
			f.events = append(f.events, bootlog.Event{ID: nodeA, Stage: bootlog.StageMount, Outcome: bootlog.Denied},
				bootlog.Event{ID: nodeA, Time: time.Now(), Stage: bootlog.StageMount})
		})
		settle()
		if len(mounts) != 1 || mounts[0] != nodeA {
			t.Errorf("mounts told: %v", mounts)
		}
		f.set(func() { f.lost = true })
		settle()
		if l := s.Link(); l.Up || l.Lost.IsZero() || l.Losses != 1 || l.Reason != "it does not answer" {
			t.Errorf("while it is lost: %+v", l)
		}
		f.set(func() {
			f.lost, f.instance = false, "two"
			f.trees = map[string]pxe.BootTree{nodeA: tree(nodeA, 9, "one")} // from another address
		})
		settle()
		if l := s.Link(); !l.Up || !l.Lost.IsZero() || l.Losses != 1 {
			t.Errorf("after its return: %+v", l)
		}
		if _, err := fetch(t, trees, nodeA, 9, "cmdline.txt"); err != nil {
			t.Errorf("the new boot files: %v", err)
		}
		cancel()
		<-ended
	})
}
