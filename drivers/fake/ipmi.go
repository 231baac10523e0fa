package fake

import (
	"maps"

	"caddyshack/drivers"
)

// IPMI returns fake-hardware under the name and interface names of Ironic's
// ipmi type, for clients that create nodes of nothing else. No BMC is contacted.
func IPMI() *drivers.HardwareType {
	h := HardwareType()
	h.Name = "ipmi"
	absent := func(what string) any { return drivers.Absent{Driver: h.Name, What: what} }
	h.Interfaces = map[string]map[string]any{
		"bios":       {"no-bios": absent("bios"), "fake": BIOS{}},
		"boot":       {"ipxe": validated{"boot"}, "pxe": validated{"boot"}},
		"console":    {"no-console": absent("console"), "ipmitool-socat": Console{}},
		"deploy":     {"direct": Deploy{}, "ramdisk": Deploy{}, "custom-agent": Deploy{}},
		"firmware":   {"no-firmware": absent("firmware")},
		"inspect":    {"no-inspect": absent("inspection"), "agent": Inspect{}},
		"management": {"ipmitool": Management{}, "noop": Management{}},
		"network":    {"noop": drivers.NoOp{}, "flat": drivers.NoOp{}},
		"power":      {"ipmitool": Power{}},
		"raid":       {"no-raid": absent("raid"), "agent": RAID{}},
		"rescue":     {"no-rescue": absent("rescue"), "agent": Rescue{}},
		"storage":    {"noop": drivers.NoOp{}},
		"vendor":     {"ipmitool": Vendor{}, "no-vendor": drivers.NoOp{}},
	}
	h.Defaults = map[string]string{
		"bios": "no-bios", "boot": "ipxe", "console": "no-console", "deploy": "direct", "firmware": "no-firmware",
		"inspect": "agent", "management": "ipmitool", "network": "noop", "power": "ipmitool", "raid": "no-raid",
		"rescue": "no-rescue", "storage": "noop", "vendor": "ipmitool",
	}
	maps.Copy(h.Properties, map[string]string{
		"ipmi_address":   "address of the BMC; not contacted. Optional.",
		"ipmi_port":      "port of the BMC; not contacted. Optional.",
		"ipmi_username":  "user at the BMC; not used. Optional.",
		"ipmi_password":  "password at the BMC; not used. Optional.",
		"deploy_kernel":  "kernel of the deploy agent; not used. Optional.",
		"deploy_ramdisk": "initial RAM disk of the deploy agent; not used. Optional.",
	})
	return h
}
