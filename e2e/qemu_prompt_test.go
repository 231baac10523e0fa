//go:build e2e && qemu

package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestQEMULoginPrompt deploys a Pi for which only the prompt of the real system
// on its serial console counts.
func TestQEMULoginPrompt(t *testing.T) {
	t.Parallel()
	demoKernel(t)
	guestAddresses(t)
	dir := t.TempDir()
	config, images := settings{dir: dir, broker: fmt.Sprintf("listen = \"127.0.0.1:0\"\n[[broker.units]]\nid = \"bpu-1\"\npassword = %q\n", unitPassword),
		more: "[deploy]\nboot_mark = \"login-prompt\"\n[enroll]\nautomatic = \"off\""}.write(t)
	s := newSite(t, startProgram(t, "serve", "--config", config), images)
	readyFile := filepath.Join(t.TempDir(), "ready")
	s.sim = start(t, "caddyshack sim", []string{"CADDYSHACK_SIM_PASSWORD=" + unitPassword}, binary(), "sim", "--pi", "qemu", "--caddies", "1",
		"--broker", s.program.ready.MQTT, "--tftp", s.program.ready.TFTP, "--state", t.TempDir(), "--ready-file", readyFile)
	lines := map[string]string{}
	awaitReadyFile(t, s.sim, readyFile, &lines)
	const name = "caddy-1"
	found := printed.FindStringSubmatch(s.sim.stdout())
	if len(found) == 0 {
		t.Fatalf("the simulator prints no caddy:\n%s", s.sim.stdout())
	}
	made := s.api.post("nodes", map[string]any{"name": name, "driver": "caddy", "console_interface": "serial-socat",
		"driver_info": map[string]any{"backplane_unit": "bpu-1", "slot": 1, "console_port": lines[name]}})
	s.api.post("ports", map[string]any{"node_uuid": made["uuid"], "address": found[4], "extra": map[string]any{"ip_address": found[5]}})
	s.available(name)

	if got := s.api.send(http.MethodPut, "/v1/nodes/"+name+"/states/provision", []byte(`{"target":"active"}`)); got.status != 400 ||
		!strings.Contains(got.fault(), "baremetal node console enable") {
		t.Errorf("a deploy whose prompt nobody would see: %d %s", got.status, got.fault())
	}
	s.ok("node", "console", "enable", name)
	s.awaitNode(name, "console enabled", func(n node) bool { return n.Console })
	began := time.Now()
	s.api.provision(name, "active")
	eventually(t, guestTimeout, "the deploy of "+name+" ends", func() bool {
		n := s.api.node(name)
		return n.Reservation == nil && (n.Provision == "active" || n.Provision == "deploy failed")
	})
	if n := s.api.node(name); n.Provision != "active" {
		t.Fatalf("the deploy failed: %s", text(n.LastError))
	}
	t.Logf("active after %s", time.Since(began).Round(time.Millisecond))

	// The phone-home of the system, which comes as well, is not what ended it.
	if kept := readFile(t, filepath.Join(dir, "state", "booted", s.api.node(name).UUID+".login-prompt")); kept == "" {
		t.Error("nothing is kept of the prompt")
	}
	if !strings.Contains(strings.Join(s.api.history(name), "\n"), "the machine has not asked for a login on its serial console yet") {
		t.Errorf("the prompt was not what was waited for: %q", s.api.history(name))
	}
}
