package ironicapi_test

import (
	"net/http/httptest"
	"testing"

	"caddyshack/ironicapi/apitest/replay"
)

// machine makes a node of fake-hardware for a sequence.
func (r *rig) machine(name, address string) replay.Machine {
	r.t.Helper()
	id := r.available(map[string]any{"name": name, "resource_class": "rpi4", "network_interface": "flat",
		"properties": map[string]any{"cpus": 4, "memory_mb": 8192, "local_gb": 0, "cpu_arch": "aarch64"}})
	r.must(204, "PUT", "/v1/nodes/"+id+"/traits", map[string]any{"traits": []any{"CUSTOM_POE"}})
	r.must(201, "POST", "/v1/ports", map[string]any{"node_uuid": id, "address": address})
	return replay.Machine{UUID: id, Name: name, SoftTimeout: 60,
		Image: "0b1ad7a0-1d0b-4b0b-9d0d-2d7a3d8e2a11", OtherImage: "7b1ad7a0-1d0b-4b0b-9d0d-2d7a3d8e2a11",
		ConfigDrive: "H4sIAAAAAAAA/wMAAAAAAAAAAAA="} // gzipped: nothing
}

// serve is the API on a socket.
func (r *rig) serve(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(r.handler)
	t.Cleanup(s.Close)
	return s.URL
}

// TestNova: what nova-compute asks, with fake-hardware. e2e has it with a caddy.
func TestNova(t *testing.T) {
	t.Parallel()
	r, _ := newRealRig(t)
	replay.Nova(t, r.serve(t), r.machine("caddy-1", "aa:bb:cc:dd:ee:01"))
}

func TestMetalsmith(t *testing.T) {
	t.Parallel()
	r, _ := newRealRig(t)
	replay.Metalsmith(t, r.serve(t), r.machine("caddy-1", "aa:bb:cc:dd:ee:01"), r.machine("caddy-2", "aa:bb:cc:dd:ee:02"))
}
