//go:build e2e

package e2e

import (
	"net/http"
	"testing"

	"caddyshack/ironicapi/apitest/replay"
)

// machine makes a simulated caddy ready for a sequence of another program.
func (s *site) machine(t *testing.T, name string) replay.Machine {
	t.Helper()
	id := s.api.node(name).UUID
	at := "/v1/nodes/" + id
	s.api.json(http.MethodPatch, at, []map[string]any{{"op": "replace", "path": "/network_interface", "value": "flat"},
		{"op": "add", "path": "/resource_class", "value": "rpi4"}}, 200)
	s.api.json(http.MethodPut, at+"/traits", map[string]any{"traits": []string{"CUSTOM_POE"}}, 204)
	s.available(name)
	s.api.power(name, "power off")
	s.awaitPower("power off", name)
	// no Glance is there: the image of the demo stands for the one that Nova names
	return replay.Machine{UUID: id, Name: name, Image: "builtin:demo", OtherImage: "builtin:demo", ConfigDrive: novaDrive(t, publicKey(t)),
		SoftTimeout: 5} // virtual Pis have no operating system that shuts down
}

// TestReplays plays what Nova and metalsmith ask against caddies of a simulated
// chassis, which really boot.
func TestReplays(t *testing.T) {
	t.Parallel()
	s := startDemo(t)
	first, second, other := s.machine(t, "caddy-1"), s.machine(t, "caddy-2"), s.machine(t, "caddy-3")
	t.Run("nova", func(t *testing.T) {
		replay.Nova(t, s.program.ready.API, first)
	})
	t.Run("metalsmith", func(t *testing.T) {
		replay.Metalsmith(t, s.program.ready.API, second, other)
	})
}
