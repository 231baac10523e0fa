//go:build inguest

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"caddyshack/baremetal"
	"caddyshack/internal/knfsd"
	"caddyshack/pxe/images/demo"
)

// A virtual Pi is deployed through the kernel's NFS server, which serves its
// root; a second one is while the first lives on it, and an undeploy ends one
// export alone.
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
	image := demo.New(demo.Config{Dir: dir, Go: "/nonexistent"})
	if err := image.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	tiny, err := image.Image(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := startServe(t, dir, "shack", fmt.Sprintf(`
state_dir = %q
roles = ["api", "conductor", "broker", "boot", "os-server"]
[api]
listen = "127.0.0.1:0"
[broker]
listen = "127.0.0.1:0"
password = "secret"
units = [{id = "bpu-1", password = "unit"}]
[boot]
address = "127.0.0.1"
tftp_listen = "127.0.0.1:0"
phone_home_listen = "127.0.0.1:0"
nfs_server = "kernel"
nfs_listen = "127.0.0.1:%d"
nfs_mount_port = %d
[images]
folders = [%q]
default_image = %q
`, filepath.Join(dir, "shack"), knfsd.Port, knfsd.MountPort, dir, "file://"+tiny.Path))
	tftp, err := netip.ParseAddrPort(p.addr.TFTP)
	if err != nil {
		t.Fatal(err)
	}
	racked, err := startSimulated(t.Context(), simulatedConfig{Caddies: 2, Dir: filepath.Join(dir, "sim"), Broker: p.addr.MQTT,
		Password: func(string) string { return "unit" }, TFTP: tftp, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = racked.close() })
	// etab is what the kernel is told when it asks.
	exported := func(uuid string) bool {
		t.Helper()
		text, err := os.ReadFile("/var/lib/nfs/etab")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), uuid)
	}
	var uuids []string
	for _, c := range racked.caddies {
		uuid := createCaddy(t, p, c)
		uuids = append(uuids, uuid)
		reach := func(verb string, state baremetal.ProvisionState) {
			send(t, p, verb, uuid)
			p.awaitFor(t, 2*time.Minute, "/v1/nodes/"+uuid, fmt.Sprintf(`"provision_state":%q`, state))
		}
		reach("manage", baremetal.Manageable)
		reach("provide", baremetal.Available)
		reach("active", baremetal.Active) // its root is mounted
		if !exported(uuid) {
			t.Errorf("%s is active and not exported", uuid)
		}
		t.Logf("%s is active", uuid)
	}
	send(t, p, "deleted", uuids[0])
	p.awaitFor(t, 2*time.Minute, "/v1/nodes/"+uuids[0], `"provision_state":"available"`)
	if exported(uuids[0]) || !exported(uuids[1]) {
		t.Errorf("exported after the first was undeployed: %v, %v", exported(uuids[0]), exported(uuids[1]))
	}
	if _, err := os.Stat(filepath.Join(dir, "shack", "roots", "nodes", uuids[0])); !os.IsNotExist(err) {
		t.Errorf("the first root: %v", err)
	}
}
