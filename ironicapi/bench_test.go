package ironicapi_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"caddyshack/baremetal"
)

// fill creates nodes as a chassis at work has them.
func fill(r *rig, count int) {
	for i := range count {
		id := r.node(map[string]any{
			"name": fmt.Sprintf("caddy-%d", i), "resource_class": "rpi4", "chassis_uuid": nil,
			"driver_info":   map[string]any{"backplane_unit": "bpu-1", "slot": 1 + i%4, "console_port": "tcp://127.0.0.1:4000"},
			"properties":    map[string]any{"cpu_arch": "aarch64", "cpus": 4, "memory_mb": 8192, "local_gb": 32, "capabilities": "boot_mode:uefi"},
			"extra":         map[string]any{"unit": "bpu-1", "slot": 1},
			"instance_info": map[string]any{"image_source": "http://images.example/rpi.tar.zst", "root_gb": "10", "display_name": "web"},
		})
		r.backend.Edit(id, func(n *baremetal.Node) {
			n.PowerState, n.ProvisionState = baremetal.PowerOn, baremetal.Active
			n.ProvisionUpdatedAt, n.UpdatedAt = n.CreatedAt, n.CreatedAt
		})
	}
}

type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}

func benchmark(b *testing.B, nodes int, path string) {
	r := newRig(b)
	fill(r, nodes)
	req := httptest.NewRequestWithContext(b.Context(), http.MethodGet, path, nil)
	req.Header.Set("X-OpenStack-Ironic-API-Version", "1.82")
	w := &sink{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		r.handler.ServeHTTP(w, req)
	}
}

func BenchmarkRoot(b *testing.B)      { benchmark(b, 0, "/") }
func BenchmarkNode(b *testing.B)      { benchmark(b, 100, "/v1/nodes/caddy-1") }
func BenchmarkList1000(b *testing.B)  { benchmark(b, 1000, "/v1/nodes?limit=1000") }
func BenchmarkDetail100(b *testing.B) { benchmark(b, 100, "/v1/nodes/detail?limit=100") }

// BenchmarkNodeOverTCP includes net/http and the client.
func BenchmarkNodeOverTCP(b *testing.B) {
	r := newRig(b)
	fill(r, 100)
	s := httptest.NewServer(r.handler)
	defer s.Close()
	b.ReportAllocs()
	for b.Loop() {
		req, _ := http.NewRequestWithContext(b.Context(), http.MethodGet, s.URL+"/v1/nodes/caddy-1", nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}
