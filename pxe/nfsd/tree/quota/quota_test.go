package quota_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/nfsd/tree"
	"caddyshack/pxe/nfsd/tree/native"
	"caddyshack/pxe/nfsd/tree/quota"
)

// each runs a test on both kinds of trees; open opens the tree of the test with
// a limit, after the one before was closed.
func each(t *testing.T, test func(t *testing.T, open func(limit uint64) *quota.Tree)) {
	kinds := []rootfs.Kind{rootfs.Sidecar}
	if native.Works(os.TempDir()) == nil {
		kinds = append(kinds, rootfs.Native)
	}
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "root")
			im, err := rootfs.Create(dir, kind, rootfs.Limits{})
			if err == nil {
				err = im.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			var last *quota.Tree
			test(t, func(limit uint64) *quota.Tree {
				t.Helper()
				if last != nil {
					if err := last.Close(); err != nil {
						t.Fatal(err)
					}
				}
				r, err := rootfs.OpenUnsynced(dir)
				if err != nil {
					t.Fatal(err)
				}
				last = quota.New(r, limit)
				<-last.Counted()
				return last
			})
			if err := last.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func full(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, syscall.EDQUOT) {
		t.Errorf("%s: %v, want EDQUOT", what, err)
	}
}

func file(t *testing.T, q tree.Tree, name string) tree.ID {
	t.Helper()
	id, _, err := q.Create(q.Root(), name, tree.New{Type: tree.Regular, Mode: 0o600})
	must(t, err)
	return id
}

func TestLimit(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(uint64) *quota.Tree) {
		const limit = 1 << 20
		q := open(limit)
		block := make([]byte, 64<<10)
		big := file(t, q, "big")
		file(t, q, "spare")
		var err error
		n := 0
		for ; err == nil && n < 100; n++ {
			err = q.Write(big, block, uint64(n*len(block)), tree.FileSync)
		}
		full(t, fmt.Sprintf("write %d", n), err)
		if used := q.Used(); used > limit || used < limit-2*uint64(len(block)) {
			t.Errorf("%d bytes used at the limit of %d", used, limit)
		}
		// What is there can be changed, and what gives space back works.
		must(t, q.Write(big, block, 0, tree.FileSync))
		st, err := q.StatFS()
		must(t, err)
		if st.TotalBytes != limit || st.AvailBytes > uint64(len(block)) {
			t.Errorf("statfs tells %+v", st)
		}
		for i := 0; err == nil && i < 100; i++ {
			_, _, err = q.Create(q.Root(), fmt.Sprint("empty-", i), tree.New{Type: tree.Regular})
		}
		full(t, "empty files", err)
		_, _, err = q.Create(q.Root(), "big", tree.New{Type: tree.Regular})
		if !errors.Is(err, syscall.EEXIST) {
			t.Errorf("a name that is taken: %v", err)
		}
		full(t, "a link", func() error {
			_, _, err := q.Create(q.Root(), "link", tree.New{Type: tree.Symlink, Target: "big"})
			return err
		}())
		full(t, "a hard link", q.Link(big, q.Root(), "second name"))
		must(t, q.Remove(q.Root(), "empty-0"))
		must(t, q.Link(big, q.Root(), "second name"))
		must(t, q.Remove(q.Root(), "big"))
		full(t, "with one of two names removed", q.Write(big, block, uint64(n*len(block)), tree.FileSync))
		q = open(limit) // counted anew, it is as full
		full(t, "after a restart", q.Write(big, block, uint64(n*len(block)), tree.FileSync))
		half := uint64(limit / 2)
		must(t, q.SetAttr(big, tree.SetAttr{Size: &half}))
		must(t, q.Write(big, block, half, tree.FileSync))
		must(t, q.Remove(q.Root(), "second name"))
		other := file(t, q, "other")
		must(t, q.Write(other, make([]byte, limit/2), 0, tree.FileSync))
		must(t, q.Rename(q.Root(), "spare", q.Root(), "other"))
		if used := q.Used(); used > limit/4 {
			t.Errorf("%d bytes used in the end", used)
		}
	})
}

// A hole takes nothing, but filling it does.
func TestHoles(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(uint64) *quota.Tree) {
		q := open(1 << 20)
		id := file(t, q, "sparse")
		size := uint64(1 << 30)
		must(t, q.SetAttr(id, tree.SetAttr{Size: &size}))
		var err error
		n := uint64(0)
		for ; err == nil && n < 100; n++ {
			err = q.Write(id, make([]byte, 64<<10), n*(1<<20), tree.FileSync)
		}
		full(t, "filling a hole", err)
		if n < 10 || n > 17 {
			t.Errorf("it was full after %d writes of 64 KiB", n)
		}
	})
}

// Whatever is done, what is known of the use is what a new count finds.
func TestCountKeepsUp(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(uint64) *quota.Tree) {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 1))
		q := open(1 << 30)
		dirs := []tree.ID{q.Root()}
		for i := range 8 {
			id, _, err := q.Create(q.Root(), fmt.Sprint("dir-", i), tree.New{Type: tree.Directory, Mode: 0o755})
			must(t, err)
			dirs = append(dirs, id)
		}
		dir := func() tree.ID { return dirs[r.IntN(len(dirs))] }
		name := func() string { return fmt.Sprint("n", r.IntN(12)) }
		for range 2000 {
			d, n := dir(), name()
			id, a, err := q.Lookup(d, n)
			if err != nil {
				typ := []tree.Type{tree.Regular, tree.Regular, tree.Symlink, tree.FIFO, tree.Directory}[r.IntN(5)]
				_, _, err := q.Create(d, n, tree.New{Type: typ, Mode: 0o700, Target: "x"})
				must(t, err)
				continue
			}
			switch r.IntN(6) {
			case 0, 1:
				if a.Type == tree.Regular {
					must(t, q.Write(id, make([]byte, r.IntN(100_000)), uint64(r.IntN(200_000)), tree.Unstable))
				}
			case 2:
				if a.Type == tree.Regular {
					size := uint64(r.IntN(300_000))
					must(t, q.SetAttr(id, tree.SetAttr{Size: &size}))
				}
			case 3:
				_ = q.Remove(d, n) // no folder
				_ = q.Rmdir(d, n)  // no file
			case 4:
				_ = q.Link(id, dir(), name()) // may be taken, or of a folder
			case 5:
				_ = q.Rename(d, n, dir(), name()) // may be of other types
			}
		}
		kept := int64(q.Used())
		// A file system adds a block to a file of many pieces when it writes
		// them, which is after the count.
		const pieces = 16 * 4096
		if counted := int64(open(1 << 30).Used()); counted < kept-pieces || counted > kept+pieces {
			t.Errorf("%d bytes are known and %d counted (seed %d)", kept, counted, seed)
		}
	})
}
