//go:build faults

package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/pxe/roots"
	"caddyshack/pxe/tftpd"
	"caddyshack/sim/pi/nfsmount"
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

// tryMount mounts a path from an address.
func (s *site) tryMount(t *testing.T, from, path string) (*nfsmount.FS, error) {
	t.Helper()
	return nfsmount.Mount(t.Context(), nfsmount.Config{Local: netip.MustParseAddr(from), Server: s.os.nfsAddr.Addr(), Port: s.os.nfsAddr.Port(),
		MountPort: s.os.nfsAddr.Port(), Path: path, Hostname: "caddy-1", RSize: 8192, WSize: 8192})
}

func (s *site) mount(t *testing.T, from, path string) *nfsmount.FS {
	t.Helper()
	fs, err := s.tryMount(t, from, path)
	if err != nil {
		t.Fatalf("mounting %s: %v", path, err)
	}
	return fs
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
	own := s.mount(t, "127.77.1.1", roots.OwnPath(s.node))
	if err := own.WriteFile(t.Context(), "/etc/mended", []byte("yes"), 0o644); err != nil {
		t.Errorf("mending its own root: %v", err)
	}
	own.Close()
	if _, err := s.tryMount(t, "127.77.1.2", roots.OwnPath(s.node)); !errors.Is(err, nfsmount.ErrAccess) {
		t.Errorf("its own root, from elsewhere: %v", err)
	}
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
	fs := s.mount(t, "127.77.1.1", roots.ExportPath(s.node))
	if text, err := fs.ReadFile(t.Context(), "/etc/mended", 100); err != nil || string(text) != "yes" {
		t.Errorf("after the rescue its own root has %q, %v", text, err)
	}
	fs.Close()
	if _, err := s.tryMount(t, "127.77.1.1", roots.OwnPath(s.node)); !errors.Is(err, nfsmount.ErrAccess) {
		t.Errorf("its own root as in rescue, after the rescue: %v", err)
	}
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

// silentRescue is a site whose active node is to be rescued, and says nothing.
func silentRescue(t *testing.T) *site {
	t.Helper()
	s := newSite(t, stalls)
	s.console(t, true)
	s.deploy(t)
	s.awaitState(t, baremetal.Active)
	s.wire.dead()
	s.rescue(t)
	s.awaitState(t, baremetal.RescueWait)
	return s
}

// A rescue whose machine stands still is power-cycled and fails like a deploy;
// unrescue brings back its own system, and a second try succeeds.
func TestFaultRescueStall(t *testing.T) {
	t.Parallel()
	s := silentRescue(t)
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
	s := silentRescue(t)
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
