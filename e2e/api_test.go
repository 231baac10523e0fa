//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"
)

// api speaks plain HTTP to the Ironic API.
type api struct {
	t    testing.TB
	base string
}

const apiVersion = "1.82"

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// fault is the text that clients show of an error.
func (a answer) fault() string {
	var outer struct {
		Message string `json:"error_message"`
	}
	var inner struct {
		Text  string `json:"faultstring"`
		Title string `json:"title"`
	}
	if json.Unmarshal(a.body, &outer) != nil || json.Unmarshal([]byte(outer.Message), &inner) != nil {
		return ""
	}
	return inner.Text + inner.Title
}

// send sends a request with a body as it is.
func (a api) send(method, path string, body []byte) answer {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("X-OpenStack-Ironic-API-Version", apiVersion)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, text}
}

func (a api) json(method, path string, body any, want int) []byte {
	a.t.Helper()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			a.t.Fatal(err)
		}
	}
	got := a.send(method, path, text)
	if got.status != want {
		a.t.Fatalf("%s %s: %d, want %d\n%s", method, path, got.status, want, got.body)
	}
	return got.body
}

// post creates something.
func (a api) post(collection string, body any) map[string]any {
	a.t.Helper()
	return decode[map[string]any](a.t, string(a.json(http.MethodPost, "/v1/"+collection, body, http.StatusCreated)))
}

// node is what these tests read of a node.
type node struct {
	UUID           string         `json:"uuid"`
	Name           string         `json:"name"`
	Power          *string        `json:"power_state"`
	TargetPower    *string        `json:"target_power_state"`
	Provision      string         `json:"provision_state"`
	TargetState    *string        `json:"target_provision_state"`
	Reservation    *string        `json:"reservation"`
	LastError      *string        `json:"last_error"`
	Console        bool           `json:"console_enabled"`
	Maintenance    bool           `json:"maintenance"`
	Fault          *string        `json:"fault"`
	InstanceInfo   map[string]any `json:"instance_info"`
	ChassisUUID    *string        `json:"chassis_uuid"`
	Properties     map[string]any `json:"properties"`
	ResourceClass  string         `json:"resource_class"`
	ConductorShown string         `json:"conductor"`
}

func (a api) node(ident string) node {
	a.t.Helper()
	return decode[node](a.t, string(a.json(http.MethodGet, "/v1/nodes/"+ident, nil, http.StatusOK)))
}

func (a api) nodes() []node {
	a.t.Helper()
	return decode[struct{ Nodes []node }](a.t, string(a.json(http.MethodGet, "/v1/nodes/detail", nil, http.StatusOK))).Nodes
}

// history is the texts of the node's events, oldest first.
func (a api) history(ident string) []string {
	a.t.Helper()
	body := a.json(http.MethodGet, "/v1/nodes/"+ident+"/history?detail=true", nil, http.StatusOK)
	var texts []string
	for _, h := range decode[struct{ History []struct{ Event string } }](a.t, string(body)).History {
		texts = append(texts, h.Event)
	}
	return texts
}

// provision asks for a verb.
func (a api) provision(ident, verb string) {
	a.t.Helper()
	a.json(http.MethodPut, "/v1/nodes/"+ident+"/states/provision", map[string]any{"target": verb}, http.StatusAccepted)
}

// power asks for a power state.
func (a api) power(ident, target string) {
	a.t.Helper()
	a.json(http.MethodPut, "/v1/nodes/"+ident+"/states/power", map[string]any{"target": target}, http.StatusAccepted)
}

// patch sets fields: path, value, path, value …; nil removes.
func (a api) patch(ident string, pairs ...any) {
	a.t.Helper()
	var ops []map[string]any
	for i := 0; i < len(pairs); i += 2 {
		op := map[string]any{"op": "add", "path": pairs[i], "value": pairs[i+1]}
		if pairs[i+1] == nil {
			op = map[string]any{"op": "remove", "path": pairs[i]}
		}
		ops = append(ops, op)
	}
	a.json(http.MethodPatch, "/v1/nodes/"+ident, ops, http.StatusOK)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
