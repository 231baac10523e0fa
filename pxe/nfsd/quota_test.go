package nfsd

import (
	"bytes"
	"errors"
	"testing"

	"caddyshack/pxe/nfsd/nfstest"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/nfsd/tree/quota"
)

// TestQuota fills a root with a limit: the error is that of a quota and not of
// a full disk, what was acknowledged is kept, and other roots have their space.
func TestQuota(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			ctx := testContext(t)
			const limit = 4 << 20
			dir := newRoot(t, kind)
			r, err := rootfs.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			q := quota.New(r, limit)
			<-q.Counted()
			s := start(t, &Server{}, Export{ID: "n", Path: "/n", Client: loopback(1, 1), Dir: dir, Tree: q},
				Export{ID: "free", Path: "/free", Client: loopback(1, 2), Dir: newRoot(t, kind)})
			c, root := mount(t, s.addr, loopback(1, 1), "/n")
			m, err := c.Create(ctx, root, "big", true, nfstest.Set{})
			if err != nil {
				t.Fatal(err)
			}
			block := bytes.Repeat([]byte("block"), 256<<10/5)
			wrote := uint64(0)
			for err == nil {
				if _, _, err = c.Write(ctx, m.Handle, wrote, block, 0); err == nil {
					wrote += uint64(len(block))
				}
			}
			if !errors.Is(err, nfstest.DQuot) || wrote < limit*3/4 {
				t.Fatalf("after %d bytes: %v", wrote, err)
			}
			other, otherRoot := mount(t, s.addr, loopback(1, 2), "/free")
			if f, err := other.Create(ctx, otherRoot, "f", true, nfstest.Set{}); err != nil {
				t.Errorf("another root: %v", err)
			} else if _, _, err := other.Write(ctx, f.Handle, 0, block, 2); err != nil {
				t.Errorf("another root: %v", err)
			}
			if b, _, err := c.Read(ctx, m.Handle, wrote-uint64(len(block)), uint32(len(block))); err != nil || !bytes.Equal(b, block) {
				t.Errorf("the last block: %d bytes, %v", len(b), err)
			}
			if err := c.Rename(ctx, root, "big", root, "kept"); err != nil {
				t.Errorf("renaming at the limit: %v", err)
			}
			if _, err := c.SetAttr(ctx, m.Handle, nfstest.Set{Size: nfstest.P(uint64(len(block)))}, nil); err != nil {
				t.Errorf("truncating at the limit: %v", err)
			}
			if _, _, err := c.Write(ctx, m.Handle, uint64(len(block)), block, 2); err != nil {
				t.Errorf("with space again: %v", err)
			}
			s.stop()
			again, err := rootfs.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = again.Close() }()
			if b, err := again.ReadFile("kept"); err != nil || !bytes.Equal(b, append(bytes.Clone(block), block...)) {
				t.Errorf("after a restart: %d bytes, %v", len(b), err)
			}
		})
	}
}
