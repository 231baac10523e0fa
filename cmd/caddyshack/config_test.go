package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigErrorsNameTheLine(t *testing.T) {
	t.Parallel()
	const fine = "state_dir = \"/x\"\n[boot]\naddress = \"10.0.0.1\"\n"
	for name, tc := range map[string]struct{ text, want string }{
		"unknown key":      {fine + "[api]\nlissten = \"x\"\n", ":5: api.lissten: there is no such key"},
		"wrong type":       {fine + "[api]\ninsecure = \"yes\"\n", ":5:"},
		"broken":           {"state_dir = \n", ":1:"},
		"no state":         {"[boot]\naddress = \"10.0.0.1\"\n", ":1: state_dir: must name the folder"},
		"noauth beyond":    {fine + "[api]\nlisten = \"0.0.0.0:6385\"\n", ":4: api.auth: noauth on 0.0.0.0:6385"},
		"basic, no users":  {fine + "[api]\nauth = \"http_basic\"\n", ":4: api.htpasswd_file: http_basic needs"},
		"auth":             {fine + "[api]\nauth = \"magic\"\n", ":5: api.auth: \"magic\" is not known"},
		"origins":          {fine + "[api]\ncors_origins = [\"https://ui.example\", \"*\"]\n", ":5: api.cors_origins: \"*\" is not the origin"},
		"origin, path":     {fine + "[api]\ncors_origins = [\"https://ui.example/\"]\n", ":5: api.cors_origins: \"https://ui.example/\" is not the origin"},
		"keystone, no url": {fine + "[api]\nauth = \"keystone\"\n[api.keystone]\nusername = \"c\"\n", ":6: api.keystone.auth_url: auth = \"keystone\" needs"},
		"keystone, no pw":  {fine + "[api]\nauth = \"keystone\"\n[api.keystone]\nauth_url = \"http://k:5000\"\nusername = \"c\"\n", ":6: api.keystone.password: the account \"c\" has no password"},
		"keystone, scope":  {fine + "[api]\nauth = \"keystone\"\n[api.keystone]\nauth_url = \"http://k:5000\"\nusername = \"c\"\npassword = \"hunter2\"\nsystem_scope = \"some\"\n", ":10: api.keystone.system_scope: \"some\""},
		"keystone, file":   {fine + "[api]\nauth = \"keystone\"\n[api.keystone]\noslo_file = \"/nowhere/x.conf\"\n", ":7: api.keystone.oslo_file: reading /nowhere/x.conf"},
		"role":             {"roles = [\"apy\"]\n" + fine, ":1: roles: \"apy\" is not a role"},
		"hardware type":    {"hardware_types = [\"cady\"]\n" + fine, ":1: hardware_types: \"cady\" is not a hardware type"},
		"duration":         {fine + "[deploy]\nboot_timeout = \"soon\"\n", ":5:"},
		"boot address":     {"state_dir = \"/x\"\n[boot]\naddress = \"here\"\n", ":3: boot.address: must be the address"},
		"raw consoles":     {fine + "[console]\nbind_host = \"0.0.0.0\"\n", ":5: console.bind_host: raw consoles"},
		"database":         {fine + "[database]\nurl = \"mysql://u:hunter2@h/d\"\n", ":5: database.url:"},
		"log level":        {fine + "[log]\nlevel = \"loud\"\n", ":5: log.level: \"loud\" is not known"},
		"unit twice":       {fine + "[[broker.units]]\nid = \"a\"\npassword = \"x\"\n[[broker.units]]\nid = \"a\"\npassword = \"x\"\n", "broker.units: each unit needs an id"},
		"open broker":      {fine + "[broker]\nurl = \"tcp://10.0.0.9:1883\"\n", ":4: broker.password: a broker on 10.0.0.9:1883"},
		"nfs server":       {fine + "nfs_server = \"samba\"\n", ":4: boot.nfs_server: \"samba\" is not known"},
		"nfs tree":         {fine + "nfs_server = \"kernel\"\ntree = \"unprivileged\"\n", ":5: boot.tree: "},
		"nfs port":         {fine + "nfs_server = \"ganesha\"\nnfs_listen = \":0\"\n", ":5: boot.nfs_listen: "},
		"nfs folder":       {"state_dir = \"/a b\"\n[boot]\naddress = \"10.0.0.1\"\nnfs_server = \"kernel\"\n", ":1: state_dir: "},
		"switch kind":      {fine + "[[switches]]\nid = \"02:00:00:00:77:01\"\nuplinks = [\"up\"]\nkind = \"magic\"\n", ":7: switches.kind: switch \"02:00:00:00:77:01\": \"magic\" is not known"},
		"switch, no way":   {fine + "[[switches]]\nid = \"a\"\nkind = \"openvswitch\"\nbridge = \"b\"\n", ":4: switches.uplinks: switch \"a\": name the ports"},
		"switch twice": {fine + "[[switches]]\nid = \"a\"\nkind = \"openvswitch\"\nbridge = \"b\"\nuplinks = [\"u\"]\n[[switches]]\nid = \"a\"\nkind = \"openvswitch\"\n" +
			"bridge = \"b\"\nuplinks = [\"u\"]\n", "switches.id: switches a and a have the same id"},
		"switch VLAN":     {fine + "[[switches]]\nid = \"a\"\nallowed_vlans = \"2-5000\"\n", ":6: switches.allowed_vlans:"},
		"network VLAN":    {fine + "[[networks]]\nname = \"blue\"\nvlan = 4095\n", ":5: networks.name: network \"blue\": vlan 4095 cannot be"},
		"network address": {fine + "[[networks]]\nname = \"blue\"\nvlan = 20\naddress = \"10.20.0.1\"\n", ":7: networks.address: network \"blue\""},
		"network purpose": {fine + "[[networks]]\nname = \"blue\"\nvlan = 20\npurposes = [\"fun\"]\n", ":5: networks.name: network \"blue\": purpose \"fun\""},
		"networks alike":  {fine + "[[networks]]\nname = \"a\"\nvlan = 20\n[[networks]]\nname = \"b\"\nvlan = 20\n", "networks.name: network \"b\": it has VLAN 20, as \"a\" has"},
		"API for tenants": {fine + "[api]\nlisten = \":6385\"\ninsecure = true\n[[networks]]\nname = \"blue\"\nvlan = 20\naddress = \"10.20.0.1/24\"\n",
			":5: api.listen: \":6385\" listens on all addresses"},
		"broker for tenants": {fine + "[broker]\nlisten = \"10.20.0.1:1883\"\n[[networks]]\nname = \"blue\"\nvlan = 20\naddress = \"10.20.0.1/24\"\n",
			":5: broker.listen: \"10.20.0.1:1883\" is an address in the network blue"},
		"dhcp mode":           {fine + "[dhcp]\nmode = \"on\"\n", ":5: dhcp.mode: \"on\" is not known"},
		"dhcp, where":         {fine + "[dhcp]\nmode = \"server\"\n", ":4: dhcp.interface: must name the interface"},
		"dhcp range":          {fine + "[dhcp]\nrange = \"10.0.0.9\"\n", ":5: dhcp.range: \"10.0.0.9\" is not FIRST-LAST"},
		"dhcp range apart":    {fine + "[dhcp]\nsubnet = \"10.0.1.0/24\"\nrange = \"10.0.0.9-10.0.0.20\"\n", ":6: dhcp.range: 10.0.0.9-10.0.0.20 is not in the network 10.0.1.0/24"},
		"dhcp, two places":    {fine + "[dhcp]\nmode = \"server\"\ninterface = \"eth1\"\nlisten = \"127.0.0.1:67\"\n", ":7: dhcp.listen: is for simulated Pis"},
		"dhcp, open":          {fine + "[dhcp]\nmode = \"server\"\nlisten = \"0.0.0.0:67\"\n", ":6: dhcp.listen: 0.0.0.0:67 is not on loopback"},
		"dhcp proxy":          {fine + "[dhcp]\nmode = \"proxy\"\nlisten = \"127.0.0.1:67\"\n", ":6: dhcp.listen: a proxy needs an interface"},
		"dhcp subnet":         {fine + "[dhcp]\nsubnet = \"10.0.1.0\"\n", ":5: dhcp.subnet:"},
		"dhcp router":         {fine + "[dhcp]\nrouter = \"box\"\n", ":5: dhcp.router:"},
		"dhcp name server":    {fine + "[dhcp]\ndns = [\"::1\"]\n", ":5: dhcp.dns:"},
		"dhcp guests":         {fine + "[dhcp]\nguests = -1\n", ":5: dhcp.guests:"},
		"dhcp address":        {"state_dir = \"/x\"\n[boot]\naddress = \"fd00::1\"\n[dhcp]\nmode = \"server\"\ninterface = \"eth1\"\n", ":3: boot.address: \"fd00::1\" is not an IPv4 address"},
		"os-server, where":    {"state_dir = \"/x\"\nroles = [\"boot\"]\n[boot]\naddress = \"10.0.0.1\"\n", "os_server.url: the role boot without os-server needs the URL"},
		"os-server, alone":    {"state_dir = \"/x\"\nroles = [\"os-server\"]\n[boot]\naddress = \"10.0.0.1\"\n", "os_server.listen: the role os-server without boot"},
		"os-server, twice":    {fine + "[os_server]\nurl = \"http://h:1\"\n", ":5: os_server.url: this process has the role os-server itself"},
		"os-server, no token": {fine + "[os_server]\nlisten = \":6389\"\n", ":4: os_server.token_file: must name a file"},
		"os-server, half TLS": {fine + "[os_server]\nlisten = \":6389\"\ntoken_file = \"/t\"\ntls_cert = \"/c\"\n", ":7: os_server.tls_cert: TLS needs both"},
		"os-server, URL":      {"state_dir = \"/x\"\nroles = [\"boot\"]\n[boot]\naddress = \"10.0.0.1\"\n[os_server]\nurl = \"h:1\"\ntoken_file = \"/t\"\n", ":6: os_server.url: \"h:1\" is not a URL"},
		"durability":          {fine + "durability = \"maybe\"\n", ":4: boot.durability: \"maybe\" is not known"},
		"durability, others":  {fine + "nfs_server = \"ganesha\"\ndurability = \"restart\"\n", ":5: boot.durability: is for the embedded"},
		"root size":           {fine + "[deploy]\nroot_gb = -1\n", ":5: deploy.root_gb: -1 is less than nothing"},
		"remote, no token":    {"state_dir = \"/x\"\nroles = [\"api\", \"conductor\", \"broker\"]\n[boot]\nremote = \"http://h:1\"\n", "boot.token_file: must name a file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "c.toml")
			if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := loadConfig(path)
			if err == nil || !strings.Contains(err.Error(), path+":") || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v\nwant one line with %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a password is in %v", err)
			}
		})
	}
}

// The example is fine as it is, and what is commented out in it is fine too.
func TestExampleConfig(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.toml")
	if err := os.WriteFile(path, []byte(exampleConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadConfig(path); err != nil {
		t.Error(err)
	}
	var b strings.Builder
	for _, line := range strings.Split(exampleConfig, "\n") {
		if len(line) > 1 && line[0] == '#' && line[1] != ' ' {
			line = line[1:]
		}
		b.WriteString(line + "\n")
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := loadConfig(path)
	if err != nil && strings.Contains(err.Error(), "no such key") {
		t.Errorf("the example names a key that does not exist: %v", err)
	}
}
