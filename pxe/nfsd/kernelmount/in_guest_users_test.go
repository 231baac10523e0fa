//go:build inguest

package kernelmount

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// userTable is about users, special files, large directories and the rest.
var userTable = []row{
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
		if os.Getenv("NFS_KILLED") == "true" || os.Getenv("NFS_SHORT") != "" {
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
