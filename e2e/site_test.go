//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"caddyshack/store/storetest"
)

// site is a running chassis with its nodes, however it was set up.
type site struct {
	program *program
	*cli
	api api
	// images is a folder from which file:// images may be taken.
	images string
	// mosquitto and sim run beside `serve`; nil in the demo.
	mosquitto *mosquitto
	sim       *process
}

// arrangements are the ways to run the program. What holds for one holds for all.
var arrangements = []struct {
	name  string
	start func(testing.TB) *site
}{
	{"demo", func(t testing.TB) *site { return startDemo(t) }},
	{"serve", func(t testing.TB) *site { return startServe(t, "") }},
	{"postgresql", func(t testing.TB) *site { return startServe(t, storetest.Postgres(t)) }},
}

// caddies is the size of the simulated chassis.
const caddies = 13

// onEach runs a test on each arrangement.
func onEach(t *testing.T, test func(t *testing.T, s *site)) {
	for _, a := range arrangements {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			test(t, a.start(t))
		})
	}
}

func newSite(t testing.TB, p *program, images string) *site {
	return &site{program: p, cli: newCLI(t, p.ready.API), api: api{t: t, base: p.ready.API}, images: images}
}

// startDemo is `make demo`.
func startDemo(t testing.TB, args ...string) *site {
	t.Helper()
	p := startProgram(t, append([]string{"demo"}, args...)...)
	return newSite(t, p, p.tmp)
}

// settings is the configuration of serve in these tests.
type settings struct {
	dir      string
	broker   string // keys of [broker]; "" = the embedded one
	api      string // keys of [api]
	database string // URL; "" = SQLite
	more     string // further tables
}

// write writes the configuration file.
func (s settings) write(t testing.TB) (path, images string) {
	t.Helper()
	if s.broker == "" {
		s.broker = `listen = "127.0.0.1:0"`
	}
	images = filepath.Join(s.dir, "images")
	if err := os.MkdirAll(images, 0o750); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`state_dir = %q
[api]
%s
[database]
url = %q
[broker]
%s
[boot]
address = "127.0.0.1"
tftp_listen = "127.0.0.1:0"
phone_home_listen = "127.0.0.1:0"
nfs_listen = "127.0.0.1:0"
[images]
folders = [%q]
default_image = "builtin:demo"
[console]
listen = "127.0.0.1:0"
%s
`, filepath.Join(s.dir, "state"), s.api, s.database, s.broker, images, s.more)
	path = filepath.Join(s.dir, "caddyshack.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, images
}

// startServe is `caddyshack serve` with mosquitto as its broker and the
// simulated chassis as a program of its own; the nodes are entered by hand.
func startServe(t testing.TB, database string) *site {
	t.Helper()
	m := startMosquitto(t, "bpu-1", "bpu-2", "bpu-3", "bpu-4")
	config, images := settings{dir: t.TempDir(), database: database,
		broker: fmt.Sprintf("url = %q\npassword = %q", m.url(), controllerPassword)}.write(t)
	s := newSite(t, startProgram(t, "serve", "--config", config), images)
	s.mosquitto = m
	lines := s.startSim(t.TempDir())
	s.enter(t, lines)
	return s
}

// startSim runs the simulated chassis and returns its serial lines by caddy.
func (s *site) startSim(state string) map[string]string {
	t := s.program.t
	t.Helper()
	readyFile := filepath.Join(t.TempDir(), "ready")
	s.sim = start(t, "caddyshack sim", []string{"CADDYSHACK_SIM_PASSWORD=" + unitPassword},
		binary(), "sim", "--broker", s.mosquitto.url(), "--tftp", s.program.ready.TFTP, "--state", state, "--ready-file", readyFile)
	lines := map[string]string{}
	awaitReadyFile(t, s.sim, readyFile, &lines)
	return lines
}

// printed is a line that `caddyshack sim` prints of a caddy.
var printed = regexp.MustCompile(`(?m)^(caddy-\d+) +(\S+) slot (\d+)  (\S+)  (\S+)  `)

// enter creates the nodes as an operator would, from what the simulator prints.
func (s *site) enter(t testing.TB, lines map[string]string) {
	t.Helper()
	found := printed.FindAllStringSubmatch(s.sim.stdout(), -1)
	if len(found) != caddies {
		t.Fatalf("the simulator prints %d caddies, want %d:\n%s", len(found), caddies, s.sim.stdout())
	}
	chassis := s.api.post("chassis", map[string]any{"description": "simulated chassis"})
	for _, f := range found {
		name, unit, mac, ip := f[1], f[2], f[4], f[5]
		slot, err := strconv.Atoi(f[3])
		if err != nil {
			t.Fatal(err)
		}
		node := s.api.post("nodes", map[string]any{
			"name": name, "driver": "caddy", "chassis_uuid": chassis["uuid"], "resource_class": "rpi4",
			"driver_info": map[string]any{"backplane_unit": unit, "slot": slot, "console_port": lines[name]},
			"properties":  map[string]any{"cpu_arch": "aarch64", "cpus": 4, "memory_mb": 4096, "local_gb": 16},
			"extra":       map[string]any{"backplane_unit": unit, "slot": slot},
		})
		s.api.post("ports", map[string]any{
			"node_uuid": node["uuid"], "address": mac, "extra": map[string]any{"ip_address": ip},
			"local_link_connection": map[string]any{"switch_id": "02:cd:00:00:00:01", "port_id": "port" + name[len("caddy-"):], "switch_info": "switch"},
		})
	}
	s.awaitPower("power off", caddyNames()...)
}

func caddyNames() []string {
	var names []string
	for i := range caddies {
		names = append(names, fmt.Sprintf("caddy-%d", i+1))
	}
	return names
}

// own runs a command of our own client.
func (s *site) own(args ...string) result {
	s.t.Helper()
	return run(s.t, []string{"OS_ENDPOINT=" + s.program.ready.API}, append([]string{binary()}, args...)...)
}
