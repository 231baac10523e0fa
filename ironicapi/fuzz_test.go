package ironicapi_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Whatever a stranger sends, the answer is JSON (checked by send) and never a 500.
func ask(t *testing.T, shared *rig, req *http.Request) {
	t.Helper()
	r := *shared
	r.t = t
	a := r.send(req)
	if a.status >= 500 {
		t.Errorf("%s %s: %d %s", req.Method, req.URL, a.status, a.text)
	}
	if made := a.header.Get("Location"); a.status == 201 { // keep the twin small
		path := strings.TrimPrefix(made, "http://api.test")
		if uuid, ok := strings.CutPrefix(path, "/v1/nodes/"); ok { // which may have been made so that it is kept from being deleted
			r.backend.Edit(uuid, func(n *node) { n.Protected, n.Maintenance = false, true })
		}
		r.must(204, "DELETE", path, nil)
	}
}

func FuzzBody(f *testing.F) {
	for _, seed := range []string{`{"driver":"fake-hardware"}`, `{"driver":"fake-hardware","extra":{"a":[1,{"b":null}]},"name":"x"}`,
		`{"target":"power on","timeout":1}`, `{"target":"clean","clean_steps":[{"interface":"deploy","step":"x","args":{}}]}`,
		`{"target":"active","deploy_steps":[{"interface":"deploy","step":"x","args":{},"priority":1e9}]}`, `{"enabled":"on"}`,
		`{"node_uuid":"x","address":"aa:bb:cc:dd:ee:ff","local_link_connection":{"switch_id":"x"}}`, `[`, `"`, `1e999`, `{"a":1}{"b":2}`} {
		f.Add(seed)
	}
	r := newRig(f)
	id := r.node(map[string]any{"name": "n1"})
	f.Fuzz(func(t *testing.T, body string) {
		for path, method := range map[string]string{"/v1/nodes": "POST", "/v1/ports": "POST", "/v1/chassis": "POST",
			"/v1/nodes/" + id + "/states/power": "PUT", "/v1/nodes/" + id + "/states/provision": "PUT", "/v1/nodes/" + id + "/states/console": "PUT",
			"/v1/nodes/" + id + "/management/boot_device": "PUT", "/v1/nodes/" + id + "/vendor_passthru/echo": "POST",
			"/v1/nodes/" + id + "/maintenance": "PUT", "/v1/heartbeat/" + id: "POST"} {
			req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
			req.Header.Set("X-OpenStack-Ironic-API-Version", "1.82")
			ask(t, r, req)
		}
	})
}

func FuzzPatch(f *testing.F) {
	for _, seed := range []string{`[{"op":"add","path":"/extra/a","value":1}]`, `[{"op":"remove","path":"/extra"},{"op":"copy","from":"/properties","path":"/extra/b"}]`,
		`[{"op":"move","from":"/driver_info/x_password","path":"/extra/x"},{"op":"test","path":"/name","value":null}]`,
		`[{"op":"replace","path":"/properties/a/0/~1~0","value":"******"}]`, `[{"op":"add","path":"/network_data","value":{"links":[]}}]`} {
		f.Add(seed)
	}
	r := newRig(f)
	id := r.node(map[string]any{"driver_info": map[string]any{"x_password": "hunter2"}, "properties": map[string]any{"a": []any{map[string]any{"/~": 1}}}})
	f.Fuzz(func(t *testing.T, body string) {
		req := httptest.NewRequestWithContext(t.Context(), "PATCH", "/v1/nodes/"+id, strings.NewReader(body))
		req.Header.Set("X-OpenStack-Ironic-API-Version", "1.82")
		ask(t, r, req)
		ask(t, r, httptest.NewRequestWithContext(t.Context(), "GET", "/v1/nodes/"+id, nil))
	})
}

func FuzzVersion(f *testing.F) {
	for _, seed := range []string{"1.1", "latest", "1.82", "1.83", "baremetal 1.4, compute 2.1", "2.0", "", "1.-1", "1.00000000000000000001"} {
		f.Add(seed, seed)
	}
	r := newRig(f)
	f.Fuzz(func(t *testing.T, old, std string) {
		for _, path := range []string{"/v1", "/v1/nodes"} {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
			req.Header["X-Openstack-Ironic-Api-Version"] = []string{old}
			req.Header["Openstack-Api-Version"] = []string{std}
			ask(t, r, req)
		}
	})
}

func FuzzURL(f *testing.F) {
	for _, seed := range []string{"limit=5&marker=x", "fields=uuid,name&detail=1", "sort_key=name&sort_dir=desc", "shard=a,,b&sharded=true", "%zz", "a=%00"} {
		f.Add("nodes/x", seed)
		f.Add("ports", seed)
		f.Add("chassis/detail", seed)
	}
	r := newRig(f)
	r.node(map[string]any{"name": "x"})
	f.Fuzz(func(t *testing.T, path, query string) {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		req.URL = &url.URL{Path: "/v1/" + path, RawQuery: query}
		req.Header.Set("X-OpenStack-Ironic-API-Version", "1.82")
		ask(t, r, req)
	})
}
