//go:build inguest

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"caddyshack/internal/knfsd"
)

func TestDeployThroughKernel(t *testing.T) {
	if err := knfsd.Start(1024); err != nil {
		t.Fatal(err)
	}
	if err := knfsd.LowPorts(); err != nil {
		t.Fatal(err)
	}
	dir, terminals := filepath.Join(knfsd.Disk, "test"), "/dev/pts" // of the simulated serial lines
	if err := errors.Join(os.Mkdir(dir, 0o755), os.MkdirAll(terminals, 0o755), unix.Mount("devpts", terminals, "devpts", 0, "")); err != nil {
		t.Fatal(err)
	}
	// etab is what the kernel is told when it asks.
	deployThroughOther(t, dir, fmt.Sprintf(`nfs_server = "kernel"
nfs_listen = "127.0.0.1:%d"
nfs_mount_port = %d`, knfsd.Port, knfsd.MountPort), "/var/lib/nfs/etab")
}
