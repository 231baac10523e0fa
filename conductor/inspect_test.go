package conductor_test

import (
	"strings"
	"testing"

	"caddyshack/baremetal"
)

// TestInspection makes ports of what was found, applies the stored rules, and
// keeps the findings.
func TestInspection(t *testing.T) {
	t.Parallel()
	r := start(t, openStore(t, t.TempDir()), nil)
	ctx := t.Context()
	for _, rule := range []baremetal.InspectionRule{
		{Priority: 1, Phase: "main", Actions: `[{"op": "set-attribute", "args": ["/extra/class", "{node.resource_class}"]}]`},
		{Priority: 10, Phase: "main", Conditions: `[{"op": "eq", "args": ["{inventory[cpu][architecture]}", "aarch64"]}]`,
			Actions: `[{"op": "set-attribute", "args": ["/resource_class", "pi"]}, {"op": "add-trait", "args": ["CUSTOM_PI"]},
				{"op": "set-plugin-data", "args": ["seen", true]},
				{"op": "set-port-attribute", "args": ["{item[mac_address]}", "/physical_network", "lab"], "loop": "{inventory[interfaces]}"}]`},
		{Priority: 5, Phase: "main", Conditions: `[{"op": "eq", "args": ["{node.name}", "bad"]}]`, Actions: `[{"op": "fail", "args": ["not this one"]}]`},
	} {
		if err := r.store.InspectionRules().Create(ctx, &rule, nil); err != nil {
			t.Fatal(err)
		}
	}
	fill := func(mac string) func(n *baremetal.Node) {
		inventory := map[string]any{"cpu": map[string]any{"architecture": "aarch64", "count": 4},
			"interfaces": []any{map[string]any{"name": "eth0", "mac_address": mac}}}
		return func(n *baremetal.Node) {
			n.ProvisionState = baremetal.Manageable
			n.DriverInfo = baremetal.MustObject(map[string]any{"fake_inventory": inventory, "fake_health": "OK"})
		}
	}
	n := r.node(t, "good", fill("AA:BB:CC:00:00:01"))
	r.verb(t, n.UUID, baremetal.VerbInspect)
	got := r.await(t, n.UUID, "inspected", func(n *baremetal.Node) bool { return !n.InspectionFinishedAt.IsZero() || n.LastError != "" })
	if got.LastError != "" || got.ProvisionState != baremetal.Manageable || got.ResourceClass != "pi" || got.Extra.Str("class") != "pi" ||
		!got.Traits.Has("CUSTOM_PI") || got.Properties.Str("cpu_arch") != "aarch64" || got.Health != "OK" {
		t.Errorf("%q %q extra %s traits %s properties %s health %q", got.LastError, got.ResourceClass, got.Extra, got.Traits, got.Properties, got.Health)
	}
	ports, err := r.store.Ports(ctx, baremetal.PortQuery{NodeUUID: &n.UUID})
	if err != nil || len(ports) != 1 || ports[0].Address != "aa:bb:cc:00:00:01" || ports[0].PhysicalNetwork != "lab" {
		t.Errorf("ports %+v %v", ports, err)
	}
	d, found, err := r.store.Document(ctx, n.UUID, baremetal.InventoryDocument)
	if !found || err != nil || !strings.Contains(string(d.Body), `"seen":true`) || !strings.Contains(string(d.Body), `"count":4`) {
		t.Errorf("kept %s %v", d.Body, err)
	}

	bad := r.node(t, "bad", fill("AA:BB:CC:00:00:02"))
	r.verb(t, bad.UUID, baremetal.VerbInspect)
	if got := r.awaitState(t, bad.UUID, baremetal.InspectFailed); !strings.Contains(got.LastError, "not this one") || got.ResourceClass != "" {
		t.Errorf("%q, class %q", got.LastError, got.ResourceClass)
	}

	waiting := r.node(t, "waiting", func(n *baremetal.Node) {
		n.ProvisionState, n.DriverInfo = baremetal.Manageable, info("fake_wait", "inspect")
	})
	found2 := map[string]any{"interfaces": []any{map[string]any{"mac_address": "aa:bb:cc:00:00:09"}}}
	if _, err := r.ContinueInspection(ctx, waiting.UUID, nil, found2, nil); !baremetal.IsKind(err, baremetal.NotFound) {
		t.Errorf("findings that nobody waits for: %v", err)
	}
	r.verb(t, waiting.UUID, baremetal.VerbInspect)
	r.awaitState(t, waiting.UUID, baremetal.InspectWait)
	if _, err := r.ContinueInspection(ctx, waiting.UUID, nil, found2, map[string]any{"error": "no disk"}); err != nil {
		t.Fatal(err)
	}
	if got := r.awaitState(t, waiting.UUID, baremetal.InspectFailed); !strings.Contains(got.LastError, "no disk") {
		t.Errorf("%q", got.LastError)
	}
	r.verb(t, waiting.UUID, baremetal.VerbInspect)
	r.awaitState(t, waiting.UUID, baremetal.InspectWait)
	if _, err := r.ContinueInspection(ctx, waiting.UUID, nil, found2, map[string]any{}); err != nil {
		t.Fatal(err)
	}
	r.awaitState(t, waiting.UUID, baremetal.Manageable)
	if ports, err := r.store.Ports(ctx, baremetal.PortQuery{NodeUUID: &waiting.UUID}); err != nil || len(ports) != 1 {
		t.Errorf("ports %+v %v", ports, err)
	}
}
