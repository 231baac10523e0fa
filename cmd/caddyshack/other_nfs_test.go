//go:build ganesha || inguest

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caddyshack/baremetal"
)

// deployThroughOther deploys a virtual Pi through another NFS server, which
// serves its root, and a second one while the first lives on it; an undeploy ends
// one export alone. server are the lines of [boot] about the NFS server, exports
// is the file in which it has what is exported.
func deployThroughOther(t *testing.T, dir, server, exports string) {
	t.Helper()
	tiny := tinyImage(t, dir)
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
%s
[images]
folders = [%q]
default_image = %q
`, filepath.Join(dir, "shack"), server, dir, "file://"+tiny.Path))
	racked := rack(t, p, dir, 2)
	exported := func(uuid string) bool {
		t.Helper()
		text, err := os.ReadFile(exports)
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
			t.Errorf("%s is active and not in %s", uuid, exports)
		}
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
