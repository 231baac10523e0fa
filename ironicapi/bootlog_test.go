package ironicapi_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"caddyshack/ironicapi"
)

func TestBootLog(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node(map[string]any{"name": "one"})
	a := r.at(82, http.MethodGet, "/v1/nodes/one/boot_log", nil)
	if a.status != http.StatusOK || !strings.Contains(a.text, `"boots":[{"attempt":1}]`) {
		t.Errorf("answered %d %s", a.status, a.text)
	}
	if a := r.at(82, http.MethodGet, "/v1/nodes/none/boot_log", nil); a.status != http.StatusNotFound {
		t.Errorf("a node that is not there: %d", a.status)
	}
	refused := newRig(t, func(c *ironicapi.Config) { c.Auth = byName{} })
	if a := refused.at(82, http.MethodGet, "/v1/nodes/one/boot_log", nil); a.status != http.StatusUnauthorized {
		t.Errorf("without credentials: %d", a.status)
	}
}

// A stream sends what is remembered and what is seen, and ends when the service stops.
func TestBootLogStream(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	r := newRig(t, func(c *ironicapi.Config) { c.Stopping = stop })
	r.node(map[string]any{"name": "one"})
	srv := httptest.NewServer(r.handler)
	t.Cleanup(srv.Close)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/v1/nodes/one/boot_log", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("X-OpenStack-Ironic-API-Version", "1.82")
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("content type %q", kind)
	}
	in := bufio.NewScanner(resp.Body)
	for _, want := range []string{"event: boots", `data: [{"attempt":1}]`, "", "event: sign", `data: {"stage":"mount"}`, ""} {
		if !in.Scan() || in.Text() != want {
			t.Fatalf("got %q, %v; want %q", in.Text(), in.Err(), want)
		}
	}
	close(stop)
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) != 0 {
		t.Errorf("at the end: %q, %v", rest, err)
	}
}
