package ironicapi_test

import (
	"strings"
	"testing"

	"caddyshack/baremetal"
)

// one is the uuid of the first resource of a list.
func (r *rig) one(path, key string) string {
	r.t.Helper()
	list, _ := r.at(115, "GET", path, nil).body[key].([]any)
	if len(list) == 0 {
		r.t.Fatalf("%s is empty", path)
	}
	uuid, _ := list[0].(map[string]any)["uuid"].(string)
	return uuid
}

func TestVolumes(t *testing.T) {
	t.Parallel()
	r, s := newRealRig(t)
	id := r.node(map[string]any{"name": "n1"})
	edit(t, s, id, func(n *baremetal.Node) { n.PowerState = baremetal.PowerOff })
	const connectors, targets = "/v1/volume/connectors", "/v1/volume/targets"
	connector := func(kind, name string) map[string]any {
		return map[string]any{"node_uuid": id, "type": kind, "connector_id": name}
	}
	target := func(index any) map[string]any {
		return map[string]any{"node_uuid": id, "volume_type": "iscsi", "boot_index": index, "volume_id": "vol-1", "properties": map[string]any{"auth_password": "hush", "lun": 1}}
	}
	r.calls(
		call{"GET", connectors, nil, 31, 404, ""},
		call{"POST", connectors, connector("iqn", "iqn.2026-01.test:a"), 0, 201, `"type":"iqn","connector_id":"iqn.2026-01.test:a","extra":{}`},
		call{"POST", connectors, connector("iqn", "iqn.2026-01.test:a"), 0, 409, "already exists"},
		call{"POST", connectors, connector("ip", "iqn.2026-01.test:a"), 0, 201, ""},
		call{"POST", connectors, connector("usb", "x"), 0, 400, "'usb' is not one of"},
		call{"POST", connectors, map[string]any{"node_uuid": id, "type": "ip"}, 0, 400, "'connector_id' is a required property"},
		call{"POST", targets, target("0"), 0, 201, `"boot_index":0,"volume_id":"vol-1","properties":{"auth_password":"******","lun":1}`},
		call{"POST", targets, target(0), 0, 409, "boot index already exists"},
		call{"POST", targets, target(-1), 0, 400, "not between"},
		call{"POST", targets, target("x"), 0, 400, "is not of type 'integer'"},
		call{"POST", targets, target(nil), 0, 400, "boot_index"},
		call{"POST", targets, target(1), 0, 201, ""},
		// what Nova asks at every cleanup
		call{"GET", targets + "?detail=true&node=" + id, nil, 0, 200, `"properties":{"auth_password":"******"`},
		call{"GET", targets + "?node=n1&limit=1", nil, 0, 200, `"volume_type":"iscsi","boot_index":0,"volume_id":"vol-1","links"`},
		call{"GET", "/v1/nodes/n1/volume/targets?detail=True", nil, 46, 200, `"properties"`},
		call{"GET", "/v1/nodes/n1/volume/connectors", nil, 0, 200, `"connector_id":"iqn.2026-01.test:a"`},
		call{"GET", "/v1/nodes/n1/volume", nil, 0, 200, `{"connectors":[{"href":"http://api.test/v1/nodes/` + id + `/volume/connectors"`},
		call{"GET", connectors + "?node=nope", nil, 0, 404, ""},
		call{"GET", connectors + "/nope", nil, 0, 400, "Expected UUID for connector"},
		call{"GET", connectors + "/" + instance, nil, 0, 404, "Volume connector " + instance + " could not be found."},
		call{"GET", connectors + "?fields=type&detail=true", nil, 0, 400, "Can't fetch"},
		call{"GET", connectors + "?sort_key=extra", nil, 0, 400, "invalid field for sorting"},
	)
	cAt, tAt := connectors+"/"+r.one(connectors, "connectors"), targets+"/"+r.one(targets, "targets")
	r.calls(
		call{"PATCH", cAt, op("replace", "/connector_id", "other"), 0, 200, `"connector_id":"other"`},
		call{"PATCH", cAt, op("replace", "/type", "ip"), 0, 200, ""},
		call{"PATCH", cAt, op("replace", "/connector_id", "iqn.2026-01.test:a"), 0, 409, "already exists"},
		call{"PATCH", tAt, op("replace", "/boot_index", 1), 0, 409, "boot index"},
		call{"PATCH", tAt, op("replace", "/properties/lun", 2), 0, 200, `"auth_password":"******","lun":2`},
		call{"PATCH", tAt, op("remove", "/volume_id", nil), 0, 400, "mandatory"},
	)
	if v, err := s.VolumeTargets().One(t.Context(), strings.TrimPrefix(tAt, targets+"/")); err != nil || v.Properties.Str("auth_password") != "hush" {
		t.Errorf("the mask was stored: %s, %v", v.Properties, err)
	}
	edit(t, s, id, func(n *baremetal.Node) { n.PowerState = baremetal.PowerOn })
	r.calls(
		call{"PATCH", cAt, op("add", "/extra/a", 1), 0, 400, "power state"},
		call{"DELETE", cAt, nil, 0, 400, "power state"},
		call{"PATCH", tAt, op("add", "/extra/a", 1), 0, 400, "power state"},
		call{"DELETE", tAt, nil, 0, 400, "power state"},
	)
	edit(t, s, id, func(n *baremetal.Node) { n.PowerState = baremetal.PowerOff })
	r.calls(call{"DELETE", cAt, nil, 0, 204, ""}, call{"DELETE", tAt, nil, 0, 204, ""}, call{"GET", tAt, nil, 0, 404, ""})
}

func TestDeployTemplates(t *testing.T) {
	t.Parallel()
	r, s := newRealRig(t)
	const path = "/v1/deploy_templates"
	step := func(name string, priority any) map[string]any {
		return map[string]any{"interface": "deploy", "step": name, "args": map[string]any{"admin_password": "hush"}, "priority": priority}
	}
	template := func(name string, steps ...any) map[string]any {
		return map[string]any{"name": name, "steps": steps}
	}
	r.calls(
		call{"GET", path, nil, 54, 404, ""},
		call{"POST", path, template("CUSTOM_A", step("deploy", 90)), 54, 405, ""},
		call{"POST", path, template("CUSTOM_A", step("deploy", 90)), 0, 201,
			`"steps":[{"args":{"admin_password":"******"},"interface":"deploy","priority":90,"step":"deploy"}],"extra":{}`},
		call{"POST", path, template("CUSTOM_A", step("deploy", 90)), 0, 409, "A deploy template with name CUSTOM_A already exists."},
		call{"POST", path, template("template", step("deploy", 90)), 0, 400, "CUSTOM_"},
		call{"POST", path, template("CUSTOM_B"), 0, 400, "steps"},
		call{"POST", path, template("CUSTOM_B", step("deploy", 90), step("deploy", 80)), 0, 400, "twice"},
		call{"POST", path, template("CUSTOM_B", step("deploy", -1)), 0, 400, "priority"},
		call{"POST", path, template("CUSTOM_B", map[string]any{"interface": "deploy", "step": "x", "args": map[string]any{}}), 0, 400, "'priority' is a required property"},
		call{"POST", path, template("CUSTOM_B", map[string]any{"interface": "console", "step": "x", "args": map[string]any{}, "priority": 1}), 0, 400, "'console'"},
		call{"GET", path, nil, 0, 200, `"name":"CUSTOM_A","links"`},
		call{"GET", path + "?detail=true", nil, 0, 200, `"steps":[{"args":{"admin_password":"******"}`},
		call{"GET", path + "/CUSTOM_A", nil, 0, 200, `"steps"`},
		call{"PATCH", path + "/CUSTOM_A", op("replace", "/steps/0/priority", 0), 0, 200, `"priority":0`},
		call{"PATCH", path + "/CUSTOM_A", op("replace", "/steps", []any{}), 0, 400, "steps"},
		call{"PATCH", path + "/CUSTOM_A", op("remove", "/name", nil), 0, 400, "mandatory"},
		call{"PATCH", path + "/CUSTOM_A", op("replace", "/name", "CUSTOM_X"), 0, 200, ""},
		call{"GET", path + "/CUSTOM_A", nil, 0, 404, "Deploy template CUSTOM_A could not be found."},
		call{"POST", path, template("CUSTOM_BAD", step("nosuch", 10)), 0, 201, ""},
	)
	if v, err := s.DeployTemplates().One(t.Context(), "CUSTOM_X"); err != nil || v.Steps.List()[0].Args["admin_password"] != "hush" {
		t.Errorf("the mask was stored: %s, %v", v.Steps, err)
	}

	// applied: CUSTOM_X switches the only deploy step off, CUSTOM_BAD asks for one that is not there
	id := r.available(nil)
	at := "/v1/nodes/" + id
	r.calls(
		call{"PATCH", at, op("add", "/instance_info/traits", []any{"CUSTOM_X"}), 0, 200, ""},
		call{"PUT", at + "/states/provision", map[string]any{"target": "active"}, 0, 400, "CUSTOM_X"},
		call{"PUT", at + "/traits", map[string]any{"traits": []any{"CUSTOM_X", "CUSTOM_BAD"}}, 0, 204, ""},
		call{"PATCH", at, op("add", "/instance_info/traits", []any{"CUSTOM_X", "CUSTOM_BAD"}), 0, 200, ""},
		call{"PUT", at + "/states/provision", map[string]any{"target": "active"}, 0, 400, "deploy.nosuch"},
		call{"PATCH", at, op("add", "/instance_info/traits", "CUSTOM_X"), 0, 200, ""},
		call{"PUT", at + "/states/provision", map[string]any{"target": "active"}, 0, 400, "not a list of strings"},
		call{"PATCH", at, op("add", "/instance_info/traits", []any{"CUSTOM_X"}), 0, 200, ""},
	)
	r.provision(id, "active", "active")
	r.calls(call{"DELETE", path + "/CUSTOM_X", nil, 0, 204, ""}, call{"DELETE", path + "/CUSTOM_X", nil, 0, 404, ""})
}

func TestRunbooks(t *testing.T) {
	t.Parallel()
	r, _ := newRealRig(t)
	const path = "/v1/runbooks"
	step := func(ifc, name string, order any) map[string]any {
		return map[string]any{"interface": ifc, "step": name, "args": map[string]any{}, "order": order}
	}
	book := func(name string, steps ...any) map[string]any { return map[string]any{"name": name, "steps": steps} }
	r.calls(
		call{"GET", path, nil, 91, 404, ""},
		call{"POST", path, book("CUSTOM_A", step("deploy", "erase_devices", 2), step("power", "power_off", 1)), 92, 201, `"disable_ramdisk":false,"public":false,"owner":null`},
		call{"GET", path + "/CUSTOM_A", nil, 112, 200, `"description":null,"steps":[{"args":{},"interface":"power","order":1,"step":"power_off"},{`},
		call{"GET", path + "/CUSTOM_A/traits", nil, 112, 200, `{"traits":["CUSTOM_A"]}`},
		call{"GET", path + "/CUSTOM_A/traits", nil, 111, 404, ""},
		call{"POST", path, book("my.book", step("deploy", "x", 1)), 111, 400, "CUSTOM_"},
		call{"POST", path, book("my book", step("deploy", "x", 1)), 112, 400, "does not match"},
		call{"POST", path, book("my.book", step("deploy", "x", -1)), 112, 400, "order"},
		call{"POST", path, book("my.book"), 112, 400, "steps"},
		call{"POST", path, map[string]any{"name": "my.book", "description": "d", "public": true, "owner": "p", "steps": []any{step("power", "reboot", 1)}}, 112, 201,
			`"public":true,"owner":null,"traits":[]`},
		call{"GET", path + "/my.book", nil, 111, 200, `"public":true`},
		call{"PATCH", path + "/my.book", op("replace", "/public", false), 112, 200, `"public":false`},
		call{"PATCH", path + "/my.book", op("replace", "/owner", "p"), 112, 200, `"owner":"p"`},
		call{"PATCH", path + "/my.book", op("add", "/traits", []any{}), 112, 400, "Cannot patch /traits"},
		call{"PUT", path + "/my.book/traits", map[string]any{"traits": []any{"CUSTOM_B"}}, 112, 204, ""},
		call{"PUT", path + "/my.book/traits/CUSTOM_C", nil, 112, 204, ""},
		call{"DELETE", path + "/my.book/traits/CUSTOM_C", nil, 112, 204, ""},
		call{"DELETE", path + "/my.book/traits/CUSTOM_C", nil, 112, 404, ""},
		call{"GET", path + "/my.book/traits", nil, 112, 200, `{"traits":["CUSTOM_B"]}`},
	)
	id := r.available(nil)
	at, states := "/v1/nodes/"+id, "/v1/nodes/"+id+"/states/provision"
	r.provision(id, "manage", "manageable")
	run := func(verb, book string, more ...string) map[string]any {
		body := map[string]any{"target": verb, "runbook": book}
		for _, key := range more {
			body[key] = []any{step("deploy", "x", 1)}
		}
		return body
	}
	r.calls(
		call{"PUT", states, run("clean", "CUSTOM_A"), 91, 406, ""},
		call{"PUT", states, run("clean", "nope"), 112, 400, "Runbook nope could not be found."},
		call{"PUT", states, run("clean", "CUSTOM_A"), 112, 400, "not been approved"},
		call{"PUT", states, run("clean", "CUSTOM_A"), 92, 400, "not been approved"},
		call{"PUT", states, run("clean", "CUSTOM_A", "clean_steps"), 112, 400, "together"},
		call{"PUT", states, run("provide", "CUSTOM_A"), 112, 400, "only valid"},
		call{"PUT", at + "/traits", map[string]any{"traits": []any{"CUSTOM_A", "CUSTOM_B"}}, 112, 204, ""},
		call{"PUT", states, run("clean", "CUSTOM_A"), 92, 202, ""},
	)
	r.awaitIdle(id, "manageable")
	r.provision(id, "provide", "available")
	r.provision(id, "active", "active")
	r.calls(call{"PUT", states, run("service", "my.book"), 112, 202, ""})
	r.awaitIdle(id, "active")
	r.calls(call{"DELETE", path + "/my.book", nil, 112, 204, ""}, call{"GET", path + "/my.book/traits", nil, 112, 404, ""})
}

func TestInspectionRules(t *testing.T) {
	t.Parallel()
	r, _ := newRealRig(t)
	const path = "/v1/inspection_rules"
	action := map[string]any{"op": "set-attribute", "args": map[string]any{"path": "/extra/a", "value": 1}}
	rule := func(more map[string]any) map[string]any {
		m := map[string]any{"actions": []any{action}}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	condition := func(op string, more map[string]any) map[string]any {
		m := map[string]any{"op": op, "args": []any{"{inventory[cpu]}", 4}}
		for k, v := range more {
			m[k] = v
		}
		return rule(map[string]any{"conditions": []any{m}})
	}
	const u = "7bf5d4d6-9c1b-4f4c-9f0a-0d5b54f1a111"
	r.calls(
		call{"GET", path, nil, 95, 404, ""},
		call{"POST", path, rule(nil), 95, 405, ""},
		call{"POST", path, rule(map[string]any{"uuid": u, "description": "d", "priority": 10}), 96, 201,
			`"description":"d","priority":10,"sensitive":false,"phase":"main","conditions":[],"actions":[{"args":{"path":"/extra/a","value":1},"op":"set-attribute"}]`},
		call{"POST", path, rule(map[string]any{"uuid": u}), 96, 409, ""},
		call{"POST", path, map[string]any{}, 96, 400, "'actions' is a required property"},
		call{"POST", path, map[string]any{"actions": []any{}}, 96, 400, "too short"},
		call{"POST", path, map[string]any{"actions": []any{map[string]any{"op": "explode", "args": map[string]any{}}}}, 96, 400, "'explode' is not one of"},
		call{"POST", path, map[string]any{"actions": []any{map[string]any{"op": "fail"}}}, 96, 400, "args"},
		call{"POST", path, rule(map[string]any{"priority": 10000}), 96, 400, "not between 0 and 9999"},
		call{"POST", path, rule(map[string]any{"phase": "late"}), 96, 400, "'late'"},
		call{"POST", path, condition("eq", nil), 96, 201, `"conditions":[{`},
		call{"POST", path, condition("!eq", map[string]any{"loop": []any{1}, "multiple": "any"}), 96, 201, ""},
		call{"POST", path, condition("ne", nil), 96, 400, "'ne'"},
		call{"POST", path, condition("eq", map[string]any{"multiple": "some"}), 96, 400, "'some'"},
		call{"POST", path, condition("eq", map[string]any{"colour": 1}), 96, 400, "Additional properties"},
		call{"GET", path + "?limit=1", nil, 96, 200, `{"inspection_rules":[{"uuid":"` + u + `","description":"d","priority":10,"phase":"main","links"`},
		call{"GET", path + "/name", nil, 96, 400, "Expected UUID"},
		call{"PATCH", path + "/" + u, op("replace", "/priority", 5), 96, 200, `"priority":5`},
		call{"PATCH", path + "/" + u, op("remove", "/priority", nil), 96, 200, `"priority":0`},
		call{"PATCH", path + "/" + u, op("replace", "/actions/0/args/value", 2), 96, 200, `"value":2`},
		call{"PATCH", path + "/" + u, op("replace", "/sensitive", true), 96, 200, `"conditions":null,"actions":null`},
		call{"PATCH", path + "/" + u, op("replace", "/sensitive", false), 96, 400, "cannot be unset"},
		call{"GET", path + "/" + u, nil, 96, 200, `"sensitive":true,"phase":"main","conditions":null,"actions":null`},
		call{"PATCH", path + "/" + u, op("test", "/actions/0/args/value", 2), 96, 400, "not found"},
		call{"PATCH", path + "/" + u, []any{map[string]any{"op": "copy", "from": "/actions", "path": "/description"}}, 96, 200, `"description":"******"`},
		call{"PATCH", path + "/" + u, op("replace", "/actions", []any{action}), 96, 200, `"actions":null`},
		call{"DELETE", path + "/" + u, nil, 96, 204, ""},
	)
}

func TestAllocations(t *testing.T) {
	t.Parallel()
	r, s := newRealRig(t)
	const path = "/v1/allocations"
	plain := r.available(map[string]any{"name": "n1", "resource_class": "pi"})
	special := r.available(map[string]any{"name": "n2", "resource_class": "pi", "owner": "p"})
	r.must(204, "PUT", "/v1/nodes/n2/traits", map[string]any{"traits": []any{"CUSTOM_A", "CUSTOM_B"}})
	r.calls(
		call{"GET", path, nil, 51, 404, ""},
		call{"POST", path, map[string]any{"resource_class": "pi"}, 51, 405, ""},
		call{"POST", path, map[string]any{}, 0, 400, "'resource_class' is a required property"},
		call{"POST", path, map[string]any{"resource_class": "pi", "colour": 1}, 0, 400, "Additional properties"},
		call{"POST", path, map[string]any{"resource_class": "pi", "traits": []any{"x"}}, 0, 400, "Invalid traits"},
		call{"POST", path, map[string]any{"resource_class": "pi", "candidate_nodes": []any{"nope"}}, 0, 400, "Nodes cannot be found: nope"},
		call{"POST", path, map[string]any{"resource_class": "pi", "owner": "p"}, 59, 406, ""},
		call{"POST", path, map[string]any{"node": "n1"}, 57, 406, ""},
		call{"POST", path, map[string]any{"node": "n1", "candidate_nodes": []any{"n2"}}, 0, 400, "both"},
		call{"POST", path, map[string]any{"node": "n1"}, 0, 400, "not deployed"},
		call{"GET", path, nil, 0, 200, `{"allocations":[]}`},
	)
	make := func(body map[string]any) string {
		t.Helper()
		a := r.must(201, "POST", path, body)
		if a.body["state"] != "allocating" || a.body["node_uuid"] != nil {
			t.Errorf("new: %s", a.text)
		}
		uuid, _ := a.body["uuid"].(string)
		if got := a.header.Get("Location"); got != "http://api.test/v1/allocations/"+uuid {
			t.Errorf("Location: %q", got)
		}
		return uuid
	}
	settled := func(uuid, state string, node any, text string) {
		t.Helper()
		a := r.await(path+"/"+uuid, "state", state)
		last, _ := a.body["last_error"].(string)
		if a.body["node_uuid"] != node || !strings.Contains(last, text) {
			t.Errorf("settled: %s, want node %v and %q", a.text, node, text)
		}
	}
	settled(make(map[string]any{"resource_class": "none", "name": "none"}), "error", nil, "no available nodes match the resource class none")
	settled(make(map[string]any{"resource_class": "pi", "traits": []any{"CUSTOM_X"}}), "error", nil, "CUSTOM_X")
	settled(make(map[string]any{"resource_class": "other", "candidate_nodes": []any{"n1"}}), "error", nil, "none of the requested nodes")
	settled(make(map[string]any{"resource_class": "pi", "owner": "nobody"}), "error", nil, "no available nodes")

	traits := make(map[string]any{"resource_class": "pi", "traits": []any{"CUSTOM_B"}, "candidate_nodes": []any{"n1", special}, "owner": "p", "extra": map[string]any{"a": "b"}})
	settled(traits, "active", special, "")
	r.calls(
		call{"GET", "/v1/nodes/n2", nil, 0, 200, `"instance_uuid":"` + traits},
		call{"GET", "/v1/nodes/n2", nil, 0, 200, `"allocation_uuid":"` + traits},
		call{"GET", "/v1/nodes/n2/allocation", nil, 0, 200, `"candidate_nodes":["` + plain + `","` + special + `"],"extra":{"a":"b"},"owner":"p","node_uuid":"` + special},
		call{"GET", "/v1/nodes/n1/allocation", nil, 0, 404, ""},
		call{"GET", path + "?node=n2", nil, 0, 200, traits},
		call{"GET", path + "?owner=p&state=active&resource_class=pi", nil, 0, 200, traits},
		call{"GET", path + "?owner=q", nil, 0, 200, `{"allocations":[]}`},
		call{"GET", path + "/none", nil, 0, 200, `"state":"error"`},
		call{"PATCH", path + "/none", op("replace", "/name", "n1"), 56, 405, ""},
		call{"PATCH", path + "/none", op("replace", "/extra/x", "y"), 0, 400, ""},
		call{"PATCH", path + "/none", op("add", "/extra/x", "y"), 0, 200, `"extra":{"x":"y"}`},
		call{"PATCH", path + "/none", op("replace", "/resource_class", "pi"), 0, 400, "Cannot patch /resource_class"},
		call{"PATCH", path + "/none", op("replace", "/name", "gone"), 0, 200, `"name":"gone"`},
		call{"POST", path, map[string]any{"resource_class": "pi", "name": "gone"}, 0, 409, "already exists"},
		call{"DELETE", path + "/gone", nil, 0, 204, ""},
		call{"DELETE", path + "/gone", nil, 0, 404, "Allocation gone could not be found."},
	)
	// deployed, the allocation stays until the teardown
	r.provision(special, "active", "active")
	r.calls(
		call{"DELETE", path + "/" + traits, nil, 0, 409, "cannot be deallocated"},
		call{"DELETE", "/v1/nodes/n2/allocation", nil, 0, 409, "cannot be deallocated"},
	)
	r.provision(special, "deleted", "available")
	r.calls(call{"GET", path + "/" + traits, nil, 0, 404, ""}, call{"GET", "/v1/nodes/n2", nil, 0, 200, `"allocation_uuid":null`})

	// a free one can be deleted either way
	named := make(map[string]any{"resource_class": "pi", "name": "n1"})
	settled(named, "active", plain, "")
	r.calls(call{"DELETE", "/v1/nodes/n1/allocation", nil, 0, 204, ""}, call{"GET", path + "/n1", nil, 0, 404, ""},
		call{"GET", "/v1/nodes/n1", nil, 0, 200, `"instance_uuid":null`})
	named = make(map[string]any{"resource_class": "pi", "name": "n1"})
	settled(named, "active", plain, "")
	r.calls(call{"PATCH", "/v1/nodes/n1", op("remove", "/instance_uuid", nil), 0, 200, `"instance_uuid":null`}, call{"GET", path + "/n1", nil, 0, 404, ""})

	// in maintenance, locked, of unknown power: not taken
	edit(t, s, plain, func(n *baremetal.Node) { n.Maintenance = true })
	edit(t, s, special, func(n *baremetal.Node) { n.PowerState = "" })
	settled(make(map[string]any{"resource_class": "pi"}), "error", nil, "no available nodes")
	edit(t, s, plain, func(n *baremetal.Node) { n.Maintenance, n.Work.Intent.Console = false, new(bool) })
	settled(make(map[string]any{"resource_class": "pi"}), "error", nil, "locked or taken")
	edit(t, s, plain, func(n *baremetal.Node) { n.Work.Intent.Console = nil })

	// backfill
	r.provision(plain, "active", "active")
	a := r.must(201, "POST", path, map[string]any{"node": "n1", "name": "late"})
	if a.body["state"] != "active" || a.body["node_uuid"] != plain || a.body["resource_class"] != "pi" {
		t.Errorf("backfill: %s", a.text)
	}
	r.calls(
		call{"GET", "/v1/nodes/n1", nil, 0, 200, `"instance_uuid":"` + a.body["uuid"].(string)},
		call{"POST", path, map[string]any{"node": "n1"}, 0, 409, "already has allocation"},
		call{"PUT", "/v1/nodes/n1/maintenance", nil, 0, 202, ""},
		call{"DELETE", path + "/late", nil, 0, 204, ""},
		call{"DELETE", "/v1/nodes/n1/maintenance", nil, 0, 202, ""},
		call{"PATCH", "/v1/nodes/n1", op("add", "/instance_uuid", instance), 0, 200, ""},
		call{"POST", path, map[string]any{"node": "n1"}, 0, 409, "associated with instance"},
		call{"POST", path, map[string]any{"node": "n1", "uuid": instance, "resource_class": "x"}, 0, 400, "resource class"},
		call{"POST", path, map[string]any{"node": "n1", "uuid": instance}, 0, 201, `"state":"active"`},
	)
}
