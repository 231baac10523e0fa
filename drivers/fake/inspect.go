package fake

import (
	"context"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// Inspect finds what driver_info says, or what is known of the node already.
type Inspect struct{}

// Validate fails on request.
func (Inspect) Validate(_ context.Context, t *drivers.Task) error {
	return failing(&t.Node, "validate.inspect")
}

// ExpectsAgent tells whether the node waits for an agent in an inspection.
func (Inspect) ExpectsAgent(n *baremetal.Node) bool { return waits(n, "inspect") }

// Inspect is done at once, or when the agent has sent its findings.
func (Inspect) Inspect(ctx context.Context, t *drivers.Task) (drivers.Result, error) {
	result, err := work(ctx, t, "inspect", "inspect")
	if err != nil || result.Wait != nil || t.Journal.Get(drivers.FindingsKey) != "" {
		return result, err
	}
	inventory, ok := t.Node.DriverInfo.Get(InventoryKey).(map[string]any)
	if !ok {
		inventory = known(t)
	}
	body, err := baremetal.NewObject(map[string]any{"inventory": inventory, "plugin_data": map[string]any{}})
	result.Documents = map[baremetal.DocumentKind]baremetal.Object{baremetal.InventoryDocument: body}
	return result, err
}

// known is the inventory of a machine that is just as its node says.
func known(t *drivers.Task) map[string]any {
	n := &t.Node
	interfaces := make([]any, 0, len(t.Ports))
	for _, p := range t.Ports {
		interfaces = append(interfaces, map[string]any{"name": p.Name, "mac_address": p.Address, "has_carrier": true})
	}
	cpu := map[string]any{"architecture": n.Properties.Str("cpu_arch")}
	if count, ok := n.Properties.Int("cpus"); ok {
		cpu["count"] = count
	}
	memory := map[string]any{}
	if mb, ok := n.Properties.Int("memory_mb"); ok {
		memory["physical_mb"], memory["total"] = mb, int64(mb)<<20
	}
	return map[string]any{"interfaces": interfaces, "cpu": cpu, "memory": memory, "disks": []any{},
		"system_vendor": map[string]any{"product_name": "fake", "manufacturer": "", "serial_number": n.UUID},
		"hostname":      n.Name}
}
