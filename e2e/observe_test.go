//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// TestMetricsHealthAndLog looks at what operators look at.
func TestMetricsHealthAndLog(t *testing.T) {
	t.Parallel()
	config, _ := settings{dir: t.TempDir(), more: "[log]\nformat = \"json\""}.write(t)
	p := startProgram(t, "serve", "--config", config)
	s := newSite(t, p, "")
	created := s.api.post("nodes", map[string]any{"driver": "fake-hardware", "name": "fake-1"})
	s.available("fake-1")
	asked := s.api.send(http.MethodPut, "/v1/nodes/fake-1/states/power", []byte(`{"target": "power on"}`))
	request := asked.header.Get("Openstack-Request-Id")
	if !strings.HasPrefix(request, "req-") {
		t.Fatalf("request id: %q", request)
	}
	s.awaitPower("power on", "fake-1")

	metrics := s.api.send(http.MethodGet, "/metrics", nil)
	for _, want := range []string{"caddyshack_api_request_seconds_bucket{", `route="/v1/nodes/{node}/states/power"`, "go_goroutines"} {
		if metrics.status != http.StatusOK || !strings.Contains(string(metrics.body), want) {
			t.Errorf("/metrics: %d without %s:\n%s", metrics.status, want, tail(string(metrics.body)))
		}
	}
	if strings.Contains(string(metrics.body), "fake-1") {
		t.Error("/metrics names nodes")
	}
	if health := s.api.send(http.MethodGet, "/healthcheck", nil); health.status != http.StatusOK {
		t.Errorf("/healthcheck: %d %s", health.status, health.body)
	}
	p.stop(stopLimit)
	parts := map[string]bool{}
	lines := bufio.NewScanner(strings.NewReader(p.stderr()))
	for lines.Scan() {
		var line struct {
			Part, Node string
			Request    string `json:"request_id"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("a log line is no JSON: %v\n%s", err, lines.Text())
		}
		if line.Request == request {
			parts[line.Part] = true
			if line.Node != created["uuid"] {
				t.Errorf("a line of the request without the node's uuid: %s", lines.Text())
			}
		}
	}
	if !parts["api"] || !parts["conductor"] {
		t.Errorf("the request can be followed through %v, want api and conductor:\n%s", parts, tail(p.stderr()))
	}
}
