package ironicapi

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"caddyshack/baremetal"
)

type port = baremetal.Port

var portTable = table[port]{resource: "port", fields: []field[port]{
	text("uuid", 1, listed|sortable|inCreate|notNull, func(p *port) *string { return &p.UUID }, 0, isUUID("uuid")),
	portAddress(),
	text("node_uuid", 1, sortable|inBoth|required|notNull, func(p *port) *string { return &p.NodeUUID }, 0, isUUID("node_uuid")),
	object("extra", 1, inBoth, func(p *port) *baremetal.Object { return &p.Extra }),
	shown("internal_info", 18, typeObject, 0, func(b []byte, _ *encoding, p *port) []byte { return appendMasked(b, p.InternalInfo) }),
	localLink(),
	flag("pxe_enabled", 19, sortable|inBoth, true, func(p *port) *bool { return &p.PXEEnabled }),
	text("portgroup_uuid", 24, sortable|inBoth, func(p *port) *string { return &p.PortgroupUUID }, 0, isUUID("portgroup_uuid")),
	text("physical_network", 34, sortable|inBoth, func(p *port) *string { return &p.PhysicalNetwork }, 64, notBlank("physical_network")),
	flag("is_smartnic", 53, sortable|inBoth, false, func(p *port) *bool { return &p.IsSmartNIC }),
	text("name", 88, sortable|inBoth, func(p *port) *string { return &p.Name }, 255, portName),
	text("description", 97, sortable|inBoth, func(p *port) *string { return &p.Description }, 255),
	text("vendor", 100, sortable|inBoth, func(p *port) *string { return &p.Vendor }, 32),
	text("category", 101, sortable|inBoth, func(p *port) *string { return &p.Category }, 80),
	flag("available_for_dynamic_portgroup", 111, sortable|inBoth, true, func(p *port) *bool { return &p.ForDynamicPortgroup }),
	stamp("created_at", 1, sortable, func(p *port) time.Time { return p.CreatedAt }),
	stamp("updated_at", 1, sortable, func(p *port) time.Time { return p.UpdatedAt }),
	links("ports", func(p *port) string { return p.UUID }),
}}

func portName(s string) error {
	if !baremetal.ValidName(s) {
		return invalid("Cannot create or rename port with invalid name '%s'", show(s))
	}
	return nil
}

func portAddress() field[port] {
	f := text("address", 1, listed|sortable|inBoth|required|notNull, func(p *port) *string { return &p.Address }, 0)
	f.set = func(p *port, v any, _ int) error {
		s, ok := v.(string)
		if !ok {
			return wrongType(v, "string")
		}
		mac, err := baremetal.ParseMAC(s)
		if err == nil {
			p.Address = mac
		}
		return err
	}
	return f
}

var (
	linkKeys  = []string{"switch_id", "port_id", "switch_info", "hostname", "network_type"}
	vtepKeys  = []string{"vtep-logical-switch", "vtep-physical-switch"} // of OVN, from 1.90 to 1.104
	linkMAC   = regexp.MustCompile(`^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$`)
	linkDPID  = regexp.MustCompile(`^(0x)?[0-9a-f]{16}$`)
	linkColon = regexp.MustCompile(`^[0-9a-f]{2}(:[0-9a-f]{2}){7}$`)
)

// localLink is where a port is plugged in: nothing, a switch and its port, a
// smart NIC, or (1.64) an unmanaged network.
func localLink() field[port] {
	f := object("local_link_connection", 19, inBoth, func(p *port) *baremetal.Object { return &p.LocalLinkConnection })
	plain := f.set
	f.set = func(p *port, v any, minor int) error {
		if m, ok := v.(map[string]any); ok {
			if err := checkLink(m, minor); err != nil {
				return err
			}
		}
		return plain(p, v, minor)
	}
	return f
}

func checkLink(m map[string]any, minor int) error {
	for k, v := range m {
		if slices.Contains(vtepKeys, k) && minor >= 90 && minor < 105 {
			if _, text := v.(string); !text {
				return invalid("Invalid local_link_connection: %s must be a string", k)
			}
			continue
		}
		if !slices.Contains(linkKeys, k) {
			return invalid("Invalid local_link_connection: the key '%s' is not one of %v", show(k), linkKeys)
		}
		if k == "network_type" && minor < 64 {
			return needsMinor(64)
		}
		if n, ok := v.(json.Number); ok { // the openstack client makes numbers of what looks like one
			v = n.String()
			m[k] = v
		}
		if _, ok := v.(string); !ok && (v != nil || k == "switch_id" || k == "port_id" || k == "network_type") {
			return invalid("Invalid local_link_connection: %s must be a string", k)
		}
	}
	if len(m) == 0 {
		return nil
	}
	kind, typed := m["network_type"]
	if typed && kind != "managed" && kind != "unmanaged" {
		return invalid("Invalid local_link_connection: network_type must be managed or unmanaged, not '%s'", show(kind))
	}
	id, hasSwitch := m["switch_id"].(string)
	if hasSwitch {
		normal, ok := switchID(id)
		if !ok {
			return invalid("Invalid switch_id '%s': it must be a MAC address or an OpenFlow datapath id", show(id))
		}
		m["switch_id"] = normal
	}
	if kind == "unmanaged" {
		return nil
	}
	_, hasPort := m["port_id"]
	_, hasLogical := m["vtep-logical-switch"]
	_, hasPhysical := m["vtep-physical-switch"]
	if hasLogical && hasPhysical && hasPort {
		return nil
	}
	_, hasHost := m["hostname"]
	if !hasPort || !hasSwitch && !hasHost {
		return invalid("Invalid local_link_connection: it needs switch_id and port_id, or port_id and hostname for a smart NIC")
	}
	return nil
}

// switchID brings a switch's MAC address or OpenFlow datapath id into one form.
func switchID(s string) (string, bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	switch {
	case linkMAC.MatchString(s):
		return strings.ReplaceAll(s, "-", ":"), true
	case linkDPID.MatchString(s):
		return strings.TrimPrefix(s, "0x"), true
	case linkColon.MatchString(s):
		return strings.ReplaceAll(s, ":", ""), true
	}
	return "", false
}
