package ironicapi

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"caddyshack/baremetal"
)

// networkParts are the lists of a network_data.json of OpenStack, all of them
// required. What each item needs is what Ironic asks for; other keys are kept.
var networkParts = []struct {
	name  string
	check func(item map[string]any) error
}{
	{"links", checkNetworkLink}, {"networks", checkNetwork}, {"services", checkNetworkService},
}

var (
	linkTypes    = []string{"bridge", "dvs", "hw_veb", "hyperv", "ovs", "tap", "vhostuser", "vif", "phy", "bond", "vlan"}
	bondModes    = []string{"802.1ad", "balance-rr", "active-backup", "balance-xor", "broadcast", "balance-tlb", "balance-alb"}
	networkTypes = []string{"ipv4", "ipv4_dhcp", "ipv6", "ipv6_dhcp", "ipv6_slaac"}
)

const longestMTU = 65535

// networkData checks a node's network_data; an empty one says nothing.
func networkData(m map[string]any) error {
	if len(m) == 0 {
		return nil
	}
	for _, part := range networkParts {
		v, ok := m[part.name]
		if !ok {
			return schemaError("'" + part.name + "' is a required property in network_data")
		}
		list, ok := v.([]any)
		if !ok {
			return schemaError(part.name + " of network_data is not of type 'array'")
		}
		for i, v := range list {
			item, ok := v.(map[string]any)
			err := wrongType(v, "object")
			if ok {
				err = part.check(item)
			}
			if err != nil {
				return schemaError(fmt.Sprintf("%s/%d of network_data: %s", part.name, i, err))
			}
		}
	}
	return nil
}

func checkNetworkLink(l map[string]any) error {
	kind, err := oneOf(l, "type", linkTypes)
	if err != nil {
		return err
	}
	texts, mac := []string{"id"}, "ethernet_mac_address"
	switch kind {
	case "bond":
		if _, err := oneOf(l, "bond_mode", bondModes); err != nil {
			return err
		}
		if list, err := toStrings(l["bond_links"]); err != nil || list == nil {
			return schemaError("bond_links must be a list of strings")
		}
	case "vlan":
		texts, mac = append(texts, "vlan_link"), "vlan_mac_address"
		if n, ok := l["vlan_id"].(json.Number); !ok {
			return schemaError("'vlan_id' is a required property and must be a whole number")
		} else if _, err := n.Int64(); err != nil {
			return schemaError("'vlan_id' must be a whole number")
		}
	}
	if err := needTexts(l, texts...); err != nil {
		return err
	}
	s, _ := l[mac].(string)
	if _, err := baremetal.ParseMAC(strings.ReplaceAll(s, "-", ":")); err != nil {
		return schemaError("'" + mac + "' is a required property and must be a MAC address")
	}
	if v, ok := l["mtu"]; ok && v != nil {
		n, _ := v.(json.Number)
		if mtu, err := n.Float64(); err != nil || mtu < 1 || mtu > longestMTU {
			return schemaError(fmt.Sprintf("mtu must be a number from 1 to %d", longestMTU))
		}
	}
	if v, ok := l["vif_id"]; ok {
		if _, text := v.(string); !text {
			return wrongType(v, "string")
		}
	}
	return nil
}

func checkNetwork(n map[string]any) error {
	kind, err := oneOf(n, "type", networkTypes)
	if err != nil {
		return err
	}
	if err := needTexts(n, "id", "link", "network_id"); err != nil {
		return err
	}
	v4 := strings.HasPrefix(kind, "ipv4")
	if v, ok := n["ip_address"]; ok && !isAddress(v, v4) {
		return schemaError("'" + show(v) + "' is not an address for ip_address of type " + kind)
	}
	if v, ok := n["netmask"]; ok && !isNetmask(v, v4) {
		return schemaError("'" + show(v) + "' is not a netmask of type " + kind)
	}
	v, ok := n["routes"]
	if !ok {
		return nil
	}
	routes, ok := v.([]any)
	if !ok {
		return schemaError("routes must be a list of objects")
	}
	for _, v := range routes {
		r, _ := v.(map[string]any)
		if !isAddress(r["network"], v4) || !isNetmask(r["netmask"], v4) || !isAddress(r["gateway"], v4) {
			return schemaError("each of routes needs network, netmask and gateway, addresses of type " + kind)
		}
	}
	return nil
}

func checkNetworkService(s map[string]any) error {
	if _, err := oneOf(s, "type", []string{"dns"}); err != nil {
		return err
	}
	if !isAddress(s["address"], true) && !isAddress(s["address"], false) {
		return schemaError("'address' is a required property and must be an IP address")
	}
	return nil
}

// oneOf reads a required string of a list.
func oneOf(m map[string]any, key string, words []string) (string, error) {
	s, _ := m[key].(string)
	if !slices.Contains(words, s) {
		return "", schemaError(fmt.Sprintf("%s '%s' is not one of ['%s']", key, show(m[key]), strings.Join(words, "', '")))
	}
	return s, nil
}

func needTexts(m map[string]any, keys ...string) error {
	for _, key := range keys {
		if _, ok := m[key].(string); !ok {
			return schemaError("'" + key + "' is a required property and must be a string")
		}
	}
	return nil
}

// isAddress tells whether v is the text of an address of that family; of IPv6 it may have a prefix length.
func isAddress(v any, v4 bool) bool {
	s, _ := v.(string)
	if v4 {
		ip, err := netip.ParseAddr(s)
		return err == nil && ip.Is4()
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Addr().Is6()
	}
	ip, err := netip.ParseAddr(s)
	return err == nil && ip.Is6()
}

// isNetmask tells whether v is a netmask: of IPv4 ones before zeros.
func isNetmask(v any, v4 bool) bool {
	s, _ := v.(string)
	ip, err := netip.ParseAddr(s)
	if err != nil || ip.Is4() != v4 {
		return false
	}
	if !v4 {
		return true
	}
	b := ip.As4()
	rest := ^binary.BigEndian.Uint32(b[:])
	return rest&(rest+1) == 0
}
