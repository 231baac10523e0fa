package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/store"
	"caddyshack/store/storetest"
)

// onEachBench runs a benchmark on SQLite as serve has it (synchronous=FULL) and
// on PostgreSQL with the settings of tests.
func onEachBench(b *testing.B, nodes int, run func(b *testing.B, s *store.Store, uuids []string)) {
	for _, e := range []storetest.Engine{
		{Name: "sqlite-FULL", Config: func(t testing.TB) store.Config {
			return store.Config{Path: filepath.Join(t.TempDir(), "caddyshack.db")}
		}},
		storetest.Engines()[1],
	} {
		b.Run(e.Name, func(b *testing.B) {
			s := storetest.Open(b, e.Config(b))
			uuids := fill(b, s, nodes)
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu(b)
			run(b, s, uuids)
			// The whole process; not what PostgreSQL's server takes.
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpu is the processor time this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// fill stores nodes as large as those of a demo, many at once.
func fill(b testing.TB, s *store.Store, count int) []string {
	b.Helper()
	uuids := make([]string, count)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < count; i += 8 {
				n := typical(i)
				if err := s.CreateNode(context.Background(), &n); err != nil {
					b.Error(err)
				}
				uuids[i] = n.UUID
			}
		})
	}
	wg.Wait()
	return uuids
}

func typical(i int) baremetal.Node {
	n := baremetal.Node{
		UUID: baremetal.NewUUID(), Name: fmt.Sprintf("caddy-%d", i), Driver: "caddy", ResourceClass: "rpi4",
		ProvisionState: baremetal.Available, PowerState: baremetal.PowerOff, ProvisionUpdatedAt: time.Now(),
		DriverInfo:   baremetal.MustObject(map[string]any{"backplane_unit": "bpu-1", "slot": i % 4, "serial_number": "10000000deadbeef"}),
		Properties:   baremetal.MustObject(map[string]any{"cpu_arch": "aarch64", "cpus": 4, "memory_mb": 8192, "local_gb": 32}),
		Extra:        baremetal.MustObject(map[string]any{"unit": 1, "slot": i % 4, "note": "made by the benchmark"}),
		InstanceInfo: baremetal.MustObject(map[string]any{"image_source": "http://127.0.0.1/demo.tar", "image_checksum": "0123456789abcdef0123456789abcdef"}),
		Interfaces:   map[string]string{},
		Work:         baremetal.Work{HardwareKey: fmt.Sprintf("bpu-%d/%d", i/4, i%4)},
	}
	for _, kind := range baremetal.InterfaceKinds() {
		n.Interfaces[kind] = "backplane"
	}
	return n
}

func BenchmarkNodeByUUID(b *testing.B) {
	onEachBench(b, 1000, func(b *testing.B, s *store.Store, uuids []string) {
		for i := range b.N {
			if _, err := s.Node(b.Context(), uuids[i%len(uuids)]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchmarkList(b *testing.B, total int, q baremetal.NodeQuery, want int) {
	onEachBench(b, total, func(b *testing.B, s *store.Store, _ []string) {
		for range b.N {
			got := 0
			if err := s.Nodes(b.Context(), q, func(*baremetal.Node) error { got++; return nil }); err != nil {
				b.Fatal(err)
			}
			if got != want {
				b.Fatalf("%d nodes, want %d", got, want)
			}
		}
	})
}

func BenchmarkDetail100(b *testing.B) {
	benchmarkList(b, 1000, baremetal.NodeQuery{Page: baremetal.Page{Limit: 100}}, 100)
}

func BenchmarkList1000(b *testing.B) {
	benchmarkList(b, 1000, baremetal.NodeQuery{Page: baremetal.Page{Limit: 1000}}, 1000)
}

func BenchmarkCreate(b *testing.B) {
	onEachBench(b, 0, func(b *testing.B, s *store.Store, _ []string) {
		for i := range b.N {
			n := typical(i)
			if err := s.CreateNode(b.Context(), &n); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkUpdateOneByOne(b *testing.B) {
	onEachBench(b, 100, func(b *testing.B, s *store.Store, uuids []string) {
		for i := range b.N {
			_, err := s.UpdateNode(b.Context(), uuids[i%len(uuids)], func(n *baremetal.Node) error {
				n.LastError = fmt.Sprint(i)
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkHundredNodesTenWrites is a fleet being provided at once: one
// iteration is 100 nodes with 10 writes each, one after another per node.
func BenchmarkHundredNodesTenWrites(b *testing.B) {
	onEachBench(b, 100, func(b *testing.B, s *store.Store, uuids []string) {
		for i := range b.N {
			var wg sync.WaitGroup
			for _, uuid := range uuids {
				wg.Go(func() {
					for j := range 10 {
						_, err := s.UpdateNode(b.Context(), uuid, func(n *baremetal.Node) error {
							n.LastError = fmt.Sprint(i, j)
							n.ProvisionState = []baremetal.ProvisionState{baremetal.Cleaning, baremetal.Available}[j%2]
							return nil
						})
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		}
	})
}

func BenchmarkTenThousandNodes(b *testing.B) {
	s := storetest.Open(b, storetest.SQLiteConfig(b))
	uuids := fill(b, s, 10_000)
	for i := range 20 {
		update(b, s, uuids[i*500], func(n *baremetal.Node) {
			n.ProvisionState, n.Owner, n.Maintenance = baremetal.Active, "p", true
			n.Work.WakeAt = time.Now().Add(-time.Second)
		})
	}
	active, owner, yes, group := baremetal.Active, "p", true, ""
	page := func(limit int, marker, sortBy string) baremetal.Page {
		return baremetal.Page{Limit: limit, Marker: marker, SortBy: sortBy}
	}
	for name, q := range map[string]baremetal.NodeQuery{
		"first-100":         {Page: page(100, "", "")},
		"last-100":          {Page: page(100, uuids[9_890], "")},
		"state-20":          {Page: page(100, "", ""), ProvisionState: &active},
		"owner-20":          {Page: page(100, "", ""), Owner: &owner},
		"maintenance-20":    {Page: page(100, "", ""), Maintenance: &yes},
		"group-first-100":   {Page: page(100, "", ""), ConductorGroup: &group},
		"by-name-100":       {Page: page(100, uuids[5_000], "name")},
		"by-updated_at-100": {Page: page(100, uuids[5_000], "updated_at")},
		"description-0":     {Page: page(100, "", ""), DescriptionContains: &owner},
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				if err := s.Nodes(b.Context(), q, func(*baremetal.Node) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("claimable-10", func(b *testing.B) {
		for range b.N {
			if _, err := s.Claimable(b.Context(), []string{"here"}, []string{"caddy"}, 10); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("next-wake", func(b *testing.B) {
		for range b.N {
			if _, err := s.NextWake(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
