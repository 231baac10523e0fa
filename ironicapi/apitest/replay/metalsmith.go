package replay

import (
	"slices"
	"strings"
	"testing"
)

// Metalsmith is metalsmith's deploy of one of two machines, by its name, and its undeploy.
func Metalsmith(t *testing.T, url string, m, other Machine) {
	t.Helper()
	c := &client{t, url}
	const v = "1.58"

	// reserve
	found := listed(c.call(200, v, "GET", "/v1/nodes/detail?provision_state=available&associated=false&maintenance=false&resource_class=rpi4", nil), "nodes")
	for _, want := range []string{m.UUID, other.UUID} {
		if !slices.ContainsFunc(found, func(node map[string]any) bool { return node["uuid"] == want }) {
			t.Fatalf("%s is not among the candidates", want)
		}
	}
	a := c.call(201, v, "POST", "/v1/allocations", map[string]any{"name": m.Name, "resource_class": "rpi4", "candidate_nodes": []any{other.UUID, m.Name},
		"traits": []any{}, "extra": map[string]any{}})
	if a["state"] != "allocating" {
		t.Errorf("allocation: %v", a)
	}
	a = c.poll("allocated", v, "/v1/allocations/"+a["uuid"].(string), func(a map[string]any) bool { return a["state"] != "allocating" })
	node := c.call(200, v, "GET", "/v1/nodes/"+a["node_uuid"].(string), nil)
	if node["name"] != m.Name || node["instance_uuid"] != a["uuid"] || node["allocation_uuid"] != a["uuid"] {
		t.Fatalf("allocation %v, node %v %v", a, node["name"], node["instance_uuid"])
	}
	at := "/v1/nodes/" + node["uuid"].(string)

	// provision
	c.call(200, v, "PATCH", at, append(append(append(op("add", "/extra/metalsmith_created_ports", []any{}), op("add", "/extra/metalsmith_attached_ports", []any{"p1"})...),
		op("add", "/instance_info/image_source", m.Image)...), op("add", "/instance_info/capabilities", map[string]any{"boot_option": "local"})...))
	c.call(204, v, "POST", at+"/vifs", map[string]any{"id": "p1"})
	valid := c.call(200, v, "GET", at+"/validate", nil)
	for _, kind := range []string{"boot", "deploy", "management", "power"} {
		if valid[kind].(map[string]any)["result"] != true {
			t.Errorf("validate %s: %v", kind, valid[kind])
		}
	}
	c.call(202, v, "PUT", at+"/states/provision", map[string]any{"target": "active", "configdrive": map[string]any{
		"meta_data": map[string]any{"hostname": m.Name, "public_keys": map[string]any{"0": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"}}, "user_data": map[string]any{"users": []any{}}}})
	c.poll("active", v, at, func(a map[string]any) bool { return a["provision_state"] == "active" && a["reservation"] == nil })
	// without a Network service its query arrives here
	if ports := listed(c.call(200, v, "GET", "/v1/ports?binding:host_id="+node["uuid"].(string), nil), "ports"); len(ports) != 0 {
		t.Errorf("ports of the Network service: %v", ports)
	}
	if nics := listed(c.call(200, v, "GET", at+"/ports/detail", nil), "ports"); nics[0]["internal_info"].(map[string]any)["tenant_vif_port_id"] != "p1" {
		t.Errorf("interfaces: %v", nics)
	}

	// list and show
	if all := listed(c.call(200, v, "GET", "/v1/allocations?resource_class=rpi4", nil), "allocations"); len(all) != 1 {
		t.Errorf("allocations: %v", all)
	}
	c.call(200, v, "GET", at+"/allocation", nil)
	c.call(200, v, "PATCH", "/v1/allocations/"+m.Name, op("replace", "/name", "renamed"))

	// undeploy
	c.call(409, v, "DELETE", "/v1/allocations/renamed", nil)
	c.call(204, v, "DELETE", at+"/vifs/p1", nil)
	c.call(200, v, "PATCH", at, append(op("remove", "/extra/metalsmith_created_ports", nil), op("remove", "/extra/metalsmith_attached_ports", nil)...))
	c.call(202, v, "PUT", at+"/states/provision", map[string]any{"target": "deleted"})
	c.poll("available", v, at, func(a map[string]any) bool { return a["provision_state"] == "available" && a["reservation"] == nil })
	fault, _ := c.call(404, v, "GET", "/v1/allocations/renamed", nil)["error_message"].(string)
	if !strings.Contains(fault, "Allocation renamed could not be found.") {
		t.Errorf("the allocation after the teardown: %s", fault)
	}
}
