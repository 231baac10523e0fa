//go:build e2e

package e2e

import "testing"

// TestFirmwareUnits switches all 13 slots of a chassis whose units run their
// own firmware, with the real client, and deploys to one.
func TestFirmwareUnits(t *testing.T) {
	t.Parallel()
	s := startDemo(t, "--units", "firmware")
	for _, name := range caddyNames() {
		s.ok("node", "power", "on", name)
	}
	s.awaitPower("power on", caddyNames()...)
	for _, name := range caddyNames() {
		s.ok("node", "power", "off", name)
	}
	s.awaitPower("power off", caddyNames()...)
	s.available("caddy-2")
	s.deploy("caddy-2")
	s.ok("node", "reboot", "caddy-2")
	s.awaitPower("power on", "caddy-2")
}
