package ironicapi_test

import (
	"strings"
	"testing"

	"caddyshack/ironicapi"
)

// newStoredOffice is an office over the real store and conductor.
func newStoredOffice(t *testing.T) *office {
	t.Helper()
	r, _ := newRealRig(t, func(c *ironicapi.Config) { c.Auth = byName{} })
	o := &office{rig: r}
	o.lent = o.created("/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "lent", "owner": "own", "lessee": "let", "shard": "s1", "resource_class": "rpi"})
	o.foreign = o.created("/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "foreign", "owner": "xxx", "shard": "s1", "resource_class": "rpi"})
	return o
}

// Attack: port groups, volumes and allocations of other projects' nodes are hidden by every way there is.
func TestOtherTenantsResourcesAreHidden(t *testing.T) {
	t.Parallel()
	o := newStoredOffice(t)
	const nowhere = "99999999-2222-4333-8444-555555555555"
	theirs := map[string]string{
		"/v1/portgroups":         o.created("/v1/portgroups", map[string]any{"node_uuid": o.foreign, "name": "theirs", "address": "52:54:00:00:01:02"}),
		"/v1/volume/connectors":  o.created("/v1/volume/connectors", map[string]any{"node_uuid": o.foreign, "type": "iqn", "connector_id": "iqn.theirs"}),
		"/v1/volume/targets":     o.created("/v1/volume/targets", map[string]any{"node_uuid": o.foreign, "volume_type": "iscsi", "boot_index": 0, "volume_id": "theirs"}),
		"/v1/allocations":        o.created("/v1/allocations", map[string]any{"name": "theirs", "resource_class": "none", "owner": "xxx"}),
		"/v1/runbooks":           o.created("/v1/runbooks", map[string]any{"name": "theirs", "owner": "xxx", "steps": []any{step("deploy")}}),
		"/v1/portgroups?mine":    o.created("/v1/portgroups", map[string]any{"node_uuid": o.lent, "name": "ours", "address": "52:54:00:00:01:01"}),
		"/v1/allocations?mine":   o.created("/v1/allocations", map[string]any{"name": "ours", "resource_class": "none", "owner": "let"}),
		"/v1/runbooks?mine":      o.created("/v1/runbooks", map[string]any{"name": "ours", "owner": "let", "steps": []any{step("deploy")}}),
		"/v1/runbooks?public":    o.created("/v1/runbooks", map[string]any{"name": "everybodys", "public": true, "steps": []any{step("deploy")}}),
		"/v1/volume/targets?own": o.created("/v1/volume/targets", map[string]any{"node_uuid": o.lent, "volume_type": "iscsi", "boot_index": 0, "volume_id": "ours"}),
	}
	const who = "lessee admin"
	for path, id := range theirs {
		if strings.Contains(path, "?") {
			continue
		}
		o.same(who, "GET", path+"/ID", nil, id, nowhere)
		o.same(who, "PATCH", path+"/ID", op("add", "/extra/x", 1), id, nowhere)
		o.same(who, "DELETE", path+"/ID", nil, id, nowhere)
		o.same(who, "GET", path+"?marker=ID", nil, id, nowhere)
		a := o.as(who, "GET", path, nil)
		if detail := o.as(who, "GET", path+"?detail=true", nil); detail.status == 200 {
			a.text += detail.text
		}
		if a.status != 200 || strings.Contains(a.text, "theirs") || strings.Contains(a.text, id) {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
	}
	for _, path := range []string{"/v1/portgroups", "/v1/volume/connectors", "/v1/volume/targets", "/v1/allocations"} {
		o.same(who, "GET", path+"?node=ID", nil, o.foreign, nowhere)
	}
	o.same(who, "GET", "/v1/portgroups/ID/ports", nil, theirs["/v1/portgroups"], nowhere)
	o.same(who, "GET", "/v1/ports?portgroup=ID", nil, theirs["/v1/portgroups"], nowhere)
	o.same(who, "GET", "/v1/runbooks/ID/traits", nil, theirs["/v1/runbooks"], nowhere)
	o.same(who, "POST", "/v1/portgroups", map[string]any{"node_uuid": "ID"}, o.foreign, nowhere)
	o.same(who, "POST", "/v1/volume/targets", map[string]any{"node_uuid": "ID", "volume_type": "x", "boot_index": 1, "volume_id": "x"}, o.foreign, nowhere)
	o.same(who, "POST", "/v1/allocations", map[string]any{"node": "ID"}, o.foreign, nowhere)
	o.same(who, "POST", "/v1/allocations", map[string]any{"resource_class": "rpi", "candidate_nodes": []any{"ID"}}, o.foreign, nowhere)
	o.same("owner admin", "PATCH", "/v1/portgroups/"+theirs["/v1/portgroups?mine"], op("replace", "/node_uuid", "ID"), o.foreign, nowhere)

	for path, want := range map[string]string{"/v1/portgroups": "ours", "/v1/portgroups/detail": "ours", "/v1/portgroups?address=52:54:00:00:01:02": "",
		"/v1/portgroups?shard=s1": "ours", "/v1/allocations": "ours", "/v1/allocations?owner=let": "ours", "/v1/allocations?resource_class=none": "ours",
		"/v1/runbooks": "everybodys", "/v1/runbooks?limit=100": "ours", "/v1/volume/targets": "ours"} {
		if a := o.as(who, "GET", path, nil); a.status != 200 || !strings.Contains(a.text, want) || strings.Contains(a.text, "theirs") {
			t.Errorf("%s: %d %s, want %q", path, a.status, a.text, want)
		}
	}
	if a := o.as(who, "GET", "/v1/allocations?owner=xxx", nil); a.status != 403 {
		t.Errorf("another's allocations by owner: %d", a.status)
	}
}

func step(name string) map[string]any {
	return map[string]any{"interface": "deploy", "step": name, "args": map[string]any{}, "order": 1}
}

func TestWhoMayDoWhatToResources(t *testing.T) {
	t.Parallel()
	o := newStoredOffice(t)
	group := o.created("/v1/portgroups", map[string]any{"node_uuid": o.lent, "name": "group"})
	volume := o.created("/v1/volume/targets", map[string]any{"node_uuid": o.lent, "volume_type": "iscsi", "boot_index": 0, "volume_id": "v", "properties": map[string]any{"target_portal": "10.9.8.7"}})
	public := o.created("/v1/runbooks", map[string]any{"name": "public", "public": true, "steps": []any{step("x")}})
	ours := o.created("/v1/runbooks", map[string]any{"name": "ours", "owner": "own", "steps": []any{step("x")}})
	for _, tc := range []struct {
		who, method, path string
		body              any
		want              int
	}{
		{"lessee reader", "GET", "/v1/portgroups/group", nil, 200},
		{"lessee admin", "PATCH", "/v1/portgroups/group", op("add", "/extra/x", 1), 403},
		{"owner member", "PATCH", "/v1/portgroups/group", op("add", "/extra/x", 1), 403},
		{"owner manager", "PATCH", "/v1/portgroups/group", op("add", "/extra/x", 1), 200},
		{"lessee admin", "POST", "/v1/portgroups", map[string]any{"node_uuid": o.lent}, 403},
		{"owner member", "POST", "/v1/portgroups", map[string]any{"node_uuid": o.lent}, 403},
		{"owner admin", "POST", "/v1/portgroups", map[string]any{"node_uuid": o.lent}, 201},
		{"system member", "POST", "/v1/portgroups", map[string]any{"node_uuid": o.lent}, 403},
		{"lessee admin", "DELETE", "/v1/portgroups/" + group, nil, 403},
		{"lessee member", "PATCH", "/v1/volume/targets/" + volume, op("add", "/extra/x", 1), 403},
		{"owner reader", "PATCH", "/v1/volume/targets/" + volume, op("add", "/extra/x", 1), 403},
		{"owner member", "PATCH", "/v1/volume/targets/" + volume, op("test", "/properties/target_portal", "10.9.8.7"), 403},
		{"owner member", "PATCH", "/v1/volume/targets/" + volume, []any{map[string]any{"op": "copy", "from": "/properties", "path": "/extra/p"}}, 403},
		{"lessee member", "POST", "/v1/volume/connectors", map[string]any{"node_uuid": o.lent, "type": "ip", "connector_id": "1"}, 403},
		{"lessee manager", "POST", "/v1/volume/connectors", map[string]any{"node_uuid": o.lent, "type": "ip", "connector_id": "1"}, 201},
		{"lessee reader", "POST", "/v1/allocations", map[string]any{"resource_class": "none"}, 403},
		{"lessee member", "POST", "/v1/allocations", map[string]any{"resource_class": "none", "owner": "xxx"}, 403},
		{"lessee member", "POST", "/v1/allocations", map[string]any{"resource_class": "none", "name": "wish"}, 201},
		{"lessee reader", "DELETE", "/v1/allocations/wish", nil, 403},
		{"owner admin", "GET", "/v1/allocations/wish", nil, 404},
		{"lessee member", "DELETE", "/v1/allocations/wish", nil, 204},
		{"stranger admin", "GET", "/v1/runbooks/" + public, nil, 200},
		{"stranger admin", "PATCH", "/v1/runbooks/" + public, op("add", "/extra/x", 1), 403},
		{"owner manager", "PATCH", "/v1/runbooks/" + ours, op("add", "/extra/x", 1), 200},
		{"owner manager", "PATCH", "/v1/runbooks/" + ours, op("replace", "/public", true), 403},
		{"owner manager", "PATCH", "/v1/runbooks/" + ours, op("replace", "/owner", "xxx"), 403},
		{"owner member", "POST", "/v1/runbooks", map[string]any{"name": "mine", "steps": []any{step("x")}}, 403},
		{"owner manager", "POST", "/v1/runbooks", map[string]any{"name": "mine", "steps": []any{step("x")}}, 201},
		{"owner manager", "POST", "/v1/runbooks", map[string]any{"name": "all", "public": true, "steps": []any{step("x")}}, 403},
		{"lessee admin", "PUT", "/v1/nodes/lent/states/provision", map[string]any{"target": "clean", "runbook": ours}, 400},
		{"owner admin", "GET", "/v1/deploy_templates", nil, 403},
		{"owner admin", "GET", "/v1/inspection_rules", nil, 403},
		{"system reader", "GET", "/v1/inspection_rules", nil, 200},
		{"system service", "POST", "/v1/events", map[string]any{"events": []any{}}, 204},
		{"owner admin", "POST", "/v1/events", map[string]any{"events": []any{}}, 403},
	} {
		if a := o.as(tc.who, tc.method, tc.path, tc.body); a.status != tc.want {
			t.Errorf("%s %s %s %v: %d %s, want %d", tc.who, tc.method, tc.path, tc.body, a.status, a.text, tc.want)
		}
	}
	if a := o.as("owner admin", "GET", "/v1/runbooks/mine", nil); a.body["owner"] != "own" {
		t.Errorf("a runbook of their own: %s", a.text)
	}
	for who, sees := range map[string]bool{"system reader": true, "owner admin": true, "owner member": false, "lessee reader": false} {
		if a := o.as(who, "GET", "/v1/volume/targets/"+volume, nil); strings.Contains(a.text, "10.9.8.7") != sees {
			t.Errorf("%s: %s", who, a.text)
		}
	}
}
