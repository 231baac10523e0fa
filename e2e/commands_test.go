//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestCommands goes through the other families of commands.
func TestCommands(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *site) {
		for _, family := range []struct {
			name string
			test func(*testing.T, *site)
		}{
			{"ports", ports},
			{"chassis", chassis},
			{"drivers", driverCommands},
			{"conductors", conductors},
			{"boot device", bootDevice},
			{"maintenance", maintenance},
			{"set and unset", setAndUnset},
			{"validate", validate},
			{"create and delete", createAndDelete},
			{"fake hardware", fakeHardware},
		} {
			t.Run(family.name, func(t *testing.T) {
				in := *s
				in.cli, in.api.t = s.with(t), t
				family.test(t, &in)
			})
		}
	})
}

// TestRealProcesses runs one command of each family as `openstack` itself: the
// other tests fork them from an interpreter that has done its imports.
func TestRealProcesses(t *testing.T) {
	t.Parallel()
	s := startDemo(t)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"node", "list"}, 0, "caddy-13"},
		{[]string{"node", "power", "on", "caddy-5"}, 0, ""},
		{[]string{"node", "manage", "caddy-5", "--wait", "60"}, 0, ""},
		{[]string{"node", "provide", "caddy-5", "--wait", "60"}, 0, ""},
		{[]string{"node", "history", "list", "caddy-5"}, 0, "UUID"},
		{[]string{"node", "console", "show", "caddy-5"}, 0, "console_enabled"},
		{[]string{"node", "show", "caddy-99"}, 1, "Node caddy-99 could not be found"},
		{[]string{"port", "list"}, 0, "dc:a6:32:ca:01:01"},
		{[]string{"driver", "list"}, 0, "fake-hardware"},
	} {
		r := s.cli.program(c.args...)
		if r.code != c.code || !strings.Contains(r.stdout+r.stderr, c.says) {
			t.Errorf("want exit code %d and %q: %v", c.code, c.says, r)
		}
	}
}

func ports(t *testing.T, s *site) {
	if rows := s.table("port", "list"); len(rows) != caddies {
		t.Errorf("port list has %d rows, want %d", len(rows), caddies)
	}
	rows := s.table("port", "list", "--node", "caddy-3")
	if len(rows) != 1 || rows[0]["Address"] != "dc:a6:32:ca:01:03" {
		t.Fatalf("ports of caddy-3: %v", rows)
	}
	port := s.object("port", "show", rows[0]["UUID"].(string))
	link, _ := port["local_link_connection"].(map[string]any)
	if link["port_id"] != "port3" || port["node_uuid"] != s.api.node("caddy-3").UUID {
		t.Errorf("port show: %v", port)
	}
	byAddress := s.object("port", "show", "--address", "DC:A6:32:CA:01:03")
	if byAddress["uuid"] != port["uuid"] {
		t.Errorf("port show --address: %v", byAddress)
	}
	s.conflict(http.MethodPost, "/v1/ports", map[string]any{"address": "dc:a6:32:ca:01:03", "node_uuid": s.api.node("caddy-4").UUID})
}

// conflict sends what is there already. The client would try it for 10 s.
func (s *site) conflict(method, path string, body any) {
	s.t.Helper()
	if said := (answer{body: s.api.json(method, path, body, http.StatusConflict)}).fault(); !strings.Contains(said, "already exists") {
		s.t.Errorf("%s %s of what is there: %q", method, path, said)
	}
}

func chassis(t *testing.T, s *site) {
	rows := s.table("chassis", "list")
	if len(rows) != 1 {
		t.Fatalf("chassis list: %v", rows)
	}
	uuid := rows[0]["UUID"].(string)
	if nodes := s.table("node", "list", "--chassis", uuid); len(nodes) != caddies {
		t.Errorf("node list --chassis has %d rows, want %d", len(nodes), caddies)
	}
	s.ok("chassis", "set", uuid, "--description", "under the desk")
	if got := s.object("chassis", "show", uuid)["description"]; got != "under the desk" {
		t.Errorf("description after set: %v", got)
	}
	s.refused([]string{"contains nodes"}, "chassis", "delete", uuid)
}

func driverCommands(t *testing.T, s *site) {
	var names []string
	for _, r := range s.table("driver", "list") {
		names = append(names, r["Supported driver(s)"].(string))
	}
	if got := strings.Join(names, " "); got != "caddy fake-hardware" {
		t.Errorf("driver list: %s", got)
	}
	d := s.object("driver", "show", "caddy")
	if d["default_deploy_interface"] != "nfs-root" || d["default_console_interface"] != "serial-shellinabox" || d["type"] != "dynamic" {
		t.Errorf("driver show: %v", d)
	}
	properties := fmt.Sprint(s.table("driver", "property", "list", "caddy"))
	for _, want := range []string{"backplane_unit", "slot", "console_port", "serial_number"} {
		if !strings.Contains(properties, want) {
			t.Errorf("driver property list does not name %s: %s", want, properties)
		}
	}
	s.refused([]string{"nosuch"}, "driver", "show", "nosuch")
}

func conductors(t *testing.T, s *site) {
	rows := s.table("conductor", "list", "--long")
	if len(rows) != 1 || rows[0]["Alive"] != true {
		t.Fatalf("conductor list: %v", rows)
	}
	shown := s.object("conductor", "show", rows[0]["Hostname"].(string))
	if fmt.Sprint(shown["drivers"]) != "[caddy fake-hardware]" {
		t.Errorf("conductor show: %v", shown)
	}
}

func bootDevice(t *testing.T, s *site) {
	if got := s.object("node", "boot", "device", "show", "caddy-1", "--supported"); !strings.Contains(fmt.Sprint(got), "pxe") {
		t.Errorf("supported boot devices: %v", got)
	}
	s.ok("node", "boot", "device", "set", "caddy-1", "pxe", "--persistent")
	if got := s.object("node", "boot", "device", "show", "caddy-1"); got["boot_device"] != "pxe" {
		t.Errorf("boot device show: %v", got)
	}
	s.refused([]string{"floppy"}, "node", "boot", "device", "set", "caddy-1", "floppy")
}

func maintenance(t *testing.T, s *site) {
	s.ok("node", "maintenance", "set", "caddy-1", "--reason", "fan is loud")
	if n := s.object("node", "show", "caddy-1"); n["maintenance"] != true || n["maintenance_reason"] != "fan is loud" {
		t.Errorf("in maintenance: %v, reason %v", n["maintenance"], n["maintenance_reason"])
	}
	if rows := s.table("node", "list", "--maintenance"); len(rows) != 1 {
		t.Errorf("node list --maintenance: %v", rows)
	}
	s.ok("node", "maintenance", "unset", "caddy-1")
	if n := s.object("node", "show", "caddy-1"); n["maintenance"] != false || n["maintenance_reason"] != nil {
		t.Errorf("out of maintenance: %v, reason %v", n["maintenance"], n["maintenance_reason"])
	}
}

func setAndUnset(t *testing.T, s *site) {
	s.ok("node", "set", "caddy-2", "--property", "rack=7", "--extra", "owner_phone=12", "--description", "the loud one",
		"--resource-class", "quiet", "--instance-info", "image_source=builtin:demo", "--name", "renamed")
	n := s.object("node", "show", "renamed")
	if fmt.Sprint(n["properties"].(map[string]any)["rack"]) != "7" || fmt.Sprint(n["extra"].(map[string]any)["owner_phone"]) != "12" ||
		n["description"] != "the loud one" || n["resource_class"] != "quiet" || n["instance_info"].(map[string]any)["image_source"] != "builtin:demo" {
		t.Errorf("after set: %v", n)
	}
	if rows := s.table("node", "list", "--resource-class", "quiet"); len(rows) != 1 {
		t.Errorf("node list --resource-class: %v", rows)
	}
	s.ok("node", "unset", "renamed", "--property", "rack", "--extra", "owner_phone", "--description", "--instance-info", "image_source")
	n = s.object("node", "show", "renamed")
	if n["description"] != nil || len(n["instance_info"].(map[string]any)) != 0 || n["properties"].(map[string]any)["rack"] != nil {
		t.Errorf("after unset: %v", n)
	}
	s.ok("node", "set", "renamed", "--name", "caddy-2", "--resource-class", "rpi4")
	s.conflict(http.MethodPatch, "/v1/nodes/caddy-2", []map[string]any{{"op": "replace", "path": "/name", "value": "caddy-1"}})
}

func validate(t *testing.T, s *site) {
	byName := func(node string) map[string]map[string]any {
		m := map[string]map[string]any{}
		for _, r := range s.table("node", "validate", node) {
			m[r["Interface"].(string)] = r
		}
		return m
	}
	good := byName("caddy-1")
	for _, i := range []string{"power", "management", "boot", "deploy", "console", "network"} {
		if good[i]["Result"] != true {
			t.Errorf("validate of %s: %v", i, good[i])
		}
	}
	for node, holds := range map[string]string{"caddy-12": "network switch", "caddy-13": "Odroid"} {
		v := byName(node)
		if v["deploy"]["Result"] != false || !strings.Contains(fmt.Sprint(v["deploy"]["Reason"]), holds) || v["power"]["Result"] != true {
			t.Errorf("validate of %s: deploy %v, power %v", node, v["deploy"], v["power"])
		}
	}
}

func createAndDelete(t *testing.T, s *site) {
	s.ok("node", "create", "--driver", "caddy", "--name", "spare", "--driver-info", "backplane_unit=bpu-9", "--driver-info", "slot=1")
	s.conflict(http.MethodPost, "/v1/nodes", map[string]any{"driver": "caddy", "name": "spare"})
	// A unit that nobody has heard of yet: the node exists, its power is unknown.
	if got := s.api.node("spare"); got.Power != nil {
		t.Errorf("power of a node whose unit is not there: %q", *got.Power)
	}
	s.refused(nil, "node", "manage", "spare", "--wait", "60")
	if n := s.api.node("spare"); !strings.Contains(text(n.LastError), "unit bpu-9 has never been heard on the bus") {
		t.Errorf("last_error: %q", text(n.LastError))
	}
	s.ok("node", "delete", "spare")
	s.refused([]string{"could not be found"}, "node", "show", "spare")
}

func fakeHardware(t *testing.T, s *site) {
	s.ok("node", "create", "--driver", "fake-hardware", "--name", "fake-1")
	s.ok("node", "manage", "fake-1", "--wait", "60")
	s.ok("node", "provide", "fake-1", "--wait", "60")
	s.ok("node", "set", "fake-1", "--instance-info", "image_source=file:///nothing")
	s.ok("node", "deploy", "fake-1", "--wait", "60")
	s.ok("node", "undeploy", "fake-1", "--wait", "60")
	s.ok("node", "delete", "fake-1")
}
