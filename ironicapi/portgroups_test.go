package ironicapi_test

import (
	"strings"
	"testing"

	"caddyshack/baremetal"
)

func TestPortgroups(t *testing.T) {
	t.Parallel()
	r, s := newRealRig(t)
	id, other := r.node(map[string]any{"name": "n1", "shard": "s1"}), r.node(map[string]any{"name": "n2"})
	const u = "7bf5d4d6-9c1b-4f4c-9f0a-0d5b54f1a111"
	at := "/v1/portgroups/" + u
	r.calls(
		call{"POST", "/v1/portgroups", map[string]any{"node_uuid": id, "uuid": u, "name": "pg1", "address": "AA:BB:CC:00:00:01"}, 0, 201,
			`"standalone_ports_supported":true,"mode":"active-backup","properties":{}`},
		call{"POST", "/v1/portgroups", map[string]any{"node_uuid": id, "uuid": u}, 0, 409, "already exists"},
		call{"POST", "/v1/portgroups", map[string]any{"node_uuid": id, "name": "pg1"}, 0, 409, "A portgroup with name pg1 already exists."},
		call{"POST", "/v1/portgroups", map[string]any{"node_uuid": id, "address": "aa:bb:cc:00:00:01"}, 0, 409, "address"},
		call{"POST", "/v1/portgroups", map[string]any{}, 0, 400, "'node_uuid' is a required property"},
		call{"POST", "/v1/portgroups", map[string]any{"node_uuid": instance}, 0, 400, "Node " + instance + " could not be found."},
		call{"POST", "/v1/portgroups", map[string]any{"node_uuid": id, "colour": 1}, 0, 400, "Additional properties"},
		call{"POST", "/v1/portgroups", map[string]any{"node_uuid": id, "address": "nope"}, 0, 400, "Expected a MAC address but received nope."},
		call{"POST", "/v1/portgroups", map[string]any{"node_uuid": id, "name": "a b"}, 0, 400, "invalid name"},
		call{"POST", "/v1/portgroups", map[string]any{"node_uuid": id, "mode": "802.3ad"}, 25, 406, ""},
		call{"POST", "/v1/portgroups", map[string]any{"node_uuid": id, "mode": "802.3ad", "properties": map[string]any{"miimon": 100}}, 26, 201, `"mode":"802.3ad","properties":{"miimon":100}`},
		call{"GET", "/v1/portgroups", nil, 22, 404, ""},
		call{"GET", "/v1/portgroups/pg1", nil, 0, 200, `"uuid":"` + u + `","address":"aa:bb:cc:00:00:01","name":"pg1"`},
		call{"GET", at + "?fields=name,mode", nil, 0, 200, `{"name":"pg1","mode":"active-backup","links":[{"href":"http://api.test/v1/portgroups/` + u},
		call{"GET", "/v1/portgroups?address=aa:bb:cc:00:00:01", nil, 0, 200, `{"portgroups":[{"uuid":"` + u + `","address":"aa:bb:cc:00:00:01","name":"pg1","links":`},
		call{"GET", "/v1/portgroups?node=n2", nil, 0, 200, `{"portgroups":[]}`},
		call{"GET", "/v1/portgroups?node=nope", nil, 0, 404, "Node nope"},
		call{"GET", "/v1/portgroups?node=n1&address=aa:bb:cc:00:00:01", nil, 0, 403, "Operation not permitted."},
		call{"GET", "/v1/portgroups/detail", nil, 0, 200, `"ports":[{"href":"http://api.test/v1/portgroups/` + u + `/ports"`},
		call{"GET", "/v1/portgroups?detail=true", nil, 0, 200, `"internal_info":{}`},
		call{"GET", "/v1/portgroups?limit=1", nil, 0, 200, `"next":"http://api.test/v1/portgroups?limit=1&marker=` + u + `","portgroups_links":[`},
		call{"GET", "/v1/nodes/n1/portgroups", nil, 0, 200, u},
		call{"GET", "/v1/nodes/n2/portgroups/detail", nil, 0, 200, `{"portgroups":[]}`},
		call{"GET", "/v1/portgroups/nope", nil, 0, 404, "Portgroup nope could not be found."},

		call{"PATCH", at, op("replace", "/name", "pg-1"), 0, 200, `"name":"pg-1"`},
		call{"PATCH", at, op("remove", "/mode", nil), 0, 400, "'/mode' is a mandatory attribute"},
		call{"PATCH", at, op("remove", "/node_uuid", nil), 0, 400, "mandatory"},
		call{"PATCH", at, op("add", "/internal_info/a", 1), 0, 400, "Cannot patch /internal_info"},
		call{"PATCH", at, op("add", "/properties/miimon", 50), 0, 200, `"properties":{"miimon":50}`},
		call{"PATCH", at, op("replace", "/standalone_ports_supported", "no"), 0, 200, `"standalone_ports_supported":false`},

		call{"POST", "/v1/ports", map[string]any{"node_uuid": id, "address": "aa:bb:cc:dd:ee:01", "portgroup_uuid": u}, 23, 406, ""},
		call{"POST", "/v1/ports", map[string]any{"node_uuid": id, "address": "aa:bb:cc:dd:ee:01", "portgroup_uuid": u}, 0, 201, `"portgroup_uuid":"` + u},
		call{"POST", "/v1/ports", map[string]any{"node_uuid": other, "address": "aa:bb:cc:dd:ee:02", "portgroup_uuid": u}, 0, 400, "doesn't belong to node"},
		call{"POST", "/v1/ports", map[string]any{"node_uuid": id, "address": "aa:bb:cc:dd:ee:02", "portgroup_uuid": instance}, 0, 400, "Portgroup " + instance + " could not be found."},
		call{"GET", "/v1/ports?portgroup=pg-1", nil, 0, 200, "aa:bb:cc:dd:ee:01"},
		call{"GET", "/v1/ports?portgroup=nope", nil, 0, 404, ""},
		call{"GET", at + "/ports", nil, 0, 200, "aa:bb:cc:dd:ee:01"},
		call{"GET", at + "/ports/detail", nil, 0, 200, `"pxe_enabled":true`},
		call{"GET", "/v1/nodes/n1/portgroups/pg-1/ports", nil, 0, 200, "aa:bb:cc:dd:ee:01"},
		call{"GET", "/v1/nodes/n2/portgroups/pg-1/ports", nil, 0, 404, "Portgroup pg-1 could not be found."},
		call{"PATCH", at, op("replace", "/node_uuid", other), 0, 400, "not empty"},
		call{"DELETE", at, nil, 0, 400, "not empty"},
	)
	edit(t, s, id, func(n *baremetal.Node) { n.Work.Intent.Verb = "manage" })
	r.calls(call{"PATCH", at, op("replace", "/name", "x"), 0, 409, "is locked"}, call{"DELETE", at, nil, 0, 409, "is locked"})
	edit(t, s, id, func(n *baremetal.Node) { n.Work.Intent.Verb = "" })
	port, _ := r.must(200, "GET", "/v1/ports?portgroup=pg-1", nil).body["ports"].([]any)[0].(map[string]any)["uuid"].(string)
	r.calls(
		call{"PATCH", "/v1/ports/" + port, op("remove", "/portgroup_uuid", nil), 0, 200, `"portgroup_uuid":null`},
		call{"DELETE", at, nil, 0, 204, ""},
		call{"GET", at, nil, 0, 404, ""},
		call{"DELETE", "/v1/nodes/" + id, nil, 0, 204, ""},
	)
	if a := r.must(200, "GET", "/v1/portgroups", nil); strings.Contains(a.text, "uuid") {
		t.Errorf("port groups of a deleted node: %s", a.text)
	}
}

// TestPortMoves replaces a port's /node_uuid, on which Ironic answers 500.
func TestPortMoves(t *testing.T) {
	t.Parallel()
	r, s := newRealRig(t)
	from, to := r.node(nil), r.node(nil)
	port, _ := r.must(201, "POST", "/v1/ports", map[string]any{"node_uuid": from, "address": "aa:bb:cc:dd:ee:01"}).body["uuid"].(string)
	at := "/v1/ports/" + port
	move := op("replace", "/node_uuid", to)
	edit(t, s, to, func(n *baremetal.Node) { n.ProvisionState = "active" })
	r.calls(call{"PATCH", at, move, 0, 409, "unless that is in one of the states"})
	edit(t, s, to, func(n *baremetal.Node) { n.ProvisionState, n.Work.Intent.Verb = "manageable", "manage" })
	r.calls(call{"PATCH", at, move, 0, 409, "is locked"})
	edit(t, s, to, func(n *baremetal.Node) { n.Work.Intent.Verb = "" })
	edit(t, s, from, func(n *baremetal.Node) { n.ProvisionState = "available" })
	r.calls(call{"PATCH", at, move, 0, 409, "node_uuid"})
	edit(t, s, from, func(n *baremetal.Node) { n.ProvisionState = "enroll" })
	r.calls(
		call{"PATCH", at, op("replace", "/node_uuid", instance), 0, 400, "could not be found"},
		call{"PATCH", at, op("remove", "/node_uuid", nil), 0, 400, "mandatory"},
		call{"PATCH", at, move, 0, 200, `"node_uuid":"` + to},
		call{"GET", "/v1/nodes/" + to + "/ports", nil, 0, 200, port},
		call{"GET", "/v1/nodes/" + from + "/ports", nil, 0, 200, `{"ports":[]}`},
		// the two others of the kind
		call{"PATCH", "/v1/nodes/" + from, op("add", "/automated_clean", false), 0, 200, `"automated_clean":false`},
		call{"PATCH", "/v1/nodes/" + from, op("remove", "/automated_clean", nil), 0, 200, `"automated_clean":null`},
		call{"PATCH", "/v1/nodes/" + from, op("remove", "/conductor_group", nil), 0, 200, `"conductor_group":""`},
		call{"GET", "/v1/ports?binding:host_id=" + to, nil, 0, 200, `{"ports":[]}`},
	)
}

func TestTraits(t *testing.T) {
	t.Parallel()
	r, _ := newRealRig(t)
	id := r.node(map[string]any{"name": "n1"})
	at := "/v1/nodes/n1/traits"
	many := make([]any, 51)
	for i := range many {
		many[i] = "CUSTOM_" + strings.Repeat("A", i+1)
	}
	r.calls(
		call{"GET", at, nil, 36, 404, ""},
		call{"GET", at, nil, 0, 200, `{"traits":[]}`},
		call{"PUT", at, map[string]any{"traits": []any{"CUSTOM_B", "HW_CPU_X86_VMX", "CUSTOM_B"}}, 0, 204, ""},
		call{"GET", at, nil, 0, 200, `{"traits":["CUSTOM_B","HW_CPU_X86_VMX"]}`},
		call{"PUT", at + "/CUSTOM_A", nil, 0, 204, ""},
		call{"PUT", at + "/CUSTOM_A", nil, 0, 204, ""},
		call{"PUT", at + "/CUSTOM_A", map[string]any{"a": 1}, 0, 400, "No body"},
		call{"GET", "/v1/nodes/" + id, nil, 0, 200, `"traits":["CUSTOM_A","CUSTOM_B","HW_CPU_X86_VMX"]`},
		call{"GET", "/v1/nodes?fields=traits", nil, 0, 200, `"traits":["CUSTOM_A","CUSTOM_B","HW_CPU_X86_VMX"]`},
		call{"PUT", at + "/custom_a", nil, 0, 400, "Invalid traits"},
		call{"PUT", at + "/NOT_STANDARD", nil, 0, 400, "Invalid traits"},
		call{"PUT", at, map[string]any{"traits": []any{"CUSTOM_" + strings.Repeat("A", 249)}}, 0, 400, "Invalid traits"},
		call{"PUT", at, map[string]any{"traits": many}, 0, 400, "Invalid traits: there are 51"},
		call{"PUT", at, map[string]any{"traits": "CUSTOM_A"}, 0, 400, "list of strings"},
		call{"PUT", at, map[string]any{"traits": []any{1}}, 0, 400, "list of strings"},
		call{"PUT", at, map[string]any{}, 0, 400, "Missing mandatory parameter: traits"},
		call{"PUT", at, map[string]any{"traits": []any{}, "x": 1}, 0, 400, "Unexpected arguments: x"},
		call{"DELETE", at + "/CUSTOM_B", nil, 0, 204, ""},
		call{"DELETE", at + "/CUSTOM_B", nil, 0, 404, "doesn't have a trait 'CUSTOM_B'"},
		call{"DELETE", at, nil, 0, 204, ""},
		call{"GET", at, nil, 0, 200, `{"traits":[]}`},
		call{"PATCH", "/v1/nodes/n1", op("add", "/traits", []any{"CUSTOM_A"}), 0, 400, "Cannot patch /traits"},
	)
	if got := r.at(82, "PUT", at+"/CUSTOM_A", nil).header.Get("Location"); got != "http://api.test/v1/nodes/n1/traits/CUSTOM_A" {
		t.Errorf("Location: %q", got)
	}
}

func TestVIFs(t *testing.T) {
	t.Parallel()
	r, s := newRealRig(t)
	id := r.node(map[string]any{"name": "n1", "network_interface": "flat"})
	plain := r.node(map[string]any{"name": "noop"})
	group, _ := r.must(201, "POST", "/v1/portgroups", map[string]any{"node_uuid": id}).body["uuid"].(string)
	port := func(address string, pxe bool, group any) string {
		uuid, _ := r.must(201, "POST", "/v1/ports", map[string]any{"node_uuid": id, "address": address, "pxe_enabled": pxe, "portgroup_uuid": group}).body["uuid"].(string)
		return uuid
	}
	slow, fast := port("aa:bb:cc:dd:ee:01", false, nil), port("aa:bb:cc:dd:ee:02", true, nil)
	member := port("aa:bb:cc:dd:ee:03", true, group)
	at := "/v1/nodes/n1/vifs"
	vif := func(id string) map[string]any { return map[string]any{"id": id} }
	carries := func(kind, uuid string, want any) {
		t.Helper()
		info, _ := r.must(200, "GET", "/v1/"+kind+"/"+uuid, nil).body["internal_info"].(map[string]any)
		if info["tenant_vif_port_id"] != want {
			t.Errorf("%s %s carries %v, want %v", kind, uuid, info["tenant_vif_port_id"], want)
		}
	}
	r.calls(call{"GET", at, nil, 27, 404, ""}, call{"GET", at, nil, 0, 200, `{"vifs":[]}`},
		call{"POST", at, vif("v1"), 0, 204, ""}, call{"POST", at, vif("v1"), 0, 409, "already attached"})
	carries("portgroups", group, "v1")
	r.calls(call{"POST", at, vif("v2"), 0, 204, ""})
	carries("ports", fast, "v2")
	r.calls(call{"POST", at, vif("v3"), 0, 204, ""})
	carries("ports", slow, "v3")
	r.calls(
		call{"POST", at, vif("v4"), 0, 400, "not enough free physical ports"},
		call{"GET", at, nil, 0, 200, `{"vifs":[{"id":"v1"},{"id":"v2"},{"id":"v3"}]}`},
		call{"DELETE", "/v1/ports/" + fast, nil, 0, 409, "VIF v2"},
		call{"PATCH", "/v1/ports/" + fast, op("replace", "/node_uuid", plain), 0, 409, "VIF v2"},
		call{"DELETE", at + "/v2", nil, 0, 204, ""},
		call{"DELETE", at + "/v2", nil, 0, 400, "not attached"},
		call{"POST", at, map[string]any{"id": "v5", "port_uuid": fast}, 66, 406, ""},
		call{"POST", at, map[string]any{"id": "v5", "port_uuid": slow}, 0, 400, "not enough free"},
		call{"POST", at, map[string]any{"id": "v5", "port_uuid": instance}, 0, 400, "no usable port"},
		call{"POST", at, map[string]any{"id": "v5", "port_uuid": fast, "portgroup_uuid": group}, 0, 400, "both"},
		call{"POST", at, map[string]any{"id": "v5", "port_uuid": fast}, 0, 204, ""},
		call{"POST", at, map[string]any{"id": "v6", "port_uuid": member}, 0, 204, ""},
		call{"POST", at, map[string]any{}, 0, 400, "Missing mandatory parameter: id"},
		call{"POST", at, map[string]any{"id": 1}, 0, 400, "Expected string for id"},
	)
	carries("ports", fast, "v5")
	r.calls(
		call{"POST", "/v1/nodes/noop/vifs", vif("v1"), 0, 204, ""},
		call{"POST", "/v1/nodes/noop/vifs", vif("v1"), 0, 204, ""},
		call{"GET", "/v1/nodes/noop/vifs", nil, 0, 200, `{"vifs":[]}`},
		call{"DELETE", "/v1/nodes/noop/vifs/v9", nil, 0, 204, ""},
	)
	edit(t, s, id, func(n *baremetal.Node) { n.ProvisionState = "active" })
	r.provision(id, "deleted", "available")
	r.calls(call{"GET", at, nil, 0, 200, `{"vifs":[]}`})
	carries("portgroups", group, nil)
	carries("ports", fast, nil)
}
