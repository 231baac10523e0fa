//go:build inguest

package kernelmount

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"caddyshack/internal/knfsd"
	"caddyshack/pxe/hostnfs"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/roots"
)

// Ports of the guest's own NFS server.
var (
	kernelPort      = strconv.Itoa(knfsd.Port)
	kernelMountPort = strconv.Itoa(knfsd.MountPort)
)

// kernelExports is how the kernel's server is told.
var kernelExports *hostnfs.Exports

// startKernelServer starts the guest's own nfsd and exports a tree to this
// machine.
func startKernelServer() (target, error) {
	err := knfsd.Start(300)
	if err != nil {
		return target{}, err
	}
	kernelExports, err = hostnfs.Open(hostnfs.Config{Kind: hostnfs.Kernel, StateFile: knfsd.Disk + "/exports.json", ExportsFile: "/etc/exports.d/caddyshack.exports",
		Reload: hostnfs.Exportfs, MountAddr: netip.MustParseAddrPort("127.0.0.1:" + kernelMountPort), Wait: time.Minute})
	if err != nil {
		return target{}, err
	}
	e, err := openKernelExport("n")
	return target{"127.0.0.1", kernelExports.MountPath(e), kernelPort, kernelMountPort}, err
}

func openKernelExport(id string) (roots.Export, error) {
	e := roots.Export{NodeID: id, Path: "/nodes/" + id, Dir: knfsd.Disk + "/" + id, Client: netip.MustParseAddr("127.0.0.1")}
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
	must(t, knfsd.LowPorts())
	e, err := openKernelExport("calls")
	must(t, err)
	cmd := exec.Command("/nfsd.test", "-test.v", "-test.run=^TestPOSIX$", "-test.parallel=4")
	cmd.Env = append(os.Environ(), "NFSD_OTHER_NFS=127.0.0.1:"+kernelPort, "NFSD_OTHER_MOUNT=127.0.0.1:"+kernelMountPort,
		"NFSD_OTHER_PATH="+kernelExports.MountPath(e))
	out, err := cmd.CombinedOutput()
	t.Logf("%v\n%s", err, out)
}
