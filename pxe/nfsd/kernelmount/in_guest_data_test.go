//go:build inguest

package kernelmount

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dataTable is about files and names.
var dataTable = []row{
	{"create, open flags, modes", func(t *testing.T, d string) {
		p := d + "/f"
		f, err := os.OpenFile(p, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o640)
		must(t, err)
		must(t, f.Close())
		mode(t, p, 0o640)
		_, err = os.OpenFile(p, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o640)
		want(t, err, unix.EEXIST)
		for _, m := range []uint32{0, 0o7777, 0o4755, 0o2755, 0o1644, 0o600} {
			must(t, unix.Chmod(p, m))
			mode(t, p, m)
		}
		must(t, unix.Chown(p, 12, 34))
		if st := stat(t, p); st.Uid != 12 || st.Gid != 34 {
			t.Fatalf("owner %d:%d", st.Uid, st.Gid)
		}
		_, err = os.Open(d + "/none")
		want(t, err, unix.ENOENT)
		_, err = os.Open(p + "/x")
		want(t, err, unix.ENOTDIR)
	}},
	{"append, truncate, holes", func(t *testing.T, d string) {
		p := d + "/f"
		write(t, p, "hello", 0o600)
		f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteString(" world")
		must(t, errors.Join(err, f.Close()))
		contents(t, p, "hello world")
		must(t, os.Truncate(p, 3))
		must(t, os.Truncate(p, 6))
		contents(t, p, "hel\x00\x00\x00")
		f, err = os.OpenFile(p, os.O_RDWR, 0)
		must(t, err)
		_, err = f.WriteAt([]byte("end"), 10<<20)
		must(t, errors.Join(err, f.Sync(), f.Close()))
		st := stat(t, p)
		if st.Size != 10<<20+3 || st.Blocks*512 > 1<<20 {
			t.Fatalf("size %d, %d blocks", st.Size, st.Blocks)
		}
		b := make([]byte, 100)
		f, err = os.Open(p)
		must(t, err)
		_, err = f.ReadAt(b, 5<<20)
		must(t, errors.Join(err, f.Close()))
		if !bytes.Equal(b, make([]byte, 100)) {
			t.Fatal("a hole is not zeros")
		}
	}},
	{"large file", func(t *testing.T, d string) {
		p := d + "/big"
		block := make([]byte, 1<<20)
		f, err := os.Create(p)
		must(t, err)
		for i := range 48 {
			for j := range block {
				block[j] = byte(i + j>>8)
			}
			_, err := f.Write(block)
			must(t, err)
		}
		must(t, errors.Join(f.Sync(), f.Close()))
		must(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0))
		f, err = os.Open(p)
		must(t, err)
		got := make([]byte, 1<<20)
		for i := range 48 {
			_, err := io.ReadFull(f, got)
			must(t, err)
			if got[0] != byte(i) || got[1<<20-1] != byte(i+(1<<20-1)>>8) {
				t.Fatalf("block %d is not what was written", i)
			}
		}
		must(t, f.Close())
	}},
	{"mmap", func(t *testing.T, d string) {
		p := d + "/f"
		write(t, p, strings.Repeat("a", 10000), 0o600)
		f, err := os.OpenFile(p, os.O_RDWR, 0)
		must(t, err)
		m, err := unix.Mmap(int(f.Fd()), 0, 10000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		must(t, err)
		copy(m[5000:], "MAPPED")
		must(t, unix.Msync(m, unix.MS_SYNC))
		must(t, errors.Join(unix.Munmap(m), f.Close()))
		must(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0))
		contents(t, p, strings.Repeat("a", 5000)+"MAPPED"+strings.Repeat("a", 4994))
	}},
	{"hard links", func(t *testing.T, d string) {
		write(t, d+"/a", "x", 0o600)
		must(t, os.Link(d+"/a", d+"/b"))
		a, b := stat(t, d+"/a"), stat(t, d+"/b")
		if a.Ino != b.Ino || a.Nlink != 2 {
			t.Fatalf("inodes %d, %d, links %d", a.Ino, b.Ino, a.Nlink)
		}
		want(t, os.Link(d+"/a", d+"/b"), unix.EEXIST)
		want(t, os.Link(d, d+"/dir"), unix.EPERM)
		must(t, os.Remove(d+"/a"))
		contents(t, d+"/b", "x")
		if st := stat(t, d+"/b"); st.Nlink != 1 {
			t.Fatalf("links %d", st.Nlink)
		}
	}},
	{"symbolic links", func(t *testing.T, d string) {
		write(t, d+"/target", "x", 0o600)
		for name, target := range map[string]string{"rel": "target", "abs": d + "/target", "none": "nowhere", "long": strings.Repeat("t", 4095)} {
			must(t, os.Symlink(target, d+"/"+name))
			got, err := os.Readlink(d + "/" + name)
			must(t, err)
			if got != target {
				t.Fatalf("target %.50q, want %.50q", got, target)
			}
		}
		contents(t, d+"/rel", "x")
		contents(t, d+"/abs", "x")
		_, err := os.Open(d + "/none")
		want(t, err, unix.ENOENT)
		must(t, os.Symlink("loop", d+"/loop"))
		_, err = os.Open(d + "/loop")
		want(t, err, unix.ELOOP)
		must(t, unix.Lchown(d+"/none", 7, 8))
		if st := stat(t, d+"/none"); st.Uid != 7 {
			t.Fatalf("owner of the link %d", st.Uid)
		}
	}},
	{"rename", func(t *testing.T, d string) {
		must(t, errors.Join(os.Mkdir(d+"/a", 0o755), os.Mkdir(d+"/b", 0o755), os.Mkdir(d+"/a/sub", 0o755)))
		write(t, d+"/a/f", "f", 0o600)
		write(t, d+"/b/g", "g", 0o600)
		must(t, os.Rename(d+"/a/f", d+"/b/g"))
		contents(t, d+"/b/g", "f")
		want(t, unix.Rename(d+"/a", d+"/a/sub/x"), unix.EINVAL)
		want(t, unix.Rename(d+"/a", d+"/b/g"), unix.ENOTDIR)
		want(t, unix.Rename(d+"/b/g", d+"/a"), unix.EISDIR)
		if err := unix.Rename(d+"/a", d+"/b"); !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
			t.Fatalf("over a full directory: %v", err)
		}
		must(t, unix.Rename(d+"/a/sub", d+"/b/sub"))
		if a, b := stat(t, d+"/a").Nlink, stat(t, d+"/b").Nlink; a != 2 || b != 3 {
			t.Fatalf("links %d, %d", a, b)
		}
		must(t, os.Link(d+"/b/g", d+"/b/h"))
		must(t, unix.Rename(d+"/b/g", d+"/b/h"))
		contents(t, d+"/b/g", "f")
		// Over a file that is open: its reader keeps it.
		f, err := os.Open(d + "/b/g")
		must(t, err)
		write(t, d+"/new", "new", 0o600)
		must(t, os.Rename(d+"/new", d+"/b/g"))
		b, err := io.ReadAll(f)
		must(t, errors.Join(err, f.Close()))
		if string(b) != "f" {
			t.Fatalf("the open file reads %q", b)
		}
		contents(t, d+"/b/g", "new")
	}},
	{"unlink of open files", func(t *testing.T, d string) {
		f, err := os.Create(d + "/f")
		must(t, err)
		must(t, os.Remove(d+"/f"))
		_, err = os.Stat(d + "/f")
		want(t, err, unix.ENOENT)
		_, err = f.WriteString("still here")
		must(t, err)
		b := make([]byte, 10)
		_, err = f.ReadAt(b, 0)
		must(t, err)
		must(t, f.Close())
		if string(b) != "still here" {
			t.Fatalf("read %q", b)
		}
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			entries, err := os.ReadDir(d)
			must(t, err)
			if len(entries) == 0 {
				return
			}
			if time.Now().After(end) { // the client removes it after the last close, and close does not wait for that
				t.Fatalf("%d entries left, such as %q", len(entries), entries[0].Name())
			}
		}
	}},
}
