package rootfs

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"testing"

	"caddyshack/pxe/nfsd/tree/sidecar"
)

// benchEntries is about as many as a small Debian root has.
const benchEntries = 15_000

func benchArchive(b *testing.B) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	data := make([]byte, 6000)
	for i := range benchEntries {
		h := tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("usr/share/package-%d/file-%d.txt", i/20, i), Mode: 0o644, Size: int64(len(data))}
		if err := w.WriteHeader(&h); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return buf.Bytes()
}

func BenchmarkImport(b *testing.B) {
	archive := benchArchive(b)
	for _, kind := range kinds() {
		b.Run(string(kind), func(b *testing.B) {
			b.SetBytes(int64(len(archive)))
			for b.Loop() {
				im, err := Create(filepath.Join(b.TempDir(), "root"), kind, Limits{})
				if err != nil {
					b.Fatal(err)
				}
				if err := im.AddAll(io.Reader(bytes.NewReader(archive))); err != nil {
					b.Fatal(err)
				}
				if err := im.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(benchEntries*float64(b.N)/b.Elapsed().Seconds(), "files/s")
		})
	}
}

// BenchmarkOpenSidecar is the time to open a tree of many files and what it
// then holds in memory.
func BenchmarkOpenSidecar(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "root")
	im, err := Create(dir, Sidecar, Limits{})
	if err != nil {
		b.Fatal(err)
	}
	if err := im.AddAll(bytes.NewReader(benchArchive(b))); err != nil {
		b.Fatal(err)
	}
	if err := im.Close(); err != nil {
		b.Fatal(err)
	}
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		t, err := sidecar.Open(dir, sidecar.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		if err := t.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
}
