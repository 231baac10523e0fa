package nfsd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"caddyshack/pxe/nfsd/nfstest"
	"caddyshack/pxe/nfsd/rootfs"
)

// smallDiskEnv names a folder in which the test, in a mount namespace of its
// own, finds a small file system.
const smallDiskEnv = "NFSD_TEST_SMALL_DISK"

const smallDisk = 8 << 20

// TestDiskFull runs itself again in a private mount namespace with a small
// tmpfs, so that nothing is mounted on the machine.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(smallDiskEnv); dir != "" {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", smallDisk)); err != nil {
			t.Fatal(err)
		}
		for _, kind := range kinds() {
			t.Run(string(kind), func(t *testing.T) { diskFull(t, kind, filepath.Join(dir, string(kind))) })
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestDiskFull$", "-test.v")
	cmd.Env = append(os.Environ(), smallDiskEnv+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	} else {
		// What is mounted in there must not come out.
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	}
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestDiskFull/sidecar")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// diskFull fills the disk with data and with names: each must end in "no
// space", keep what was acknowledged, and leave names removable.
func diskFull(t *testing.T, kind rootfs.Kind, dir string) {
	im, err := rootfs.Create(dir, kind, rootfs.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := im.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	s := start(t, &Server{}, Export{ID: "n", Path: "/n", Client: loopback(1, 1), Dir: dir})
	c, root := mount(t, s.addr, loopback(1, 1), "/n")
	create := func(name string) (nfstest.Handle, error) {
		m, err := c.Create(ctx, root, name, true, nfstest.Set{})
		return m.Handle, err
	}
	big, err := create("big")
	if err != nil {
		t.Fatal(err)
	}
	block := bytes.Repeat([]byte("block"), 64<<10/5)
	wrote := 0
	for err == nil {
		if _, _, err = c.Write(ctx, big, uint64(wrote*len(block)), block, 2); err == nil {
			wrote++
		}
	}
	if !errors.Is(err, nfstest.NoSpc) {
		t.Fatalf("writing on a full disk: %v", err)
	}
	// Small writes take what is left; then names end too.
	for err = nil; err == nil; {
		_, _, err = c.Write(ctx, big, uint64(wrote*len(block)), block[:100], 0)
		wrote++
	}
	names := 0
	for err = nil; err == nil && names < 1_000_000; {
		var f nfstest.Handle
		if f, err = create(fmt.Sprint("name-", names)); err == nil {
			names++
			_, _, err = c.Write(ctx, f, 0, block[:100], 0)
		}
	}
	if !errors.Is(err, nfstest.NoSpc) {
		t.Fatalf("after %d names: %v", names, err)
	}
	if b, _, err := c.Read(ctx, big, 0, uint32(len(block))); err != nil || !bytes.Equal(b, block) {
		t.Errorf("what was written before: %d bytes, %v", len(b), err)
	}
	for i := range names {
		if err := c.Remove(ctx, root, fmt.Sprint("name-", i)); err != nil {
			t.Fatalf("removing on a full disk: %v", err)
		}
	}
	if err := c.Rename(ctx, root, "big", root, "kept"); err != nil {
		t.Errorf("renaming on a full disk: %v", err)
	}
	if _, err := c.SetAttr(ctx, big, nfstest.Set{Size: nfstest.P(uint64(len(block)))}, nil); err != nil {
		t.Errorf("truncating on a full disk: %v", err)
	}
	if _, err := create("again"); err != nil {
		t.Errorf("with space again: %v", err)
	}
	s.stop()
	r, err := rootfs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := r.ReadFile("kept"); err != nil || !bytes.Equal(b, block) {
		t.Errorf("after a restart: %d bytes, %v", len(b), err)
	}
	if err := errors.Join(r.Close(), os.RemoveAll(dir)); err != nil {
		t.Error(err)
	}
}
