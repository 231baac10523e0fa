package ironicapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"caddyshack/conductor/conductortest"
	"caddyshack/ironicapi"
	"caddyshack/ironicapi/apitest"
)

// rig is an API over a twin, or over a real store and conductor (newRealRig).
type rig struct {
	t       testing.TB
	backend *apitest.Backend
	handler http.Handler
	changes *conductortest.Changes // of the real conductor
}

func newRig(t testing.TB, change ...func(*ironicapi.Config)) *rig {
	t.Helper()
	b := apitest.New()
	cfg := ironicapi.Config{Store: b, Conductor: b, PublicEndpoint: "http://api.test"}
	for _, c := range change {
		c(&cfg)
	}
	h, err := ironicapi.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t: t, backend: b, handler: h}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

// fault is the inner text of an error, of either shape.
func (a answer) fault() string {
	text, _ := a.body["error_message"].(string)
	var inner map[string]any
	if json.Unmarshal([]byte(text), &inner) != nil {
		return text
	}
	if s, ok := inner["faultstring"].(string); ok {
		return s
	}
	s, _ := inner["description"].(string)
	return s
}

// at sends a request at a minor version (0 = no header); body is text or something to encode.
func (r *rig) at(minor int, method, path string, body any) answer {
	r.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			r.t.Fatal(err)
		}
		in = strings.NewReader(string(text))
	}
	req := httptest.NewRequestWithContext(r.t.Context(), method, path, in)
	if minor > 0 {
		req.Header.Set("X-OpenStack-Ironic-API-Version", "1."+strconv.Itoa(minor))
	}
	return r.send(req)
}

func (r *rig) send(req *http.Request) answer {
	r.t.Helper()
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	a := answer{status: w.Code, header: w.Header(), text: w.Body.String()}
	if strings.HasPrefix(a.text, "{") {
		if err := json.Unmarshal(w.Body.Bytes(), &a.body); err != nil {
			r.t.Fatalf("%s %s answered broken JSON: %v\n%s", req.Method, req.URL, err, a.text)
		}
	}
	return a
}

// must sends at the newest version and expects a status.
func (r *rig) must(status int, method, path string, body any) answer {
	r.t.Helper()
	a := r.at(82, method, path, body)
	if a.status != status {
		r.t.Fatalf("%s %s: got %d %s, want %d", method, path, a.status, a.text, status)
	}
	return a
}

// node creates a node and returns its uuid.
func (r *rig) node(fields map[string]any) string {
	r.t.Helper()
	body := map[string]any{"driver": "fake-hardware"}
	for k, v := range fields {
		body[k] = v
	}
	uuid, _ := r.must(201, "POST", "/v1/nodes", body).body["uuid"].(string)
	return uuid
}

func op(kind, path string, value any) []any {
	return []any{map[string]any{"op": kind, "path": path, "value": value}}
}

func TestFirstSteps(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.node(map[string]any{"name": "caddy-1", "properties": map[string]any{"cpus": 4}})
	a := r.must(200, "GET", "/v1/nodes/caddy-1", nil)
	if a.body["uuid"] != id || a.body["provision_state"] != "enroll" || a.body["power_state"] != nil {
		t.Errorf("shown: %s", a.text)
	}
	a = r.must(200, "PATCH", "/v1/nodes/"+id, op("add", "/extra/x", 1))
	if a.body["extra"].(map[string]any)["x"] != 1.0 {
		t.Errorf("patched: %s", a.text)
	}
	a = r.must(202, "PUT", "/v1/nodes/caddy-1/states/power", map[string]any{"target": "power on"})
	if got := a.header.Get("Location"); got != "http://api.test/v1/nodes/caddy-1/states" || a.text != "" {
		t.Errorf("Location %q, body %q", got, a.text)
	}
	r.must(202, "PUT", "/v1/nodes/"+id+"/states/provision", map[string]any{"target": "manage"})
	a = r.must(200, "GET", "/v1/nodes?fields=uuid,provision_state,power_state", nil)
	if !strings.Contains(a.text, `"provision_state":"manageable"`) || !strings.Contains(a.text, `"power_state":"power on"`) {
		t.Errorf("listed: %s", a.text)
	}
	r.must(204, "DELETE", "/v1/nodes/"+id, nil)
	r.must(404, "GET", "/v1/nodes/"+id, nil)
}
