//go:build ganesha

package hostnfs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"caddyshack/pxe/nfsd/nfstest"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/roots"
)

// freePort returns a TCP port that nobody uses now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// insideEnv marks the process that runs the tests.
const insideEnv = "HOSTNFS_INSIDE"

// TestMain runs the tests in namespaces of their own: rpcbind and Ganesha keep
// fixed ports and files in /run, and nobody else shall reach them.
func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) != "" {
		if err := enter(); err != nil {
			fmt.Fprintln(os.Stderr, "entering the namespaces:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	cmd := exec.CommandContext(context.Background(), os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Unshareflags: syscall.CLONE_NEWNS}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "running the tests in namespaces of their own, which needs root:", err)
		os.Exit(1)
	}
}

// enter brings the loopback device up and empties /run.
func enter() error {
	if err := unix.Mount("none", "/run", "tmpfs", 0, ""); err != nil {
		return err
	}
	for _, dir := range []string{"/run/rpcbind", "/run/ganesha"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// startRPCBind starts rpcbind, which Ganesha insists on.
func startRPCBind(t *testing.T) {
	t.Helper()
	background(t, "rpcbind", "-f")
	eventually(t, "rpcbind answers", func() error {
		c, err := net.Dial("tcp", "127.0.0.1:111")
		if err == nil {
			_ = c.Close()
		}
		return err
	})
}

// background runs a program until the test ends.
func background(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// ganesha is a running Ganesha.
type ganesha struct {
	nfsPort, mountPort int
	nfsAddr, mountAddr string
	exports            *Exports
}

func startGanesha(t *testing.T) *ganesha {
	t.Helper()
	startRPCBind(t)
	dir := t.TempDir()
	nfsPort, mountPort := freePort(t), freePort(t)
	fragment, pid := filepath.Join(dir, "caddyshack.conf"), filepath.Join(dir, "pid")
	conf := fmt.Sprintf(`NFS_CORE_PARAM {
	NFS_Port = %d;
	MNT_Port = %d;
	Protocols = 3;
	mount_path_pseudo = true;
	Enable_NLM = false;
	Enable_RQUOTA = false;
}
%%include "%s"
`, nfsPort, mountPort, fragment)
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "ganesha.conf"), []byte(conf), 0o600), os.WriteFile(fragment, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "log")
	background(t, "ganesha.nfsd", "-F", "-f", filepath.Join(dir, "ganesha.conf"), "-L", log, "-p", pid, "-N", "NIV_EVENT")
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(log)
			t.Logf("Ganesha's log:\n%s", text)
		}
	})
	mountAddr, nfsAddr := fmt.Sprint("127.0.0.1:", mountPort), fmt.Sprint("127.0.0.1:", nfsPort)
	eventually(t, "Ganesha answers", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := listExports(ctx, mountAddr)
		return err
	})
	x, err := Open(Config{Kind: Ganesha, StateFile: filepath.Join(dir, "state"), ExportsFile: fragment, Reload: Hangup(pid), MountAddr: netip.MustParseAddrPort(mountAddr)})
	if err != nil {
		t.Fatal(err)
	}
	return &ganesha{nfsPort, mountPort, nfsAddr, mountAddr, x}
}

// TestGanesha has a real Ganesha serve two nodes in turn, one of which stays
// connected all the time.
func TestGanesha(t *testing.T) {
	g := startGanesha(t)
	x, mountAddr, nfsAddr := g.exports, g.mountAddr, g.nfsAddr
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	export := func(id, client string) roots.Export {
		return roots.Export{NodeID: id, Path: "/nodes/" + id, Dir: newRoot(t, rootfs.Native), Client: netip.MustParseAddr(client)}
	}
	stays, goes := export("stays", "127.0.0.2"), export("goes", "127.0.0.3")
	for _, e := range []roots.Export{stays, goes} {
		start := time.Now()
		if err := x.OpenExport(ctx, e); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s was opened after %v", e.NodeID, time.Since(start).Round(time.Millisecond))
	}
	kept := mountAt(t, ctx, mountAddr, nfsAddr, stays)
	file := kept.create(t, ctx, "f")
	other := mountAt(t, ctx, mountAddr, nfsAddr, goes)
	if _, err := mount(ctx, mountAddr, goes.Path, stays.Client); err == nil {
		t.Error("a node may mount another's root")
	}
	// The handle of another node's file is worth nothing elsewhere.
	if _, err := other.GetAttr(ctx, file); err == nil {
		t.Error("a node may use another's handle")
	}
	start := time.Now()
	if err := x.CloseExport(ctx, goes.NodeID); err != nil {
		t.Fatal(err)
	}
	t.Logf("it was closed after %v", time.Since(start).Round(time.Millisecond))
	if _, err := other.GetAttr(ctx, other.root); err == nil {
		t.Error("the closed export is still served")
	}
	if _, err := mount(ctx, mountAddr, goes.Path, goes.Client); err == nil {
		t.Error("the closed export can still be mounted")
	}
	if _, err := kept.GetAttr(ctx, file); err != nil {
		t.Errorf("the export that stays: %v", err)
	}
	// A node that comes back after its export was gone finds its handles good.
	if err := x.OpenExport(ctx, goes); err != nil {
		t.Fatal(err)
	}
	mountAt(t, ctx, mountAddr, nfsAddr, goes)
	mounted := make(chan string, 10)
	wctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	if err := x.WatchMounts(wctx, uint16(g.nfsPort), func(id string) {
		select {
		case mounted <- id:
		default:
		}
		stop()
	}); err != nil {
		t.Fatal(err)
	}
	if len(mounted) == 0 {
		t.Error("no connection was seen")
	}
}

// node is a client of a server, with the handle of its root.
type node struct {
	*nfstest.Client
	root nfstest.Handle
}

func mount(ctx context.Context, addr, path string, from netip.Addr) (nfstest.Handle, error) {
	c, err := nfstest.Dial(ctx, addr, from)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Mount(ctx, path)
}

func mountAt(t *testing.T, ctx context.Context, mountAddr, nfsAddr string, e roots.Export) node {
	t.Helper()
	root, err := mount(ctx, mountAddr, e.Path, e.Client)
	if err != nil {
		t.Fatalf("mounting %s: %v", e.Path, err)
	}
	c, err := nfstest.Dial(ctx, nfsAddr, e.Client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return node{c, root}
}

func (n node) create(t *testing.T, ctx context.Context, name string) nfstest.Handle {
	t.Helper()
	m, err := n.Create(ctx, n.root, name, true, nfstest.Set{})
	if err != nil {
		t.Fatal(err)
	}
	return m.Handle
}
