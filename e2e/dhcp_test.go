//go:build e2e && netns

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// deployAll deploys the first Pis at once.
func (r *rack) deployAll(pis int) {
	r.t.Helper()
	for i := range pis {
		r.api.provision(fmt.Sprint("caddy-", i+1), "active")
	}
	for i := range pis {
		name := fmt.Sprint("caddy-", i+1)
		if n := r.awaitState(name, "active", "deploy failed"); n.Provision != "active" {
			r.t.Errorf("the deploy of %s failed: %s; history %q", name, text(n.LastError), r.api.history(name))
		}
	}
}

// mounted waits until a root was mounted from an address that matches.
func (r *rack) mounted(address string) {
	r.t.Helper()
	want := regexp.MustCompile(`msg="NFS mount".* client=` + address + ` .*ok=true`)
	eventually(r.t, settleTimeout, "a root is mounted from "+address, func() bool { return want.MatchString(r.program.stderr()) })
}

// events is how often the DHCP server has reported a kind of event.
func (r *rack) events(kind string) int {
	r.t.Helper()
	body := string(r.api.send(http.MethodGet, "/metrics", nil).body)
	m := regexp.MustCompile(`caddyshack_dhcp_events_total\{kind="` + kind + `"\} (\d+)`).FindStringSubmatch(body)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// Our server alone: Pis of every model go from power-on by DHCP, TFTP and NFS
// to active, with addresses that are theirs, also after a restart. An ordinary
// DHCP client on the same machine gets the same address and nothing of booting,
// one on a machine that is nobody's gets nothing.
func TestDHCPServer(t *testing.T) {
	t.Parallel()
	seg := newSegment(t)
	r := newRack(t, seg, 4, seg.server())
	r.serve(t)
	r.simulate(t)
	for i := range 4 {
		r.enroll(i + 1)
	}
	r.deployAll(4)
	var out string
	eventually(t, settleTimeout, "all addresses are listed", func() bool {
		out = r.own("dhcp", "reservations").stdout
		return !strings.Contains(out, "none")
	})
	taken := map[string]string{}
	for i := range 4 {
		m := regexp.MustCompile(piMAC(i+1) + ` +(\S+) +caddy-` + strconv.Itoa(i+1)).FindStringSubmatch(out)
		if m == nil || taken[m[1]] != "" {
			t.Fatalf("reservations:\n%s", out)
		}
		taken[m[1]] = piMAC(i + 1)
		r.mounted(m[1])
		if i == 0 {
			r.api.power("caddy-1", "power off")
			r.awaitPower("power off", "caddy-1")
			got := udhcpc(t, seg.namespace("pi-1"))
			if got["ip"] != m[1] || got["mask"] != "24" || got["router"] != seg.own() || got["hostname"] != "caddy-1" {
				t.Errorf("udhcpc on the Pi got %v, want %s", got, m[1])
			}
			for _, k := range []string{"siaddr", "tftp", "bootfile", "boot_file", "opt43", "opt60"} {
				if got[k] != "" && got[k] != "0.0.0.0" {
					t.Errorf("udhcpc was told %s=%s", k, got[k])
				}
			}
		}
	}
	if got := udhcpc(t, seg.plug("laptop", "")); got != nil {
		t.Errorf("a laptop got %v", got)
	}

	r.program.stop(30 * time.Second)
	r.program.process = start(t, "caddyshack serve", nil, r.program.cmd.Args...)
	eventually(t, settleTimeout, "the same Pi has the same address after a restart", func() bool {
		got := udhcpc(t, seg.namespace("pi-1"))
		return got != nil && taken[got["ip"]] == piMAC(1)
	})
}

// Beside Debian's dnsmasq: a full server refuses to start and names it; one
// that is forced to notices it; a proxy adds what it lacks, finds the nodes'
// addresses, and says so when one changes.
func TestDHCPBesideAnother(t *testing.T) {
	t.Parallel()
	seg := newSegment(t)
	home := seg.home(150, 159)
	other := fmt.Sprintf("%s (MAC %s)", seg.address(254), homeMAC)

	r := newRack(t, seg, 0, seg.server())
	p := launch(t, "serve", "--config", r.config)
	if code := p.wait(settleTimeout); code != 1 {
		t.Fatalf("a second DHCP server starts, or ends with %d", code)
	}
	for _, want := range []string{"another DHCP server answers there: " + other, `dhcp.mode = "proxy"`, "dhcp.force = true"} {
		if !strings.Contains(p.stderr(), want) {
			t.Errorf("the refusal lacks %q:\n%s", want, p.stderr())
		}
	}
	r = newRack(t, seg, 0, seg.server()+"\nforce = true")
	r.serve(t)
	eventually(t, settleTimeout, "the other server is noticed", func() bool { return r.events("foreign") > 0 })
	if !strings.Contains(r.program.stderr(), "another DHCP server answers on "+seg.bridge+": "+other) {
		t.Errorf("the other server is not named:\n%s", tail(r.program.stderr()))
	}
	r.program.stop(30 * time.Second)

	r = newRack(t, seg, 4, seg.proxy())
	r.serve(t)
	r.simulate(t)
	for i := range 4 {
		r.enroll(i + 1)
	}
	r.deployAll(4)
	for i := range 4 {
		if r.historyHas(fmt.Sprint("caddy-", i+1), "address") {
			t.Errorf("caddy-%d: %q", i+1, r.api.history(fmt.Sprint("caddy-", i+1)))
		}
	}
	if n := r.events("foreign") + r.events("alone"); n != 0 {
		t.Errorf("the only DHCP server is called foreign: %d events", n)
	}

	// Another address the next time: the node boots from there, and is told.
	r.api.power("caddy-3", "power off")
	r.awaitPower("power off", "caddy-3")
	home.end()
	home = seg.home(160, 169)
	r.api.power("caddy-3", "power on")
	r.awaitHistory("caddy-3", "changed from 10.77.", " to "+seg.address(16), "reserve an address for it on the DHCP server", "caddyshack dhcp reservations")
	r.mounted(seg.address(16) + `\d`)

	// No server at all.
	home.end()
	eventually(t, settleTimeout, "the proxy notices that it is alone", func() bool { return r.events("alone") > 0 })
	if !strings.Contains(r.program.stderr(), "no DHCP server answers on "+seg.bridge) {
		t.Errorf("the log does not say so:\n%s", tail(r.program.stderr()))
	}
}

// dnsmasq gives the addresses that are reserved here, from files that are
// written and read again while both run; its other clients are left as they are.
func TestDHCPByDnsmasq(t *testing.T) {
	t.Parallel()
	seg := newSegment(t)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	r := newRack(t, seg, 4, fmt.Sprintf("mode = \"dnsmasq\"\nrange = \"%s-%s\"\ndnsmasq_hosts_file = %q\ndnsmasq_options_file = %q\ndnsmasq_pid_file = %q",
		seg.address(100), seg.address(119), file("hosts"), file("options"), file("pid")))
	r.serve(t)
	conf := run(t, nil, binary(), "dhcp", "dnsmasq", "--config", r.config)
	if conf.code != 0 || !strings.Contains(conf.stdout, fmt.Sprintf("#dhcp-range=10.77.%d.0,static", seg.n)) {
		t.Fatalf("%s", conf)
	}
	if err := os.WriteFile(file("conf"), []byte(conf.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	// In a namespace of its own only since the other tests have servers in the
	// controller's.
	ns := seg.plug("router", "")
	seg.ip("-n", ns, "addr", "add", seg.address(254)+"/24", "dev", "eth0")
	d := startDnsmasq(t, ns, "--interface=eth0", "--conf-file="+file("conf"), "--pid-file="+file("pid"),
		fmt.Sprintf("--dhcp-range=%s,%s,255.255.255.0,1h", seg.address(200), seg.address(209)))
	r.simulate(t)
	for i := range 4 {
		r.enroll(i + 1)
	}
	r.deployAll(4)
	hosts := readFile(t, file("hosts"))
	for i := range 4 {
		m := regexp.MustCompile(piMAC(i+1) + `,set:caddyshack,(\S+),caddy-`).FindStringSubmatch(hosts)
		if m == nil {
			t.Fatalf("hosts:\n%s", hosts)
		}
		r.mounted(m[1])
	}
	if !strings.Contains(d.stderr(), "read "+file("hosts")) {
		t.Errorf("dnsmasq has not read the hosts again:\n%s", tail(d.stderr()))
	}
	got := udhcpc(t, seg.plug("laptop", ""))
	if !strings.HasPrefix(got["ip"], seg.address(20)) || got["tftp"] != "" {
		t.Errorf("another client of dnsmasq got %v", got)
	}
}

// A flood of made-up Pis, two Pis with one MAC, and machines that pretend to
// be a Pi: the Pis that are registered boot all the same, and who pretends gets
// nothing and is named.
func TestDHCPAttacks(t *testing.T) {
	t.Parallel()
	seg := newSegment(t)
	r := newRack(t, seg, 3, seg.server())
	r.serve(t)
	r.simulate(t)
	for i := range 2 {
		r.enroll(i + 1)
	}

	flood := ether(t, seg.plug("flood", ""))
	stop, rising, stopped := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if n == 2000 {
				close(rising)
			}
			mac := fmt.Sprintf("dc:a6:32:f0:%02x:%02x", byte(n>>8), byte(n))
			shout(t, flood, discover(t, mac, fmt.Sprintf("%08x", n+1)))
			if n%100 == 99 {
				time.Sleep(time.Millisecond) // the test's own machine must live, too
			}
		}
	}()
	select {
	case <-rising:
	case <-stopped:
		t.Fatal("the flood has ended by itself")
	}
	r.deployAll(2)
	close(stop)
	<-stopped
	if r.events("no-room") == 0 {
		t.Error("the flood is not noticed")
	}
	r.enroll(3, func(node, _ map[string]any) { delete(node["driver_info"].(map[string]any), "serial_number") })

	// Two Pis with one MAC, of which none is known by its serial number: the
	// deploy ends with that reason.
	seg.unplug("pi-3")
	twin := ether(t, seg.plug("twin", piMAC(3)))
	r.api.provision("caddy-3", "active")
	r.awaitNode("caddy-3", "waiting for its Pi", func(n node) bool { return n.Provision == "wait call-back" })
	one := discover(t, piMAC(3), "000000a1")
	shout(t, twin, one)
	if a := hear(t, twin, one, settleTimeout); a == nil {
		t.Fatal("the first of two Pis gets no address")
	}
	two := discover(t, piMAC(3), "000000a2")
	shout(t, twin, two)
	n := r.awaitState("caddy-3", "deploy failed", "active")
	for _, want := range []string{"two Pis ask with the MAC " + piMAC(3), "000000a1", "000000a2", "set driver_info.serial_number"} {
		if !strings.Contains(text(n.LastError), want) {
			t.Errorf("last_error lacks %q: %s", want, text(n.LastError))
		}
	}
	if a := hear(t, twin, two, 2*time.Second); a != nil {
		t.Errorf("the second of two Pis gets %v", a.YourIPAddr)
	}
	// The remedy that it names.
	r.api.patch("caddy-3", "/driver_info/serial_number", piSerial(3))
	seg.unplug("twin")
	seg.plugIn("pi-3")
	r.api.provision("caddy-3", "active")
	if n := r.awaitState("caddy-3", "active", "deploy failed"); n.Provision != "active" {
		t.Fatalf("after the remedy: %s", text(n.LastError))
	}

	// The serial number of caddy-1: from the slot of caddy-2, by DHCP and by
	// TFTP, and from a machine that is nobody's.
	r.api.power("caddy-2", "power off")
	r.awaitPower("power off", "caddy-2")
	second := ether(t, seg.namespace("pi-2"))
	spoof := discover(t, piMAC(2), piSerial(1))
	shout(t, second, spoof)
	r.awaitHistory("caddy-2", "with the MAC of caddy-2 and the serial number of caddy-1")
	r.awaitHistory("caddy-1", "with the MAC of caddy-2 and the serial number of caddy-1")
	outOfService := func() {
		t.Helper()
		r.awaitNode("caddy-2", "out of service", func(n node) bool { return n.Maintenance && text(n.Fault) == "identity conflict" })
		if n := r.api.node("caddy-1"); n.Maintenance {
			t.Error("who is pretended to be is out of service, too")
		}
		r.api.json(http.MethodDelete, "/v1/nodes/caddy-2/maintenance", nil, http.StatusAccepted)
	}
	outOfService()
	if a := hear(t, second, spoof, 2*time.Second); a != nil && a.MessageType() == dhcpv4.MessageTypeOffer {
		t.Errorf("who pretends gets %v", a.YourIPAddr)
	}
	got := udhcpc(t, seg.namespace("pi-2"))
	seg.ip("-n", seg.namespace("pi-2"), "addr", "replace", got["ip"]+"/24", "dev", "eth0")
	r.robs("pi-2", piSerial(1))
	r.awaitHistory("caddy-2", "TFTP: a machine with the MAC "+piMAC(2), "asks from "+got["ip"]+" for the files of caddy-1")
	outOfService()
	const stranger = "02:00:00:00:00:66"
	seg.plug("stranger", stranger)
	seg.ip("-n", seg.namespace("stranger"), "addr", "add", seg.address(66)+"/24", "dev", "eth0")
	r.robs("stranger", piSerial(1))
	r.awaitHistory("caddy-1", "TFTP: a machine with the MAC "+stranger, "asks from "+seg.address(66))
}

// What keeps a Pi from its address, or from more than that, is named when the
// deploy fails, and the remedy that is named helps.
func TestDHCPFaults(t *testing.T) {
	t.Parallel()
	seg := newSegment(t)
	r := newRack(t, seg, 2, seg.server()+"\n[boot.watchdog]\ntries = 0\npower = \"3s\"\ndhcp = \"3s\"\nfile = \"3s\"")
	r.serve(t)
	r.simulate(t)
	r.enroll(1)
	r.enroll(2, func(node, _ map[string]any) {
		node["driver_info"].(map[string]any)["serial_number"] = "10000000deadbeef"
	})
	fails := func(name string, parts ...string) {
		t.Helper()
		r.api.provision(name, "active")
		n := r.awaitState(name, "deploy failed", "active")
		for _, want := range parts {
			if !strings.Contains(text(n.LastError), want) {
				t.Errorf("%s: last_error lacks %q: %s", name, want, text(n.LastError))
			}
		}
	}
	seg.unplug("pi-1")
	fails("caddy-1", "no DHCP request within 3 s", "the EEPROM's BOOT_ORDER may lack network boot (0xf2)", "the network cable")
	seg.plugIn("pi-1")
	fails("caddy-2", "its serial number is "+piSerial(2)+", and deadbeef is registered", "correct driver_info.serial_number")
	r.api.patch("caddy-2", "/driver_info/serial_number", piSerial(2))
	r.deployAll(2)
}

// Simulated Pis without interfaces of their own ask on loopback, as any user.
func TestDHCPOnLoopback(t *testing.T) {
	t.Parallel()
	r := newRack(t, newSegment(t), 4, "mode = \"server\"\nlisten = \"127.0.0.1:0\"\nrange = \"127.78.0.10-127.78.0.19\"")
	text := strings.NewReplacer(r.seg.own()+":69", "127.0.0.1:0", r.seg.own()+":2049", "127.0.0.1:0", r.seg.own(), "127.0.0.1").Replace(readFile(t, r.config))
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.serve(t)
	readyFile := filepath.Join(r.dir, "sim-ready")
	r.sim = start(t, "caddyshack sim", []string{"CADDYSHACK_SIM_PASSWORD=" + unitPassword}, binary(), "sim", "--broker", r.program.ready.MQTT,
		"--dhcp", r.program.ready.DHCP, "--tftp", r.program.ready.TFTP, "--models", models, "--caddies", "4", "--state", filepath.Join(r.dir, "sim"), "--ready-file", readyFile)
	awaitReadyFile(t, r.sim, readyFile, &map[string]string{})
	for i := range 4 {
		r.enroll(i + 1)
	}
	r.deployAll(4)
	r.mounted(`127\.78\.0\.1\d`)
}

// robs asks for the command line of another Pi, in vain.
func (r *rack) robs(name, serial string) {
	r.t.Helper()
	out := filepath.Join(r.t.TempDir(), "cmdline")
	got := run(r.t, nil, inside(r.seg.namespace(name), "busybox", "tftp", "-g", "-l", out, "-r", serial+"/cmdline.txt", r.seg.own())...)
	if text, err := os.ReadFile(out); got.code == 0 || err == nil && len(text) > 0 {
		r.t.Errorf("%s has got the files of another Pi: %s %q", name, got, text)
	}
	if !strings.Contains(got.stderr, "not found") {
		r.t.Errorf("%s: %s", name, got)
	}
}
