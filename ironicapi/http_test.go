package ironicapi_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/ironicapi"
)

type node = baremetal.Node

func TestErrorShapes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.node(map[string]any{"name": "n1"})
	const application, routing = `{\"faultcode\": \"Client\", \"faultstring\": `, `{\"code\": `
	for _, test := range []struct {
		method, path string
		body         any
		status       int
		shape, text  string
	}{
		{"GET", "/v1/nodes/nope", nil, 404, application, "Node nope could not be found."},
		{"GET", "/v1/nosuch", nil, 404, routing, ""},
		{"GET", "/nosuch/at/all", nil, 404, routing, ""},
		{"GET", "/v1/nodes/" + url.PathEscape("bad name!"), nil, 400, routing, "Expected UUID or name for node: bad name!"},
		{"DELETE", "/v1/nodes", nil, 405, routing, ""},
		{"GET", "/v1/nodes/n1/states/provision", nil, 405, routing, ""},
		{"GET", "/v1/nodes/n1/nosuch", nil, 400, application, "Field nosuch is not a valid field."},
		{"PUT", "/v1/nodes/n1/nosuch", nil, 404, routing, ""},
		{"GET", "/v1/nodes?x=1&a=2", nil, 400, application, "Unexpected arguments: a, x"},
		{"GET", "/v1/nodes?limit=0", nil, 400, application, "Limit must be positive"},
		{"GET", "/v1/nodes?limit=-1", nil, 400, application, "Limit must be positive"},
		{"GET", "/v1/nodes?sort_dir=up", nil, 400, application, "Invalid sort direction: up. Acceptable values are 'asc' or 'desc'"},
		{"GET", "/v1/nodes?sort_key=extra", nil, 400, application, `The sort_key value "extra" is an invalid field for sorting`},
		{"GET", "/v1/nodes?fields=uuid,nope", nil, 400, application, `Field(s) "nope" are not valid`},
		{"GET", "/v1/nodes?fields=links", nil, 400, application, `Field(s) "links" are not valid`},
		{"GET", "/v1/nodes?fields=uuid&detail=true", nil, 400, application, "Can't fetch a subset of fields with 'detail' set"},
		{"GET", "/v1/nodes?provision_state=happy", nil, 400, application, `Provision state "happy" is not valid`},
		{"GET", "/v1/nodes?instance_uuid=x", nil, 400, application, "Expected UUID for instance_uuid: x."},
		{"GET", "/v1/nodes?shard=", nil, 400, application, "shard must name at least one shard"},
		{"GET", "/v1/nodes?fault=tired", nil, 400, application, "Unrecognized fault"},
		{"GET", "/v1/nodes?maintenance=maybe", nil, 400, application, "Invalid maintenance: Unrecognized value 'maybe'"},
		{"POST", "/v1/nodes", "{", 400, application, "The request body is not valid JSON"},
		{"POST", "/v1/nodes", "[]", 400, application, "The request body must be a JSON object."},
		{"POST", "/v1/nodes", "{}{}", 400, application, "more than one value"},
		{"POST", "/v1/nodes", "{}", 400, application, "Schema error for node: 'driver' is a required property"},
		{"POST", "/v1/nodes", `{"driver":"fake-hardware","x":1}`, 400, application, "Schema error for node: Additional properties are not allowed ('x' was unexpected)"},
		{"POST", "/v1/nodes", `{"driver":"wrongdriver"}`, 400, application, "No valid host was found. Reason: No conductor service registered which supports driver wrongdriver."},
		{"POST", "/v1/nodes", `{"driver":"fake-hardware","uuid":"!@#$^*&%^"}`, 400, application, "Expected UUID for uuid: !@#$^*&%^."},
		{"POST", "/v1/nodes", `{"driver":5}`, 400, application, "5 is not of type"},
		{"POST", "/v1/nodes", `{"driver":"fake-hardware","extra":[]}`, 400, application, "a list is not of type 'object"},
		{"POST", "/v1/nodes", `{"driver":"fake-hardware","name":"n1"}`, 409, application, "A node with name n1 already exists."},
		{"POST", "/v1/nodes", `{"driver":"fake-hardware","power_interface":"magic"}`, 400, application, "Could not find the following interface"},
		{"POST", "/v1/nodes", `{"driver":"fake-hardware","chassis_uuid":"` + id + `"}`, 400, application, "Chassis " + id + " could not be found."},
		{"PATCH", "/v1/nodes/n1", "{}", 400, application, "a JSON Patch must be a list"},
		{"PATCH", "/v1/nodes/n1", op("remove", "/properties/prop", nil), 400, application, "Reason: can't remove a non-existent object 'prop'"},
		{"PATCH", "/v1/nodes/n1", op("add", "/uuid", id), 400, application, "Cannot patch /uuid. Only the following can be updated: /automated_clean"},
		{"PATCH", "/v1/nodes/n1", op("remove", "/driver", nil), 400, application, "'/driver' is a mandatory attribute and can not be removed"},
		{"PATCH", "/v1/nodes/nope", op("add", "/extra/a", 1), 404, application, "Node nope could not be found."},
		{"PUT", "/v1/nodes/n1/states/power", map[string]any{"target": "reboot"}, 400, application, `The requested action "reboot"`},
		{"PUT", "/v1/nodes/n1/states/power", map[string]any{}, 400, application, "Missing mandatory parameter: target"},
		{"PUT", "/v1/nodes/n1/states/power", map[string]any{"target": "power on", "timeout": 0}, 400, application, "timeout has to be"},
		{"PUT", "/v1/nodes/n1/states/provision", map[string]any{"target": "fly"}, 400, application, `The requested action "fly" can not be performed on node "` + id + `" while it is in state "enroll".`},
		{"PUT", "/v1/nodes/n1/states/provision", map[string]any{"target": "active"}, 400, application, `The requested action "active" can not be performed`},
		{"PUT", "/v1/nodes/n1/states/provision", map[string]any{"target": "manage", "configdrive": "H4sI"}, 400, application, `"configdrive" is only valid when`},
		{"PUT", "/v1/nodes/n1/states/provision", map[string]any{"target": "manage", "disable_ramdisk": true}, 400, application, `"disable_ramdisk" is only valid when`},
		{"PUT", "/v1/nodes/n1/states/provision", map[string]any{"target": "clean"}, 400, application, `"clean_steps" is required`},
		{"PUT", "/v1/nodes/n1/states/provision", map[string]any{"target": "rescue"}, 400, application, `A non-empty "rescue_password" is required`},
		{"PUT", "/v1/nodes/n1/states/provision", map[string]any{"target": "clean", "clean_steps": []any{map[string]any{"interface": "x", "step": "y"}}}, 400, application, "'x' is not one of"},
		{"PUT", "/v1/nodes/n1/states/console", map[string]any{"enabled": "perhaps"}, 400, application, "Invalid enabled"},
		{"PUT", "/v1/nodes/n1/management/boot_device", map[string]any{"boot_device": "tape"}, 400, application, "Invalid boot device tape specified."},
		{"GET", "/v1/portgroups/x", nil, 404, application, "Portgroup x could not be found."},
		{"GET", "/v1/drivers/nope", nil, 404, application, "nope"},
		{"GET", "/v1/chassis/nope", nil, 400, application, "Expected UUID for chassis: nope."},
		{"POST", "/v1/chassis", map[string]any{"description": strings.Repeat("x", 256)}, 400, application, "is too long"},
		{"GET", "/v1/ports?node=n1&shard=a", nil, 403, application, "Operation not permitted."},
		{"POST", "/v1/heartbeat/n1", map[string]any{"callback_url": "", "agent_token": "x"}, 401, application, "agent token"},
		{"POST", "/v1/continue_inspection", map[string]any{}, 400, application, "Inventory is required"},
		{"POST", "/v1/continue_inspection", map[string]any{"inventory": map[string]any{"cpu": 1}}, 404, application, "Node could not be found."},
		{"GET", "/v1/nodes/n1/vendor_passthru", nil, 400, application, "Missing mandatory parameter: method"},
	} {
		a := r.at(82, test.method, test.path, test.body)
		if a.status != test.status || !strings.HasPrefix(a.text, `{"error_message": "`+test.shape) || !strings.Contains(a.fault(), test.text) {
			t.Errorf("%s %s %v:\n got %d %s\nwant %d %s… %s", test.method, test.path, test.body, a.status, a.text, test.status, test.shape, test.text)
		}
		if a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: Content-Type %q", test.method, test.path, a.header.Get("Content-Type"))
		}
		if test.status == 405 && a.header.Get("Allow") == "" {
			t.Errorf("%s %s: Allow is missing", test.method, test.path)
		}
	}
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.at(0, "POST", "/", nil)
	v, _ := a.body["default_version"].(map[string]any)
	if a.status != 200 || v["version"] != "1.115" || v["min_version"] != "1.1" {
		t.Errorf("/: %d %s", a.status, a.text)
	}
	a = r.at(0, "GET", "/v1/", nil)
	if a.status != 200 || a.body["id"] != "v1" || !strings.Contains(a.text, `"nodes":[{"href":"http://api.test/v1/nodes/","rel":"self"}`) {
		t.Errorf("/v1/: %d %s", a.status, a.text)
	}
	if a = r.at(0, "HEAD", "/v1", nil); a.status != 200 || a.text != "" {
		t.Errorf("HEAD /v1: %d %q", a.status, a.text)
	}
	if a = r.at(0, "GET", "/healthcheck", nil); a.status != 200 {
		t.Errorf("/healthcheck: %d", a.status)
	}
	r.backend.Fail = func(string) error { return errors.New("gone") }
	if a = r.at(0, "GET", "/healthcheck", nil); a.status != 503 {
		t.Errorf("/healthcheck without a database: %d", a.status)
	}
}

func TestSpellingsOfPaths(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *ironicapi.Config) { c.PublicEndpoint = "https://cloud.test/baremetal/" })
	r.node(map[string]any{"name": "n1"})
	for _, path := range []string{"/v1/nodes/n1", "/v1/nodes/n1/", "/nodes/n1", "/baremetal/v1/nodes/n1", "/baremetal/nodes/n1", "/v1/nodes/n1.json"} {
		a := r.at(82, "GET", path, nil)
		if a.status != 200 || !strings.Contains(a.text, `"href":"https://cloud.test/baremetal/v1/nodes/`) {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
	}
	r.node(map[string]any{"name": "n2"})
	a := r.must(200, "GET", "/baremetal/v1/nodes?limit=1&owner=&sort_key=name&fields=uuid,name", nil)
	next, _ := a.body["next"].(string)
	if !strings.HasPrefix(next, "https://cloud.test/baremetal/v1/nodes?") {
		t.Fatalf("next: %q", next)
	}
	u, err := url.Parse(next)
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); !q.Has("owner") || q.Get("sort_key") != "name" || q.Get("fields") != "uuid,name" || q.Get("limit") != "1" || q.Get("marker") == "" {
		t.Errorf("next lost something: %s", next)
	}
	b := r.must(200, "GET", u.RequestURI(), nil)
	if !strings.Contains(b.text, `"name":"n2"`) {
		t.Errorf("second page: %s", b.text)
	}
}

// TestLinksOfHost is the case without a public endpoint: forwarding headers count for nothing.
func TestLinksOfHost(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *ironicapi.Config) { c.PublicEndpoint = "" })
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1", nil)
	req.Host = "pi.lan:6385"
	req.Header.Set("X-Forwarded-Host", "evil.test")
	req.Header.Set("Forwarded", "host=evil.test")
	if a := r.send(req); strings.Contains(a.text, "evil") || !strings.Contains(a.text, "http://pi.lan:6385/v1/") {
		t.Errorf("links: %s", a.text)
	}
	req.Host = `x"},{"y`
	if a := r.send(req); a.status != 200 { // send fails on broken JSON
		t.Errorf("odd host: %d", a.status)
	}
}

func TestPaging(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *ironicapi.Config) { c.MaxLimit = 3 })
	for range 7 {
		r.node(map[string]any{"resource_class": "x"})
	}
	r.node(map[string]any{"resource_class": "y"})
	path, seen := "/v1/nodes?resource_class=x&limit=100", 0
	for path != "" {
		a := r.must(200, "GET", path, nil)
		list, _ := a.body["nodes"].([]any)
		seen += len(list)
		path, _ = a.body["next"].(string)
		if path != "" {
			links, _ := a.body["nodes_links"].([]any)
			if len(links) != 1 || links[0].(map[string]any)["href"] != path {
				t.Errorf("nodes_links: %v", links)
			}
			path = strings.TrimPrefix(path, "http://api.test")
		}
	}
	if seen != 7 {
		t.Errorf("saw %d nodes, want 7", seen)
	}
	if a := r.must(200, "GET", "/v1/nodes?instance_uuid=6bf5d4d6-9c1b-4f4c-9f0a-0d5b54f1a111&limit=1", nil); a.body["next"] != nil {
		t.Errorf("a list by instance has next: %s", a.text)
	}
	if a := r.must(200, "GET", "/v1/ports?binding:host_id=x", nil); a.text != `{"ports":[]}` {
		t.Errorf("the Network service's query: %s", a.text)
	}
	if a := r.must(200, "GET", "/v1/shards", nil); a.text != `{"shards":[{"name":"None","count":8}]}` {
		t.Errorf("shards: %s", a.text)
	}
}

// TestInternalErrors shows nothing of what went wrong inside, and logs it.
func TestInternalErrors(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	var seen []ironicapi.Observation
	r := newRig(t, func(c *ironicapi.Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		c.Observe = func(o ironicapi.Observation) { seen = append(seen, o) }
	})
	r.backend.Fail = func(call string) error {
		if call == "Nodes" {
			panic("boom")
		}
		return errors.New("dial tcp 10.0.0.7: database is down")
	}
	for path, secret := range map[string]string{"/v1/nodes/n1": "10.0.0.7", "/v1/nodes": "boom"} {
		a := r.at(82, "GET", path, nil)
		id := a.header.Get("Openstack-Request-Id")
		if a.status != 500 || strings.Contains(a.text, secret) || !strings.Contains(a.text, `\"faultcode\": \"Server\"`) || !strings.Contains(a.fault(), id) {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
		if !strings.Contains(log.String(), secret) || !strings.Contains(log.String(), id) {
			t.Errorf("%s: the log does not tell: %s", path, log.String())
		}
	}
	r.at(82, "BREW", "/v1/nodes/x/y/z/pot", nil)
	want := ironicapi.Observation{Route: "unknown", Method: "other", Status: 404}
	last := seen[len(seen)-1]
	if last.Duration = 0; last != want {
		t.Errorf("observed %+v, want %+v", last, want)
	}
}

func TestEveryReplyIsAString(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	odd := "quote\" back\\slash \u0001 tab\t nl\n ünïcode \u2028 🦫"
	id := r.node(map[string]any{"description": odd, "extra": map[string]any{odd: odd}})
	a := r.must(200, "GET", "/v1/nodes/"+id, nil)
	if a.body["description"] != odd || a.body["extra"].(map[string]any)[odd] != odd {
		t.Errorf("came back as %s", a.text)
	}
}

// The description of the API is for everybody, whatever version is asked for.
func TestOpenAPIIsServed(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *ironicapi.Config) { c.Auth = byName{} })
	for _, minor := range []int{0, 50, 999} {
		if a := r.at(minor, "GET", "/openapi.json", nil); a.status != 200 || a.body["openapi"] != "3.0.3" || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("1.%d: %d %.200s", minor, a.status, a.text)
		}
	}
	if a := r.at(0, "POST", "/openapi.json", nil); a.status != 405 {
		t.Errorf("POST: %d", a.status)
	}
}
