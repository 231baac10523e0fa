//go:build inguest

package kernelmount

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mountPoint is where the export is mounted in the guest.
const mountPoint = "/mnt"

func mountNFS(port string, extra string) error {
	opts := "vers=3,proto=tcp,mountproto=tcp,nolock,hard,timeo=50,rsize=1048576,wsize=1048576,addr=10.0.2.2,mountaddr=10.0.2.2,port=" + port + ",mountport=" + port + extra
	return unix.Mount("10.0.2.2:/nodes/n", mountPoint, "nfs", 0, opts)
}

func TestMain(m *testing.M) {
	syscall.Umask(0)
	if err := mountNFS(os.Getenv("NFS_PORT"), ""); err != nil {
		fmt.Println("mounting:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// as runs fn as another user on a thread of its own. File system identity is
// a property of the thread, and it is what an NFS client sends.
func as(t *testing.T, uid, gid int, groups []uint32, fn func()) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		list := append(groups, 0)
		if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&list[0])), 0); e != 0 {
			t.Error("setgroups:", e)
		}
		_, _, _ = unix.RawSyscall(unix.SYS_SETFSGID, uintptr(gid), 0, 0)
		_, _, _ = unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0)
		fn()
	})
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func stat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	return st
}

func mode(t *testing.T, path string, want uint32) {
	t.Helper()
	if got := stat(t, path).Mode & 0o7777; got != want {
		t.Fatalf("%s: mode %04o, want %04o", path, got, want)
	}
}

func write(t *testing.T, path, data string, perm os.FileMode) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(data), perm))
}

func contents(t *testing.T, path, want string) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	if string(b) != want {
		t.Fatalf("%s: %d bytes %.40q, want %d bytes %.40q", path, len(b), b, len(want), want)
	}
}

// TestTable is the table of POSIX behaviours; each case has its own directory.
func TestTable(t *testing.T) {
	for i, c := range table {
		t.Run(c.name, func(t *testing.T) {
			d := filepath.Join(mountPoint, fmt.Sprint("case-", i))
			must(t, os.Mkdir(d, 0o777))
			c.run(t, d)
			must(t, os.RemoveAll(d))
		})
	}
}

var table = []struct {
	name string
	run  func(t *testing.T, d string)
}{
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
		entries, err := os.ReadDir(d)
		must(t, err)
		if string(b) != "still here" || len(entries) != 0 {
			t.Fatalf("read %q, %d entries left", b, len(entries))
		}
	}},
	{"permissions", func(t *testing.T, d string) {
		write(t, d+"/secret", "x", 0o600)
		write(t, d+"/group", "x", 0o640)
		must(t, unix.Chown(d+"/group", 0, 55))
		must(t, os.Mkdir(d+"/closed", 0o700))
		as(t, 1000, 1000, []uint32{55}, func() {
			_, err := os.ReadFile(d + "/secret")
			want(t, err, unix.EACCES)
			_, err = os.ReadFile(d + "/group")
			must(t, err)
			want(t, os.WriteFile(d+"/group", nil, 0), unix.EACCES)
			_, err = os.ReadDir(d + "/closed")
			want(t, err, unix.EACCES)
			want(t, unix.Chmod(d+"/secret", 0o777), unix.EPERM)
			want(t, unix.Chown(d+"/secret", 1000, -1), unix.EPERM)
			write(t, d+"/mine", "x", 0o644)
			want(t, unix.Chown(d+"/mine", 1001, -1), unix.EPERM)
			must(t, unix.Chown(d+"/mine", -1, 55))
			want(t, unix.Mknod(d+"/dev", unix.S_IFCHR|0o666, 0x103), unix.EPERM)
		})
		if st := stat(t, d+"/mine"); st.Uid != 1000 || st.Gid != 55 {
			t.Fatalf("owner %d:%d", st.Uid, st.Gid)
		}
		as(t, 1001, 1001, nil, func() {
			_, err := os.ReadFile(d + "/group")
			want(t, err, unix.EACCES)
			want(t, unix.Access(d+"/secret", unix.F_OK), nil)
		})
	}},
	{"sticky and set-gid directories", func(t *testing.T, d string) {
		must(t, os.Mkdir(d+"/tmp", 0o777))
		must(t, unix.Chmod(d+"/tmp", 0o1777))
		as(t, 1000, 1000, nil, func() { write(t, d+"/tmp/f", "x", 0o666) })
		as(t, 1001, 1001, nil, func() {
			if err := os.Remove(d + "/tmp/f"); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
				t.Fatalf("removing another's file: %v", err)
			}
		})
		as(t, 1000, 1000, nil, func() { must(t, os.Remove(d+"/tmp/f")) })
		must(t, os.Mkdir(d+"/sg", 0o777))
		must(t, unix.Chown(d+"/sg", 0, 77))
		must(t, unix.Chmod(d+"/sg", 0o2777))
		as(t, 1000, 1000, nil, func() {
			write(t, d+"/sg/f", "x", 0o644)
			must(t, os.Mkdir(d+"/sg/sub", 0o755))
		})
		if st := stat(t, d+"/sg/f"); st.Gid != 77 {
			t.Fatalf("group %d", st.Gid)
		}
		mode(t, d+"/sg/sub", 0o2755)
	}},
	{"set-id bits", func(t *testing.T, d string) {
		p := d + "/f"
		write(t, p, "x", 0o777)
		must(t, unix.Chown(p, 1000, 1000))
		must(t, unix.Chmod(p, 0o6777))
		mode(t, p, 0o6777)
		as(t, 1000, 1000, nil, func() {
			f, err := os.OpenFile(p, os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteString("y")
			must(t, errors.Join(err, f.Close()))
		})
		mode(t, p, 0o777)
		must(t, unix.Chmod(p, 0o6777))
		must(t, unix.Chown(p, 1001, 1001))
		mode(t, p, 0o777)
	}},
	{"execution", func(t *testing.T, d string) {
		b, err := os.ReadFile("/bin/busybox")
		must(t, err)
		must(t, os.WriteFile(d+"/busybox", b, 0o755))
		out, err := exec.Command(d+"/busybox", "echo", "from NFS").Output()
		must(t, err)
		if string(out) != "from NFS\n" {
			t.Fatalf("output %q", out)
		}
		// Set-uid programs give their owner's identity.
		must(t, unix.Chown(d+"/busybox", 1234, 0))
		must(t, unix.Chmod(d+"/busybox", 0o4755))
		out, err = exec.Command(d+"/busybox", "id", "-u").Output()
		must(t, err)
		if strings.TrimSpace(string(out)) != "1234" {
			t.Fatalf("effective user %q", out)
		}
	}},
	{"special files", func(t *testing.T, d string) {
		must(t, unix.Mknod(d+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		must(t, unix.Mknod(d+"/loop", unix.S_IFBLK|0o660, int(unix.Mkdev(7, 300))))
		must(t, unix.Mkfifo(d+"/fifo", 0o600))
		must(t, unix.Mknod(d+"/sock", unix.S_IFSOCK|0o700, 0))
		write(t, d+"/null", "gone", 0)
		if st := stat(t, d+"/loop"); st.Mode != unix.S_IFBLK|0o660 || unix.Minor(st.Rdev) != 300 {
			t.Fatalf("mode %o, device %d", st.Mode, st.Rdev)
		}
		done := make(chan error, 1)
		go func() { done <- os.WriteFile(d+"/fifo", []byte("through"), 0) }()
		contents(t, d+"/fifo", "through")
		must(t, <-done)
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		must(t, err)
		must(t, errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: d + "/bound"}), unix.Close(fd)))
	}},
	{"names", func(t *testing.T, d string) {
		for _, n := range []string{strings.Repeat("n", 255), "with space", "ümläut", "\xff\xfe", "-rf", "new\nline", ".hidden"} {
			write(t, d+"/"+n, n, 0o600)
			contents(t, d+"/"+n, n)
		}
		want(t, os.WriteFile(d+"/"+strings.Repeat("n", 256), nil, 0o600), unix.ENAMETOOLONG)
	}},
	{"time stamps", func(t *testing.T, d string) {
		p := d + "/f"
		write(t, p, "x", 0o600)
		at, mt := time.Unix(1_000_000_000, 123_456_789), time.Unix(2_000_000_000, 987_654_321)
		must(t, os.Chtimes(p, at, mt))
		st := stat(t, p)
		if st.Atim.Nano() != at.UnixNano() || st.Mtim.Nano() != mt.UnixNano() {
			t.Fatalf("times %v %v", st.Atim, st.Mtim)
		}
		must(t, os.Chtimes(d, at, at))
		write(t, d+"/g", "", 0o600)
		if st := stat(t, d); st.Mtim.Nano() == at.UnixNano() {
			t.Fatal("a new entry did not change the mtime of its directory")
		}
		before := stat(t, p)
		time.Sleep(20 * time.Millisecond) // the clock of inodes ticks every few
		must(t, unix.Chmod(p, 0o640))
		if after := stat(t, p); after.Ctim.Nano() <= before.Ctim.Nano() {
			t.Fatal("chmod did not change the ctime")
		}
	}},
	{"locks", func(t *testing.T, d string) {
		f, err := os.Create(d + "/f")
		must(t, err)
		must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
		g, err := os.Open(d + "/f")
		must(t, err)
		want(t, unix.Flock(int(g.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
		must(t, unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Len: 10}))
		must(t, errors.Join(f.Close(), g.Close()))
	}},
	{"a large directory changed while read", func(t *testing.T, d string) {
		n := 20_000
		if os.Getenv("NFS_KILLED") == "true" {
			n = 3000 // each create may wait for a restart
		}
		for i := range n {
			must(t, unix.Mknod(fmt.Sprintf("%s/entry-%05d", d, i), unix.S_IFREG|0o600, 0))
		}
		f, err := os.Open(d)
		must(t, err)
		seen := map[string]bool{}
		for {
			names, err := f.Readdirnames(500)
			for _, name := range names {
				if seen[name] {
					t.Fatalf("%q was listed twice", name)
				}
				seen[name] = true
			}
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
			for _, name := range names[:len(names)/2] {
				must(t, os.Remove(d+"/"+name))
			}
		}
		must(t, f.Close())
		if len(seen) != n {
			t.Fatalf("%d of %d entries were listed", len(seen), n)
		}
		must(t, os.RemoveAll(d))
		must(t, os.Mkdir(d, 0o777))
	}},
	{"statfs", func(t *testing.T, d string) {
		var st unix.Statfs_t
		must(t, unix.Statfs(d, &st))
		if st.Blocks == 0 || st.Bavail == 0 || st.Namelen != 255 {
			t.Fatalf("%+v", st)
		}
	}},
	{"many files at once", func(t *testing.T, d string) {
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := range 40 {
					p := fmt.Sprintf("%s/%d-%d", d, w, i)
					data := strings.Repeat(p, 300)
					if err := errors.Join(os.Mkdir(p, 0o755), os.WriteFile(p+"/new", []byte(data), 0o644),
						os.Rename(p+"/new", p+"/f"), os.Link(p+"/f", p+"/g"), os.Remove(p+"/g")); err != nil {
						t.Error(err)
						return
					}
					if b, err := os.ReadFile(p + "/f"); err != nil || string(b) != data {
						t.Errorf("%s: %d bytes, %v", p, len(b), err)
					}
				}
			})
		}
		wg.Wait()
	}},
}
