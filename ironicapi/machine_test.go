package ironicapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/ironicapi"
	"caddyshack/ironicapi/apitest"
)

func decodeBody(text string) (map[string]any, error) {
	var m map[string]any
	err := json.Unmarshal([]byte(text), &m)
	return m, err
}

// TestMachine asks for everything that hardware may or may not be able to do:
// what it cannot is 404 for RAID and 400 for the rest, never an unknown route.
func TestMachine(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	yes, no := "/v1/nodes/"+r.node(nil), "/v1/nodes/"+r.node(map[string]any{"driver": "caddy"})
	disk := func(d map[string]any) map[string]any { return map[string]any{"logical_disks": []any{d}} }
	good := map[string]any{"size_gb": 100, "raid_level": "5", "is_root_volume": true, "disk_type": "hdd", "number_of_physical_disks": 5}
	medium := map[string]any{"device_type": "cdrom", "image_url": "https://u:p@a/b.iso"}
	for _, test := range []struct {
		method, path string
		body         any
		able, unable int
	}{
		{"PUT", "/states/raid", disk(good), 204, 404},
		{"PUT", "/states/raid", disk(map[string]any{"size_gb": "MAX", "raid_level": "1+0", "controller": "software", "physical_disks": []any{map[string]any{"size": "> 100"}}}), 204, 404},
		{"PUT", "/states/raid", map[string]any{}, 204, 404},
		{"PUT", "/states/raid", disk(map[string]any{"size_gb": 1}), 400, 400},
		{"PUT", "/states/raid", disk(map[string]any{"size_gb": 0, "raid_level": "1"}), 400, 400},
		{"PUT", "/states/raid", disk(map[string]any{"size_gb": 1, "raid_level": "9"}), 400, 400},
		{"PUT", "/states/raid", map[string]any{"logical_disks": []any{good, good}}, 400, 400},
		{"PUT", "/states/raid", map[string]any{"logical_disks": 1}, 400, 400},
		{"PUT", "/states/raid", map[string]any{"disks": 1}, 400, 400},
		{"PUT", "/states/boot_mode", map[string]any{"target": "uefi"}, 202, 400},
		{"PUT", "/states/boot_mode", map[string]any{"target": "floppy"}, 400, 400},
		{"PUT", "/states/boot_mode", map[string]any{}, 400, 400},
		{"PUT", "/states/secure_boot", map[string]any{"target": "on"}, 202, 400},
		{"PUT", "/states/secure_boot", map[string]any{"target": "perhaps"}, 400, 400},
		{"PUT", "/states/secure_boot", map[string]any{}, 400, 400},
		{"POST", "/vmedia", medium, 204, 400},
		{"POST", "/vmedia", map[string]any{"device_type": "tape", "image_url": "http://a/b"}, 400, 400},
		{"POST", "/vmedia", map[string]any{"device_type": "disk", "image_url": "file:///etc/shadow"}, 400, 400},
		{"POST", "/vmedia", map[string]any{"device_type": "disk"}, 400, 400},
		{"GET", "/vmedia", nil, 200, 400},
		{"DELETE", "/vmedia?device_types=tape", nil, 400, 400},
		{"DELETE", "/vmedia?device_types=", nil, 400, 400},
		{"DELETE", "/vmedia?device_types=cdrom,disk", nil, 204, 400},
		{"DELETE", "/vmedia", nil, 204, 400},
		{"GET", "/bios", nil, 200, 200},
		{"GET", "/bios/x", nil, 404, 404},
		{"GET", "/firmware", nil, 200, 200},
		{"GET", "/inventory", nil, 404, 404},
	} {
		for path, want := range map[string]int{yes: test.able, no: test.unable} {
			a := r.at(115, test.method, path+test.path, test.body)
			if a.status != want || a.status >= 400 && a.fault() == "" {
				t.Errorf("%s %s%s %v: %d %s, want %d", test.method, path, test.path, test.body, a.status, a.text, want)
			}
		}
	}
	if a := r.at(115, "POST", yes+"/vmedia", medium); a.status != 204 {
		t.Fatal(a.text)
	}
	if a := r.at(115, "GET", yes+"/vmedia", nil); strings.Contains(a.text, "u:p@") || !strings.Contains(a.text, `"device_type":"cdrom"`) {
		t.Errorf("media: %s", a.text)
	}
	if a := r.at(115, "GET", "/v1/drivers/caddy/raid/logical_disk_properties", nil); a.status != 404 {
		t.Errorf("RAID of a driver without: %d %s", a.status, a.text)
	}
	if a := r.at(115, "GET", "/v1/drivers/caddy/vendor_passthru/methods", nil); a.status != 200 || !strings.Contains(a.text, `"echo"`) {
		t.Errorf("driver methods: %d %s", a.status, a.text)
	}
	if a := r.at(115, "GET", "/v1/drivers/caddy/vendor_passthru/echo", nil); a.status != 200 {
		t.Errorf("driver method: %d %s", a.status, a.text)
	}
	if a := r.at(115, "GET", "/v1/drivers/fake-hardware/vendor_passthru?method=echo", nil); a.status != 400 {
		t.Errorf("driver method that is none: %d %s", a.status, a.text)
	}
}

// TestDocumentsOfNodes shows what was kept, by version, without secrets.
func TestDocumentsOfNodes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.node(nil)
	at := "/v1/nodes/" + id
	r.backend.Keep(id, baremetal.BIOSDocument, `{"settings":[{"name":"AdminPassword","value":"hunter2","created_at":"2026-08-01T10:00:00Z"},`+
		`{"name":"Turbo","value":"On","attribute_type":"Enumeration","allowable_values":["On","Off"],"read_only":false,"created_at":"2026-08-01T10:00:00Z"}]}`)
	r.backend.Keep(id, baremetal.FirmwareDocument, `{"components":[{"component":"bmc","initial_version":"1","current_version":"2","vendor":"v","created_at":"2026-08-01T10:00:00Z"}]}`)
	r.backend.Keep(id, baremetal.InventoryDocument, `{"inventory":{"cpu":{"count":4},"bmc_password":"hunter2"},"plugin_data":{"a":1}}`)
	if a := r.at(73, "GET", at+"/bios", nil); a.status != 200 || strings.Contains(a.text, "hunter2") || strings.Contains(a.text, "allowable_values") {
		t.Errorf("bios: %s", a.text)
	}
	if a := r.at(74, "GET", at+"/bios?detail=true", nil); !strings.Contains(a.text, `"allowable_values":["On","Off"]`) || !strings.Contains(a.text, `"lower_bound":null`) {
		t.Errorf("bios in detail: %s", a.text)
	}
	if a := r.at(74, "GET", at+"/bios?fields=name,unique", nil); strings.Contains(a.text, `"value"`) || !strings.Contains(a.text, `"unique":null`) {
		t.Errorf("bios with fields: %s", a.text)
	}
	if a := r.at(40, "GET", at+"/bios/Turbo", nil); a.status != 200 || !strings.HasPrefix(a.text, `{"Turbo":{"name":"Turbo","value":"On"`) {
		t.Errorf("bios setting: %s", a.text)
	}
	for minor, has := range map[int]bool{113: false, 114: true} {
		if a := r.at(minor, "GET", at+"/firmware", nil); a.status != 200 || strings.Contains(a.text, `"vendor":"v"`) != has || !strings.Contains(a.text, `"current_version":"2"`) {
			t.Errorf("1.%d firmware: %s", minor, a.text)
		}
	}
	if a := r.at(81, "GET", at+"/inventory", nil); a.status != 200 || strings.Contains(a.text, "hunter2") || !strings.Contains(a.text, `"plugin_data":{"a":1}`) {
		t.Errorf("inventory: %s", a.text)
	}
}

// TestAgentEndpoints is what a stranger, and what the agent, can do.
func TestAgentEndpoints(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.node(map[string]any{"name": "n1", "driver_info": map[string]any{"ipmi_password": "hunter2"}})
	r.must(201, "POST", "/v1/ports", map[string]any{"node_uuid": id, "address": "aa:bb:cc:dd:ee:01"})
	lookup := "/v1/lookup?addresses=AA:BB:CC:DD:EE:01"
	for _, path := range []string{lookup, "/v1/lookup?node_uuid=" + id, "/v1/lookup?addresses=aa:bb:cc:dd:ee:99", "/v1/lookup?addresses=junk", "/v1/lookup"} {
		if a := r.at(115, "GET", path, nil); a.status != 404 {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
	}
	r.backend.Edit(id, func(n *node) { n.ProvisionState = "wait call-back" })
	a := r.at(115, "GET", lookup, nil)
	if a.status != 200 || !strings.Contains(a.text, `"agent_token":"`+apitest.Token+`"`) || strings.Contains(a.text, "hunter2") {
		t.Errorf("lookup: %d %s", a.status, a.text)
	}
	if a = r.at(115, "GET", lookup, nil); a.status != 200 || strings.Contains(a.text, apitest.Token) {
		t.Errorf("second lookup: %d %s", a.status, a.text)
	}
	beat := func(more ...any) map[string]any {
		m := map[string]any{"callback_url": "http://10.0.0.9:9999"}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	for _, test := range []struct {
		body any
		want int
	}{
		{beat(), 400}, {beat("agent_token", "x"), 401}, {map[string]any{"agent_token": apitest.Token}, 400},
		{beat("agent_token", apitest.Token), 202}, {beat("agent_token", apitest.Token, "agent_status", "done"), 400},
		{beat("agent_token", apitest.Token, "agent_status", "end", "agent_status_message", "fine"), 202},
		{beat("agent_token", 5), 400}, {beat("agent_token", apitest.Token, "what", 1), 400},
	} {
		if a := r.at(115, "POST", "/v1/heartbeat/"+id, test.body); a.status != test.want {
			t.Errorf("heartbeat %v: %d %s, want %d", test.body, a.status, a.text, test.want)
		}
	}
	interfaces := make([]any, 65)
	for i := range interfaces {
		interfaces[i] = map[string]any{}
	}
	for _, test := range []struct {
		inventory any
		want      int
	}{
		{nil, 400}, {"x", 400}, {map[string]any{"interfaces": interfaces}, 400}, {map[string]any{"interfaces": []any{1}}, 400},
		{map[string]any{"cpu": 1}, 404}, {map[string]any{"interfaces": []any{map[string]any{"mac_address": "aa:bb:cc:dd:ee:01"}}}, 202},
	} {
		if a := r.at(84, "POST", "/v1/continue_inspection", map[string]any{"inventory": test.inventory}); a.status != test.want {
			t.Errorf("findings %v: %d %s, want %d", test.inventory, a.status, a.text, test.want)
		}
	}
	closed := newRig(t, func(c *ironicapi.Config) { c.NoAgents = true })
	for method, path := range map[string]string{"GET": "/v1/lookup?node_uuid=" + id, "POST": "/v1/heartbeat/" + id} {
		if a := closed.at(115, method, path, beat("agent_token", "x")); a.status != 403 {
			t.Errorf("closed: %s %s: %d", method, path, a.status)
		}
	}
}

// TestProvisionBodies are the parts of PUT states/provision that hold more than a verb.
func TestProvisionBodies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.node(nil)
	step := func(more ...any) []any {
		m := map[string]any{"interface": "deploy", "step": "x"}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return []any{m}
	}
	for _, test := range []struct {
		body map[string]any
		want int
	}{
		{map[string]any{"target": "clean", "clean_steps": step("order", 1)}, 202},
		{map[string]any{"target": "clean", "clean_steps": step("execute_on_child_nodes", true, "limit_child_node_execution", []any{id})}, 202},
		{map[string]any{"target": "clean", "clean_steps": step("limit_child_node_execution", []any{"x"})}, 400},
		{map[string]any{"target": "clean", "clean_steps": step("execute_on_child_nodes", "perhaps")}, 400},
		{map[string]any{"target": "clean", "clean_steps": step("network", true)}, 400},
		{map[string]any{"target": "clean", "clean_steps": []any{map[string]any{"interface": "network", "step": "x"}}}, 400},
		{map[string]any{"target": "clean"}, 400},
		{map[string]any{"target": "active", "clean_steps": step()}, 400},
		{map[string]any{"target": "manage", "configdrive": "AAAA"}, 400},
		{map[string]any{"target": "rescue", "rescue_password": " "}, 400},
		{map[string]any{"target": "deleted", "disable_ramdisk": true}, 400},
	} {
		r.backend.Edit(id, func(n *node) { n.ProvisionState = baremetal.Manageable })
		if a := r.at(115, "PUT", "/v1/nodes/"+id+"/states/provision", test.body); a.status != test.want {
			t.Errorf("%v: %d %s, want %d", test.body, a.status, a.text, test.want)
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	event := map[string]any{"event": "network.bind_port", "port_id": "p", "mac_address": "aa:bb:cc:dd:ee:ff", "status": "ACTIVE", "device_id": "d"}
	for text, want := range map[string]int{`{"events": []}`: 204, `{}`: 400, `{"events": [1]}`: 400, `{"events": [{"event": "x"}]}`: 400,
		`{"events": [{"event": "network.bind_port"}]}`: 400} {
		body, err := decodeBody(text)
		if err != nil {
			t.Fatal(err)
		}
		if a := r.at(54, "POST", "/v1/events", body); a.status != want {
			t.Errorf("%s: %d %s, want %d", text, a.status, a.text, want)
		}
	}
	if a := r.at(54, "POST", "/v1/events", map[string]any{"events": []any{event}}); a.status != 204 {
		t.Errorf("an event: %d %s", a.status, a.text)
	}
}
