//go:build e2e && netns

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rack is `serve` and simulated Pis on a segment.
type rack struct {
	*site
	seg    *segment
	dir    string
	config string
	pis    int
}

// models are those of the caddies, in turn.
const models = "pi3,pi3plus,pi4,pi5"

// bootable is the least that every model boots.
func bootable() []entry {
	list := smallRoot()
	for _, name := range []string{"bootcode.bin", "start.elf", "fixup.dat", "bcm2710-rpi-3-b.dtb", "bcm2710-rpi-3-b-plus.dtb", "bcm2712-rpi-5-b.dtb"} {
		list = append(list, entry{name: "boot/firmware/" + name, content: name})
	}
	return list
}

// newRack writes the configuration, with a table [dhcp] of its own.
func newRack(t *testing.T, seg *segment, pis int, dhcp string) *rack {
	t.Helper()
	r := &rack{seg: seg, dir: t.TempDir(), pis: pis}
	images := filepath.Join(r.dir, "images")
	if err := os.MkdirAll(images, 0o750); err != nil {
		t.Fatal(err)
	}
	image := writeArchive(t, images, "small.tar.gz", bootable())
	var units strings.Builder
	for i := range (pis + 2) / 3 {
		fmt.Fprintf(&units, "[[broker.units]]\nid = \"bpu-%d\"\npassword = %q\n", i+1, unitPassword)
	}
	own := seg.own()
	text := fmt.Sprintf(`state_dir = %q
[broker]
listen = "127.0.0.1:0"
%s[boot]
address = %q
tftp_listen = "%s:69"
nfs_listen = "%s:2049"
tree = "unprivileged"
[images]
folders = [%q]
default_image = %q
[console]
listen = "127.0.0.1:0"
[deploy]
automated_clean = false
[enroll]
automatic = "off"
[dhcp]
probe_interval = "2s"
%s
`, filepath.Join(r.dir, "state"), units.String(), own, own, own, images, image, dhcp)
	r.config = filepath.Join(r.dir, "caddyshack.toml")
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

// server is the table [dhcp] of our own server.
func (s *segment) server() string {
	return fmt.Sprintf("mode = \"server\"\ninterface = %q\nrange = \"%s-%s\"", s.bridge, s.address(100), s.address(119))
}

// proxy is that of our proxy.
func (s *segment) proxy() string { return fmt.Sprintf("mode = \"proxy\"\ninterface = %q", s.bridge) }

// serve starts the program.
func (r *rack) serve(t *testing.T) {
	t.Helper()
	r.site = newSite(t, startProgram(t, "serve", "--config", r.config), filepath.Join(r.dir, "images"))
}

// simulate plugs in the Pis and starts them; power is off.
func (r *rack) simulate(t *testing.T, args ...string) {
	t.Helper()
	for i := range r.pis {
		r.seg.plug(fmt.Sprint("pi-", i+1), piMAC(i+1))
	}
	readyFile := filepath.Join(r.dir, "sim-ready")
	argv := []string{binary(), "sim", "--verbose", "--broker", r.program.ready.MQTT, "--wire", r.seg.namespace("pi-%d") + "/eth0",
		"--models", models, "--caddies", fmt.Sprint(r.pis), "--state", filepath.Join(r.dir, "sim"), "--ready-file", readyFile}
	r.sim = start(t, "caddyshack sim", []string{"CADDYSHACK_SIM_PASSWORD=" + unitPassword}, append(argv, args...)...)
	awaitReadyFile(t, r.sim, readyFile, &map[string]string{})
}

// enroll creates a caddy's node and port; its fields may be changed.
func (r *rack) enroll(caddy int, change ...func(node, port map[string]any)) {
	r.t.Helper()
	const slots = 3
	name := fmt.Sprint("caddy-", caddy)
	node := map[string]any{"name": name, "driver": "caddy", "driver_info": map[string]any{
		"backplane_unit": fmt.Sprint("bpu-", (caddy-1)/slots+1), "slot": (caddy-1)%slots + 1, "serial_number": piSerial(caddy)}}
	port := map[string]any{"address": piMAC(caddy)}
	for _, c := range change {
		c(node, port)
	}
	port["node_uuid"] = r.api.post("nodes", node)["uuid"]
	r.api.post("ports", port)
	r.available(name)
}

// historyHas tells whether an event of the node has all the parts.
func (r *rack) historyHas(ident string, parts ...string) bool {
	for _, event := range r.api.history(ident) {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(event, p)
		}
		if all {
			return true
		}
	}
	return false
}

// awaitHistory waits for such an event.
func (r *rack) awaitHistory(ident string, parts ...string) {
	r.t.Helper()
	eventually(r.t, settleTimeout, fmt.Sprintf("an event of %s with %q; there are %q", ident, parts, r.api.history(ident)), func() bool {
		return r.historyHas(ident, parts...)
	})
}
