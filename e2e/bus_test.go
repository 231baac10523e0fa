//go:build e2e

package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBrokerDies kills mosquitto under a running chassis and starts it again.
func TestBrokerDies(t *testing.T) {
	t.Parallel()
	s := startServe(t, "")
	s.api.power("caddy-1", "power on")
	s.awaitPower("power on", "caddy-1")

	s.mosquitto.process.kill()
	s.ok("node", "list")
	s.ok("node", "power", "on", "caddy-2")
	n := s.awaitNode("caddy-2", "told that the bus is gone", func(n node) bool { return n.LastError != nil })
	said := text(n.LastError)
	if !strings.Contains(said, "broker") || !strings.Contains(said, "check") {
		t.Errorf("last_error must name the broker and say what to check: %s", said)
	}

	s.mosquitto.start()
	eventually(t, settleTimeout, "power works again after the broker's restart", func() bool {
		s.api.power("caddy-2", "power on")
		n := s.awaitNode("caddy-2", "idle", func(node) bool { return true })
		return n.LastError == nil && text(n.Power) == "power on"
	})
	s.awaitPower("power on", "caddy-1")
	s.available("caddy-3")
	s.deploy("caddy-3")
}

// TestUnitsVanish kills the simulated units: their wills tell that they are
// gone; after their restart all is as it was.
func TestUnitsVanish(t *testing.T) {
	t.Parallel()
	s := startServe(t, "")
	vanish(t, s)
}

func vanish(t *testing.T, s *site) {
	t.Helper()
	s.sim.signal(syscall.SIGKILL)
	begin := time.Now()
	s.awaitNode("caddy-1", "of unknown power", func(n node) bool { return n.Power == nil })
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("the loss of a unit was seen after %s; its will tells at once", took)
	}
	if h := strings.Join(s.api.history("caddy-1"), "\n"); !strings.Contains(h, "offline") {
		t.Errorf("the history must say why the power is unknown:\n%s", h)
	}
	if rows := s.table("node", "list"); rows[0]["Power State"] != nil {
		t.Errorf("node list shows %v", rows[0])
	}
	s.ok("node", "power", "on", "caddy-1")
	n := s.awaitNode("caddy-1", "told that the unit is gone", func(n node) bool { return n.LastError != nil })
	if said := text(n.LastError); !strings.Contains(said, "bpu-1") || !strings.Contains(said, "offline") {
		t.Errorf("last_error must name the unit and its state: %s", said)
	}
	s.startSim(t.TempDir())
	s.awaitNode("caddy-1", "heard again", func(n node) bool { return n.Power != nil })
	s.ok("node", "power", "on", "caddy-1")
	s.awaitPower("power on", "caddy-1")
	if n := s.api.node("caddy-1"); n.LastError != nil {
		t.Errorf("last_error stays after success: %s", *n.LastError)
	}
}
