//go:build e2e && qemu

package e2e

import (
	"context"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestQEMUSSH deploys real kernels with config drives, from the openstack client
// and as Nova sends them, and logs in with Debian's ssh and the key of each.
func TestQEMUSSH(t *testing.T) {
	t.Parallel()
	demoKernel(t)
	guestAddresses(t)
	s := startDemo(t, "--pi", "qemu", "--caddies", "2")
	private, public := keyPair(t)
	s.available("caddy-1")
	s.available("caddy-2")
	s.ok("node", "deploy", "caddy-1", "--config-drive", driveFolder(t, "web-1.example", public, "#!/bin/sh\nhostname > /root/first-boot\n"))
	s.api.json(http.MethodPut, "/v1/nodes/caddy-2/states/provision", map[string]any{"target": "active", "configdrive": novaDrive(t, public)}, 202)
	for _, c := range []struct{ name, address, command, want string }{
		{"caddy-1", "127.77.1.1", "hostname; cat /root/first-boot", "web-1.example\nweb-1.example\n"},
		{"caddy-2", "127.77.1.2", "hostname; test -f /var/lib/caddyshack/first-boot.ran/user-data && echo ran", "web-3.novalocal\nran\n"},
	} {
		s.awaitNode(c.name, "active", func(n node) bool { return n.Provision == "active" })
		began := time.Now()
		var out string
		eventually(t, guestTimeout, "ssh into "+c.name, func() bool {
			var err error
			out, err = trySSH(t, private, c.address, c.command)
			return err == nil
		})
		if out != c.want {
			t.Errorf("%s answers %q, want %q", c.name, out, c.want)
		}
		t.Logf("%s: in %s after it was active", c.name, time.Since(began).Round(time.Millisecond))
	}
	stranger, _ := keyPair(t)
	if out, err := trySSH(t, stranger, "127.77.1.1", "true"); err == nil || !strings.Contains(out, "Permission denied") {
		t.Errorf("with another key: %v %q", err, out)
	}
}

var guestAddress sync.Mutex

// guestAddresses is held by one test at a time: those that reach caddy-1 by ssh,
// and those whose caddy-1 would take the port from them. Caddies have the same
// loopback addresses in all chassis.
func guestAddresses(t *testing.T) {
	t.Helper()
	guestAddress.Lock()
	t.Cleanup(guestAddress.Unlock)
}

// trySSH runs a command on a virtual Pi by Debian's ssh client.
func trySSH(t *testing.T, key, address, command string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ssh", "-F", "none", "-i", key, "-p", "2222", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=50", "root@"+address, command).CombinedOutput()
	return string(out), err
}
