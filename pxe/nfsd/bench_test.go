package nfsd

import (
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"caddyshack/pxe/nfsd/nfstest"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/nfsd/tree"
)

// benchClients runs work on n clients, each on its own export, and splits b.N
// calls among them.
func benchClients(b *testing.B, dirs func() string, kind rootfs.Kind, n int, work func(c *nfstest.Client, root nfstest.Handle, client, calls int)) {
	clients := make([]*nfstest.Client, n)
	roots := make([]nfstest.Handle, n)
	if other := os.Getenv("NFSD_BENCH_NFS"); other != "" {
		benchOther(b, other, clients, roots)
	} else {
		benchOurs(b, dirs, kind, clients, roots)
	}
	for i := range n {
		work(clients[i], roots[i], i, 0) // prepares
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { work(clients[i], roots[i], i, (b.N+n-1)/n) })
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

func benchOurs(b *testing.B, dirs func() string, kind rootfs.Kind, clients []*nfstest.Client, roots []nfstest.Handle) {
	var exports []Export
	for i := range clients {
		exports = append(exports, Export{
			ID: fmt.Sprint(i), Path: fmt.Sprint("/", i), Client: loopback(1, byte(i+1)), Dir: emptyRoot(b, kind, dirs()),
		})
	}
	s := &Server{}
	if os.Getenv("NFSD_BENCH_UNSYNCED") != "" {
		s.OpenTree = func(dir string) (tree.Tree, error) { return rootfs.OpenUnsynced(dir) }
	}
	start(b, s, exports...)
	for i := range clients {
		clients[i], roots[i] = mount(b, s.BoundAddr().String(), loopback(1, byte(i+1)), fmt.Sprint("/", i))
	}
}

// benchOther measures another server for comparison: it answers NFS at the
// address nfs and MOUNT at NFSD_BENCH_MOUNT, and exports NFSD_BENCH_PATH, in
// which every client gets a new directory.
func benchOther(b *testing.B, nfs string, clients []*nfstest.Client, roots []nfstest.Handle) {
	_, root := mount(b, os.Getenv("NFSD_BENCH_MOUNT"), netip.Addr{}, os.Getenv("NFSD_BENCH_PATH"))
	for i := range clients {
		clients[i] = dial(b, nfs, netip.Addr{})
		m, err := clients[i].Mkdir(b.Context(), root, fmt.Sprintf("%d-%d", i, time.Now().UnixNano()), nfstest.Set{Mode: nfstest.P(uint32(0o755))})
		if err != nil {
			b.Fatal(err)
		}
		roots[i] = m.Handle
	}
}

func eachSize(b *testing.B, run func(b *testing.B, dirs func() string, kind rootfs.Kind, n int)) {
	// Roots are deleted only at the very end: ext4 is slow to make files while
	// it avoids the inodes that were deleted in the last seconds.
	base, count := b.TempDir(), 0
	dirs := func() string {
		count++
		return fmt.Sprint(base, "/", count)
	}
	for _, kind := range kinds() {
		for _, n := range []int{1, 13} {
			b.Run(fmt.Sprintf("%s/clients=%d", kind, n), func(b *testing.B) { run(b, dirs, kind, n) })
		}
	}
}

// benchDepth is how many calls a client has under way, as a kernel reading
// ahead would.
const benchDepth = 4

// pipelined makes calls from several goroutines.
func pipelined(calls int, call func(i int)) {
	var wg sync.WaitGroup
	for w := range benchDepth {
		wg.Go(func() {
			for i := w; i < calls; i += benchDepth {
				call(i)
			}
		})
	}
	wg.Wait()
}

const benchFile = 32 << 20

func BenchmarkRead1MiB(b *testing.B) {
	eachSize(b, func(b *testing.B, dirs func() string, kind rootfs.Kind, n int) {
		b.SetBytes(1 << 20)
		files := make([]nfstest.Handle, n)
		benchClients(b, dirs, kind, n, func(c *nfstest.Client, root nfstest.Handle, client, calls int) {
			if calls == 0 {
				files[client] = benchContents(b, c, root)
				return
			}
			pipelined(calls, func(i int) {
				if _, _, err := c.Read(b.Context(), files[client], uint64(i)<<20%benchFile, 1<<20); err != nil {
					b.Error(err)
				}
			})
		})
	})
}

func benchContents(b *testing.B, c *nfstest.Client, root nfstest.Handle) nfstest.Handle {
	m, err := c.Create(b.Context(), root, "big", true, nfstest.Set{})
	if err != nil {
		b.Fatal(err)
	}
	for off := uint64(0); off < benchFile; off += 1 << 20 {
		if _, _, err := c.Write(b.Context(), m.Handle, off, make([]byte, 1<<20), 0); err != nil {
			b.Fatal(err)
		}
	}
	return m.Handle
}

func BenchmarkWrite1MiB(b *testing.B) {
	eachSize(b, func(b *testing.B, dirs func() string, kind rootfs.Kind, n int) {
		b.SetBytes(1 << 20)
		data := make([]byte, 1<<20)
		files := make([]nfstest.Handle, n)
		benchClients(b, dirs, kind, n, func(c *nfstest.Client, root nfstest.Handle, client, calls int) {
			if calls == 0 {
				files[client] = benchContents(b, c, root)
				return
			}
			pipelined(calls, func(i int) {
				if _, _, err := c.Write(b.Context(), files[client], uint64(i)<<20%benchFile, data, 0); err != nil {
					b.Error(err)
				}
			})
		})
	})
}

func BenchmarkLookup(b *testing.B) {
	eachSize(b, func(b *testing.B, dirs func() string, kind rootfs.Kind, n int) {
		benchClients(b, dirs, kind, n, func(c *nfstest.Client, root nfstest.Handle, _, calls int) {
			if calls == 0 {
				for i := range 500 {
					if _, err := c.Create(b.Context(), root, fmt.Sprint(i), true, nfstest.Set{}); err != nil {
						b.Fatal(err)
					}
				}
			}
			for i := range calls { // one at a time, as find(1) does
				if _, _, err := c.Lookup(b.Context(), root, fmt.Sprint(i%500)); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func BenchmarkCreate(b *testing.B) {
	eachSize(b, func(b *testing.B, dirs func() string, kind rootfs.Kind, n int) {
		benchClients(b, dirs, kind, n, func(c *nfstest.Client, root nfstest.Handle, _, calls int) {
			for i := range calls {
				if _, err := c.Create(b.Context(), root, fmt.Sprint(i), true, nfstest.Set{}); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// BenchmarkNull is the cost of a call without work.
func BenchmarkNull(b *testing.B) {
	s := start(b, &Server{}, Export{ID: "n", Path: "/n", Client: loopback(1, 1), Dir: newRoot(b, rootfs.Sidecar)})
	c := dial(b, s.addr, netip.AddrFrom4([4]byte{127, 77, 1, 1}))
	for b.Loop() {
		if _, err := c.Call(b.Context(), nfstest.NFS, nfstest.Null, nil); err != nil {
			b.Fatal(err)
		}
	}
}
