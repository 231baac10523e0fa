//go:build inguest

package kernelmount

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"caddyshack/pxe/hostnfs"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/roots"
)

// Ports of the guest's own NFS server.
const (
	kernelPort      = "2049"
	kernelMountPort = "20048"
)

// kernelExports is how the kernel's server is told.
var kernelExports *hostnfs.Exports

// startKernelServer starts the guest's own nfsd, as Debian does, with an ext4
// disk in memory, and exports a tree on it to this machine.
func startKernelServer() (target, error) {
	for _, dir := range []string{"/srv", "/var/lib/nfs/v4recovery", "/etc/exports.d", "/run/rpcbind", "/var/run"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return target{}, err
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
			return target{}, err
		}
	}
	for _, c := range [][]string{
		{"truncate", "-s", "300M", "/tmp/disk"}, {"mke2fs", "-F", "-b", "4096", "-I", "256", "/tmp/disk"}, {"losetup", "/dev/loop0", "/tmp/disk"}, {"rpcbind"}, {"rpc.mountd", "--port", kernelMountPort, "--no-nfs-version", "4"},
	} {
		if c[0] == "rpcbind" {
			if err := errors.Join(unix.Mount("/dev/loop0", "/srv", "ext4", 0, ""), unix.Mount("nfsd", "/proc/fs/nfsd", "nfsd", 0, "")); err != nil {
				return target{}, fmt.Errorf("mounting: %w", err)
			}
		}
		if err := run(c...); err != nil {
			return target{}, err
		}
	}
	if err := run("rpc.nfsd", "--no-nfs-version", "4", "--tcp", "--no-udp", "4"); err != nil {
		return target{}, err
	}
	var err error
	kernelExports, err = hostnfs.Open(hostnfs.Config{Kind: hostnfs.Kernel, StateFile: "/srv/exports.json", ExportsFile: "/etc/exports.d/caddyshack.exports",
		Reload: hostnfs.Exportfs, MountAddr: netip.MustParseAddrPort("127.0.0.1:" + kernelMountPort), Wait: time.Minute})
	if err != nil {
		return target{}, err
	}
	e, err := openKernelExport("n")
	return target{"127.0.0.1", kernelExports.MountPath(e), kernelPort, kernelMountPort}, err
}

func run(c ...string) error {
	out, err := exec.Command(c[0], c[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", c, err, out)
	}
	return nil
}

func openKernelExport(id string) (roots.Export, error) {
	e := roots.Export{NodeID: id, Path: "/nodes/" + id, Dir: "/srv/" + id, Client: netip.MustParseAddr("127.0.0.1")}
	im, err := rootfs.Create(e.Dir, rootfs.Native, rootfs.Limits{})
	if err == nil {
		err = im.Close()
	}
	if err != nil {
		return e, err
	}
	return e, kernelExports.OpenExport(context.Background(), e)
}

// TestKernelServerExports has an export come and go while another is mounted.
func TestKernelServerExports(t *testing.T) {
	if kernelExports == nil {
		return // another server is tested
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	f, err := os.Create(mountPoint + "/open")
	must(t, err)
	e, err := openKernelExport("goes")
	must(t, err)
	second, dir := target{"127.0.0.1", kernelExports.MountPath(e), kernelPort, kernelMountPort}, "/tmp/second"
	must(t, os.Mkdir(dir, 0o700))
	must(t, second.mount(dir))
	write(t, dir+"/f", "x", 0o600)
	held, err := os.Open(dir + "/f")
	must(t, err)
	must(t, kernelExports.CloseExport(ctx, "goes"))
	if err := unix.Chmod(dir+"/f", 0o644); !errors.Is(err, unix.ESTALE) {
		t.Errorf("a change in the closed export: %v", err)
	}
	must(t, errors.Join(held.Close(), unix.Unmount(dir, unix.MNT_DETACH)))
	if err := second.mount(dir); err == nil {
		t.Error("the closed export can still be mounted")
	}
	_, err = f.WriteString("the first export goes on")
	must(t, errors.Join(err, f.Sync(), f.Close(), os.Remove(mountPoint+"/open")))
}

// TestKernelServerCalls runs the table of package nfsd against the kernel's
// server; which rows may fail is for the host to say.
func TestKernelServerCalls(t *testing.T) {
	if kernelExports == nil {
		return // another server is tested
	}
	// The server takes calls from ports below 1024 alone. The order matters:
	// the kernel refuses a range that reaches into the privileged ports.
	for _, set := range [][2]string{{"ip_unprivileged_port_start", "0"}, {"ip_local_port_range", "512 1023"}} {
		must(t, os.WriteFile("/proc/sys/net/ipv4/"+set[0], []byte(set[1]), 0o644))
	}
	e, err := openKernelExport("calls")
	must(t, err)
	cmd := exec.Command("/nfsd.test", "-test.v", "-test.run=^TestPOSIX$", "-test.parallel=4")
	cmd.Env = append(os.Environ(), "NFSD_OTHER_NFS=127.0.0.1:"+kernelPort, "NFSD_OTHER_MOUNT=127.0.0.1:"+kernelMountPort,
		"NFSD_OTHER_PATH="+kernelExports.MountPath(e))
	out, err := cmd.CombinedOutput()
	t.Logf("%v\n%s", err, out)
}
