// Package knfsd starts the kernel's own NFS server inside of a guest of package
// guest, as Debian does, for tests of what is built on it.
package knfsd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"

	"caddyshack/internal/guest"
)

// Ports of the server, on all addresses.
const (
	Port      = 2049
	MountPort = 20048
)

// Disk is where Start mounts an ext4 file system to keep exports on.
const Disk = "/srv"

// Add gives a guest what Start needs. The host has the packages
// nfs-kernel-server and rpcbind.
func Add(ctx context.Context, c *guest.Config) error {
	c.Modules = append(c.Modules, "nfsd", "crc32c_generic", "ext4", "loop")
	c.Files["/etc/netconfig"] = "/etc/netconfig"
	return guest.AddPrograms(ctx, c.Files, "exportfs", "rpc.mountd", "rpc.nfsd", "rpcbind")
}

// Start runs the server, which exports nothing yet, and mounts a disk in memory
// of that many MiB.
func Start(diskMiB int) error {
	for _, dir := range []string{Disk, "/var/lib/nfs/v4recovery", "/etc/exports.d", "/run/rpcbind", "/var/run"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"/etc/exports": "", "/var/lib/nfs/etab": "", "/var/lib/nfs/rmtab": "",
		"/etc/passwd": "root:x:0:0::/:/bin/sh\n_rpc:x:100:65534::/run:/bin/false\n", "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
		"/etc/services":  "nfs 2049/tcp\nnfs 2049/udp\nsunrpc 111/tcp portmapper\nsunrpc 111/udp portmapper\n",
		"/etc/protocols": "ip 0 IP\ntcp 6 TCP\nudp 17 UDP\n",
		"/etc/hosts":     "127.0.0.1 localhost\n", "/etc/nsswitch.conf": "hosts: files\npasswd: files\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, c := range [][]string{{"truncate", "-s", strconv.Itoa(diskMiB) + "M", "/tmp/disk"}, {"mke2fs", "-F", "-b", "4096", "-I", "256", "/tmp/disk"}, {"losetup", "/dev/loop0", "/tmp/disk"}} {
		if err := run(c...); err != nil {
			return err
		}
	}
	if err := errors.Join(unix.Mount("/dev/loop0", Disk, "ext4", 0, ""), unix.Mount("nfsd", "/proc/fs/nfsd", "nfsd", 0, "")); err != nil {
		return fmt.Errorf("mounting: %w", err)
	}
	return errors.Join(run("rpcbind"), run("rpc.mountd", "--port", strconv.Itoa(MountPort), "--no-nfs-version", "4"),
		run("rpc.nfsd", "--no-nfs-version", "4", "--tcp", "--no-udp", "4"))
}

// LowPorts has all connections of the guest come from ports below 1024, as
// those of a kernel do; the server takes calls from no others.
func LowPorts() error {
	// The order matters: the kernel refuses a range that reaches into the
	// privileged ports.
	for _, set := range [][2]string{{"ip_unprivileged_port_start", "0"}, {"ip_local_port_range", "512 1023"}} {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+set[0], []byte(set[1]), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func run(c ...string) error {
	out, err := exec.CommandContext(context.Background(), c[0], c[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", c, err, out)
	}
	return nil
}
