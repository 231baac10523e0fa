package ironicapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"caddyshack/ironicapi"
)

// people are the callers of these tests, by the value of a header.
var people = map[string]ironicapi.Identity{
	"system admin":   {User: "root", System: ironicapi.RolesOf("admin")},
	"system member":  {User: "sm", System: ironicapi.RolesOf("member")},
	"system reader":  {User: "sr", System: ironicapi.RolesOf("reader")},
	"system service": {User: "nova", System: ironicapi.RolesOf("service")},
	"owner admin":    {User: "oa", Project: "own", InProject: ironicapi.RolesOf("admin")},
	"owner manager":  {User: "og", Project: "own", InProject: ironicapi.RolesOf("manager")},
	"owner member":   {User: "om", Project: "own", InProject: ironicapi.RolesOf("member")},
	"owner reader":   {User: "or", Project: "own", InProject: ironicapi.RolesOf("reader")},
	"owner service":  {User: "os", Project: "own", InProject: ironicapi.RolesOf("service")},
	"lessee admin":   {User: "la", Project: "let", InProject: ironicapi.RolesOf("admin")},
	"lessee manager": {User: "lg", Project: "let", InProject: ironicapi.RolesOf("manager")},
	"lessee member":  {User: "lm", Project: "let", InProject: ironicapi.RolesOf("member")},
	"lessee reader":  {User: "lr", Project: "let", InProject: ironicapi.RolesOf("reader")},
	"stranger admin": {User: "xa", Project: "xxx", InProject: ironicapi.RolesOf("admin")},
	"no roles":       {User: "nr", Project: "own"},
	"no scope":       {User: "ns"},
}

// byName believes a header.
type byName struct{}

func (byName) Authenticate(r *http.Request) (ironicapi.Identity, *ironicapi.Denial) {
	who, ok := people[r.Header.Get("X-Who")]
	if !ok {
		return who, &ironicapi.Denial{Status: http.StatusUnauthorized}
	}
	return who, nil
}

// office is an API with callers, and nodes of several projects.
type office struct {
	*rig
	lent, foreign, bare         string // nodes: of own, lent to let; of xxx; of nobody
	lentPort, foreignPort       string
	lentAddress, foreignAddress string
}

func newOffice(t testing.TB) *office {
	t.Helper()
	o := &office{rig: newRig(t, func(c *ironicapi.Config) { c.Auth = byName{} })}
	o.lent = o.created("/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "lent", "owner": "own", "lessee": "let", "shard": "s1",
		"driver_info": map[string]any{"address": "10.9.8.7", "password": "hunter2"}, "instance_info": map[string]any{"a": "b"}})
	o.foreign = o.created("/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "foreign", "owner": "xxx", "shard": "s1",
		"description": "theirs", "instance_uuid": "11111111-2222-4333-8444-555555555555"})
	o.bare = o.created("/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "bare"})
	o.lentAddress, o.foreignAddress = "52:54:00:00:00:01", "52:54:00:00:00:02"
	o.lentPort = o.created("/v1/ports", map[string]any{"node_uuid": o.lent, "address": o.lentAddress})
	o.foreignPort = o.created("/v1/ports", map[string]any{"node_uuid": o.foreign, "address": o.foreignAddress})
	o.backend.Edit(o.lent, func(n *node) { n.LastError = "BMC 10.9.8.7 said no"; n.Work.Reservation = "host-7" })
	return o
}

func (o *office) created(path string, body any) string {
	o.t.Helper()
	a := o.as("system admin", "POST", path, body)
	id, _ := a.body["uuid"].(string)
	if a.status != 201 {
		o.t.Fatalf("POST %s: %d %s", path, a.status, a.text)
	}
	return id
}

// as sends a request of one of the people at the version with all fields used here.
func (o *office) as(who, method, path string, body any) answer {
	o.t.Helper()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			o.t.Fatal(err)
		}
	}
	req := httptest.NewRequestWithContext(o.t.Context(), method, path, strings.NewReader(string(text)))
	req.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
	req.Header.Set("X-Who", who)
	return o.send(req)
}

// same sends a request twice, with ID for something hidden and for something
// that does not exist: the answers must be the same refusal.
func (o *office) same(who, method, path string, body any, hidden, missing string) {
	o.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		o.t.Fatal(err)
	}
	send := func(id string) answer {
		var b any
		if body != nil {
			b = json.RawMessage(strings.ReplaceAll(string(text), "ID", id))
		}
		a := o.as(who, method, strings.ReplaceAll(path, "ID", id), b)
		a.text = strings.ReplaceAll(a.text, id, "ID")
		return a
	}
	if a, b := send(hidden), send(missing); a.status != b.status || a.text != b.text || a.status < 400 {
		o.t.Errorf("%s %s: hidden %d %s\nmissing %d %s", method, path, a.status, a.text, b.status, b.text)
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	const (
		allSystem = "system admin,system member,system reader,system service"
		system    = "system admin,system member,system service"
		owners    = ",owner admin,owner manager,owner member"
		lessees   = ",lessee admin,lessee manager,lessee member"
		sees      = allSystem + owners + ",owner reader,owner service" + lessees + ",lessee reader"
	)
	steps := map[string]any{"target": "rebooting"}
	for _, tc := range []struct {
		method, path string
		body         any
		who          string // those who get through; the others get 403, or 404 if they do not see the node
	}{
		{"GET", "/v1/nodes/lent", nil, sees},
		{"GET", "/v1/nodes/lent/states", nil, sees},
		{"GET", "/v1/nodes/lent/ports", nil, sees},
		{"GET", "/v1/nodes/lent/traits", nil, sees},
		{"GET", "/v1/nodes/lent/nosuch", nil, sees},
		{"GET", "/v1/nodes/lent/history", nil, allSystem + owners + ",owner reader,owner service"},
		{"GET", "/v1/nodes/lent/inventory", nil, allSystem + owners + ",owner reader,owner service"},
		{"GET", "/v1/nodes/lent/validate", nil, system + owners + ",owner service,lessee admin,lessee manager"},
		{"GET", "/v1/nodes/validate?node=lent", nil, system + owners + ",owner service,lessee admin,lessee manager"},
		{"PUT", "/v1/nodes/lent/states/power", steps, system + owners + lessees},
		{"PUT", "/v1/nodes/lent/states/provision", map[string]any{"target": "nosuch"}, system + owners + ",owner service,lessee admin,lessee manager"},
		{"PUT", "/v1/nodes/lent/maintenance", nil, system + owners + ",owner service,lessee admin,lessee manager"},
		{"GET", "/v1/nodes/lent/states/console", nil, system + owners + ",owner service"},
		{"PUT", "/v1/nodes/lent/states/console", map[string]any{"enabled": false}, system + owners + ",owner service"},
		{"GET", "/v1/nodes/lent/management/boot_device", nil, system + ",owner admin,owner manager,owner service"},
		{"PUT", "/v1/nodes/lent/management/inject_nmi", nil, system + ",owner admin,owner manager,owner service"},
		{"PUT", "/v1/nodes/lent/traits/CUSTOM_A", nil, system + ",owner admin,owner manager,owner service"},
		{"POST", "/v1/nodes/lent/vifs", map[string]any{}, system + owners + ",owner service,lessee admin,lessee manager"},
		{"GET", "/v1/nodes/lent/vendor_passthru/methods", nil, "system admin,system service"},
		{"PATCH", "/v1/nodes/lent", op("add", "/extra/x", 1), system + owners + lessees},
		{"PATCH", "/v1/nodes/lent", op("add", "/description", "x"), system + owners + lessees},
		{"PATCH", "/v1/nodes/lent", op("add", "/instance_info/x", "1"), system + owners + ",owner service,lessee admin,lessee manager"},
		{"PATCH", "/v1/nodes/lent", op("add", "/driver_info/x", "1"), system + owners + ",owner service"},
		{"PATCH", "/v1/nodes/lent", op("add", "/lessee", "let"), system + owners + ",owner service"},
		{"PATCH", "/v1/nodes/lent", op("add", "/owner", "own"), system},
		{"PATCH", "/v1/nodes/lent", op("add", "/shard", "s1"), "system admin"},
		{"PATCH", "/v1/nodes/lent", op("add", "/conductor_group", ""), system},
		{"PATCH", "/v1/nodes/lent", op("add", "/automated_clean", true), system + owners + lessees},
		{"PATCH", "/v1/nodes/lent", op("add", "/automated_clean", false), "system admin"},
		{"PATCH", "/v1/nodes/lent", op("remove", "/boot_interface", nil), system + ",owner admin,owner manager,owner service"},
		{"PATCH", "/v1/nodes/lent", op("test", "/driver_info/address", "10.9.8.7"), system + owners + ",owner service"},
		{"PATCH", "/v1/nodes/lent", []any{map[string]any{"op": "copy", "from": "/driver_info/address", "path": "/extra/a"}}, system + owners},
		{"GET", "/v1/ports/LENTPORT", nil, sees},
		{"PATCH", "/v1/ports/LENTPORT", op("add", "/extra/x", 1), system + ",owner admin,owner manager,owner service"},
		{"DELETE", "/v1/ports/LENTPORT", nil, "system admin,system service,owner admin,owner manager,owner service"},
		{"DELETE", "/v1/nodes/lent", nil, "system admin,owner admin"},
	} {
		t.Run(tc.method+" "+tc.path+fmt.Sprint(tc.body), func(t *testing.T) {
			t.Parallel()
			for who := range people {
				o := newOffice(t)
				a := o.as(who, tc.method, strings.Replace(tc.path, "LENTPORT", o.lentPort, 1), tc.body)
				through := strings.Contains(","+tc.who+",", ","+who+",")
				seen := strings.Contains(","+sees+",", ","+who+",")
				switch {
				case through && (a.status == 403 || strings.Contains(a.fault(), "Node lent could not be found")):
					t.Errorf("%s: %d %s", who, a.status, a.text)
				case !through && seen && (a.status != 403 || !strings.HasPrefix(a.fault(), "Access was denied to the following resource: baremetal:")):
					t.Errorf("%s sees the node: %d %s, want 403", who, a.status, a.text)
				case !seen && (who == "no scope" && a.status != 403 || who != "no scope" && tc.path != "/v1/nodes/validate?node=lent" && a.status != 404 || a.status < 400):
					t.Errorf("%s does not see the node: %d %s, want 404", who, a.status, a.text)
				}
			}
		})
	}
}

// Attack: what belongs to others is as if it did not exist, by every way there is.
func TestOtherTenantsAreHidden(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	const nowhere = "99999999-2222-4333-8444-555555555555"
	same := func(method, path string, body any, real, missing string) {
		t.Helper()
		o.same("lessee admin", method, path, body, real, missing)
	}
	for _, id := range []string{o.foreign, "foreign"} {
		missing := nowhere
		if id == "foreign" {
			missing = "nowhere"
		}
		for _, path := range []string{"", "?fields=uuid", ".json", "/states", "/states/console", "/validate", "/history", "/history/" + nowhere,
			"/ports", "/ports/detail", "/portgroups", "/traits", "/vifs", "/bios", "/firmware", "/inventory", "/vmedia", "/allocation",
			"/children", "/volume", "/volume/targets", "/management/boot_device", "/management/indicators", "/vendor_passthru/methods", "/nosuch"} {
			same("GET", "/v1/nodes/ID"+path, nil, id, missing)
		}
		same("PATCH", "/v1/nodes/ID", op("add", "/extra/x", 1), id, missing)
		same("PATCH", "/v1/nodes/ID", op("add", "/nosuch", 1), id, missing)
		same("DELETE", "/v1/nodes/ID", nil, id, missing)
		same("PUT", "/v1/nodes/ID/states/power", map[string]any{"target": "power off"}, id, missing)
		same("PUT", "/v1/nodes/ID/states/provision", map[string]any{"target": "manage"}, id, missing)
		same("PUT", "/v1/nodes/ID/maintenance", nil, id, missing)
		same("POST", "/v1/nodes/ID/vendor_passthru/x", map[string]any{}, id, missing)
		same("GET", "/v1/nodes/validate?node=ID", nil, id, missing)
		same("GET", "/v1/ports?node=ID", nil, id, missing)
		same("GET", "/v1/nodes?parent_node=ID", nil, id, missing)
	}
	same("GET", "/v1/nodes?marker=ID", nil, o.foreign, nowhere)
	same("GET", "/v1/ports?node_uuid=ID", nil, o.foreign, nowhere)
	same("GET", "/v1/ports?marker=ID", nil, o.foreignPort, nowhere)
	same("GET", "/v1/ports/ID", nil, o.foreignPort, nowhere)
	same("PATCH", "/v1/ports/ID", op("add", "/extra/x", 1), o.foreignPort, nowhere)
	same("DELETE", "/v1/ports/ID", nil, o.foreignPort, nowhere)
	same("POST", "/v1/ports", map[string]any{"node_uuid": "ID", "address": "52:54:00:00:00:09"}, o.foreign, nowhere)
	same("POST", "/v1/ports", map[string]any{"node_ident": "ID", "address": "52:54:00:00:00:09"}, o.foreign, nowhere)

	for _, path := range []string{"/v1/nodes", "/v1/nodes/detail", "/v1/nodes?detail=true", "/v1/nodes?fields=uuid,owner,last_error", "/v1/nodes?shard=s1",
		"/v1/nodes?owner=xxx", "/v1/nodes?description_contains=theirs", "/v1/nodes?associated=true", "/v1/nodes?include_children=true",
		"/v1/nodes?instance_uuid=11111111-2222-4333-8444-555555555555", "/v1/nodes?sharded=true", "/v1/nodes?project=let",
		"/v1/nodes?conductor_group=", "/v1/nodes?driver=fake-hardware", "/v1/nodes?limit=1", "/v1/nodes?sort_key=name&sort_dir=desc",
		"/v1/ports", "/v1/ports/detail", "/v1/ports?shard=s1", "/v1/ports?address=" + o.foreignAddress, "/v1/ports?fields=uuid,node_uuid"} {
		a := o.as("lessee admin", "GET", path, nil)
		if a.status != 200 {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
		for _, hidden := range []string{o.foreign, o.foreignPort, o.foreignAddress, o.bare, "theirs", "xxx\"", "foreign"} {
			if strings.Contains(a.text, hidden) {
				t.Errorf("%s shows %q: %s", path, hidden, a.text)
			}
		}
	}
	for _, path := range []string{"/v1/nodes?project=xxx", "/v1/shards", "/v1/conductors", "/v1/drivers", "/v1/chassis"} {
		if a := o.as("lessee admin", "GET", path, nil); a.status != 403 {
			t.Errorf("%s: %d %s, want 403", path, a.status, a.text)
		}
	}
	if a := o.as("lessee reader", "GET", "/v1/nodes/lent", nil); a.status != 200 {
		t.Errorf("their own: %d %s", a.status, a.text)
	}
	if a := o.as("no roles", "GET", "/v1/nodes", nil); a.status != 403 {
		t.Errorf("a project without a role there: %d", a.status)
	}
}

// Attack: a node or port that is handed to another project, or pulled from one.
func TestNothingChangesHands(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for _, tc := range []struct {
		who, method, path string
		body              any
		want              int
	}{
		{"lessee admin", "PATCH", "/v1/nodes/lent", op("replace", "/owner", "let"), 403},
		{"lessee admin", "PATCH", "/v1/nodes/lent", op("replace", "/lessee", "xxx"), 403},
		{"lessee admin", "PATCH", "/v1/ports/" + o.lentPort, op("replace", "/address", "52:54:00:00:00:07"), 403},
		{"owner admin", "PATCH", "/v1/nodes/lent", op("replace", "/owner", "xxx"), 403},
		{"owner admin", "PATCH", "/v1/ports/" + o.lentPort, op("replace", "/node_uuid", o.foreign), 400},
		{"owner admin", "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "owner": "xxx"}, 403},
		{"owner admin", "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "shard": "s2"}, 403},
		{"owner admin", "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "automated_clean": false}, 403},
		{"owner admin", "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "parent_node": o.lent}, 403},
		{"owner member", "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware"}, 403},
		{"stranger admin", "POST", "/v1/ports", map[string]any{"node_uuid": o.foreign, "address": "52:54:00:00:00:08"}, 201},
	} {
		if a := o.as(tc.who, tc.method, tc.path, tc.body); a.status != tc.want {
			t.Errorf("%s %s %s %v: %d %s, want %d", tc.who, tc.method, tc.path, tc.body, a.status, a.text, tc.want)
		}
	}
	a := o.as("owner admin", "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "mine", "driver_info": map[string]any{"x": "y"}})
	if a.status != 201 || a.body["owner"] != "own" {
		t.Errorf("a node of their own: %d %s", a.status, a.text)
	}
	if a := o.as("owner admin", "DELETE", "/v1/nodes/mine", nil); a.status != 204 {
		t.Errorf("deleting it: %d %s", a.status, a.text)
	}
}

// Attack: what is in the infrastructure's fields is not shown to those a node is lent to,
// and secrets are shown to nobody.
func TestRedaction(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for who := range people {
		for _, req := range []struct {
			method, path string
			body         any
		}{
			{"GET", "/v1/nodes/lent", nil}, {"GET", "/v1/nodes/detail", nil}, {"GET", "/v1/nodes?fields=driver_info,last_error,reservation", nil},
			{"GET", "/v1/nodes/lent/states", nil}, {"PATCH", "/v1/nodes/lent", op("add", "/extra/x", 1)},
		} {
			a := o.as(who, req.method, req.path, req.body)
			if strings.Contains(a.text, "hunter2") {
				t.Errorf("%s %s %s shows a password: %s", who, req.method, req.path, a.text)
			}
			if strings.HasPrefix(who, "lessee") && (strings.Contains(a.text, "10.9.8.7") || strings.Contains(a.text, `"host-7"`)) {
				t.Errorf("%s %s %s: %s", who, req.method, req.path, a.text)
			}
			if a.status == 200 && who == "lessee member" && !strings.Contains(a.text, "** Redacted - requires baremetal:node:get:last_error permission. **") {
				t.Errorf("%s %s does not say what is missing: %s", req.method, req.path, a.text)
			}
			if who == "owner reader" && req.method == "GET" && !strings.Contains(a.text, "10.9.8.7") {
				t.Errorf("an owner is not shown why: %s", a.text)
			}
		}
	}
}

// TestTheHolderOfALockIsHidden: a refusal tells no more than the node itself shows.
func TestTheHolderOfALockIsHidden(t *testing.T) {
	t.Parallel()
	o := newOffice(t) // host-7 holds the lent node
	for who, sees := range map[string]bool{"system member": true, "owner member": true, "lessee member": false, "lessee admin": false} {
		a := o.as(who, "PUT", "/v1/nodes/"+o.lent+"/states/power", map[string]any{"target": "power on"})
		if a.status != 409 || strings.Contains(a.text, "host-7") != sees || !strings.Contains(a.fault(), "Node "+o.lent+" is locked") {
			t.Errorf("%s: %d %s", who, a.status, a.text)
		}
	}
}
