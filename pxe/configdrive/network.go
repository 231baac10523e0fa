package configdrive

import (
	"fmt"
	"strings"
)

// maxLinks bounds the interfaces of network_data.
const maxLinks = 64

// networkConfig turns network_data.json into cloud-init's network configuration
// version 1, without the interface that the root comes over: nothing may take
// that one down. It returns nil if no other interface is left. Interfaces are
// Ethernet ports by MAC address and VLANs on them.
func networkConfig(data map[string]any, bootMAC string) map[string]any {
	links, _ := data["links"].([]any)
	names := map[string]string{} // by link id
	var config []any
	for _, l := range links[:min(len(links), maxLinks)] {
		link, _ := l.(map[string]any)
		id, _ := link["id"].(string)
		entry := map[string]any{}
		switch kind, _ := link["type"].(string); kind {
		case "bond", "bridge", "vlan":
			parent, _ := link["vlan_link"].(string)
			if kind != "vlan" || names[parent] == "" || link["vlan_id"] == nil {
				continue
			}
			names[id] = fmt.Sprintf("%s.%v", names[parent], link["vlan_id"])
			entry["type"], entry["vlan_link"], entry["vlan_id"] = "vlan", names[parent], link["vlan_id"]
		default: // phy, vif, ovs, tap, …: what the machine sees is an Ethernet port
			mac, _ := link["ethernet_mac_address"].(string)
			if mac == "" || strings.EqualFold(mac, bootMAC) {
				continue
			}
			names[id] = fmt.Sprintf("net%d", len(names)+1)
			entry["type"], entry["mac_address"] = "physical", strings.ToLower(mac)
		}
		entry["name"] = names[id]
		if link["mtu"] != nil {
			entry["mtu"] = link["mtu"]
		}
		entry["subnets"] = subnets(data, id)
		config = append(config, entry)
	}
	if len(config) == 0 {
		return nil
	}
	if servers := nameservers(data["services"]); len(servers) > 0 {
		config = append(config, map[string]any{"type": "nameserver", "address": servers})
	}
	return map[string]any{"version": 1, "config": config}
}

// subnets lists the addresses of a link.
func subnets(data map[string]any, link string) []any {
	networks, _ := data["networks"].([]any)
	out := []any{}
	for _, n := range networks[:min(len(networks), maxLinks)] {
		network, _ := n.(map[string]any)
		if network["link"] != link {
			continue
		}
		kind, _ := network["type"].(string)
		s := map[string]any{}
		switch kind {
		case "ipv4_dhcp":
			s["type"] = "dhcp4"
		case "ipv6_dhcp":
			s["type"] = "dhcp6"
		case "ipv6_slaac":
			s["type"] = "ipv6_slaac"
		case "ipv6_dhcpv6-stateless":
			s["type"] = "ipv6_dhcpv6-stateless"
		case "ipv6_dhcpv6-stateful":
			s["type"] = "ipv6_dhcpv6-stateful"
		case "ipv4", "ipv6":
			s["type"] = "static"
			if kind == "ipv6" {
				s["type"] = "static6"
			}
			for from, to := range map[string]string{"ip_address": "address", "netmask": "netmask", "gateway": "gateway"} {
				if v, _ := network[from].(string); v != "" {
					s[to] = v
				}
			}
			if routes, _ := network["routes"].([]any); len(routes) > 0 {
				s["routes"] = routes[:min(len(routes), maxLinks)]
			}
			if servers := nameservers(network["services"]); len(servers) > 0 {
				s["dns_nameservers"] = servers
			}
		default:
			continue
		}
		out = append(out, s)
	}
	return out
}

// nameservers lists the addresses of DNS services.
func nameservers(v any) []string {
	list, _ := v.([]any)
	var out []string
	for _, e := range list[:min(len(list), maxLinks)] {
		service, _ := e.(map[string]any)
		if address, _ := service["address"].(string); service["type"] == "dns" && address != "" {
			out = append(out, address)
		}
	}
	return out
}
