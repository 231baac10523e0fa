package ironicapi_test

import (
	"strings"
	"testing"

	"caddyshack/baremetal"
)

const instance = "6bf5d4d6-9c1b-4f4c-9f0a-0d5b54f1a111"

// TestPatchRules is section 4.5 of the API reference for nodes.
func TestPatchRules(t *testing.T) {
	t.Parallel()
	set := func(state baremetal.ProvisionState) func(*node) {
		return func(n *node) {
			n.ProvisionState, n.TargetProvisionState = state, baremetal.TargetOf(state, false)
		}
	}
	with := func(state baremetal.ProvisionState, more func(*node)) func(*node) {
		return func(n *node) { set(state)(n); more(n) }
	}
	for name, test := range map[string]struct {
		given  func(*node)
		ops    []any
		minor  int
		status int
		text   string
	}{
		"idle":                            {set("active"), op("add", "/extra/a", 1), 82, 200, ""},
		"in transition":                   {set("deploying"), op("add", "/extra/a", 1), 82, 409, "while a state transition is in progress"},
		"while waiting":                   {set("wait call-back"), op("add", "/extra/a", 1), 82, 409, ""},
		"cleaning":                        {set("cleaning"), op("add", "/extra/a", 1), 82, 409, ""},
		"deploy failed":                   {set("deploy failed"), op("add", "/extra/a", 1), 82, 200, ""},
		"clean failed":                    {set("clean failed"), op("add", "/extra/a", 1), 82, 200, ""},
		"verifying":                       {set("verifying"), op("add", "/extra/a", 1), 82, 200, ""},
		"inspect wait":                    {set("inspect wait"), op("add", "/extra/a", 1), 82, 200, ""},
		"inspecting":                      {set("inspecting"), op("add", "/extra/a", 1), 82, 409, ""},
		"inspecting of old":               {set("inspecting"), op("add", "/extra/a", 1), 38, 200, ""},
		"unassociating in maintenance":    {with("deleting", func(n *node) { n.Maintenance, n.InstanceUUID = true, instance }), op("remove", "/instance_uuid", nil), 82, 200, ""},
		"unassociating out of it":         {with("deleting", func(n *node) { n.InstanceUUID = instance }), op("remove", "/instance_uuid", nil), 82, 409, ""},
		"interface in manageable":         {set("manageable"), op("replace", "/power_interface", "no-power"), 82, 200, ""},
		"interface in active":             {set("active"), op("replace", "/power_interface", "no-power"), 82, 409, "can not have power_interface updated"},
		"interface the same in active":    {set("active"), op("replace", "/power_interface", "fake"), 82, 200, ""},
		"interface in maintenance":        {with("active", func(n *node) { n.Maintenance = true }), op("replace", "/power_interface", "no-power"), 82, 200, ""},
		"interface nobody has":            {set("manageable"), op("replace", "/power_interface", "magic"), 82, 400, "Could not find the following interface"},
		"interface removed":               {with("manageable", func(n *node) { n.Interfaces["power"] = "no-power" }), op("remove", "/power_interface", nil), 82, 200, `"power_interface":"fake"`},
		"driver with console":             {with("manageable", func(n *node) { n.ConsoleEnabled = true }), op("replace", "/driver", "caddy"), 82, 409, ""},
		"driver nobody has":               {set("manageable"), op("replace", "/driver", "wrong"), 82, 400, "No valid host was found"},
		"driver with old interfaces":      {set("manageable"), op("replace", "/driver", "caddy"), 82, 400, "Could not find the following interface"},
		"class first set":                 {set("active"), op("add", "/resource_class", "a"), 82, 200, ""},
		"class changed in active":         {with("active", func(n *node) { n.ResourceClass = "b" }), op("add", "/resource_class", "a"), 82, 409, ""},
		"class changed in maintenance":    {with("active", func(n *node) { n.ResourceClass, n.Maintenance = "b", true }), op("add", "/resource_class", "a"), 82, 409, ""},
		"class changed in available":      {with("available", func(n *node) { n.ResourceClass = "b" }), op("add", "/resource_class", "a"), 82, 200, ""},
		"class too long":                  {set("available"), op("add", "/resource_class", strings.Repeat("x", 81)), 82, 400, "is too long"},
		"protected in active":             {set("active"), op("add", "/protected", true), 82, 200, ""},
		"protected in rescue":             {set("rescue"), op("add", "/protected", "yes"), 82, 200, ""},
		"protected in available":          {set("available"), op("add", "/protected", true), 82, 409, ""},
		"protected_reason alone":          {set("active"), op("add", "/protected_reason", "why"), 82, 400, "protected_reason"},
		"unprotecting":                    {with("active", func(n *node) { n.Protected, n.ProtectedReason = true, "why" }), op("replace", "/protected", "false"), 82, 200, `"protected_reason":null`},
		"retired in available":            {set("available"), op("add", "/retired", true), 82, 409, ""},
		"retired in manageable":           {set("manageable"), op("add", "/retired", true), 82, 200, ""},
		"retired_reason alone":            {set("manageable"), op("add", "/retired_reason", "old"), 82, 400, "retired_reason"},
		"unretiring":                      {with("manageable", func(n *node) { n.Retired, n.RetiredReason = true, "old" }), op("remove", "/retired", nil), 82, 200, `"retired_reason":null`},
		"instance set":                    {set("available"), op("replace", "/instance_uuid", instance), 82, 200, ""},
		"instance set again":              {with("available", func(n *node) { n.InstanceUUID = instance }), op("replace", "/instance_uuid", instance), 82, 200, ""},
		"instance over another":           {with("available", func(n *node) { n.InstanceUUID = "1bf5d4d6-9c1b-4f4c-9f0a-0d5b54f1a111" }), op("add", "/instance_uuid", instance), 82, 409, "is associated with instance"},
		"maintenance as a string":         {set("active"), op("replace", "/maintenance", "true"), 82, 200, `"maintenance":true`},
		"maintenance off":                 {with("active", func(n *node) { n.Maintenance, n.MaintenanceReason, n.Fault = true, "x", "power failure" }), op("replace", "/maintenance", false), 82, 200, `"maintenance_reason":null,"fault":null`},
		"chassis unset before 1.25":       {with("active", func(n *node) { n.ChassisUUID = instance }), op("remove", "/chassis_uuid", nil), 24, 406, ""},
		"chassis unset":                   {with("active", func(n *node) { n.ChassisUUID = instance }), op("remove", "/chassis_uuid", nil), 25, 200, `"chassis_uuid":null`},
		"chassis that is not there":       {set("active"), op("add", "/chassis_uuid", instance), 82, 400, "could not be found"},
		"automated_clean removed":         {with("active", func(n *node) { yes := true; n.AutomatedClean = &yes }), op("remove", "/automated_clean", nil), 82, 200, `"automated_clean":null`},
		"conductor_group removed":         {with("active", func(n *node) { n.ConductorGroup = "a" }), op("remove", "/conductor_group", nil), 82, 200, `"conductor_group":""`},
		"conductor_group in capitals":     {set("active"), op("add", "/conductor_group", "Rack-1"), 82, 200, `"conductor_group":"rack-1"`},
		"whole object removed":            {with("active", func(n *node) { n.Extra = `{"a":1}` }), op("remove", "/extra", nil), 82, 200, `"extra":{}`},
		"value left out":                  {with("active", func(n *node) { n.Description = "x" }), []any{map[string]any{"op": "replace", "path": "/description"}}, 82, 200, `"description":null`},
		"no operations":                   {set("active"), []any{}, 82, 200, ""},
		"reserved name":                   {set("active"), op("add", "/name", "detail"), 82, 400, "invalid name"},
		"name like a uuid":                {set("active"), op("add", "/name", instance), 82, 400, "invalid name"},
		"numbers as strings":              {set("active"), op("add", "/properties", map[string]any{"cpus": "4", "memory_mb": 8}), 82, 200, ""},
		"cpus that are not a number":      {set("active"), op("add", "/properties/cpus", "four"), 82, 400, "cpus"},
		"reset_interfaces without driver": {set("active"), nil, 82, 400, "reset_interfaces"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			id := r.node(nil)
			r.backend.Edit(id, test.given)
			path, body := "/v1/nodes/"+id, any(test.ops)
			if test.ops == nil {
				path, body = path+"?reset_interfaces=true", op("add", "/extra/a", 1)
			}
			a := r.at(test.minor, "PATCH", path, body)
			got := a.text
			if test.status != 200 {
				got = a.fault()
			}
			if a.status != test.status || !strings.Contains(got, test.text) {
				t.Errorf("got %d %s\nwant %d %s", a.status, a.text, test.status, test.text)
			}
			if a.status != 200 && r.at(82, "GET", "/v1/nodes/"+id, nil).body["updated_at"] != nil {
				t.Error("a refused patch changed the node")
			}
		})
	}
}

// TestParents: no node is inside of itself, not even by way of others.
func TestParents(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := func(parent string) map[string]any {
		return map[string]any{"driver": "fake-hardware", "parent_node": parent}
	}
	oldest, _ := r.at(115, "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware"}).body["uuid"].(string)
	line := []string{oldest}
	for range 8 {
		child, _ := r.at(115, "POST", "/v1/nodes", in(line[len(line)-1])).body["uuid"].(string)
		if child == "" {
			t.Fatalf("the parent of %d generations has no child", len(line))
		}
		line = append(line, child)
	}
	youngest := line[len(line)-1]
	for _, c := range []call{
		{"POST", "/v1/nodes", in(youngest), 115, 400, "levels inside of other nodes"},
		{"POST", "/v1/nodes", in(instance), 115, 400, "Node " + instance + " could not be found."},
		{"PATCH", "/v1/nodes/" + oldest, op("add", "/parent_node", oldest), 115, 400, "which is that node or inside of it"},
		{"PATCH", "/v1/nodes/" + oldest, op("add", "/parent_node", line[1]), 115, 400, "which is that node or inside of it"},
		{"PATCH", "/v1/nodes/" + line[1], op("replace", "/parent_node", line[3]), 115, 400, "which is that node or inside of it"},
		{"PATCH", "/v1/nodes/" + youngest, op("replace", "/parent_node", oldest), 115, 200, `"parent_node":"` + oldest + `"`},
		{"PATCH", "/v1/nodes/" + youngest, op("remove", "/parent_node", nil), 115, 200, `"parent_node":null`},
		{"PATCH", "/v1/nodes/" + oldest, op("add", "/parent_node", youngest), 115, 200, `"parent_node":"` + youngest + `"`},
	} {
		r.want(c)
	}
}

func TestResetInterfaces(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.node(map[string]any{"power_interface": "no-power"})
	a := r.must(200, "PATCH", "/v1/nodes/"+id+"?reset_interfaces=true", op("replace", "/driver", "caddy"))
	if a.body["power_interface"] != "own-power" || a.body["network_interface"] != "own-network" {
		t.Errorf("after the change: %s", a.text)
	}
}

func TestDeleteRules(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		given  func(*node)
		status int
	}{
		"enroll":                    {func(*node) {}, 204},
		"active":                    {func(n *node) { n.ProvisionState = "active" }, 409},
		"active in maintenance":     {func(n *node) { n.ProvisionState, n.Maintenance = "active", true }, 204},
		"associated":                {func(n *node) { n.InstanceUUID = instance }, 409},
		"associated in maintenance": {func(n *node) { n.InstanceUUID, n.Maintenance = instance, true }, 204},
		"protected":                 {func(n *node) { n.Protected = true }, 403},
		"locked":                    {func(n *node) { n.Work.Reservation = "twin" }, 409},
	} {
		r := newRig(t)
		id := r.node(nil)
		r.backend.Edit(id, test.given)
		if a := r.at(82, "DELETE", "/v1/nodes/"+id, nil); a.status != test.status {
			t.Errorf("%s: got %d %s, want %d", name, a.status, a.text, test.status)
		}
	}
}

func TestPortRules(t *testing.T) {
	t.Parallel()
	link := map[string]any{"switch_id": "aa:bb:cc:dd:ee:ff", "port_id": "1"}
	for name, test := range map[string]struct {
		given  func(*node)
		ops    []any
		status int
		text   string
	}{
		"address of an idle node":     {nil, op("replace", "/address", "AA:BB:CC:DD:EE:02"), 200, `"address":"aa:bb:cc:dd:ee:02"`},
		"address of an active node":   {func(n *node) { n.ProvisionState = "active" }, op("replace", "/address", "aa:bb:cc:dd:ee:02"), 409, ""},
		"address with an instance":    {func(n *node) { n.InstanceUUID = instance }, op("replace", "/address", "aa:bb:cc:dd:ee:02"), 409, ""},
		"address in maintenance":      {func(n *node) { n.ProvisionState, n.Maintenance = "active", true }, op("replace", "/address", "aa:bb:cc:dd:ee:02"), 200, ""},
		"address that is none":        {nil, op("replace", "/address", "nope"), 400, "Expected a MAC address but received nope."},
		"address removed":             {nil, op("remove", "/address", nil), 400, "mandatory attribute"},
		"address taken":               {nil, op("replace", "/address", "aa:bb:cc:dd:ee:99"), 409, ""},
		"pxe_enabled in enroll":       {nil, op("replace", "/pxe_enabled", false), 200, `"pxe_enabled":false`},
		"pxe_enabled in available":    {func(n *node) { n.ProvisionState = "available" }, op("replace", "/pxe_enabled", false), 409, ""},
		"pxe_enabled unchanged":       {func(n *node) { n.ProvisionState = "available" }, op("replace", "/pxe_enabled", true), 200, ""},
		"link in available":           {func(n *node) { n.ProvisionState = "available" }, op("replace", "/local_link_connection", link), 409, ""},
		"link in inspect wait":        {func(n *node) { n.ProvisionState = "inspect wait" }, op("replace", "/local_link_connection", link), 200, ""},
		"physical_network in active":  {func(n *node) { n.ProvisionState = "active" }, op("add", "/physical_network", "a"), 409, ""},
		"physical_network empty":      {nil, op("add", "/physical_network", ""), 400, ""},
		"physical_network too long":   {nil, op("add", "/physical_network", strings.Repeat("x", 65)), 400, "is too long"},
		"extra in active":             {func(n *node) { n.ProvisionState = "active" }, op("add", "/extra/a", 1), 200, ""},
		"portgroup that is not there": {nil, op("add", "/portgroup_uuid", instance), 400, "Portgroup"},
		"node that is not there":      {nil, op("replace", "/node_uuid", instance), 400, "could not be found"},
		"read-only":                   {nil, op("add", "/internal_info/a", 1), 400, "Cannot patch /internal_info"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			id := r.node(nil)
			r.must(201, "POST", "/v1/ports", map[string]any{"node_uuid": id, "address": "aa:bb:cc:dd:ee:99"})
			port, _ := r.must(201, "POST", "/v1/ports", map[string]any{"node_uuid": id, "address": "aa:bb:cc:dd:ee:01"}).body["uuid"].(string)
			if test.given != nil {
				r.backend.Edit(id, test.given)
			}
			a := r.at(82, "PATCH", "/v1/ports/"+port, test.ops)
			if a.status != test.status || !strings.Contains(a.text, test.text) {
				t.Errorf("got %d %s\nwant %d %s", a.status, a.text, test.status, test.text)
			}
		})
	}
}

func TestLocalLinkConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.node(nil)
	for i, test := range []struct {
		link   map[string]any
		minor  int
		status int
		stored string
	}{
		{map[string]any{}, 82, 201, ""},
		{map[string]any{"switch_id": "AA-BB-CC-DD-EE-FF", "port_id": "Gi0/1", "switch_info": "s1"}, 82, 201, "aa:bb:cc:dd:ee:ff"},
		{map[string]any{"switch_id": "0x00112233AABBCCDD", "port_id": "1"}, 82, 201, "00112233aabbccdd"},
		{map[string]any{"switch_id": "00:11:22:33:aa:bb:cc:dd", "port_id": "1"}, 82, 201, "00112233aabbccdd"},
		{map[string]any{"port_id": "rep0-0", "hostname": "host1"}, 82, 201, ""},
		{map[string]any{"network_type": "unmanaged"}, 82, 201, ""},
		{map[string]any{"network_type": "unmanaged"}, 63, 406, ""},
		{map[string]any{"network_type": "wild"}, 82, 400, ""},
		{map[string]any{"network_type": "managed"}, 82, 400, ""},
		{map[string]any{"switch_id": "aa:bb:cc:dd:ee:ff"}, 82, 400, ""},
		{map[string]any{"switch_id": "switch 1", "port_id": "1"}, 82, 400, ""},
		{map[string]any{"port_id": "1"}, 82, 400, ""},
		{map[string]any{"switch_id": "aa:bb:cc:dd:ee:ff", "port_id": 1}, 82, 201, ""},
		{map[string]any{"switch_id": "aa:bb:cc:dd:ee:ff", "port_id": true}, 82, 400, ""},
		{map[string]any{"switch_id": "aa:bb:cc:dd:ee:ff", "port_id": "1", "colour": "red"}, 82, 400, ""},
	} {
		mac := "aa:bb:cc:00:00:" + string("0123456789abcdef"[i]) + "0"
		a := r.at(test.minor, "POST", "/v1/ports", map[string]any{"node_uuid": id, "address": mac, "local_link_connection": test.link})
		if a.status != test.status {
			t.Errorf("%v at 1.%d: got %d %s, want %d", test.link, test.minor, a.status, a.text, test.status)
		}
		if a.status == 201 && test.stored != "" && a.body["local_link_connection"].(map[string]any)["switch_id"] != test.stored {
			t.Errorf("%v: stored %v", test.link, a.body["local_link_connection"])
		}
	}
	if a := r.at(82, "GET", "/v1/nodes/"+id+"/ports/detail", nil); len(a.body["ports"].([]any)) != 7 {
		t.Errorf("the node's ports: %s", a.text)
	}
}

func TestLockedNode(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.node(nil)
	r.backend.Edit(id, func(n *node) { n.Work.Reservation = "other" })
	for path, body := range map[string]any{"/states/power": map[string]any{"target": "power on"}, "/states/provision": map[string]any{"target": "manage"},
		"/maintenance": nil, "/states/console": map[string]any{"enabled": true}} {
		a := r.at(82, "PUT", "/v1/nodes/"+id+path, body)
		if want := "Node " + id + " is locked by host other, please retry after the current operation is completed."; a.status != 409 || a.fault() != want {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
	}
	if a := r.must(200, "GET", "/v1/nodes/"+id, nil); a.body["reservation"] != "other" {
		t.Errorf("reservation: %v", a.body["reservation"])
	}
}

func TestRestOfNode(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.node(map[string]any{"name": "n1"})
	at := "/v1/nodes/n1"
	if a := r.must(202, "PUT", at+"/maintenance", nil); a.text != "" || a.header.Get("Content-Type") != "" || a.header.Get("Location") != "" {
		t.Errorf("maintenance: %q %v", a.text, a.header)
	}
	r.must(202, "PUT", at+"/maintenance", map[string]any{"reason": "dust"})
	if a := r.must(200, "GET", at, nil); a.body["maintenance_reason"] != "dust" {
		t.Errorf("reason: %s", a.text)
	}
	r.must(202, "DELETE", at+"/maintenance", nil)
	if a := r.must(200, "GET", at+"/states/console", nil); a.text != `{"console_enabled":false,"console_info":null}` {
		t.Errorf("console: %s", a.text)
	}
	if a := r.must(202, "PUT", at+"/states/console", map[string]any{"enabled": "TRUE"}); a.header.Get("Location") != "http://api.test/v1/nodes/n1/states/console" {
		t.Errorf("Location: %q", a.header.Get("Location"))
	}
	if a := r.must(200, "GET", at+"/states/console", nil); a.text != `{"console_enabled":true,"console_info":{"type":"socat","url":"tcp://127.0.0.1:10000"}}` {
		t.Errorf("console: %s", a.text)
	}
	if a := r.must(200, "GET", at+"/management/boot_device", nil); a.text != `{"boot_device":null,"persistent":null}` {
		t.Errorf("boot device: %s", a.text)
	}
	r.must(204, "PUT", at+"/management/boot_device", map[string]any{"boot_device": "pxe", "persistent": "on"})
	if a := r.must(200, "GET", at+"/management/boot_device", nil); a.text != `{"boot_device":"pxe","persistent":true}` {
		t.Errorf("boot device: %s", a.text)
	}
	if a := r.must(200, "GET", at+"/management/boot_device/supported", nil); a.text != `{"supported_boot_devices":["pxe"]}` {
		t.Errorf("boot devices: %s", a.text)
	}
	r.must(204, "PUT", at+"/management/indicators/led@chassis", map[string]any{"state": "ON"})
	if a := r.must(200, "GET", at+"/management/indicators/led@chassis", nil); a.text != `{"state":"on"}` {
		t.Errorf("indicator: %s", a.text)
	}
	a := r.must(200, "GET", at+"/validate", nil)
	if a.body["vendor"] != nil || a.body["rescue"].(map[string]any)["result"] != false || a.body["deploy"].(map[string]any)["result"] != true {
		t.Errorf("validate: %s", a.text)
	}
	if b := r.must(200, "GET", "/v1/nodes/validate?node=n1", nil); b.text != a.text {
		t.Errorf("validate?node=: %s", b.text)
	}
	if a := r.must(200, "POST", at+"/vendor_passthru/echo", map[string]any{"x": 1}); a.text != `{"x":1}` {
		t.Errorf("vendor: %s", a.text)
	}
	r.must(202, "POST", at+"/vendor_passthru?method=later", nil)
	r.must(400, "POST", at+"/vendor_passthru/nope", nil)
	entry := baremetal.NewUUID()
	r.backend.Record(baremetal.HistoryEntry{UUID: entry, NodeUUID: id, Event: strings.Repeat("x", 300), Severity: baremetal.SeverityError})
	for _, path := range []string{"/history/detail", "/history?detail=true"} {
		if a := r.must(200, "GET", at+path, nil); !strings.Contains(a.text, `"event_type":`) {
			t.Errorf("%s: %s", path, a.text)
		}
	}
	list := r.must(200, "GET", at+"/history", nil).body["history"].([]any)[0].(map[string]any)
	if len(list["event"].(string)) != 255 || list["conductor"] != nil || list["severity"] != "ERROR" {
		t.Errorf("history: %v", list)
	}
	if a := r.must(200, "GET", at+"/history/"+entry, nil); len(a.body["event"].(string)) != 300 {
		t.Errorf("history entry: %s", a.text)
	}
}

func TestChassis(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.must(201, "POST", "/v1/chassis", map[string]any{"description": "13 Pis", "extra": map[string]any{"a": 1}})
	uuid, _ := a.body["uuid"].(string)
	if !strings.Contains(a.text, `"nodes":[[{"href":"http://api.test/v1/chassis/`+uuid+`/nodes","rel":"self"}`) {
		t.Errorf("nodes are not nested: %s", a.text)
	}
	id := r.node(map[string]any{"chassis_uuid": uuid})
	r.node(nil)
	if a := r.must(200, "GET", "/v1/chassis/"+uuid+"/nodes", nil); len(a.body["nodes"].([]any)) != 1 || !strings.Contains(a.text, id) {
		t.Errorf("nodes: %s", a.text)
	}
	r.must(200, "PATCH", "/v1/chassis/"+uuid, op("replace", "/description", "empty"))
	r.must(400, "DELETE", "/v1/chassis/"+uuid, nil)
	r.must(204, "DELETE", "/v1/nodes/"+id, nil)
	r.must(204, "DELETE", "/v1/chassis/"+uuid, nil)
	r.must(404, "GET", "/v1/chassis/"+uuid, nil)
}
