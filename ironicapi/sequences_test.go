package ironicapi_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"caddyshack/baremetal"
)

// client is a program that speaks to the service over the network, as Nova and
// metalsmith do.
type client struct {
	t    *testing.T
	base string
}

func (r *rig) client(t *testing.T) *client {
	t.Helper()
	s := httptest.NewServer(r.handler)
	t.Cleanup(s.Close)
	return &client{t: t, base: s.URL}
}

// call sends a request at a version ("" = none); both headers go out, as openstacksdk's do.
func (c *client) call(status int, version, method, path string, body any) map[string]any {
	c.t.Helper()
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, in)
	if err != nil {
		c.t.Fatal(err)
	}
	if version != "" {
		req.Header.Set("X-OpenStack-Ironic-API-Version", version)
		req.Header.Set("OpenStack-API-Version", "baremetal "+version)
	}
	req.Header.Set("X-Auth-Token", "ignored")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if closeErr := answer.Body.Close(); err != nil || closeErr != nil {
		c.t.Fatal(err, closeErr)
	}
	if answer.StatusCode != status {
		c.t.Fatalf("%s %s: %d %s, want %d", method, path, answer.StatusCode, text, status)
	}
	out := map[string]any{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return out
}

// poll repeats a request until done, for at most 15 s.
func (c *client) poll(what, version, path string, done func(map[string]any) bool) map[string]any {
	c.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		a := c.call(200, version, "GET", path, nil)
		if done(a) {
			return a
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("still not %s after 15 s: %v", what, a)
		}
		<-tick.C
	}
}

func listed(a map[string]any, key string) []map[string]any {
	var out []map[string]any
	list, _ := a[key].([]any)
	for _, item := range list {
		m, _ := item.(map[string]any)
		out = append(out, m)
	}
	return out
}

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

// configDriveText is a config drive as Nova sends it: gzipped (here: nothing) and in base64.
const configDriveText = "H4sIAAAAAAAA/wMAAAAAAAAAAAA="

// TestNova replays what nova-compute asks of the service, from start to delete.
func TestNova(t *testing.T) {
	t.Parallel()
	r, _ := newRealRig(t)
	id := r.available(map[string]any{"name": "caddy-1", "resource_class": "rpi4", "network_interface": "flat",
		"properties": map[string]any{"cpus": 4, "memory_mb": 8192, "local_gb": 0, "cpu_arch": "aarch64"}})
	r.must(204, "PUT", "/v1/nodes/"+id+"/traits", map[string]any{"traits": []any{"CUSTOM_POE"}})
	port, _ := r.must(201, "POST", "/v1/ports", map[string]any{"node_uuid": id, "address": "aa:bb:cc:dd:ee:01"}).body["uuid"].(string)
	n := &nova{client: r.client(t), server: baremetal.NewUUID(), node: id}
	at, vif := "/v1/nodes/"+id, baremetal.NewUUID()

	// start, and the resource tracker
	if v := listed(n.call(200, "", "GET", "/", nil), "versions"); len(v) != 1 || v[0]["min_version"] != "1.1" {
		t.Fatalf("discovery: %v", v)
	}
	n.call(200, "", "GET", "/v1", nil)
	list := listed(n.call(200, "1.76", "GET", "/v1/nodes?fields="+novaFields, nil), "nodes")
	if len(list) != 1 || list[0]["resource_class"] != "rpi4" || !slices.Equal(list[0]["traits"].([]any), []any{"CUSTOM_POE"}) || list[0]["power_state"] != "power off" {
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
	for key, value := range map[string]any{"image_source": "0b1ad7a0-1d0b-4b0b-9d0d-2d7a3d8e2a11", "root_gb": "0", "swap_mb": "0", "display_name": "vm1",
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
		t.Errorf("port %s carries %v", port, p[0]["internal_info"])
	}
	valid := n.call(200, "1.46", "GET", at+"/validate", nil)
	for _, kind := range []string{"deploy", "power", "storage"} {
		if valid[kind].(map[string]any)["result"] != true {
			t.Errorf("validate %s: %v", kind, valid[kind])
		}
	}
	n.provision(map[string]any{"target": "active", "configdrive": configDriveText}, "active")
	n.idle("power on")

	// life
	n.power(map[string]any{"target": "soft power off", "timeout": 60}, "power off")
	n.power(map[string]any{"target": "power on"}, "power on")
	n.power(map[string]any{"target": "soft rebooting", "timeout": 60}, "power on")
	n.power(map[string]any{"target": "rebooting"}, "power on")
	for _, on := range []bool{true, false, true} {
		n.call(202, "1.46", "PUT", at+"/states/console", map[string]any{"enabled": on})
		n.poll("switched", "1.46", at+"/states/console", func(a map[string]any) bool { return a["console_enabled"] == on })
		n.poll("unlocked", "1.46", at, func(a map[string]any) bool { return a["reservation"] == nil })
	}
	n.power(map[string]any{"target": "soft power off", "timeout": 60}, "power off")
	n.provision(map[string]any{"target": "rescue", "rescue_password": "hush"}, "rescue")
	n.provision(map[string]any{"target": "unrescue"}, "active")
	n.call(200, "1.46", "PATCH", at, op("add", "/instance_info/image_source", "7b1ad7a0-1d0b-4b0b-9d0d-2d7a3d8e2a11"))
	n.provision(map[string]any{"target": "rebuild", "configdrive": configDriveText}, "active")
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

// TestMetalsmith replays metalsmith's deploy and undeploy.
func TestMetalsmith(t *testing.T) {
	t.Parallel()
	r, _ := newRealRig(t)
	for _, name := range []string{"caddy-1", "caddy-2"} {
		id := r.available(map[string]any{"name": name, "resource_class": "rpi4", "network_interface": "flat",
			"properties": map[string]any{"capabilities": "rack:1", "cpu_arch": "aarch64"}})
		r.must(201, "POST", "/v1/ports", map[string]any{"node_uuid": id, "address": "aa:bb:cc:dd:ee:0" + name[6:]})
	}
	c := r.client(t)
	const v = "1.58"

	// reserve
	found := listed(c.call(200, v, "GET", "/v1/nodes/detail?provision_state=available&associated=false&maintenance=false&resource_class=rpi4", nil), "nodes")
	if len(found) != 2 {
		t.Fatalf("candidates: %v", found)
	}
	a := c.call(201, v, "POST", "/v1/allocations", map[string]any{"name": "caddy-2", "resource_class": "rpi4", "candidate_nodes": []any{found[0]["uuid"], "caddy-2"},
		"traits": []any{}, "extra": map[string]any{}})
	if a["state"] != "allocating" {
		t.Errorf("allocation: %v", a)
	}
	a = c.poll("allocated", v, "/v1/allocations/"+a["uuid"].(string), func(a map[string]any) bool { return a["state"] != "allocating" })
	node := c.call(200, v, "GET", "/v1/nodes/"+a["node_uuid"].(string), nil)
	if node["name"] != "caddy-2" || node["instance_uuid"] != a["uuid"] || node["allocation_uuid"] != a["uuid"] {
		t.Fatalf("allocation %v, node %v %v", a, node["name"], node["instance_uuid"])
	}
	at := "/v1/nodes/" + node["uuid"].(string)

	// provision
	c.call(200, v, "PATCH", at, append(append(append(op("add", "/extra/metalsmith_created_ports", []any{}), op("add", "/extra/metalsmith_attached_ports", []any{"p1"})...),
		op("add", "/instance_info/image_source", "http://images/pi.img")...), op("add", "/instance_info/capabilities", map[string]any{"boot_option": "local"})...))
	c.call(204, v, "POST", at+"/vifs", map[string]any{"id": "p1"})
	valid := c.call(200, v, "GET", at+"/validate", nil)
	for _, kind := range []string{"boot", "deploy", "management", "power"} {
		if valid[kind].(map[string]any)["result"] != true {
			t.Errorf("validate %s: %v", kind, valid[kind])
		}
	}
	c.call(202, v, "PUT", at+"/states/provision", map[string]any{"target": "active", "configdrive": map[string]any{
		"meta_data": map[string]any{"hostname": "caddy-2", "public_keys": map[string]any{"0": "ssh-ed25519 AAAA"}}, "user_data": map[string]any{"users": []any{}}}})
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
	c.call(200, v, "PATCH", "/v1/allocations/caddy-2", op("replace", "/name", "renamed"))

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
