//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"
)

// TestTour is the README's tour with the real openstack client: one command
// after another, as a newcomer types them.
func TestTour(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *site) {
		tourList(t, s)
		tourPower(t, s)
		tourDeploy(t, s)
		tourOwnConsole(t, s)
		tourConsole(t, s)
		tourSoftPower(t, s)
		tourUndeploy(t, s)
	})
}

func tourList(t *testing.T, s *site) {
	rows := s.table("node", "list")
	if len(rows) != caddies {
		t.Fatalf("node list has %d rows, want %d", len(rows), caddies)
	}
	for i, r := range rows {
		if r["Name"] != caddyNames()[i] || r["Power State"] != "power off" || r["Provisioning State"] != "enroll" || r["Maintenance"] != false {
			t.Errorf("row %d: %v", i, r)
		}
	}
	n := s.object("node", "show", "caddy-3")
	properties, _ := n["properties"].(map[string]any)
	if n["driver"] != "caddy" || n["resource_class"] != "rpi4" || n["chassis_uuid"] == nil || properties["cpu_arch"] != "aarch64" || n["conductor"] == "" {
		t.Errorf("node show: %v", n)
	}
}

func tourPower(t *testing.T, s *site) {
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"node", "power", "on"}, "power on"},
		{[]string{"node", "reboot"}, "power on"},
		// No system runs there that could be asked to halt: it ends after the timeout.
		{[]string{"node", "reboot", "--soft", "--power-timeout", "2"}, "power on"},
		{[]string{"node", "power", "off", "--soft", "--power-timeout", "2"}, "power off"},
		{[]string{"node", "power", "on"}, "power on"},
		{[]string{"node", "power", "off"}, "power off"},
	} {
		powerStep(t, s, "caddy-3", step.want, step.args...)
	}
	if shown := s.field("caddy-3", "power_state"); shown != "power off" {
		t.Errorf("power_state is shown as %q", shown)
	}
}

// powerStep runs a power command and waits for its end.
func powerStep(t *testing.T, s *site, ident, want string, args ...string) {
	t.Helper()
	s.ok(append(args, ident)...)
	n := s.awaitNode(ident, want, func(n node) bool { return text(n.Power) == want })
	if n.LastError != nil {
		t.Errorf("%q leaves last_error %q", args, *n.LastError)
	}
}

// tourSoftPower asks a running system to halt, which it does at once.
func tourSoftPower(t *testing.T, s *site) {
	console := tourTCPConsole(t, s)
	for i, step := range []struct {
		args []string
		want string
	}{
		{[]string{"node", "reboot", "--soft"}, "power on"},
		{[]string{"node", "power", "off", "--soft"}, "power off"},
	} {
		// It can be asked only once it runs. The kept log that a viewer gets first
		// holds what the boot before has said, so each asks for another word.
		talk(t, console, fmt.Sprintf("echo here-%d\n", i), fmt.Sprintf("\nhere-%d", i))
		begin := time.Now()
		powerStep(t, s, "caddy-4", step.want, step.args...)
		const hard = 60 * time.Second // the time after which power is cut without an answer
		if took := time.Since(begin); took > hard/2 {
			t.Errorf("%q of a running system took %s: it was not asked, or not heard", step.args, took)
		}
	}
	if r := s.own("undeploy", "caddy-4"); r.code != 0 {
		t.Errorf("our own client: %v", r)
	}
}

func tourDeploy(t *testing.T, s *site) {
	s.ok("node", "manage", "caddy-3", "--wait", "60")
	s.ok("node", "provide", "caddy-3", "--wait", "60")
	s.ok("node", "deploy", "caddy-3", "--wait", "300")
	if got := s.field("caddy-3", "provision_state"); got != "active" {
		t.Fatalf("after deploy --wait the node is %q", got)
	}
	if got := s.field("caddy-3", "power_state"); got != "power on" {
		t.Errorf("an active node has %q", got)
	}
	if rows := s.table("node", "history", "list", "caddy-3"); len(rows) < 3 {
		t.Errorf("history of a deployed node: %v", rows)
	} else {
		s.ok("node", "history", "get", "caddy-3", rows[len(rows)-1]["UUID"].(string))
	}
}

func tourUndeploy(t *testing.T, s *site) {
	s.ok("node", "undeploy", "caddy-3", "--wait", "300")
	n := s.awaitState("caddy-3", "available")
	if text(n.Power) != "power off" || n.LastError != nil {
		t.Errorf("after undeploy: power %q, last_error %q", text(n.Power), text(n.LastError))
	}
}
