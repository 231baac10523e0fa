//go:build clients

package roots

import (
	_ "embed"
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"caddyshack/pxe/configdrive"
	"caddyshack/pxe/nfsd/rootfs"
)

//go:embed testdata/cloudinit.py
var askCloudInit string

// cloudInit unpacks Debian's cloud-init without installing it, as it would
// change the machine at its next start.
func cloudInit(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	// Mirrors have bad moments, and the lists of packages may be old or missing.
	script := `cd "$1"
for pause in 5 15 30 60 0; do
	apt-get download -q cloud-init && exec dpkg-deb -x cloud-init_*.deb .
	sleep $pause
	apt-get update -q
done
exit 1`
	if b, err := exec.CommandContext(t.Context(), "sh", "-c", script, "sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("fetching Debian's package cloud-init: %v\n%s", err, b)
	}
	return filepath.Join(dir, "usr/lib/python3/dist-packages")
}

// TestCloudInitUnderstandsTheSeed lets cloud-init itself read the seed that a
// root gets. Debian packages: python3-configobj, python3-jinja2, python3-oauthlib.
func TestCloudInitUnderstandsTheSeed(t *testing.T) {
	t.Parallel()
	drive := configdrive.Drive{
		MetaData: map[string]any{"uuid": "83679162-1378-4288-a2d4-70e13ec132aa", "hostname": "web-7", "admin_pass": "s3cret", "name": "a \"b\" \u2028 \U0001F600 <c>",
			"public_keys": map[string]any{"a": driveKey}, "launch_index": json.Number("0")},
		UserData:    []byte("#cloud-config\nruncmd: [echo]\n"),
		VendorData:  map[string]any{"cloud-init": []any{"#cloud-config\n{}\n", "#!/bin/sh\n"}},
		VendorData2: map[string]any{"cloud-init": "#cloud-config\na: b\n"},
		NetworkData: map[string]any{
			"links": []any{map[string]any{"id": "boot", "type": "phy", "ethernet_mac_address": "dc:a6:32:01:36:c2"},
				map[string]any{"id": "usb", "type": "phy", "ethernet_mac_address": "00:E0:4C:00:00:01", "mtu": 1400},
				map[string]any{"id": "v", "type": "vlan", "vlan_link": "usb", "vlan_id": 7}},
			"networks": []any{map[string]any{"link": "boot", "type": "ipv4_dhcp"}, map[string]any{"link": "v", "type": "ipv4_dhcp"},
				map[string]any{"link": "usb", "type": "ipv4", "ip_address": "10.1.2.3", "netmask": "255.255.255.0", "gateway": "10.1.2.1",
					"routes": []any{map[string]any{"network": "10.9.0.0", "netmask": "255.255.0.0", "gateway": "10.1.2.9"}}}},
			"services": []any{map[string]any{"type": "dns", "address": "9.9.9.9"}},
		},
	}
	s := seedRoot(t, rootfs.Sidecar, drive, entry{name: "usr/bin/cloud-init"})
	if s.err != nil {
		t.Fatal(s.err)
	}
	cloud := filepath.Join(t.TempDir(), "cloud")
	for _, n := range []string{"meta-data", "user-data", "vendor-data", "network-config"} {
		data, _, exists, err := readConfig(s.tree, path.Join(seedFolder, n))
		if err != nil || !exists {
			t.Fatalf("%s: %v", n, err)
		}
		to := filepath.Join(cloud, "seed", "nocloud", n)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config, _, _, err := readConfig(s.tree, "etc/cloud/cloud.cfg.d/99-caddyshack.cfg")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", askCloudInit, cloud, string(config))
	cmd.Env = append(os.Environ(), "PYTHONPATH="+cloudInit(t))
	var trouble strings.Builder
	cmd.Stderr = &trouble
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cloud-init: %v\n%s", err, &trouble)
	}
	var got map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	networkd, _ := got["networkd"].(string)
	for _, want := range []string{"MACAddress=00:e0:4c:00:00:01", "MTUBytes=1400", "Address=10.1.2.3/24", "Gateway=10.1.2.1", "DHCP=ipv4", "DNS=9.9.9.9"} {
		if !strings.Contains(networkd, want) {
			t.Errorf("systemd-networkd would not get %s:\n%s", want, networkd)
		}
	}
	if strings.Contains(strings.ToLower(networkd), "dc:a6:32") {
		t.Errorf("the interface of the root would be set up anew:\n%s", networkd)
	}
	delete(got, "networkd")
	want := map[string]any{
		"found": true, "instance": "83679162-1378-4288-a2d4-70e13ec132aa", "hostname": "caddy-1", "keys": []any{driveKey}, "name": "a \"b\" \u2028 \U0001F600 <c>", "admin_pass": nil,
		"user": "#cloud-config\nruncmd: [echo]\n", "vendor": []any{"text/cloud-config", "text/x-shellscript", "text/cloud-config"},
		"sources": []any{"NoCloud", "None"}, "network": nil,
		"vlans": []any{[]any{"net1.7", "net1", 7.0}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("what cloud-init understands (-want +got):\n%s", d)
	}
}
