package netboot

import (
	"cmp"
	"strings"

	"caddyshack/baremetal"
)

// board is what all Pis of a model have.
type board struct {
	name, class string
	// memory in MiB, 0 if there are several sizes.
	memory int
}

var boards = map[string]board{
	"pi3":     {"Raspberry Pi 3 Model B", "rpi3", 1024},
	"pi3plus": {"Raspberry Pi 3 Model B+", "rpi3", 1024},
	"pi4":     {"Raspberry Pi 4", "rpi4", 0},
	"pi5":     {"Raspberry Pi 5", "rpi5", 0},
}

// memoryOf is the memory in MiB that a board's revision code tells; 0 if it does
// not: old ones have a number alone.
func memoryOf(revision uint32) int {
	const isCode, size, sizes, smallest = 1 << 23, 20, 7, 256
	if revision&isCode == 0 {
		return 0
	}
	return smallest << (revision >> size & sizes)
}

// memory is what the Pi has told, or what all of its model have, in MiB; 0 = not known.
func (p *Pi) memory() int { return cmp.Or(p.Memory, boards[p.Model].memory) }

// cores of every Pi that boots over the network.
const cores = 4

// inventory is the findings as an inspection agent would send them.
func (p *Pi) inventory() map[string]any {
	b := boards[p.Model]
	inventory := map[string]any{
		"cpu":    map[string]any{"architecture": "aarch64", "count": cores},
		"memory": map[string]any{}, "disks": []any{}, "interfaces": []any{},
		"system_vendor": map[string]any{"manufacturer": "Raspberry Pi", "product_name": b.name, "serial_number": p.Serial},
	}
	if m := p.memory(); m > 0 {
		inventory["memory"] = map[string]any{"physical_mb": m, "total": int64(m) << 20}
	}
	if p.MAC != "" {
		card := map[string]any{"name": "eth0", "mac_address": p.MAC, "has_carrier": true}
		if p.Address.IsValid() {
			card["ipv4_address"] = p.Address.String()
		}
		inventory["interfaces"] = []any{card}
		inventory["boot"] = map[string]any{"pxe_interface": p.MAC}
	}
	return map[string]any{"inventory": inventory, "plugin_data": map[string]any{"netboot": map[string]any{
		"model": p.Model, "serial": p.Serial, "mac": p.MAC}}}
}

// enter writes what was found into the node; what a person has set stays.
func (p *Pi) enter(n *baremetal.Node) {
	if n.DriverInfo.Str("serial_number") == "" && p.Serial != "" {
		n.DriverInfo = n.DriverInfo.With("serial_number", p.Serial)
	}
	set := func(key string, value any) {
		if n.Properties.Get(key) == nil {
			n.Properties = n.Properties.With(key, value)
		}
	}
	set("cpu_arch", "aarch64")
	set("cpus", cores)
	if m := p.memory(); m > 0 {
		set("memory_mb", m)
	}
	b, ok := boards[p.Model]
	if !ok {
		return
	}
	if caps := n.Properties.Str("capabilities"); !strings.Contains(","+caps, ",model:") {
		n.Properties = n.Properties.With("capabilities", strings.TrimPrefix(caps+",model:"+p.Model, ","))
	}
	if n.ResourceClass == "" {
		n.ResourceClass = b.class
	}
	if n.Description == "" || n.Description == "a Raspberry Pi" || n.Description == "a Raspberry Pi 5" {
		n.Description = b.name
	}
}
