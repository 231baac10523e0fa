//go:build inguest

package kernelmount

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mountPoint is where the export is mounted in the guest.
const mountPoint = "/mnt"

// target is the server that is tested, as the environment tells.
type target struct{ addr, path, port, mountPort string }

func targetOf(env func(string) string) target {
	t := target{env("NFS_SERVER"), env("NFS_PATH"), env("NFS_PORT"), env("NFS_MOUNT_PORT")}
	return target{cmp.Or(t.addr, "10.0.2.2"), cmp.Or(t.path, "/nodes/n"), t.port, cmp.Or(t.mountPort, t.port)}
}

func (t target) mount(dir string) error {
	opts := fmt.Sprintf("vers=3,proto=tcp,mountproto=tcp,nolock,hard,timeo=50,rsize=1048576,wsize=1048576,addr=%[1]s,mountaddr=%[1]s,port=%[2]s,mountport=%[3]s",
		t.addr, t.port, t.mountPort)
	return unix.Mount(t.addr+":"+t.path, dir, "nfs", 0, opts)
}

func TestMain(m *testing.M) {
	syscall.Umask(0)
	t := targetOf(os.Getenv)
	if os.Getenv("NFS_KERNEL_SERVER") != "" {
		var err error
		if t, err = startKernelServer(); err != nil {
			fmt.Println("starting the kernel's server:", err)
			os.Exit(1)
		}
	}
	if err := t.mount(mountPoint); err != nil {
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

// removeAll removes what a case or a program left. The client removes a file
// that was unlinked while open (.nfs…) by itself after its last close, and nobody
// waits for that call; until it has been answered, unlink answers EBUSY.
func removeAll(t *testing.T, dir string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		err := os.RemoveAll(dir)
		if errors.Is(err, unix.EBUSY) && time.Now().Before(end) {
			continue
		}
		must(t, err)
		return
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
	for i, c := range slices.Concat(dataTable, userTable) {
		t.Run(c.name, func(t *testing.T) {
			d := filepath.Join(mountPoint, fmt.Sprint("case-", i))
			must(t, os.Mkdir(d, 0o777))
			c.run(t, d)
			removeAll(t, d)
		})
	}
}

// row is one behaviour; d is an empty directory of its own.
type row struct {
	name string
	run  func(t *testing.T, d string)
}
