package ironicapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"caddyshack/baremetal"
)

// boundary is a request that is answered differently one version before since
// and at it.
type boundary struct {
	since         int
	method, path  string
	body          any
	before, after int
	// says, if not empty, is what must be in the two replies, and appears what
	// must be in the second only: for replies of the same status.
	says    [2]string
	appears string
}

// none is said by replies whose status tells all.
var none [2]string

// cross sends the request on both sides of its boundary.
func (r *rig) cross(b boundary) {
	r.t.Helper()
	for i, step := range []struct{ minor, want int }{{b.since - 1, b.before}, {b.since, b.after}} {
		if a := r.at(step.minor, b.method, b.path, b.body); a.status != step.want || !strings.Contains(a.text+a.fault(), b.says[i]) {
			r.t.Errorf("1.%d %s %s %v: got %d %s, want %d with %q", step.minor, b.method, b.path, b.body, a.status, a.text, step.want, b.says[i])
		} else if b.appears != "" && strings.Contains(a.text, b.appears) != (step.minor == b.since) {
			r.t.Errorf("1.%d %s %s: %s must appear in 1.%d: %s", step.minor, b.method, b.path, b.appears, b.since, a.text)
		}
	}
}

// TestEveryVersion crosses the boundary of every version from 1.2 to the
// announced maximum, and fails if one has no row in any of the tables.
func TestEveryVersion(t *testing.T) {
	t.Parallel()
	covered := map[int]bool{}
	twin := newRig(t)
	for _, b := range boundaries(twin) {
		covered[b.since] = true
		twin.cross(b)
	}
	for _, b := range realBoundaries(t) {
		covered[b.since] = true
		b.rig.cross(b.boundary)
	}
	for _, fields := range fieldVersions("", "", "") {
		for _, since := range fields {
			covered[since] = true
		}
	}
	for _, s := range statesByVersion {
		covered[s.minor] = true
	}
	for minor := 2; minor <= 115; minor++ {
		if !covered[minor] {
			t.Errorf("1.%d has no row", minor)
		}
	}
}

// boundaries are those that can be seen without a conductor.
func boundaries(r *rig) []boundary {
	t := r.t
	id := r.node(map[string]any{"name": "n1"})
	at := "/v1/nodes/" + id
	const u = "/6bf5d4d6-9c1b-4f4c-9f0a-0d5b54f1a111"
	prov := func(target string) map[string]any { return map[string]any{"target": target} }
	newNode := func(k string, v any) map[string]any { return map[string]any{"driver": "fake-hardware", k: v} }
	macs := 0
	mac := func() string { macs++; return fmt.Sprintf("aa:bb:cc:00:00:%02x", macs) }
	newPort := func(k string, v any) map[string]any { return map[string]any{"node_uuid": id, "address": mac(), k: v} }
	r.node(map[string]any{"name": "waiting"})
	r.backend.Edit("waiting", func(n *node) { n.ProvisionState = "wait call-back" })
	r.must(201, "POST", "/v1/ports", map[string]any{"node_uuid": id, "address": mac()})
	port, _ := r.must(201, "POST", "/v1/ports", map[string]any{"node_uuid": id, "address": mac()}).body["uuid"].(string)
	if a := r.at(115, "PATCH", "/v1/ports/"+port, op("add", "/name", "p1")); a.status != 200 {
		t.Fatal(a.text)
	}
	rows := []boundary{
		{4, "PUT", at + "/states/provision", prov("provide"), 406, 400, none, ""},
		{4, "PUT", at + "/states/provision", prov("manage"), 406, 202, none, ""},
		{5, "GET", "/v1/nodes/n1", nil, 404, 200, none, ""},
		{5, "POST", "/v1/nodes", newNode("name", "n5"), 406, 201, none, ""},
		{5, "PATCH", at, op("replace", "/name", "n1"), 406, 200, none, ""},
		{6, "PUT", at + "/states/provision", prov("inspect"), 406, 202, none, ""},
		{8, "GET", at + "?fields=uuid", nil, 406, 200, none, ""},
		{8, "GET", "/v1/nodes?fields=uuid", nil, 406, 200, none, ""},
		{9, "GET", "/v1/nodes?provision_state=enroll", nil, 406, 200, none, ""},
		{10, "PATCH", at, op("replace", "/name", "n~1"), 400, 200, none, ""},
		{12, "PUT", at + "/states/raid", map[string]any{"logical_disks": []any{}}, 404, 204, none, ""},
		{12, "GET", "/v1/drivers/fake-hardware/raid/logical_disk_properties", nil, 406, 200, none, ""},
		{13, "PUT", at + "/states/provision", prov("abort"), 406, 400, none, ""},
		{15, "PUT", at + "/states/provision", map[string]any{"target": "clean", "clean_steps": []any{map[string]any{"interface": "deploy", "step": "erase"}}}, 406, 202, none, ""},
		{16, "GET", "/v1/nodes?driver=x", nil, 406, 200, none, ""},
		{17, "PUT", at + "/states/provision", prov("adopt"), 406, 202, none, ""},
		{20, "POST", "/v1/nodes", newNode("network_interface", "noop"), 406, 201, none, ""},
		{21, "GET", "/v1/nodes?resource_class=x", nil, 406, 200, none, ""},
		{21, "POST", "/v1/nodes", newNode("resource_class", "x"), 406, 201, none, ""},
		{22, "GET", "/v1/lookup?addresses=aa:bb:cc:dd:ee:ff", nil, 404, 404, none, ""},
		{22, "POST", "/v1/heartbeat/" + id, map[string]any{"callback_url": "http://a"}, 404, 400, none, ""},
		{23, "GET", "/v1/portgroups", nil, 404, 200, none, ""},
		{24, "GET", at + "/portgroups", nil, 404, 200, none, ""},
		{24, "GET", "/v1/ports?portgroup=x", nil, 406, 404, none, ""},
		{27, "PUT", at + "/states/power", prov("soft power off"), 406, 202, none, ""},
		{27, "PUT", at + "/states/power", map[string]any{"target": "power on", "timeout": 5}, 406, 202, none, ""},
		{28, "GET", at + "/vifs", nil, 404, 200, none, ""},
		{29, "PUT", at + "/management/inject_nmi", map[string]any{}, 404, 204, none, ""},
		{30, "GET", "/v1/drivers?type=classic", nil, 406, 200, none, ""},
		{30, "GET", "/v1/drivers?detail=true", nil, 406, 200, none, ""},
		{31, "POST", "/v1/nodes", newNode("power_interface", "fake"), 406, 201, none, ""},
		{32, "GET", "/v1/volume", nil, 404, 200, none, ""},
		{32, "GET", "/v1/volume/targets?detail=true", nil, 404, 200, none, ""},
		{32, "GET", at + "/volume/targets?detail=True", nil, 404, 200, none, ""},
		{33, "POST", "/v1/nodes", newNode("storage_interface", "noop"), 406, 201, none, ""},
		{35, "PUT", at + "/states/provision", map[string]any{"target": "rebuild", "configdrive": "H4sI"}, 406, 202, none, ""},
		{37, "GET", at + "/traits", nil, 404, 200, none, ""},
		{38, "PUT", at + "/states/provision", map[string]any{"target": "rescue", "rescue_password": "x"}, 406, 202, none, ""},
		{38, "POST", "/v1/nodes", newNode("rescue_interface", "no-rescue"), 406, 201, none, ""},
		{40, "GET", at + "/bios", nil, 404, 200, none, ""},
		{40, "POST", "/v1/nodes", newNode("bios_interface", "no-bios"), 406, 201, none, ""},
		{42, "GET", "/v1/nodes?fault=power+failure", nil, 406, 200, none, ""},
		{42, "GET", "/v1/nodes?fault=identity+conflict", nil, 406, 200, none, ""},
		{42, "GET", "/v1/nodes?fault=misplaced+hardware", nil, 406, 200, none, ""},
		{43, "GET", "/v1/nodes?detail=true", nil, 400, 200, none, ""},
		{43, "GET", "/v1/ports?detail=true", nil, 400, 200, none, ""},
		{43, "GET", "/v1/chassis?detail=true", nil, 400, 200, none, ""},
		{45, "PATCH", at + "?reset_interfaces=true", op("replace", "/driver", "fake-hardware"), 406, 200, none, ""},
		{46, "GET", "/v1/nodes?conductor_group=x", nil, 406, 200, none, ""},
		{46, "POST", "/v1/nodes", newNode("conductor_group", "x"), 406, 201, none, ""},
		{47, "POST", "/v1/nodes", newNode("automated_clean", true), 406, 201, none, ""},
		{48, "PATCH", at, op("replace", "/protected", false), 406, 200, none, ""},
		{49, "GET", "/v1/conductors", nil, 404, 200, none, ""},
		{49, "GET", "/v1/nodes?conductor=twin", nil, 406, 200, none, ""},
		{49, "GET", at + "?fields=conductor", nil, 406, 200, none, ""},
		{50, "GET", "/v1/nodes?owner=x", nil, 406, 200, none, ""},
		{50, "POST", "/v1/nodes", newNode("owner", "x"), 406, 201, none, ""},
		{51, "GET", "/v1/nodes?description_contains=x", nil, 406, 200, none, ""},
		{51, "POST", "/v1/nodes", newNode("description", "x"), 406, 201, none, ""},
		{52, "GET", "/v1/allocations", nil, 404, 200, none, ""},
		{52, "POST", "/v1/allocations", map[string]any{}, 405, 400, none, ""},
		{52, "GET", at + "/allocation", nil, 404, 404, none, ""},
		{54, "POST", "/v1/events", map[string]any{"events": []any{}}, 405, 204, none, ""},
		{55, "GET", "/v1/deploy_templates", nil, 404, 200, none, ""},
		{55, "POST", "/v1/deploy_templates", map[string]any{}, 405, 400, none, ""},
		{57, "PATCH", "/v1/allocations" + u, op("add", "/name", "x"), 405, 404, none, ""},
		{60, "GET", "/v1/allocations?owner=x", nil, 406, 200, none, ""},
		{61, "GET", "/v1/nodes?retired=true", nil, 406, 200, none, ""},
		{61, "POST", "/v1/nodes", newNode("retired", true), 406, 201, none, ""},
		{63, "GET", at + "/management/indicators", nil, 404, 200, none, ""},
		{65, "GET", "/v1/nodes?lessee=x", nil, 406, 200, none, ""},
		{65, "POST", "/v1/nodes", newNode("lessee", "x"), 406, 201, none, ""},
		{66, "POST", "/v1/nodes", newNode("network_data", map[string]any{"links": []any{}, "networks": []any{}, "services": []any{}}), 406, 201, none, ""},
		{69, "PUT", at + "/states/provision", map[string]any{"target": "active", "deploy_steps": []any{}}, 406, 400, none, ""},
		{70, "PUT", at + "/states/provision", map[string]any{"target": "clean", "disable_ramdisk": true, "clean_steps": []any{map[string]any{"interface": "deploy", "step": "erase"}}}, 406, 400, none, ""},
		{73, "PUT", at + "/states/provision", prov("deploy"), 406, 400, none, ""},
		{73, "PUT", at + "/states/provision", prov("undeploy"), 406, 202, none, ""},
		{74, "GET", at + "/bios?detail=true", nil, 406, 200, none, ""},
		{75, "GET", at + "?fields=boot_mode,secure_boot", nil, 406, 200, none, ""},
		{76, "PUT", at + "/states/boot_mode", prov("uefi"), 404, 202, none, ""},
		{76, "PUT", at + "/states/secure_boot", map[string]any{"target": true}, 404, 202, none, ""},
		{77, "GET", "/v1/drivers?fields=name", nil, 406, 200, none, ""},
		{77, "GET", "/v1/drivers/fake-hardware?fields=name", nil, 406, 200, none, ""},
		{78, "GET", at + "/history", nil, 404, 200, none, ""},
		{81, "GET", at + "/inventory", nil, 404, 404, none, ""},
		{82, "GET", "/v1/shards", nil, 404, 200, none, ""},
		{82, "GET", "/v1/nodes?shard=a", nil, 406, 200, none, ""},
		{82, "GET", "/v1/nodes?sharded=true", nil, 406, 200, none, ""},
		{82, "GET", "/v1/ports?shard=a", nil, 406, 200, none, ""},
		{82, "POST", "/v1/nodes", newNode("shard", "a"), 406, 201, none, ""},
		{83, "GET", at + "/children", nil, 404, 200, none, ""},
		{83, "GET", "/v1/nodes?include_children=true", nil, 406, 200, none, ""},
		{83, "GET", "/v1/nodes?parent_node=" + id, nil, 406, 200, none, ""},
		{83, "POST", "/v1/nodes", newNode("parent_node", id), 406, 201, none, ""},
		{85, "PUT", at + "/states/provision", prov("unhold"), 406, 400, none, ""},
		{86, "GET", at + "/firmware", nil, 404, 200, none, ""},
		{86, "POST", "/v1/nodes", newNode("firmware_interface", "no-firmware"), 406, 201, none, ""},
		{87, "PUT", at + "/states/provision", map[string]any{"target": "service", "service_steps": []any{map[string]any{"interface": "deploy", "step": "reboot"}}}, 406, 400, none, ""},
		{88, "GET", "/v1/ports/p1", nil, 400, 200, none, ""},
		{88, "POST", "/v1/ports", newPort("name", "p88"), 406, 201, none, ""},
		{89, "POST", at + "/vmedia", map[string]any{"device_type": "cdrom", "image_url": "http://a/b.iso"}, 404, 204, none, ""},
		{89, "DELETE", at + "/vmedia?device_types=cdrom", nil, 404, 204, none, ""},
		{90, "POST", "/v1/ports", newPort("local_link_connection", map[string]any{"port_id": "1", "vtep-logical-switch": "a", "vtep-physical-switch": "b"}), 400, 201, none, ""},
		{91, "GET", "/v1/nodes/n~1.json", nil, 200, 404, none, ""},
		{92, "GET", "/v1/runbooks", nil, 404, 200, none, ""},
		{92, "POST", "/v1/runbooks", map[string]any{}, 405, 400, none, ""},
		{93, "GET", at + "/vmedia", nil, 404, 200, none, ""},
		{94, "POST", "/v1/ports", map[string]any{"node_ident": "n~1", "address": mac()}, 406, 201, none, ""},
		{95, "POST", "/v1/nodes", newNode("disable_power_off", true), 406, 201, none, ""},
		{96, "GET", "/v1/inspection_rules", nil, 404, 200, none, ""},
		{96, "POST", "/v1/inspection_rules", map[string]any{}, 405, 400, none, ""},
		{97, "POST", "/v1/ports", newPort("description", "x"), 406, 201, none, ""},
		{97, "GET", "/v1/ports?description_contains=x", nil, 406, 200, none, ""},
		{99, "GET", "/v1/ports?conductor_groups=x", nil, 406, 200, none, ""},
		{99, "GET", "/v1/portgroups?conductor_groups=x", nil, 406, 200, none, ""},
		{100, "POST", "/v1/ports", newPort("vendor", "x"), 406, 201, none, ""},
		{101, "POST", "/v1/ports", newPort("category", "x"), 406, 201, none, ""},
		{104, "POST", "/v1/nodes", newNode("instance_name", "x"), 406, 201, none, ""},
		{104, "GET", "/v1/nodes?instance_name=x", nil, 406, 200, none, ""},
		{105, "POST", "/v1/ports", newPort("local_link_connection", map[string]any{"port_id": "2", "vtep-logical-switch": "a", "vtep-physical-switch": "b"}), 201, 400, none, ""},
		{106, "GET", "/v1/portgroups?shard=a", nil, 406, 200, none, ""},
		{108, "PUT", at + "/states/provision", map[string]any{"target": "service", "disable_ramdisk": true, "service_steps": []any{map[string]any{"interface": "deploy", "step": "reboot"}}}, 406, 400, none, ""},
		{109, "GET", at + "?fields=health", nil, 406, 200, none, ""},
		{110, "PUT", "/v1/nodes/waiting/states/provision", prov("abort"), 406, 202, none, ""},
		{111, "POST", "/v1/ports", newPort("available_for_dynamic_portgroup", false), 406, 201, none, ""},
		{111, "GET", "/v1/portgroups?fields=dynamic_portgroup", nil, 406, 200, none, ""},
		{112, "GET", "/v1/runbooks" + u + "/traits", nil, 404, 404, none, ""},
	}
	r.backend.Keep(id, baremetal.FirmwareDocument, `{"components":[{"component":"bmc","vendor":"v","created_at":"2026-08-01T10:00:00Z"}]}`)
	rows = append(rows, boundary{since: 114, method: "GET", path: at + "/firmware", before: 200, after: 200, appears: `"vendor":"v"`})
	// What only announces something changes no reply.
	for _, marker := range []int{71, 79, 80, 107} {
		rows = append(rows, boundary{since: marker, method: "GET", path: "/v1/nodes?limit=1", before: 200, after: 200})
	}
	return rows
}

// realBoundary is a boundary that a real conductor decides.
type realBoundary struct {
	boundary
	rig *rig
}

// realBoundaries are those that only a real conductor shows.
func realBoundaries(t *testing.T) []realBoundary {
	r, s := newRealRig(t)
	chassis, _ := r.must(201, "POST", "/v1/chassis", map[string]any{}).body["uuid"].(string)
	id := r.node(map[string]any{"chassis_uuid": chassis, "network_interface": "flat"})
	at := "/v1/nodes/" + id
	port, _ := r.must(201, "POST", "/v1/ports", map[string]any{"node_uuid": id, "address": "aa:bb:cc:dd:ee:01"}).body["uuid"].(string)
	in := func(state string) string {
		other := r.node(nil)
		edit(t, s, other, func(n *baremetal.Node) { n.ProvisionState, n.PowerState = baremetal.ProvisionState(state), "power off" })
		return other
	}
	group := func(k string, v any) map[string]any { return map[string]any{"node_uuid": id, k: v} }
	beat := func(more ...string) map[string]any {
		body := map[string]any{"callback_url": "http://192.0.2.1"}
		for i := 0; i < len(more); i += 2 {
			body[more[i]] = more[i+1]
		}
		return body
	}
	drive := func(key string) map[string]any {
		return map[string]any{"target": "active", "configdrive": map[string]any{key: map[string]any{"a": "b"}}}
	}
	waiting := r.available(map[string]any{"driver_info": map[string]any{"fake_wait": "deploy"}})
	r.provision(waiting, "active", "wait call-back")
	var out []realBoundary
	for _, b := range []boundary{
		{25, "PATCH", at, op("remove", "/chassis_uuid", nil), 406, 200, none, ""},
		{26, "POST", "/v1/portgroups", group("mode", "802.3ad"), 406, 201, none, ""},
		{26, "POST", "/v1/portgroups", group("properties", map[string]any{"miimon": 1}), 406, 201, none, ""},
		{36, "POST", "/v1/heartbeat/" + id, beat("agent_version", "9"), 400, 400, [2]string{"agent_version", "token is required"}, ""},
		{41, "PUT", "/v1/nodes/" + in("inspect wait") + "/states/provision", map[string]any{"target": "abort"}, 406, 202, none, ""},
		{56, "PUT", "/v1/nodes/" + in("available") + "/states/provision", drive("meta_data"), 406, 202, none, ""},
		{58, "POST", "/v1/allocations", map[string]any{"node": in("active")}, 406, 201, none, ""},
		{59, "PUT", "/v1/nodes/" + in("available") + "/states/provision", drive("vendor_data"), 406, 202, none, ""},
		{62, "GET", "/v1/lookup?node_uuid=" + waiting, nil, 200, 200, none, `"agent_token":`},
		{64, "POST", "/v1/ports", map[string]any{"node_uuid": id, "address": "aa:bb:cc:dd:ee:02",
			"local_link_connection": map[string]any{"network_type": "unmanaged"}}, 406, 201, none, ""},
		{67, "POST", at + "/vifs", map[string]any{"id": "v1", "port_uuid": port}, 406, 204, none, ""},
		{68, "POST", "/v1/heartbeat/" + waiting, beat("agent_token", "wrong", "agent_verify_ca", "x"), 400, 401, none, ""},
		{72, "POST", "/v1/heartbeat/" + waiting, beat("agent_token", "wrong", "agent_status", "start"), 400, 401, none, ""},
		{98, "PATCH", at, op("add", "/extra/a~1b", 1), 200, 200, [2]string{`"a/b":1`, `"a/b":1`}, ""},
		{102, "POST", "/v1/portgroups", group("physical_network", "x"), 406, 201, none, ""},
		{103, "POST", "/v1/portgroups", group("category", "x"), 406, 201, none, ""},
	} {
		out = append(out, realBoundary{b, r})
	}
	return out
}

// fieldVersions tells since when which path shows which field.
func fieldVersions(node, port, entry string) map[string]map[string]int {
	return map[string]map[string]int{
		"/v1/nodes/" + node: {
			"driver_internal_info": 3, "name": 5, "inspection_started_at": 6, "inspection_finished_at": 6, "clean_step": 7,
			"raid_config": 12, "target_raid_config": 12, "states": 14, "network_interface": 20, "resource_class": 21,
			"portgroups": 24, "boot_interface": 31, "console_interface": 31, "deploy_interface": 31, "inspect_interface": 31,
			"management_interface": 31, "power_interface": 31, "raid_interface": 31, "vendor_interface": 31, "volume": 32,
			"storage_interface": 33, "traits": 37, "rescue_interface": 38, "bios_interface": 40, "fault": 42, "deploy_step": 44,
			"conductor_group": 46, "automated_clean": 47, "protected": 48, "protected_reason": 48, "conductor": 49, "owner": 50,
			"description": 51, "allocation_uuid": 52, "retired": 61, "retired_reason": 61, "lessee": 65, "network_data": 66,
			"boot_mode": 75, "secure_boot": 75, "shard": 82, "parent_node": 83, "firmware_interface": 86, "service_step": 87,
			"disable_power_off": 95, "instance_name": 104, "health": 109,
		},
		"/v1/nodes/" + node + "/states": {"raid_config": 12, "target_raid_config": 12, "boot_mode": 75, "secure_boot": 75},
		"/v1/ports/" + port: {"internal_info": 18, "local_link_connection": 19, "pxe_enabled": 19, "portgroup_uuid": 24,
			"physical_network": 34, "is_smartnic": 53, "name": 88, "description": 97, "vendor": 100, "category": 101,
			"available_for_dynamic_portgroup": 111},
		"/v1/drivers/fake-hardware": {"properties": 14, "type": 30, "default_power_interface": 30, "enabled_network_interfaces": 30,
			"default_storage_interface": 33, "default_rescue_interface": 38, "default_bios_interface": 40},
		"/v1": {"lookup": 22, "heartbeat": 22, "portgroups": 23, "volume": 32, "conductors": 49, "allocations": 52, "events": 54,
			"deploy_templates": 55, "shards": 82, "continue_inspection": 84, "runbooks": 92, "inspection_rules": 96},
		"/v1/nodes/" + node + "/history/" + entry: {"project": 113, "state": 115, "target_provision_state": 115, "duration_seconds": 115},
	}
}

// TestFieldsByVersion looks for each field of a reply one version before it exists and at it.
func TestFieldsByVersion(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.node(map[string]any{"name": "n1"})
	port, _ := r.must(201, "POST", "/v1/ports", map[string]any{"node_uuid": id, "address": "AA:BB:CC:DD:EE:01"}).body["uuid"].(string)
	const entry = "6bf5d4d6-9c1b-4f4c-9f0a-0d5b54f1a222"
	r.backend.Record(baremetal.HistoryEntry{UUID: entry, NodeUUID: id, Event: "x"})
	for path, fields := range fieldVersions(id, port, entry) {
		for field, since := range fields {
			before, after := r.at(since-1, "GET", path, nil), r.at(since, "GET", path, nil)
			if _, ok := before.body[field]; ok || before.status != 200 {
				t.Errorf("%s %s is there in 1.%d", path, field, since-1)
			}
			if _, ok := after.body[field]; !ok {
				t.Errorf("%s %s is not there in 1.%d: %s", path, field, since, after.text)
			}
		}
	}
}

// statesByVersion is the state in which a version shows a node in state; "" is a new node.
var statesByVersion = []struct {
	state string
	minor int
	shown any
}{
	{"", 1, nil}, {"", 2, "available"}, {"", 10, "available"}, {"", 11, "enroll"},
	{"inspect wait", 38, "inspecting"}, {"inspect wait", 39, "inspect wait"},
}

func TestStatesByVersion(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, test := range statesByVersion {
		a := r.at(test.minor, "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware"})
		if test.state != "" {
			id, _ := a.body["uuid"].(string)
			r.backend.Edit(id, func(n *node) { n.ProvisionState = baremetal.ProvisionState(test.state) })
			a = r.at(test.minor, "GET", "/v1/nodes/"+id, nil)
		}
		if got := a.body["provision_state"]; got != test.shown {
			t.Errorf("1.%d: a node in state %q is shown in %v, want %v", test.minor, test.state, got, test.shown)
		}
	}
}

func TestNegotiation(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, test := range map[string]struct {
		headers map[string]string
		status  int
		used    string
	}{
		"none":               {nil, 200, "1.1"},
		"old header":         {map[string]string{"X-OpenStack-Ironic-API-Version": "1.46"}, 200, "1.46"},
		"latest":             {map[string]string{"X-OpenStack-Ironic-API-Version": "LATEST"}, 200, "1.115"},
		"standard wins":      {map[string]string{"X-OpenStack-Ironic-API-Version": "1.10", "OpenStack-API-Version": "baremetal 1.46"}, 200, "1.46"},
		"one of several":     {map[string]string{"OpenStack-API-Version": "compute 2.90, baremetal 1.30"}, 200, "1.30"},
		"of another service": {map[string]string{"OpenStack-API-Version": "compute 2.90"}, 200, "1.1"},
		"too new":            {map[string]string{"X-OpenStack-Ironic-API-Version": "1.116"}, 406, ""},
		"far too new":        {map[string]string{"X-OpenStack-Ironic-API-Version": "1.99999"}, 406, ""},
		"too old":            {map[string]string{"X-OpenStack-Ironic-API-Version": "1.0"}, 406, ""},
		"other major":        {map[string]string{"X-OpenStack-Ironic-API-Version": "2.0"}, 406, ""},
		"junk":               {map[string]string{"X-OpenStack-Ironic-API-Version": "one"}, 406, ""},
		"signed":             {map[string]string{"X-OpenStack-Ironic-API-Version": "1.+5"}, 406, ""},
		"long":               {map[string]string{"X-OpenStack-Ironic-API-Version": strings.Repeat("9", 8000)}, 406, ""},
		"empty":              {map[string]string{"X-OpenStack-Ironic-API-Version": ""}, 406, ""},
	} {
		for _, path := range []string{"/v1/nodes", "/v1"} {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
			for k, v := range test.headers {
				req.Header.Set(k, v)
			}
			a := r.send(req)
			if a.status != test.status || a.header.Get("X-OpenStack-Ironic-API-Version") != test.used {
				t.Errorf("%s: %s answered %d with version %q, want %d with %q", name, path, a.status,
					a.header.Get("X-OpenStack-Ironic-API-Version"), test.status, test.used)
			}
			if a.header.Get("X-OpenStack-Ironic-API-Minimum-Version") != "1.1" || a.header.Get("X-OpenStack-Ironic-API-Maximum-Version") != "1.115" {
				t.Errorf("%s: the range of versions is missing", name)
			}
			if !strings.HasPrefix(a.header.Get("Openstack-Request-Id"), "req-") || a.header.Get("X-Openstack-Request-Id") == "" {
				t.Errorf("%s: the request ids are missing", name)
			}
			if test.status == 406 {
				if !strings.Contains(a.fault(), "The supported version range is: [1.1, 1.115].") || len(a.text) > 600 {
					t.Errorf("%s: %s", name, a.text)
				}
				if shape := "faultstring"; (path == "/v1") != strings.Contains(a.text, shape) {
					t.Errorf("%s: %s has the wrong shape: %s", name, path, a.text)
				}
			}
		}
	}
}
