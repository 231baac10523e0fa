//go:build switches

package networks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"caddyshack/internal/netns"
	"caddyshack/sim/chassis"
	"caddyshack/sim/pi"
	"caddyshack/sim/serial"
	"caddyshack/sim/unit"
)

// patience is far above what anything takes on a busy machine.
const patience = 3 * time.Minute

const switchID = "02:00:00:00:77:01"

// site is the program with a simulated unit of three Pis, each in its namespace.
type site struct {
	t       *testing.T
	w       *world
	api     string
	broker  string // its URL
	bin     string
	dir     string
	program *program
	pis     []*netns.NS
	uuid    map[string]string // of nodes, by name
	ports   map[int]string    // of their ports, by slot
}

// program is the running one.
type program struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

func startSite(t *testing.T, w *world) *site {
	t.Helper()
	s := &site{t: t, w: w, bin: os.Getenv("CADDYSHACK_BIN"), dir: t.TempDir(), uuid: map[string]string{}, ports: map[int]string{}}
	if _, err := os.Stat(s.bin); err != nil {
		t.Fatalf("CADDYSHACK_BIN must name the built program: run `make test-networks` (%v)", err)
	}
	for _, path := range w.Pis {
		n, err := netns.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		s.pis = append(s.pis, n)
	}
	s.refusesForwarding()
	s.serve()
	s.plugIn(s.broker)
	return s
}

// configure writes the configuration, with ports for API and broker.
func (s *site) configure(api, broker string) string {
	s.t.Helper()
	var networks strings.Builder
	for _, v := range vlans {
		fmt.Fprintf(&networks, "[[networks]]\nname = %q\nvlan = %d\naddress = %q\ndhcp = true\ndhcp_range = %q\npurposes = %s\n", v.name, v.vlan, v.address,
			strings.Replace(v.address, ".1/24", ".100-", 1)+strings.Replace(v.address, ".1/24", ".199", 1), v.purposes)
	}
	text := fmt.Sprintf(`state_dir = %q
[api]
listen = "%[2]s:%[6]s"
insecure = true
[broker]
listen = "%[2]s:%[7]s"
[[broker.units]]
id = "bpu-1"
password = "unit"
[boot]
address = %[2]q
[images]
default_image = "builtin:demo"
[console]
listen = "127.0.0.1:0"
[deploy]
boot_timeout = "2m"
%[3]s
[[switches]]
id = %[4]q
name = "rack"
kind = "openvswitch"
ovsdb = %[5]q
bridge = "br0"
uplinks = ["u10", "u20", "u30", "trunk"]
idle_vlan = 999
`, filepath.Join(s.dir, "state"), management, networks.String(), switchID, s.w.Database, api, broker)
	config := filepath.Join(s.dir, "caddyshack.toml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return config
}

// refusesForwarding: the program does not start where nodes would reach each
// other by way of this machine.
func (s *site) refusesForwarding() {
	s.t.Helper()
	here := netns.Current()
	defer func() { _ = here.Close() }()
	for _, c := range []struct{ setting, remedy string }{
		{"ipv4/conf/net20/forwarding", "sysctl -w net/ipv4/conf/net20/forwarding=0"},
		{"ipv6/conf/all/forwarding", "net/ipv6/conf/net20/disable_ipv6=1"},
	} {
		if err := setSysctl(here, c.setting, "1"); err != nil {
			s.t.Fatal(err)
		}
		if out := s.run(true, s.bin, "serve", "--config", s.configure("0", "0")); !strings.Contains(out, c.remedy) {
			s.t.Errorf("on a machine that forwards by %s:\n%s", c.setting, out)
		}
		if err := setSysctl(here, c.setting, "0"); err != nil {
			s.t.Fatal(err)
		}
	}
}

// serve starts the program and waits until it serves.
func (s *site) serve() {
	s.t.Helper()
	s.start()
	if !s.ready() {
		s.t.Fatal("the program ended")
	}
}

// start starts the program; the one after one that was killed gets its ports.
func (s *site) start() {
	t := s.t
	t.Helper()
	port := func(url string) string {
		if url == "" {
			return "0"
		}
		return url[strings.LastIndexByte(url, ':')+1:]
	}
	config := s.configure(port(s.api), port(s.broker))
	readyFile := filepath.Join(s.dir, "ready")
	if err := os.Remove(readyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), s.bin, "serve", "--config", config, "--ready-file", readyFile)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &program{cmd, make(chan struct{})}
	s.program = p
	go func() {
		_ = cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the program's log, without what only looks:\n%s", withoutReads(log.String()))
		}
	})
}

// ready waits until the program serves, and tells whether it does: false if it
// has ended.
func (s *site) ready() (serves bool) {
	s.t.Helper()
	var ready struct{ API, MQTT string }
	s.eventually("the program is ready", func() bool {
		text, err := os.ReadFile(filepath.Join(s.dir, "ready"))
		if serves = err == nil && json.Unmarshal(text, &ready) == nil; serves {
			s.api, s.broker = ready.API, ready.MQTT
			return true
		}
		select {
		case <-s.program.exited:
			return true
		default:
			return false
		}
	})
	return serves
}

// kill is kill -9.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// withoutReads leaves the polling of tests out of a log.
func withoutReads(log string) string {
	var kept strings.Builder
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "method=GET") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// plugIn starts the unit with the Pis in its slots.
func (s *site) plugIn(broker string) {
	t := s.t
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	c, err := chassis.Start(chassis.Config{
		Broker: broker, Password: func(string) string { return "unit" }, Caddies: 3, Log: log,
		Device: func(info chassis.SlotInfo) (unit.Device, error) {
			line, err := serial.Open(t.Context(), serial.Config{})
			if err != nil {
				return nil, err
			}
			t.Cleanup(func() { _ = line.Close() })
			return pi.New(pi.Config{MAC: info.MAC().String(), Serial: fmt.Sprintf("c0ff%02x%02x", info.UnitNumber, info.Slot),
				DHCP: &pi.DHCP{Interface: "eth0", Namespace: s.w.Pis[info.Slot-1], Interval: time.Second}, Line: line, Log: log,
				OnEvent: func(e pi.Event) { t.Logf("Pi %d: %s %s", info.Slot, e.Stage, e.Detail) }})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Online(ctx); err != nil {
		t.Fatal(err)
	}
}

// enter creates nodes for the first slots, and brings them to available.
func (s *site) enter(slots int) {
	for slot := 1; slot <= slots; slot++ {
		name := fmt.Sprintf("caddy-%d", slot)
		n := s.request("POST", "/v1/nodes", map[string]any{"name": name, "driver": "caddy",
			"driver_info": map[string]any{"backplane_unit": "bpu-1", "slot": slot, "serial_number": fmt.Sprintf("c0ff01%02x", slot)}}, http.StatusCreated)
		s.uuid[name], _ = n["uuid"].(string)
		if got := n["network_interface"]; got != "switch" {
			s.t.Errorf("network_interface is %v by default, want switch", got)
		}
		p := s.request("POST", "/v1/ports", map[string]any{"node_uuid": s.uuid[name], "address": mac(slot),
			"local_link_connection": map[string]any{"switch_id": switchID, "port_id": fmt.Sprintf("p%d", slot)}}, http.StatusCreated)
		s.ports[slot], _ = p["uuid"].(string)
	}
	s.verbAll("manage", "manageable")
	s.verbAll("provide", "available")
}

// verbAll asks all nodes for a verb at once, and waits until all have reached the state.
func (s *site) verbAll(verb, state string) {
	s.t.Helper()
	names := slices.Sorted(maps.Keys(s.uuid))
	for _, name := range names {
		s.request("PUT", "/v1/nodes/"+name+"/states/provision", map[string]any{"target": verb}, http.StatusAccepted)
	}
	for _, name := range names {
		s.await(name, state, func(n map[string]any) bool { return n["provision_state"] == state })
	}
}

// power switches a node and waits until it is.
func (s *site) power(name, target, state string) {
	s.t.Helper()
	s.request("PUT", "/v1/nodes/"+name+"/states/power", map[string]any{"target": target}, http.StatusAccepted)
	s.await(name, state, func(n map[string]any) bool { return n["power_state"] == state && n["target_power_state"] == nil })
}

// await polls a node until ok, and fails if it gets into a failed state.
func (s *site) await(name, what string, ok func(map[string]any) bool) {
	s.t.Helper()
	var n map[string]any
	s.eventually(name+" is "+what, func() bool {
		n = s.request("GET", "/v1/nodes/"+name, nil, http.StatusOK)
		if state, _ := n["provision_state"].(string); strings.HasSuffix(state, "failed") || state == "error" {
			s.t.Fatalf("%s is in %q: %v", name, state, n["last_error"])
		}
		return ok(n)
	})
}

func (s *site) eventually(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) { //nolint:forbidigo // polling another process
		if time.Now().After(end) {
			s.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// request speaks to the Ironic API.
func (s *site) request(method, path string, body any, want int) map[string]any {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	var in io.Reader = http.NoBody
	if body != nil {
		in = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.api+path, in)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("X-OpenStack-Ironic-API-Version", "1.82")
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		s.t.Fatalf("%s %s: %d %s %v, want %d", method, path, resp.StatusCode, answer, err, want)
	}
	var out map[string]any
	if len(answer) > 0 {
		if err := json.Unmarshal(answer, &out); err != nil {
			s.t.Fatal(err)
		}
	}
	return out
}

// openstack runs the real client; failing tells whether it must fail.
func (s *site) openstack(failing bool, args ...string) string {
	s.t.Helper()
	argv := append([]string{"--os-auth-type", "none", "--os-endpoint", s.api, "baremetal"}, args...)
	return s.run(failing, "/usr/bin/openstack", argv...)
}

// caddyshack runs our own client.
func (s *site) caddyshack(failing bool, args ...string) string {
	s.t.Helper()
	return s.run(failing, s.bin, args...)
}

func (s *site) run(failing bool, name string, args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "OS_ENDPOINT="+s.api)
	out, err := cmd.CombinedOutput()
	if (err != nil) != failing {
		s.t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// tag is the VLAN of a port, as the switch itself says.
func (s *site) tag(port string) string {
	s.t.Helper()
	return strings.TrimSpace(s.run(false, "ovs-vsctl", "--db="+s.w.Database, "--timeout=60", "get", "port", port, "tag"))
}

func (s *site) wantTags(when string, want ...string) {
	s.t.Helper()
	for i, w := range want {
		if got := s.tag(fmt.Sprintf("p%d", i+1)); got != w {
			s.t.Errorf("%s: port p%d is in VLAN %s, want %s", when, i+1, got, w)
		}
	}
}
