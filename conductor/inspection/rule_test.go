package inspection_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"caddyshack/conductor/inspection"
)

func data() *inspection.Data {
	var d inspection.Data
	const text = `{
		"Node": {"uuid": "u", "name": "n1", "properties": {"capabilities": "boot_mode:uefi,x:1"}, "driver_info": {}, "extra": {}, "traits": ["A"]},
		"Ports": [{"uuid": "p1", "address": "aa:bb:cc:dd:ee:ff", "extra": {}}],
		"Inventory": {"cpu": {"count": 4, "architecture": "aarch64"}, "memory": {"physical_mb": 8192}, "bmc_address": "10.1.2.3",
			"interfaces": [{"name": "eth0", "mac_address": "aa:bb:cc:dd:ee:ff"}, {"name": "wlan0", "mac_address": "aa:bb:cc:dd:ee:00"}]},
		"PluginData": {"flag": true, "list": [1]}}`
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&d); err != nil {
		panic(err)
	}
	return &d
}

func engine() *inspection.Engine {
	in := func(names ...string) func(string) bool {
		return func(s string) bool {
			for _, n := range names {
				if n == s {
					return true
				}
			}
			return false
		}
	}
	return &inspection.Engine{Settable: in("properties", "driver_info", "extra", "resource_class"), PortSettable: in("extra", "physical_network")}
}

func run(t *testing.T, e *inspection.Engine, d *inspection.Data, conditions, actions string) error {
	t.Helper()
	r, err := inspection.Parse("rule-1", false, conditions, actions)
	if err != nil {
		t.Fatal(err)
	}
	return e.Apply(t.Context(), []inspection.Rule{r}, d)
}

func TestConditions(t *testing.T) {
	t.Parallel()
	for condition, want := range map[string]bool{
		`{"op": "eq", "args": ["{inventory[cpu][count]}", 4]}`:                                                         true,
		`{"op": "eq", "args": ["{inventory.cpu.count}", "4"]}`:                                                         false,
		`{"op": "eq", "args": {"values": ["{inventory.cpu.count}", "4"], "force_strings": true}}`:                      true,
		`{"op": "!eq", "args": [1, 2]}`:                                                                                true,
		`{"op": "! eq", "args": [1, 1]}`:                                                                               false,
		`{"op": "lt", "args": [1, 2, 3]}`:                                                                              true,
		`{"op": "gt", "args": [3, 2, 2]}`:                                                                              false,
		`{"op": "gt", "args": ["{inventory[memory][physical_mb]}", 4096]}`:                                             true,
		`{"op": "is-empty", "args": ["{node[extra]}"]}`:                                                                true,
		`{"op": "is-none", "args": {"value": "{plugin_data.missing}"}}`:                                                true,
		`{"op": "is-true", "args": ["{plugin_data[flag]}"]}`:                                                           true,
		`{"op": "is-false", "args": ["no"]}`:                                                                           true,
		`{"op": "in-net", "args": ["{inventory[bmc_address]}", "10.0.0.0/8"]}`:                                         true,
		`{"op": "matches", "args": ["{node.name}", "n"]}`:                                                              false,
		`{"op": "contains", "args": ["{node.name}", "n"]}`:                                                             true,
		`{"op": "one-of", "args": ["{inventory.cpu.architecture}", ["x86_64", "aarch64"]]}`:                            true,
		`{"op": "contains", "args": ["{item[name]}", "^wlan"], "loop": "{inventory[interfaces]}"}`:                     true,
		`{"op": "contains", "args": ["{item[name]}", "^eth"], "loop": "{inventory[interfaces]}", "multiple": "all"}`:   false,
		`{"op": "contains", "args": ["{item[name]}", "^eth"], "loop": "{inventory[interfaces]}", "multiple": "first"}`: true,
		`{"op": "contains", "args": ["{item[name]}", "^eth"], "loop": "{inventory[interfaces]}", "multiple": "last"}`:  false,
		`{"op": "eq", "args": ["{{x}}", "{{x}}"]}`:                                                                     true,
		`{"op": "eq", "args": ["{node.name}-{inventory.cpu.count}", "n1-4"]}`:                                          true,
	} {
		d := data()
		if err := run(t, engine(), d, "["+condition+"]", `[{"op": "set-plugin-data", "args": ["held", true]}]`); err != nil {
			t.Errorf("%s: %v", condition, err)
		}
		if got := d.PluginData["held"] == true; got != want {
			t.Errorf("%s: %v, want %v", condition, got, want)
		}
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	d := data()
	err := run(t, engine(), d, "", `[
		{"op": "set-attribute", "args": ["/properties/cpus", "{inventory[cpu][count]}"]},
		{"op": "set-attribute", "args": {"path": "/driver_info/bmc", "value": "https://{inventory[bmc_address]}"}},
		{"op": "set-attribute", "args": ["resource_class", "pi"]},
		{"op": "extend-attribute", "args": ["/extra/macs", "{item[mac_address]}"], "loop": "{inventory[interfaces]}"},
		{"op": "extend-attribute", "args": {"path": "/extra/macs", "value": "aa:bb:cc:dd:ee:ff", "unique": true}},
		{"op": "del-attribute", "args": ["/extra/nothing/there"]},
		{"op": "set-capability", "args": ["cpu_vt", "true"]},
		{"op": "unset-capability", "args": ["x"]},
		{"op": "add-trait", "args": ["CUSTOM_PI"]}, {"op": "remove-trait", "args": ["A"]},
		{"op": "set-plugin-data", "args": ["a.b", 1]}, {"op": "extend-plugin-data", "args": ["list", 2]}, {"op": "unset-plugin-data", "args": ["flag"]},
		{"op": "set-port-attribute", "args": ["AA:BB:CC:DD:EE:FF", "/physical_network", "net1"]},
		{"op": "extend-port-attribute", "args": ["p1", "/extra/seen", "yes"]},
		{"op": "log", "args": ["hello {node.name}"]}]`)
	if err != nil {
		t.Fatal(err)
	}
	want := data()
	want.Node["properties"] = map[string]any{"capabilities": "boot_mode:uefi,cpu_vt:true", "cpus": json.Number("4")}
	want.Node["driver_info"] = map[string]any{"bmc": "https://10.1.2.3"}
	want.Node["resource_class"] = "pi"
	want.Node["extra"] = map[string]any{"macs": []any{"aa:bb:cc:dd:ee:ff", "aa:bb:cc:dd:ee:00"}}
	want.Node["traits"] = []any{"CUSTOM_PI"}
	want.PluginData = map[string]any{"a": map[string]any{"b": json.Number("1")}, "list": []any{json.Number("1"), json.Number("2")}}
	want.Ports[0]["physical_network"] = "net1"
	want.Ports[0]["extra"] = map[string]any{"seen": []any{"yes"}}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for action, says := range map[string]string{
		`{"op": "fail", "args": ["not ours: {node.name}"]}`:                  "not ours: n1",
		`{"op": "set-attribute", "args": ["/uuid", "x"]}`:                    "cannot be changed",
		`{"op": "set-attribute", "args": ["/extra//x", 1]}`:                  "empty part",
		`{"op": "set-attribute", "args": ["/extra/x", "{inventory[nope]}"]}`: "names nothing",
		`{"op": "set-attribute", "args": ["/extra/x"]}`:                      "value is missing",
		`{"op": "set-port-attribute", "args": ["p2", "/extra/x", 1]}`:        "no port",
		`{"op": "set-port-attribute", "args": ["p1", "/node_uuid", "x"]}`:    "cannot be changed",
		`{"op": "fly"}`: "no op",
		`{"op": "api-call", "args": ["http://x"]}`:     "not allowed",
		`{"op": "set-capability", "args": ["a:b", 1]}`: "cannot be a capability",
	} {
		err := run(t, engine(), data(), "", "["+action+"]")
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", action, err, says)
		}
	}
	d := data()
	if err := run(t, engine(), d, "", `[{"op": "set-attribute", "args": ["/extra/self", "{node}"]}]`); err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(d.Node); err != nil {
		t.Errorf("a node within itself: %v", err)
	}
	secret, err := inspection.Parse("rule-2", true, "", `[{"op": "fail", "args": ["hunter2"]}]`)
	if err != nil {
		t.Fatal(err)
	}
	if err := engine().Apply(t.Context(), []inspection.Rule{secret}, data()); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a sensitive rule tells: %v", err)
	}
}

func TestAPICall(t *testing.T) {
	t.Parallel()
	calls := 0
	e := engine()
	e.Call = func(_ context.Context, url string, headers map[string]string, timeout time.Duration) error {
		if calls++; calls < 3 {
			return errors.New("not yet")
		}
		if url != "http://x/n1" || headers["A"] != "1" || timeout != 2*time.Second {
			t.Errorf("called %q %v %s", url, headers, timeout)
		}
		return nil
	}
	err := run(t, e, data(), "", `[{"op": "api-call", "args": {"url": "http://x/{node.name}", "headers": {"A": 1}, "timeout": 2}}]`)
	if err != nil || calls != 3 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// FuzzRules: whatever a rule says, it ends without a panic.
func FuzzRules(f *testing.F) {
	f.Add(`[{"op":"eq","args":["{inventory[cpu][count]}",4],"loop":[1,2],"multiple":"all"}]`, `[{"op":"set-attribute","args":["/extra/a","{item}"],"loop":{"a":1}}]`)
	f.Add(`[{"op":"contains","args":{"value":"{","regex":"("}}]`, `[{"op":"extend-port-attribute","args":["p1","extra",{"a":"{node}"},true]}]`)
	f.Fuzz(func(t *testing.T, conditions, actions string) {
		r, err := inspection.Parse("r", false, conditions, actions)
		if err != nil {
			return
		}
		if err := engine().Apply(t.Context(), []inspection.Rule{r}, data()); err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
	})
}
