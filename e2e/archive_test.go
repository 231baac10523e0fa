//go:build e2e

package e2e

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// entry is a member of an archive.
type entry struct {
	name, content, link string
	kind                byte // tar's type flag; 0 = a regular file
	mode                int64
	zeros               int64 // size of a file of zeros
}

// smallRoot is the least that a virtual Pi boots.
func smallRoot() []entry {
	return []entry{
		{name: "boot/firmware/start4.elf", content: "firmware"},
		{name: "boot/firmware/fixup4.dat", content: "fixup"},
		{name: "boot/firmware/bcm2711-rpi-4-b.dtb", content: "device tree"},
		{name: "boot/firmware/kernel8.img", content: "kernel"},
		{name: "etc/os-release", content: "NAME=Small\nPRETTY_NAME=\"Small 1\"\n"},
		{name: "sbin/init", content: "#!/bin/sh\n", mode: 0o755},
		{name: "bin/sh", content: "shell", mode: 0o4755},
		// Normal in a system, and never followed on the server.
		{name: "dev/null", kind: tar.TypeChar, mode: 0o666},
		{name: "etc/mtab", kind: tar.TypeSymlink, link: "/proc/self/mounts"},
		{name: "etc/up", kind: tar.TypeSymlink, link: "../../../../etc/passwd"},
		{name: "bin/bash", kind: tar.TypeLink, link: "bin/sh"},
	}
}

// writeArchive writes a .tar.gz and returns its URL.
func writeArchive(t *testing.T, folder, name string, entries []entry) string {
	t.Helper()
	path := filepath.Join(folder, name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	packed := gzip.NewWriter(f)
	w := tar.NewWriter(packed)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: e.mode, Size: int64(len(e.content)) + e.zeros, Format: tar.FormatPAX}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if e.kind == tar.TypeChar {
			h.Devmajor, h.Devminor = 1, 3
		}
		err := w.WriteHeader(h)
		if err == nil && e.content != "" {
			_, err = io.WriteString(w, e.content)
		}
		if err == nil && e.zeros > 0 {
			_, err = io.CopyN(w, zeros{}, e.zeros)
		}
		if err != nil {
			t.Fatalf("packing %s: %v", e.name, err)
		}
	}
	for _, c := range []io.Closer{w, packed} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return "file://" + path
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
