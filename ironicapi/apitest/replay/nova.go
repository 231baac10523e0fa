package replay

import (
	"slices"
	"testing"

	"caddyshack/baremetal"
)

// What Nova's ironic driver reads of nodes.
const novaFields = "uuid,power_state,target_power_state,provision_state,target_provision_state,last_error,maintenance,properties,instance_uuid,traits,resource_class"

// nova is a compute service: the SDK reads nodes at 1.76, the older client does the rest at 1.46.
type nova struct {
	*client
	server, node string
}

// wait polls as Nova does: the list by instance, until the node is as wanted.
func (n *nova) wait(what string, ok func(node map[string]any) bool) map[string]any {
	n.t.Helper()
	var found map[string]any
	n.poll(what, "1.76", "/v1/nodes?fields="+novaFields+"&instance_uuid="+n.server, func(a map[string]any) bool {
		list := listed(a, "nodes")
		if len(list) != 1 {
			return false
		}
		found = list[0]
		return ok(found)
	})
	return found
}

func (n *nova) idle(power string) {
	n.t.Helper()
	n.wait("idle and "+power, func(node map[string]any) bool {
		return node["target_power_state"] == nil && node["power_state"] == power
	})
	n.poll("unlocked", "1.46", "/v1/nodes/"+n.node, func(a map[string]any) bool { return a["reservation"] == nil })
}

func (n *nova) power(body map[string]any, power string) {
	n.t.Helper()
	n.call(202, "1.46", "PUT", "/v1/nodes/"+n.node+"/states/power", body)
	n.idle(power)
}

func (n *nova) provision(body map[string]any, state string) {
	n.t.Helper()
	n.call(202, "1.46", "PUT", "/v1/nodes/"+n.node+"/states/provision", body)
	n.wait(state, func(node map[string]any) bool {
		return node["provision_state"] == state && node["target_provision_state"] == nil
	})
	n.poll("unlocked", "1.46", "/v1/nodes/"+n.node, func(a map[string]any) bool { return a["reservation"] == nil })
}

// Nova is what nova-compute asks of the service at url, from its start to the
// delete of a server on the machine.
func Nova(t *testing.T, url string, m Machine) {
	t.Helper()
	id := m.UUID
	n := &nova{client: &client{t, url}, server: baremetal.NewUUID(), node: id}
	at, vif := "/v1/nodes/"+id, baremetal.NewUUID()

	// start, and the resource tracker
	if v := listed(n.call(200, "", "GET", "/", nil), "versions"); len(v) != 1 || v[0]["min_version"] != "1.1" {
		t.Fatalf("discovery: %v", v)
	}
	n.call(200, "", "GET", "/v1", nil)
	list := listed(n.call(200, "1.76", "GET", "/v1/nodes?fields="+novaFields, nil), "nodes")
	mine := slices.IndexFunc(list, func(node map[string]any) bool { return node["uuid"] == id })
	if mine < 0 || list[mine]["resource_class"] != "rpi4" || !slices.Equal(list[mine]["traits"].([]any), []any{"CUSTOM_POE"}) || list[mine]["power_state"] != "power off" {
		t.Fatalf("inventory: %v", list)
	}
	if used := listed(n.call(200, "1.76", "GET", "/v1/nodes?associated=True&fields=instance_uuid", nil), "nodes"); len(used) != 0 {
		t.Errorf("in use: %v", used)
	}

	// claim: the second one loses
	n.call(200, "1.76", "GET", at+"?fields="+novaFields, nil)
	claim := op("replace", "/instance_uuid", n.server)
	n.call(200, "1.76", "PATCH", at, claim)
	n.call(409, "1.76", "PATCH", at, op("replace", "/instance_uuid", baremetal.NewUUID()))

	// spawn
	var info []any
	for key, value := range map[string]any{"image_source": m.Image, "root_gb": "0", "swap_mb": "0", "display_name": "vm1",
		"vcpus": "4", "nova_host_id": "compute", "memory_mb": "8192", "local_gb": "0", "traits": []any{"CUSTOM_POE"}} {
		info = append(info, op("add", "/instance_info/"+key, value)...)
	}
	n.call(200, "1.46", "PATCH", at, info)
	for _, kind := range []string{"connectors", "targets"} {
		if got := listed(n.call(200, "1.46", "GET", "/v1/volume/"+kind+"?detail=True&node="+id, nil), kind); len(got) != 0 {
			t.Errorf("volume %s: %v", kind, got)
		}
	}
	n.call(200, "1.46", "GET", at+"/ports/detail", nil)
	n.call(200, "1.46", "GET", "/v1/portgroups/detail?node="+id, nil)
	n.call(204, "1.46", "POST", at+"/vifs", map[string]any{"id": vif})
	n.call(409, "1.46", "POST", at+"/vifs", map[string]any{"id": vif}) // a retry of the same
	if p := listed(n.call(200, "1.46", "GET", at+"/ports/detail", nil), "ports"); p[0]["internal_info"].(map[string]any)["tenant_vif_port_id"] != vif {
		t.Errorf("the port carries %v", p[0]["internal_info"])
	}
	valid := n.call(200, "1.46", "GET", at+"/validate", nil)
	for _, kind := range []string{"deploy", "power", "storage"} {
		if valid[kind].(map[string]any)["result"] != true {
			t.Errorf("validate %s: %v", kind, valid[kind])
		}
	}
	n.provision(map[string]any{"target": "active", "configdrive": m.ConfigDrive}, "active")
	n.idle("power on")

	// life
	n.power(map[string]any{"target": "soft power off", "timeout": m.SoftTimeout}, "power off")
	n.power(map[string]any{"target": "power on"}, "power on")
	n.power(map[string]any{"target": "soft rebooting", "timeout": m.SoftTimeout}, "power on")
	n.power(map[string]any{"target": "rebooting"}, "power on")
	for _, on := range []bool{true, false, true} {
		n.call(202, "1.46", "PUT", at+"/states/console", map[string]any{"enabled": on})
		n.poll("switched", "1.46", at+"/states/console", func(a map[string]any) bool { return a["console_enabled"] == on })
		n.poll("unlocked", "1.46", at, func(a map[string]any) bool { return a["reservation"] == nil })
	}
	n.power(map[string]any{"target": "soft power off", "timeout": m.SoftTimeout}, "power off")
	n.provision(map[string]any{"target": "rescue", "rescue_password": "hush"}, "rescue")
	n.provision(map[string]any{"target": "unrescue"}, "active")
	n.call(200, "1.46", "PATCH", at, op("add", "/instance_info/image_source", m.OtherImage))
	n.provision(map[string]any{"target": "rebuild", "configdrive": m.ConfigDrive}, "active")
	if vifs := listed(n.call(200, "1.46", "GET", at+"/vifs", nil), "vifs"); len(vifs) != 1 {
		t.Errorf("a rebuild lost the virtual interface: %v", vifs)
	}

	// delete
	n.call(202, "1.46", "PUT", at+"/states/provision", map[string]any{"target": "deleted"})
	n.poll("torn down", "1.76", "/v1/nodes?fields="+novaFields+"&instance_uuid="+n.server, func(a map[string]any) bool {
		list := listed(a, "nodes")
		return len(list) == 0 || slices.Contains([]any{nil, "cleaning", "clean wait", "clean failed", "available"}, list[0]["provision_state"])
	})
	n.call(200, "1.46", "GET", at+"/volume/targets?detail=True", nil)
	n.poll("available", "1.46", at, func(a map[string]any) bool { return a["provision_state"] == "available" && a["reservation"] == nil })
	n.call(400, "1.46", "DELETE", at+"/vifs/"+vif, nil) // gone with the teardown: Nova takes that for done
	node := n.call(200, "1.76", "GET", at, nil)
	if node["instance_uuid"] != nil || len(node["instance_info"].(map[string]any)) != 0 {
		t.Errorf("after the delete: %v %v", node["instance_uuid"], node["instance_info"])
	}

	// a spawn that fails before its deploy
	n.call(200, "1.76", "PATCH", at, claim)
	n.call(200, "1.46", "PATCH", at, op("add", "/instance_info/image_source", "x"))
	n.call(200, "1.46", "PATCH", at, append(op("remove", "/instance_info", nil), op("remove", "/instance_uuid", nil)...))
}
