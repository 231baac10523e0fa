package configdrive

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNoCloud(t *testing.T) {
	t.Parallel()
	d := Drive{
		MetaData: map[string]any{"uuid": "u-1", "hostname": "ignored", "admin_pass": "s3cret", "public_keys": map[string]any{"b": key2, "a": key1}},
		UserData: []byte("#cloud-config\n{}\n"), VendorData: "#!/bin/sh\n", VendorData2: map[string]any{"cloud-init": []any{"#cloud-config\n{}"}, "other": "x"},
		NetworkData: map[string]any{
			"links": []any{
				map[string]any{"id": "boot", "type": "phy", "ethernet_mac_address": "DC:A6:32:00:00:01"},
				map[string]any{"id": "usb", "type": "phy", "ethernet_mac_address": "00:E0:4C:00:00:01", "mtu": 1400},
				map[string]any{"id": "v", "type": "vlan", "vlan_link": "usb", "vlan_id": 7},
				map[string]any{"id": "w", "type": "vlan", "vlan_link": "boot", "vlan_id": 8},
			},
			"networks": []any{
				map[string]any{"link": "boot", "type": "ipv4_dhcp"},
				map[string]any{"link": "usb", "type": "ipv4", "ip_address": "10.1.2.3", "netmask": "255.255.255.0", "gateway": "10.1.2.1"},
				map[string]any{"link": "v", "type": "ipv4_dhcp"},
			},
			"services": []any{map[string]any{"type": "dns", "address": "9.9.9.9"}},
		},
	}
	files, err := d.NoCloud("node", "web-1", "dc:a6:32:00:00:01")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, b := range files {
		got[name] = string(b)
	}
	want := map[string]string{
		"user-data":   "#cloud-config\n{}\n",
		"vendor-data": "#cloud-config-archive\n[\n  \"#!/bin/sh\\n\",\n  \"#cloud-config\\n{}\"\n]\n",
		"meta-data": `{
  "hostname": "ignored",
  "instance-id": "u-1",
  "local-hostname": "web-1",
  "public-keys": [
    "` + key1 + `",
    "` + key2 + `"
  ],
  "public_keys": {
    "a": "` + key1 + `",
    "b": "` + key2 + `"
  },
  "uuid": "u-1"
}
`,
		"network-config": `{
  "config": [
    {
      "mac_address": "00:e0:4c:00:00:01",
      "mtu": 1400,
      "name": "net1",
      "subnets": [
        {
          "address": "10.1.2.3",
          "gateway": "10.1.2.1",
          "netmask": "255.255.255.0",
          "type": "static"
        }
      ],
      "type": "physical"
    },
    {
      "name": "net1.7",
      "subnets": [
        {
          "type": "dhcp4"
        }
      ],
      "type": "vlan",
      "vlan_id": 7,
      "vlan_link": "net1"
    },
    {
      "address": [
        "9.9.9.9"
      ],
      "type": "nameserver"
    }
  ],
  "version": 1
}
`}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if files, err := (Drive{}).NoCloud("node", "", ""); err != nil || string(files["meta-data"]) != "{\n  \"instance-id\": \"node\"\n}\n" || len(files) != 2 {
		t.Errorf("of nothing: %q, %v", files, err)
	}
}

func TestBasics(t *testing.T) {
	t.Parallel()
	meta := map[string]any{"public_keys": []any{key1}}
	for name, tc := range map[string]struct {
		user string
		want Basics
	}{
		"nothing": {"", Basics{RootKeys: []string{key1}}},
		"script":  {"#!/bin/sh\n", Basics{RootKeys: []string{key1}, Script: []byte("#!/bin/sh\n")}},
		"metalsmith": {"#cloud-config\n{\"users\": [\"default\", {\"name\": \"me\", \"ssh_authorized_keys\": [\"" + key2 + "\"]}]}",
			Basics{RootKeys: []string{key1}, Keys: map[string][]string{"me": {key2}}}},
		"cloud-config": {"#cloud-config\nhostname: web\nssh_authorized_keys:\n- " + key2 + "\n- " + key1 + "\npackages: [vim]\n",
			Basics{Hostname: "web", RootKeys: []string{key1, key2}, Ignored: "of a #cloud-config only hostname, ssh_authorized_keys and the keys of users are understood"}},
		"mime": {"Content-Type: multipart/mixed\n", Basics{RootKeys: []string{key1}, Ignored: "the user data is neither a script (#!) nor a #cloud-config"}},
	} {
		got, err := Drive{MetaData: meta, UserData: []byte(tc.user)}.Basics()
		if d := cmp.Diff(tc.want, got); d != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, d)
		}
	}
	for _, bad := range []string{"#cloud-config\n\t{", "#cloud-config\nssh_authorized_keys: [nonsense]\n"} {
		if _, err := (Drive{UserData: []byte(bad)}).Basics(); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
