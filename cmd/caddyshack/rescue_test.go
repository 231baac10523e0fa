//go:build faults

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/pxe/tftpd"
)

// rescue asks for a rescue.
func (s *site) rescue(t *testing.T) {
	t.Helper()
	err := s.conductor.SetProvision(t.Context(), tester, s.node, conductor.ProvisionRequest{Verb: baremetal.VerbRescue, RescuePassword: "open sesame", Minor: 115})
	if err != nil {
		t.Fatal(err)
	}
}

// awaitPrompt waits until the system on the console says so.
func (s *site) awaitPrompt(t *testing.T, prompt string) {
	t.Helper()
	log := filepath.Join(s.cfg.StateDir, "consoles", s.node, "console.log")
	s.await(t, "at the prompt "+prompt, func(*baremetal.Node) bool {
		text, err := os.ReadFile(log)
		return err == nil && strings.HasSuffix(string(text), prompt)
	})
}

// roots tells which roots the node has.
func (s *site) roots(t *testing.T) string {
	t.Helper()
	var there []string
	for _, place := range []string{"root", "rescue"} {
		if _, err := os.Stat(filepath.Join(s.cfg.StateDir, "roots", "nodes", s.node, place, "root.json")); err == nil {
			there = append(there, place)
		}
	}
	return strings.Join(there, " ")
}

// A node boots its rescue root, that again after a power-cycle, and its own when
// the rescue is over.
func TestRescue(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.console(t, true)
	s.deploy(t)
	s.awaitState(t, baremetal.Active)
	s.awaitPrompt(t, "root@caddy-1:~# ")
	s.rescue(t)
	n := s.awaitState(t, baremetal.Rescue)
	if n.LastError != "" || n.InstanceInfo.Has("hashed_rescue_password") || strings.Contains(string(n.InstanceInfo), "sesame") {
		t.Errorf("in rescue: last_error %q, instance_info %s", n.LastError, n.InstanceInfo)
	}
	s.awaitPrompt(t, "root@caddy-1-rescue:~# ")
	if err := s.conductor.SetPower(t.Context(), tester, s.node, conductor.PowerRequest{Target: baremetal.TargetReboot}); err != nil {
		t.Fatal(err)
	}
	s.await(t, "power-cycled", func(n *baremetal.Node) bool { return n.TargetPowerState == "" && n.PowerState == baremetal.PowerOn })
	s.awaitPrompt(t, "root@caddy-1-rescue:~# ")
	s.verb(t, baremetal.VerbUnrescue)
	if n := s.awaitState(t, baremetal.Active); n.LastError != "" {
		t.Errorf("after the rescue: %q", n.LastError)
	}
	s.awaitPrompt(t, "root@caddy-1:~# ")
	if got := s.roots(t); got != "root" {
		t.Errorf("after the rescue there are the roots %q", got)
	}

	// Undeployed in rescue, nothing stays.
	s.rescue(t)
	s.awaitState(t, baremetal.Rescue)
	if got := s.roots(t); got != "root rescue" {
		t.Errorf("in rescue there are the roots %q", got)
	}
	s.verb(t, baremetal.VerbDeleted)
	if n := s.awaitState(t, baremetal.Available); n.PowerState != baremetal.PowerOff || s.roots(t) != "" {
		t.Errorf("after an undeploy: %q, roots %q", n.PowerState, s.roots(t))
	}
}

// A rescue whose machine stands still is power-cycled and fails like a deploy;
// unrescue brings back its own system, and a second try succeeds.
func TestFaultRescueStall(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.console(t, true)
	s.deploy(t)
	s.awaitState(t, baremetal.Active)
	s.wire.dead()
	s.rescue(t)
	s.awaitState(t, baremetal.RescueWait)
	s.files(t, map[string]tftpd.Content{"kernel8.img": {Data: make([]byte, 40_000)}})
	s.wire.stallsAfter(2)
	n := s.awaitState(t, baremetal.RescueFailed)
	for _, want := range []string{"Failed to rescue: stalled in kernel8.img at 2.9 kB of 40.0 kB", "the network is bad, or the power was cut or is too weak", "; 2 power-cycles did not help"} {
		if !strings.Contains(n.LastError, want) {
			t.Errorf("last_error is %q, without %q", n.LastError, want)
		}
	}
	if cycles := s.history(t, "power-cycled (try "); len(cycles) != 2 {
		t.Errorf("power-cycles in the history: %q", cycles)
	}
	s.wire.good()
	s.verb(t, baremetal.VerbUnrescue)
	s.awaitState(t, baremetal.Active)
	s.awaitPrompt(t, "root@caddy-1:~# ")
	s.rescue(t)
	s.awaitState(t, baremetal.Rescue)
}

// A rescue that is given up while the machine boots leaves no rescue root.
func TestFaultRescueAborted(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.console(t, true)
	s.deploy(t)
	s.awaitState(t, baremetal.Active)
	s.wire.dead()
	s.rescue(t)
	s.awaitState(t, baremetal.RescueWait)
	if got := s.roots(t); got != "root rescue" {
		t.Errorf("in rescue wait there are the roots %q", got)
	}
	s.verb(t, baremetal.VerbAbort)
	n := s.awaitState(t, baremetal.RescueFailed)
	if got := s.roots(t); got != "root" || n.Maintenance {
		t.Errorf("after an abort there are the roots %q, maintenance %v %q", got, n.Maintenance, n.MaintenanceReason)
	}
	s.await(t, "off", func(n *baremetal.Node) bool { return n.PowerState == baremetal.PowerOff })
	s.wire.good()
	s.verb(t, baremetal.VerbUnrescue)
	s.awaitState(t, baremetal.Active)
	s.awaitPrompt(t, "root@caddy-1:~# ")
}
