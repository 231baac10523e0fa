package nfsd

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"caddyshack/pxe/nfsd/nfstest"
	"caddyshack/pxe/nfsd/rootfs"
)

// benchClients runs work on n clients, each on its own export, and splits b.N
// calls among them.
func benchClients(b *testing.B, kind rootfs.Kind, n int, work func(c *nfstest.Client, root nfstest.Handle, client, calls int)) {
	var exports []Export
	for i := range n {
		exports = append(exports, Export{
			ID: fmt.Sprint(i), Path: fmt.Sprint("/", i), Client: loopback(1, byte(i+1)), Dir: newRoot(b, kind),
		})
	}
	s := start(b, &Server{}, exports...)
	clients := make([]*nfstest.Client, n)
	roots := make([]nfstest.Handle, n)
	for i := range n {
		clients[i], roots[i] = mount(b, s.addr, loopback(1, byte(i+1)), fmt.Sprint("/", i))
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

func eachSize(b *testing.B, run func(b *testing.B, kind rootfs.Kind, n int)) {
	for _, kind := range kinds() {
		for _, n := range []int{1, 13} {
			b.Run(fmt.Sprintf("%s/clients=%d", kind, n), func(b *testing.B) { run(b, kind, n) })
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
	eachSize(b, func(b *testing.B, kind rootfs.Kind, n int) {
		b.SetBytes(1 << 20)
		files := make([]nfstest.Handle, n)
		benchClients(b, kind, n, func(c *nfstest.Client, root nfstest.Handle, client, calls int) {
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
	eachSize(b, func(b *testing.B, kind rootfs.Kind, n int) {
		b.SetBytes(1 << 20)
		data := make([]byte, 1<<20)
		files := make([]nfstest.Handle, n)
		benchClients(b, kind, n, func(c *nfstest.Client, root nfstest.Handle, client, calls int) {
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
	eachSize(b, func(b *testing.B, kind rootfs.Kind, n int) {
		benchClients(b, kind, n, func(c *nfstest.Client, root nfstest.Handle, _, calls int) {
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
	eachSize(b, func(b *testing.B, kind rootfs.Kind, n int) {
		benchClients(b, kind, n, func(c *nfstest.Client, root nfstest.Handle, _, calls int) {
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
