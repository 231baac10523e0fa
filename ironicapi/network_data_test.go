package ironicapi_test

import (
	"strings"
	"testing"
)

// TestNetworkData: a node's network_data is one of OpenStack, whole or empty.
func TestNetworkData(t *testing.T) {
	t.Parallel()
	const (
		phy  = `{"id": "eth0", "type": "phy", "ethernet_mac_address": "DC:A6:32:01:02:03", "mtu": 1500, "vif_id": "v"}`
		bond = `{"id": "b", "type": "bond", "ethernet_mac_address": "dc-a6-32-01-02-03", "bond_mode": "802.1ad", "bond_links": ["eth0"], "mtu": null, "bond_miimon": 100}`
		vlan = `{"id": "v", "type": "vlan", "vlan_mac_address": "dc:a6:32:01:02:03", "vlan_link": "eth0", "vlan_id": 20}`
		net4 = `{"id": "n", "type": "ipv4", "link": "eth0", "network_id": "u", "ip_address": "10.0.0.5", "netmask": "255.255.252.0",
			"routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.0.1"}], "services": []}`
		net6 = `{"id": "m", "type": "ipv6", "link": "eth0", "network_id": "u", "ip_address": "fd00::5/64", "netmask": "ffff:ffff::"}`
		dhcp = `{"id": "d", "type": "ipv4_dhcp", "link": "eth0", "network_id": "u"}`
		dns  = `{"type": "dns", "address": "10.0.0.2"}`
	)
	lists := func(links, networks, services string) string {
		return `{"links": [` + links + `], "networks": [` + networks + `], "services": [` + services + `], "own": 1}`
	}
	for name, test := range map[string]struct{ value, want string }{
		"empty":              {`{}`, ""},
		"empty lists":        {lists("", "", ""), ""},
		"whole":              {lists(phy+","+bond+","+vlan, net4+","+net6+","+dhcp, dns), ""},
		"no links":           {`{"networks": [], "services": []}`, "'links' is a required property in network_data"},
		"no networks":        {`{"links": [], "services": []}`, "'networks' is a required property in network_data"},
		"no services":        {`{"links": [], "networks": []}`, "'services' is a required property in network_data"},
		"not a list":         {`{"links": {}, "networks": [], "services": []}`, "links of network_data is not of type 'array'"},
		"not an object":      {lists(`"eth0"`, "", ""), "links/0 of network_data: 'eth0' is not of type 'object'"},
		"link type":          {lists(phy+","+strings.ReplaceAll(phy, `"phy"`, `"wire"`), "", ""), "links/1 of network_data: type 'wire' is not one of ['bridge'"},
		"link id":            {lists(strings.ReplaceAll(phy, `"id"`, `"name"`), "", ""), "'id' is a required property"},
		"link MAC":           {lists(strings.ReplaceAll(phy, "DC:", "D:"), "", ""), "must be a MAC address"},
		"vlan MAC":           {lists(strings.ReplaceAll(vlan, "vlan_mac", "ethernet_mac"), "", ""), "'vlan_mac_address' is a required property"},
		"mtu":                {lists(strings.ReplaceAll(phy, "1500", "0"), "", ""), "mtu must be a number from 1 to 65535"},
		"mtu as text":        {lists(strings.ReplaceAll(phy, "1500", `"x"`), "", ""), "mtu must be a number"},
		"vif":                {lists(strings.ReplaceAll(phy, `"v"`, "5"), "", ""), "5 is not of type 'string'"},
		"bond mode":          {lists(strings.ReplaceAll(bond, "802.1ad", "fast"), "", ""), "bond_mode 'fast' is not one of"},
		"bond links":         {lists(strings.ReplaceAll(bond, `["eth0"]`, `[1]`), "", ""), "bond_links must be a list of strings"},
		"vlan id":            {lists(strings.ReplaceAll(vlan, "20", `"20"`), "", ""), "'vlan_id' is a required property"},
		"half a vlan id":     {lists(strings.ReplaceAll(vlan, "20", "2.5"), "", ""), "'vlan_id' must be a whole number"},
		"network type":       {lists("", strings.ReplaceAll(net4, `"ipv4"`, `"ipx"`), ""), "networks/0 of network_data: type 'ipx' is not one of"},
		"network link":       {lists("", strings.ReplaceAll(dhcp, `"link"`, `"on"`), ""), "'link' is a required property"},
		"address":            {lists("", strings.ReplaceAll(net4, "10.0.0.5", "10.0.0"), ""), "'10.0.0' is not an address"},
		"other family":       {lists("", strings.ReplaceAll(net6, "fd00::5/64", "10.0.0.5"), ""), "'10.0.0.5' is not an address"},
		"netmask with holes": {lists("", strings.ReplaceAll(net4, "255.255.252.0", "255.0.255.0"), ""), "'255.0.255.0' is not a netmask"},
		"gateway":            {lists("", strings.ReplaceAll(net4, `"gateway"`, `"via"`), ""), "each of routes needs network, netmask and gateway"},
		"routes":             {lists("", `{"id": "n", "type": "ipv4", "link": "eth0", "network_id": "u", "routes": 1}`, ""), "routes must be a list"},
		"service":            {lists("", "", strings.ReplaceAll(dns, "dns", "ntp")), "services/0 of network_data: type 'ntp' is not one of ['dns']"},
		"service address":    {lists("", "", strings.ReplaceAll(dns, "10.0.0.2", "here")), "must be an IP address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			a := r.at(82, "POST", "/v1/nodes", `{"driver": "fake-hardware", "network_data": `+test.value+`}`)
			id := r.node(nil)
			b := r.at(82, "PATCH", "/v1/nodes/"+id, `[{"op": "replace", "path": "/network_data", "value": `+test.value+`}]`)
			if test.want == "" {
				if a.status != 201 || b.status != 200 {
					t.Errorf("refused: %s %s", a.text, b.text)
				}
				return
			}
			for _, a := range []answer{a, b} {
				if got := a.fault(); a.status != 400 || !strings.HasPrefix(got, "Schema error for node: ") || !strings.Contains(got, test.want) {
					t.Errorf("got %d %q\nwant 400 with %q", a.status, got, test.want)
				}
			}
		})
	}
}
