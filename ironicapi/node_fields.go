package ironicapi

import (
	"maps"
	"regexp"
	"strings"
	"time"

	"caddyshack/baremetal"
)

type node = baremetal.Node

const (
	inCreate = creatable
	inBoth   = creatable | patchable
)

// Limits of node fields, in characters.
const (
	longestName        = 255
	longestClass       = 80
	longestDescription = 4096
)

var (
	// hostLike is what a node's name had to be before 1.10.
	hostLike       = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
	groupName      = regexp.MustCompile(`^[a-z0-9_.-]*$`)
	nodeTable      = table[node]{resource: "node", fields: nodeFields()}
	interfaceSince = map[string]int{
		"bios": 40, "boot": 31, "console": 31, "deploy": 31, "firmware": 86, "inspect": 31, "management": 31,
		"network": 20, "power": 31, "raid": 31, "rescue": 38, "storage": 33, "vendor": 31,
	}
)

// nodeFields is the table of section "Node" of the API reference.
func nodeFields() []field[node] {
	f := []field[node]{
		text("uuid", 1, listed|sortable|inCreate|notNull, func(n *node) *string { return &n.UUID }, 0, isUUID("uuid")),
		nodeName(),
		text("driver", 1, sortable|inBoth|required|notNull, func(n *node) *string { return &n.Driver }, 255, notBlank("driver")),
		secretObject("driver_info", 1, inBoth, func(n *node) *baremetal.Object { return &n.DriverInfo }),
		readOnlySecret("driver_internal_info", 3, func(n *node) baremetal.Object { return n.DriverInternalInfo }),
		object("properties", 1, inBoth, func(n *node) *baremetal.Object { return &n.Properties }, numbers("cpus", "memory_mb", "local_gb")),
		object("extra", 1, inBoth, func(n *node) *baremetal.Object { return &n.Extra }),
		secretObject("instance_info", 1, inBoth, func(n *node) *baremetal.Object { return &n.InstanceInfo }),
		text("instance_uuid", 1, listed|sortable|inBoth, func(n *node) *string { return &n.InstanceUUID }, 0, isUUID("instance_uuid")),
		text("instance_name", 104, sortable|inBoth, func(n *node) *string { return &n.InstanceName }, 255, notBlank("instance_name")),
		text("chassis_uuid", 1, sortable|inBoth, func(n *node) *string { return &n.ChassisUUID }, 0, isUUID("chassis_uuid")),
		stateField("power_state", 1, listed|sortable, func(n *node) string { return string(n.PowerState) }),
		stateField("target_power_state", 1, sortable, func(n *node) string { return string(n.TargetPowerState) }),
		shown("provision_state", 1, typeString, listed|sortable, func(b []byte, e *encoding, n *node) []byte {
			return appendNullable(b, shownState(n.ProvisionState, e.minor))
		}),
		stateField("target_provision_state", 1, sortable, func(n *node) string { return string(n.TargetProvisionState) }),
		stamp("provision_updated_at", 1, sortable, func(n *node) time.Time { return n.ProvisionUpdatedAt }),
		stateField("last_error", 1, sortable, func(n *node) string { return n.LastError }),
		stateField("reservation", 1, sortable, func(n *node) string { return n.Work.Reservation }),
		flag("maintenance", 1, listed|sortable|inBoth, false, func(n *node) *bool { return &n.Maintenance }),
		stateField("maintenance_reason", 1, sortable, func(n *node) string { return n.MaintenanceReason }),
		stateField("fault", 42, sortable, func(n *node) string { return n.Fault }),
		flagShown("console_enabled", 1, func(n *node) bool { return n.ConsoleEnabled }),
		readOnlySecret("clean_step", 7, func(n *node) baremetal.Object { return n.CleanStep }),
		readOnlySecret("deploy_step", 44, func(n *node) baremetal.Object { return n.DeployStep }),
		readOnlySecret("service_step", 87, func(n *node) baremetal.Object { return n.ServiceStep }),
		readOnlySecret("raid_config", 12, func(n *node) baremetal.Object { return n.RAIDConfig }),
		readOnlySecret("target_raid_config", 12, func(n *node) baremetal.Object { return n.TargetRAIDConfig }),
		stamp("inspection_started_at", 6, sortable, func(n *node) time.Time { return n.InspectionStartedAt }),
		stamp("inspection_finished_at", 6, sortable, func(n *node) time.Time { return n.InspectionFinishedAt }),
		text("resource_class", 21, sortable|inBoth, func(n *node) *string { return &n.ResourceClass }, longestClass),
		shown("traits", 37, typeArray, 0, func(b []byte, _ *encoding, n *node) []byte { return append(b, n.Traits.Text()...) }),
		conductorGroup(),
		automatedClean(),
		flag("protected", 48, sortable|patchable, false, func(n *node) *bool { return &n.Protected }),
		text("protected_reason", 48, sortable|patchable, func(n *node) *string { return &n.ProtectedReason }, longestDescription),
		shown("conductor", 49, typeString, 0, func(b []byte, e *encoding, n *node) []byte { return appendNullable(b, e.host(n)) }),
		text("owner", 50, sortable|inBoth, func(n *node) *string { return &n.Owner }, 255),
		text("description", 51, sortable|inBoth, func(n *node) *string { return &n.Description }, longestDescription),
		stateField("allocation_uuid", 52, sortable, func(n *node) string { return n.AllocationUUID }),
		flag("retired", 61, sortable|inBoth, false, func(n *node) *bool { return &n.Retired }),
		text("retired_reason", 61, sortable|inBoth, func(n *node) *string { return &n.RetiredReason }, longestDescription),
		text("lessee", 65, sortable|inBoth, func(n *node) *string { return &n.Lessee }, 255),
		object("network_data", 66, inBoth, func(n *node) *baremetal.Object { return &n.NetworkData }, networkData),
		stateField("boot_mode", 75, sortable, func(n *node) string { return n.BootMode }),
		shown("secure_boot", 75, typeBool, sortable, func(b []byte, _ *encoding, n *node) []byte { return appendOptionalBool(b, n.SecureBoot) }),
		text("shard", 82, sortable|inBoth, func(n *node) *string { return &n.Shard }, 255),
		text("parent_node", 83, sortable|inBoth, func(n *node) *string { return &n.ParentNode }, 0, isUUID("parent_node")),
		flag("disable_power_off", 95, sortable|inBoth, false, func(n *node) *bool { return &n.DisablePowerOff }),
		stateField("health", 109, sortable, func(n *node) string { return n.Health }),
		stamp("created_at", 1, sortable, func(n *node) time.Time { return n.CreatedAt }),
		stamp("updated_at", 1, sortable, func(n *node) time.Time { return n.UpdatedAt }),
	}
	for _, kind := range baremetal.InterfaceKinds() {
		f = append(f, interfaceField(kind))
	}
	for _, sub := range []struct {
		name  string
		since int
	}{{"ports", 1}, {"states", 14}, {"portgroups", 24}, {"volume", 32}} {
		rest := "/" + sub.name
		f = append(f, shown(sub.name, sub.since, typeArray, hidden, func(b []byte, e *encoding, n *node) []byte {
			return appendLinks(b, e.base, "nodes/", n.UUID, rest)
		}))
	}
	f = append(f, links("nodes", func(n *node) string { return n.UUID }))
	for i := range f {
		switch f[i].name {
		case "last_error", "reservation", "driver_info", "driver_internal_info":
			f[i].enc = redacted(&f[i])
		}
	}
	return f
}

// redacted encodes a field about the infrastructure, which those to whom a node
// is only lent do not see.
func redacted(f *field[node]) func([]byte, *encoding, *node) []byte {
	plain := f.enc
	text := string(appendString(nil, "** Redacted - requires baremetal:node:get:"+f.name+" permission. **"))
	if f.typ == typeObject {
		text = `{"content":` + text + `}`
	}
	return func(b []byte, e *encoding, n *node) []byte {
		if !e.may(ownerReader, targetOf(n)) {
			return append(b, text...)
		}
		return plain(b, e, n)
	}
}

// shownState is the provision state as a version knows it.
func shownState(s baremetal.ProvisionState, minor int) string {
	switch {
	case s == baremetal.Available && minor < 2:
		return ""
	case s == baremetal.InspectWait && minor < 39:
		return string(baremetal.Inspecting)
	}
	return string(s)
}

// stateField is a read-only string, null when empty.
func stateField(name string, since int, o option, at func(*node) string) field[node] {
	return shown(name, since, typeString, o, func(b []byte, _ *encoding, n *node) []byte { return appendNullable(b, at(n)) })
}

func flagShown(name string, since int, at func(*node) bool) field[node] {
	return shown(name, since, typeBool, sortable, func(b []byte, _ *encoding, n *node) []byte { return appendBool(b, at(n)) })
}

func readOnlySecret(name string, since int, at func(*node) baremetal.Object) field[node] {
	return shown(name, since, typeObject, 0, func(b []byte, _ *encoding, n *node) []byte { return appendMasked(b, at(n)) })
}

func appendOptionalBool(b []byte, v *bool) []byte {
	if v == nil {
		return append(b, "null"...)
	}
	return appendBool(b, *v)
}

func nodeName() field[node] {
	f := text("name", 5, listed|sortable|inBoth, func(n *node) *string { return &n.Name }, 0)
	plain := f.set
	f.set = func(n *node, v any, minor int) error {
		if s, ok := v.(string); ok {
			good := baremetal.ValidName(s) && !baremetal.ReservedNodeName(s)
			if good && minor < 10 {
				good = hostLike.MatchString(s)
			}
			if !good {
				return invalid("Cannot create or rename node with invalid name '%s'", show(s))
			}
		}
		return plain(n, v, minor)
	}
	return f
}

func conductorGroup() field[node] {
	f := text("conductor_group", 46, sortable|inBoth|notNull, func(n *node) *string { return &n.ConductorGroup }, 255)
	f.nullable = true
	f.set = func(n *node, v any, _ int) error {
		s, err := toText(v, 255, nil)
		if err != nil {
			return err
		}
		if s = strings.ToLower(s); !groupName.MatchString(s) {
			return schemaError("'" + show(s) + "' does not match '^[a-zA-Z0-9_\\.-]*$'")
		}
		n.ConductorGroup = s
		return nil
	}
	return f
}

func automatedClean() field[node] {
	f := shown("automated_clean", 47, typeBool, sortable|inBoth, func(b []byte, _ *encoding, n *node) []byte {
		return appendOptionalBool(b, n.AutomatedClean)
	})
	f.get = func(n *node) any {
		if n.AutomatedClean == nil {
			return nil
		}
		return *n.AutomatedClean
	}
	f.set = func(n *node, v any, _ int) error {
		if v == nil {
			n.AutomatedClean = nil
			return nil
		}
		x, ok := toBool(v)
		if !ok {
			return wrongType(v, "boolean", "null")
		}
		n.AutomatedClean = &x
		return nil
	}
	return f
}

// interfaceField is the name of a driver interface; unset it becomes the
// default of the hardware type.
func interfaceField(kind string) field[node] {
	f := shown(kind+"_interface", interfaceSince[kind], typeString, sortable|inBoth, func(b []byte, _ *encoding, n *node) []byte {
		return appendNullable(b, n.Interfaces[kind])
	})
	f.get = func(n *node) any {
		if s := n.Interfaces[kind]; s != "" {
			return s
		}
		return nil
	}
	f.set = func(n *node, v any, _ int) error {
		s, err := toText(v, 255, nil)
		if err != nil {
			return err
		}
		m := maps.Clone(n.Interfaces) // a copy of the node shares the map
		if m == nil {
			m = map[string]string{}
		}
		m[kind] = s
		n.Interfaces = m
		return nil
	}
	return f
}

func isUUID(name string) check {
	return func(s string) error {
		if !baremetal.IsUUID(s) {
			return invalid("Expected UUID for %s: %s.", name, show(s))
		}
		return nil
	}
}

func notBlank(name string) check {
	return func(s string) error {
		if s == "" {
			return schemaError("'' is too short for " + name)
		}
		return nil
	}
}

// numbers checks properties that schedulers read as whole numbers.
func numbers(keys ...string) func(map[string]any) error {
	return func(m map[string]any) error {
		for _, key := range keys {
			v, ok := m[key]
			if !ok || v == nil || v == "" {
				continue
			}
			s := show(v)
			if strings.Trim(strings.TrimPrefix(s, "-"), "0123456789") != "" {
				return invalid("Node properties: %s must be a whole number, not '%s'", key, s)
			}
		}
		return nil
	}
}
