//go:build debian

package debian

import (
	"encoding/json"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caddyshack/pxe"
)

// TestDebianConfigDrive boots a Debian without cloud-init that knows nothing of
// its node but what a config drive says: a name, a key, a script for the first
// boot. Then systemd-networkd takes over the interface that the root comes over.
func TestDebianConfigDrive(t *testing.T) {
	signer := newKey(t)
	images := t.TempDir()
	makeImage(t, filepath.Join(images, "debian.tar"), debianRoot(t), "")
	s := startServer(t, "unprivileged", images)
	drive, err := json.Marshal(map[string]any{
		"meta_data": map[string]any{"hostname": "web-9", "public_keys": map[string]any{"mine": authorized(signer)}},
		"user_data": "#!/bin/sh\n(hostname; id -un) > /root/first-boot\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	img := pxe.ImageSource{URL: "file://" + filepath.Join(images, "debian.tar")}
	for ready := false; !ready; {
		got, err := s.FetchImage(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		if ready = got.Ready; !ready {
			time.Sleep(100 * time.Millisecond)
		}
	}
	const mac = "52:54:00:00:00:01"
	err = s.CreateRoot(t.Context(), pxe.RootRequest{NodeID: node, Generation: "1", Hostname: "caddy-1", Image: img, MAC: mac, ConfigDrive: drive})
	if err == nil {
		err = s.Export(t.Context(), pxe.PublishRequest{NodeID: node, Client: netip.MustParseAddr("127.0.0.1"), MAC: mac, KernelParams: patience})
	}
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	m := boot(t, s, freeAddress(t))
	m.expect("web-9 login:", loginTime)
	m.dial(signer)
	t.Logf("in after %s", time.Since(began).Round(time.Second))
	is := func(command, want string) {
		t.Helper()
		if got := m.run(command); got != want {
			t.Errorf("%s printed %q, want %q", command, got, want)
		}
	}
	is("hostname; id -un; grep -c web-9 /etc/hosts; stat -c '%U %a' ~/.ssh ~/.ssh/authorized_keys", "web-9\npi\n1\npi 700\npi 600\n")
	is("for i in $(seq 300); do systemctl is-active -q caddyshack-first-boot && break; sleep 1; done; sudo cat /root/first-boot", "web-9\nroot\n")
	is("test -s /etc/machine-id && echo id; sudo ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key | grep -c ED25519", "id\n1\n")
	before := m.run("ip -4 -o addr show eth0 | awk '{print $4}'")
	got := m.run("sudo systemctl start systemd-networkd; for i in $(seq 300); do networkctl --no-legend list eth0 | grep -q configured && break; sleep 1; done; " +
		"networkctl status eth0 | grep -o '00-caddyshack-boot.network'; ip -4 -o addr show eth0 | awk '{print $4}'; sudo sh -c 'echo lives > /root/networkd; sync; cat /root/networkd'")
	if want := "00-caddyshack-boot.network\n" + before + "lives\n"; got != want {
		t.Errorf("with systemd-networkd: %q, want %q", got, want)
	}
	is("sudo systemctl restart systemd-networkd && sleep 5 && sudo systemctl stop systemd-networkd.socket systemd-networkd; sudo cat /root/networkd", "lives\n")
	if !strings.HasPrefix(before, "10.0.2.15/") {
		t.Errorf("the address is %q", before)
	}
}
