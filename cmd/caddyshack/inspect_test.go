package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/bus"
	"caddyshack/conductor"
	"caddyshack/sim/chassis"
	"caddyshack/sim/pi"
	"caddyshack/sim/unit"
)

// nobodyReads is a serial line without anybody at its other end.
type nobodyReads struct{}

func (nobodyReads) Write(p []byte) (int, error) { return len(p), nil }
func (nobodyReads) Flush()                      {}
func (nobodyReads) Read(ctx context.Context, _ []byte) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// socket is a slot into which the test puts things.
type socket struct {
	mu  sync.Mutex
	in  unit.Device // nil = nothing
	pwr bool
}

func (s *socket) device() unit.Device {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in == nil {
		return &unit.Load{}
	}
	return s.in
}

// put exchanges what is in the slot.
func (s *socket) put(d unit.Device) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pwr && s.in != nil {
		s.in.Power(false)
	}
	s.in = d
	if s.pwr && s.in != nil {
		s.in.Power(true)
	}
}

func (s *socket) Power(on bool) {
	s.device().Power(on)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pwr = on
}
func (s *socket) ShutdownRequest() { s.device().ShutdownRequest() }
func (s *socket) Reset()           { s.device().Reset() }
func (s *socket) Alive() bool      { return s.device().Alive() }

// piRig is a plugRig whose slots are sockets, and whose Pis get their addresses
// from its DHCP server.
type piRig struct {
	*plugRig
	sockets map[string]*socket // by unit/slot
}

func startPiRig(t *testing.T, caddies int, change ...func(*Config)) *piRig {
	t.Helper()
	r := &piRig{sockets: map[string]*socket{}}
	var mu sync.Mutex
	r.plugRig = startPlugRig(t, caddies, func(c *Config) {
		c.DHCP.Mode, c.DHCP.Listen, c.DHCP.Subnet = "server", "127.0.0.1:0", "127.0.0.0/8"
		c.DHCP.Range = "127.77.200.1-127.77.200.99"
		for _, f := range change {
			f(c)
		}
	}, func(i chassis.SlotInfo) (unit.Device, error) {
		mu.Lock()
		defer mu.Unlock()
		s := &socket{}
		r.sockets[fmt.Sprintf("%s/%d", i.Unit, i.Slot)] = s
		return s, nil
	})
	r.await(t, "all caddies", func(all map[string]baremetal.Node) bool { return len(all) == caddies })
	return r
}

// pi makes a Pi that nobody knows.
func (r *piRig) pi(t *testing.T, model pi.Model, number int) *pi.Pi {
	t.Helper()
	return r.watchedPi(t, model, number, nil)
}

// watchedPi also tells what the Pi does.
func (r *piRig) watchedPi(t *testing.T, model pi.Model, number int, tell func(pi.Event)) *pi.Pi {
	t.Helper()
	return r.piOf(t, model, macOf(number), serialOf(number), tell)
}

// piOf makes a Pi with any MAC and serial number.
func (r *piRig) piOf(t *testing.T, model pi.Model, mac, serial string, tell func(pi.Event)) *pi.Pi {
	t.Helper()
	server, err := netip.ParseAddrPort(r.dhcpAddr())
	if err != nil {
		t.Fatal(err)
	}
	p, err := pi.New(pi.Config{Model: model, MAC: mac, Serial: serial, Line: nobodyReads{}, OnEvent: tell,
		DHCP: &pi.DHCP{Server: server, TFTPPort: r.boot.tftp[0].Addr().Port()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func macOf(number int) string    { return fmt.Sprintf("dc:a6:32:00:00:%02x", number) }
func serialOf(number int) string { return fmt.Sprintf("feed00%02x", number) }

// manageable brings nodes to that state.
func (r *piRig) manageable(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if r.nodes(t)[name].ProvisionState != baremetal.Manageable {
			r.ask(t, name, baremetal.VerbManage)
		}
	}
	r.idle(t, names, baremetal.Manageable)
}

func (r *piRig) ask(t *testing.T, name string, v baremetal.Verb) {
	t.Helper()
	if err := r.conductor.SetProvision(t.Context(), tester, name, conductor.ProvisionRequest{Verb: v, Minor: 115}); err != nil {
		t.Fatalf("%s %s: %v", v, name, err)
	}
}

// idle waits until nodes are in one of the states.
func (r *piRig) idle(t *testing.T, names []string, states ...baremetal.ProvisionState) map[string]baremetal.Node {
	t.Helper()
	return r.await(t, fmt.Sprint(names, states), func(all map[string]baremetal.Node) bool {
		for _, name := range names {
			if n := all[name]; !slices.Contains(states, n.ProvisionState) || n.Work.Reservation != "" {
				return false
			}
		}
		return true
	})
}

// inspect brings nodes to manageable, if need be, and inspects them together.
func (r *piRig) inspect(t *testing.T, names ...string) map[string]baremetal.Node {
	t.Helper()
	r.manageable(t, names...)
	for _, name := range names {
		r.ask(t, name, baremetal.VerbInspect)
	}
	return r.idle(t, names, baremetal.Manageable, baremetal.InspectFailed)
}

// ports lists the addresses of a node's ports.
func (r *piRig) ports(t *testing.T, uuid string) (macs []string) {
	t.Helper()
	list, err := r.store.Ports(t.Context(), baremetal.PortQuery{NodeUUID: &uuid})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		macs = append(macs, list[i].Address)
	}
	return macs
}

// found checks that a node has the Pi of a number.
func (r *piRig) found(t *testing.T, n baremetal.Node, number int, class string) {
	t.Helper()
	if macs := r.ports(t, n.UUID); n.ProvisionState != baremetal.Manageable || n.DriverInfo.Str("serial_number") != serialOf(number) || n.ResourceClass != class ||
		n.Properties.Str("cpu_arch") != "aarch64" || !strings.Contains(n.Properties.Str("capabilities"), "model:pi") || len(macs) != 1 || macs[0] != macOf(number) {
		t.Errorf("%s: %s %q, %s, %s, class %q, ports %q; want the Pi %s", n.Name, n.ProvisionState, n.LastError, n.DriverInfo, n.Properties, n.ResourceClass, macs, serialOf(number))
	}
	// The unit's report reaches the row by a way of its own.
	r.await(t, n.Name+" off after its inspection", func(all map[string]baremetal.Node) bool { return all[n.Name].PowerState == baremetal.PowerOff })
}

// refused checks that an inspection failed for a reason.
func (r *piRig) refused(t *testing.T, n baremetal.Node, why ...string) {
	t.Helper()
	if n.ProvisionState != baremetal.InspectFailed {
		t.Errorf("%s is %s, want its inspection to fail", n.Name, n.ProvisionState)
	}
	for _, w := range why {
		if !strings.Contains(n.LastError, w) {
			t.Errorf("%s: last_error %q does not tell %q", n.Name, n.LastError, w)
		}
	}
}

func TestInspectionLearnsWhoSitsWhere(t *testing.T) {
	t.Parallel()
	r := startPiRig(t, 9)
	for i, at := range []string{"bpu-1/1", "bpu-1/2", "bpu-1/3", "bpu-2/1"} {
		model := pi.Pi4
		if at == "bpu-2/1" {
			model = pi.Pi5
		}
		r.sockets[at].put(r.pi(t, model, i+1))
	}
	rule := baremetal.InspectionRule{UUID: baremetal.NewUUID(), Phase: baremetal.MainPhase, Description: "all go to the rack",
		Actions: `[{"op":"set-attribute","args":{"path":"/extra/rack","value":"one"}}]`}
	if err := r.store.InspectionRules().Create(t.Context(), &rule, nil); err != nil {
		t.Fatal(err)
	}
	all := r.inspect(t, "caddy-bpu-1-1")
	r.found(t, all["caddy-bpu-1-1"], 1, "rpi4")
	if got := all["caddy-bpu-1-1"].Properties.Str("memory_mb"); got != "4096" {
		t.Errorf("memory_mb %q, want what the board's revision tells", got)
	}
	if got := all["caddy-bpu-1-1"].Extra.Str("rack"); got != "one" {
		t.Errorf("the inspection rule was not applied: extra.rack is %q", got)
	}
	d, kept, err := r.store.Document(t.Context(), all["caddy-bpu-1-1"].UUID, baremetal.InventoryDocument)
	if err != nil || !kept || !strings.Contains(d.Body.Text(), macOf(1)) {
		t.Errorf("the inventory: %v, %v, %s", kept, err, d.Body.Text())
	}

	// Plugged in and asked about at once, each is found where it is.
	all = r.inspect(t, "caddy-bpu-1-2", "caddy-bpu-1-3", "caddy-bpu-2-1")
	r.found(t, all["caddy-bpu-1-2"], 2, "rpi4")
	r.found(t, all["caddy-bpu-1-3"], 3, "rpi4")
	r.found(t, all["caddy-bpu-2-1"], 4, "rpi5")
	// Once more is no harm.
	r.found(t, r.inspect(t, "caddy-bpu-1-3")["caddy-bpu-1-3"], 3, "rpi4")

	// A caddy without a Pi, an empty slot, one that is on.
	r.insert(t, "bpu-2", 2, bus.TypeSwitch)
	r.manageable(t, "caddy-bpu-2-2")
	if why := r.inspectInVain(t, "caddy-bpu-2-2"); !strings.Contains(why, "slot 2 of unit bpu-2 holds a network switch") {
		t.Errorf("of a switch it is said: %q", why)
	}
	r.chassis.Unit("bpu-1").Press(3, 0)
	r.await(t, "on by its button", func(all map[string]baremetal.Node) bool { return all["caddy-bpu-1-3"].PowerState == baremetal.PowerOn })
	r.refused(t, r.inspect(t, "caddy-bpu-1-3")["caddy-bpu-1-3"], "slot 3 of unit bpu-1 is on", "switch it off first")
	if n := r.nodes(t)["caddy-bpu-1-3"]; n.PowerState != baremetal.PowerOn {
		t.Errorf("a slot that was on is %s after a refused inspection", n.PowerState)
	}

	// Another Pi in a slot whose Pi is known.
	r.sockets["bpu-1/2"].put(r.pi(t, pi.Pi4, 20))
	n := r.inspect(t, "caddy-bpu-1-2")["caddy-bpu-1-2"]
	r.refused(t, n, "holds another Pi (serial "+serialOf(20), "than before (serial "+serialOf(2))
	if macs := r.ports(t, n.UUID); len(macs) != 1 || macs[0] != macOf(2) {
		t.Errorf("after a refused exchange: ports %q", macs)
	}
	// The unit's report reaches the row by a way of its own.
	r.await(t, "off after a refused exchange", func(all map[string]baremetal.Node) bool { return all["caddy-bpu-1-2"].PowerState == baremetal.PowerOff })

	// A Pi that another node has moves.
	r.insert(t, "bpu-1", 1, bus.TypeEmpty)
	r.sockets["bpu-2/3"].put(r.sockets["bpu-1/1"].device())
	r.sockets["bpu-1/1"].put(nil)
	all = r.inspect(t, "caddy-bpu-2-3")
	r.refused(t, all["caddy-bpu-2-3"], "holds the Pi of node caddy-bpu-1-1", "belongs in slot 1 of unit bpu-1")
	if n := all["caddy-bpu-1-1"]; !n.Maintenance || !strings.Contains(n.MaintenanceReason, "slot 3 of unit bpu-2") || n.Fault == "" {
		t.Errorf("the node whose Pi moved: maintenance %v, %q, fault %q", n.Maintenance, n.MaintenanceReason, n.Fault)
	}
	if macs := r.ports(t, all["caddy-bpu-2-3"].UUID); len(macs) != 0 || all["caddy-bpu-2-3"].DriverInfo.Str("serial_number") != "" {
		t.Errorf("the node that another's Pi was put into got its ports %q", macs)
	}
	if why := r.inspectInVain(t, "caddy-bpu-1-1"); !strings.Contains(why, "slot 1 of unit bpu-1 is empty") {
		t.Errorf("of an empty slot it is said: %q", why)
	}
}

// deaf is a device that notices power only from a certain time on that it comes.
type deaf struct {
	unit.Device
	until atomic.Int64 // how often it does not
}

func (d *deaf) Power(on bool) {
	if !on {
		d.until.Add(-1)
	}
	d.Device.Power(on && d.until.Load() <= 0)
}

// TestInspectionCyclesSilentPi: a Pi of which nothing is heard is power-cycled.
func TestInspectionCyclesSilentPi(t *testing.T) {
	t.Parallel()
	r := startPiRig(t, 3, func(c *Config) {
		c.Boot.Watchdog.Power, c.Boot.Watchdog.DHCP = Duration{7 * time.Second}, Duration{time.Second}
	})
	const late, never = "caddy-bpu-1-1", "caddy-bpu-1-2"
	for at, silent := range map[string]int64{"bpu-1/1": 1, "bpu-1/2": 1000} {
		d := &deaf{Device: r.pi(t, pi.Pi4, int(silent%100)+1)}
		r.sockets[at].put(d)
		d.until.Store(silent)
	}
	history := func(n baremetal.Node) (cycles []string) {
		t.Helper()
		list, err := r.store.History(t.Context(), baremetal.HistoryQuery{NodeUUID: n.UUID, Page: baremetal.Page{Limit: 1000}})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if strings.Contains(e.Event, "The machine is power-cycled (try ") {
				cycles = append(cycles, e.Event)
			}
		}
		return cycles
	}
	all := r.inspect(t, late, never)
	r.found(t, all[late], 2, "rpi4")
	if c := history(all[late]); len(c) == 0 || !strings.Contains(c[0], "nothing was heard of the Pi in slot 1 of unit bpu-1 for 8s") {
		t.Errorf("the history of a Pi that is not heard at once: %q", c)
	}
	r.refused(t, all[never], "Failed to inspect hardware: nothing was heard of the Pi in slot 2 of unit bpu-1 for 8s", "BOOT_ORDER", "; 2 power-cycles did not help")
	if c := history(all[never]); len(c) != 2 {
		t.Errorf("the history of a Pi that is never heard: %q", c)
	}
	r.await(t, "off after its inspection has failed", func(all map[string]baremetal.Node) bool { return all[never].PowerState == baremetal.PowerOff })
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	r := startPiRig(t, 3)
	r.sockets["bpu-1/1"].put(r.pi(t, pi.Pi3, 1))
	r.sockets["bpu-1/2"].put(r.pi(t, pi.Pi4, 2))
	r.insert(t, "bpu-1", 3, bus.TypeRouter)
	r.chassis.Unit("bpu-1").Press(2, 0)
	r.await(t, "on by its button", func(all map[string]baremetal.Node) bool { return all["caddy-bpu-1-2"].PowerState == baremetal.PowerOn })
	adopt := func(args ...string) int {
		return run(t.Context(), append([]string{"adopt", "--endpoint", r.apiURL()}, args...))
	}
	// As slot 2 is on with an unknown Pi, nothing can be told apart, and it is not touched.
	if code := adopt(); code != exitFailed {
		t.Errorf("adopting beside an unknown Pi that is on exits with %d", code)
	}
	all := r.nodes(t)
	if n := all["caddy-bpu-1-2"]; n.PowerState != baremetal.PowerOn || n.ProvisionState != baremetal.Enroll {
		t.Errorf("without --yes a node that was on is %s, %s", n.PowerState, n.ProvisionState)
	}
	if code := adopt("--yes", "caddy-bpu-1-2"); code != 0 {
		t.Errorf("adopting one that is on, with --yes, exits with %d", code)
	}
	if code := adopt(); code != 0 {
		t.Errorf("adopting all exits with %d", code)
	}
	all = r.nodes(t)
	// A Pi 3B tells no serial number unless it is given its boot loader, of which
	// this machine may have none.
	if n := all["caddy-bpu-1-1"]; n.ProvisionState != baremetal.Manageable || n.ResourceClass != "rpi3" || n.Properties.Str("memory_mb") != "1024" ||
		!slices.Equal(r.ports(t, n.UUID), []string{macOf(1)}) || n.DriverInfo.Has("serial_number") != (len(r.bootcode(t)) > 0) {
		t.Errorf("the Pi 3B: %s %q, class %q, %s, ports %q", n.ProvisionState, n.LastError, n.ResourceClass, n.Properties, r.ports(t, n.UUID))
	}
	r.found(t, all["caddy-bpu-1-2"], 2, "rpi4")
	if n := all["caddy-bpu-1-3"]; n.ProvisionState != baremetal.Enroll || n.LastError != "" {
		t.Errorf("a router is %s, %q", n.ProvisionState, n.LastError)
	}
	if code := adopt("nobody"); code != exitFailed {
		t.Errorf("adopting nobody exits with %d", code)
	}
}

// bootcode is the boot loader for Pis that nobody knows.
func (r *piRig) bootcode(t *testing.T) []byte {
	t.Helper()
	text, err := r.cfg.Boot.bootcode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestInspectionOfPi3 gives a Pi 3B its boot loader, and nothing to boot, so that
// it tells its serial number.
func TestInspectionOfPi3(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bootcode.bin")
	if err := os.WriteFile(file, []byte("rom"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := startPiRig(t, 1, func(c *Config) { c.Boot.Bootcode = file })
	events := make(chan pi.Event, 1000)
	r.sockets["bpu-1/1"].put(r.watchedPi(t, pi.Pi3, 1, func(e pi.Event) { events <- e }))
	n := r.inspect(t, "caddy-bpu-1-1")["caddy-bpu-1-1"]
	r.found(t, n, 1, "rpi3")
	if n.Properties.Str("memory_mb") != "1024" || !strings.Contains(n.Properties.Str("capabilities"), "model:pi3") {
		t.Errorf("properties %s", n.Properties)
	}
	for len(events) > 0 {
		if e := <-events; e.Stage == pi.StageConfig || e.Stage == pi.StageKernel {
			t.Errorf("it came to %q", e.Stage)
		}
	}
}

// TestPretenderIsTakenOut: a Pi that tells the serial number of another node gets
// nothing of that one, and its own node is taken out of service.
func TestPretenderIsTakenOut(t *testing.T) {
	t.Parallel()
	r := startPiRig(t, 2)
	const first, second = "caddy-bpu-1-1", "caddy-bpu-1-2"
	r.sockets["bpu-1/1"].put(r.pi(t, pi.Pi4, 1))
	r.sockets["bpu-1/2"].put(r.pi(t, pi.Pi4, 2))
	all := r.inspect(t, first, second)
	r.found(t, all[first], 1, "rpi4")
	r.found(t, all[second], 2, "rpi4")
	events := make(chan pi.Event, 1000)
	r.sockets["bpu-1/2"].put(r.piOf(t, pi.Pi4, macOf(2), serialOf(1), func(e pi.Event) { events <- e }))
	r.chassis.Unit("bpu-1").Press(2, 0)
	all = r.await(t, "out of service", func(all map[string]baremetal.Node) bool { return all[second].Maintenance })
	if n := all[second]; n.Fault != "identity conflict" || !strings.Contains(n.MaintenanceReason, "the serial number of "+first) {
		t.Errorf("who pretends: fault %q, reason %q", n.Fault, n.MaintenanceReason)
	}
	if n := all[first]; n.Maintenance || n.Fault != "" {
		t.Errorf("who is pretended to be: maintenance %v, %q, fault %q", n.Maintenance, n.MaintenanceReason, n.Fault)
	}
	for len(events) > 0 {
		if e := <-events; e.Stage == pi.StageConfig || e.Stage == pi.StageKernel || e.Stage == pi.StageMount {
			t.Errorf("it came to %q", e.Stage)
		}
	}
}

// inspectInVain asks for what must be refused at once or fail, and returns why.
func (r *piRig) inspectInVain(t *testing.T, name string) string {
	t.Helper()
	err := r.conductor.SetProvision(t.Context(), tester, name, conductor.ProvisionRequest{Verb: baremetal.VerbInspect, Minor: 115})
	if err != nil {
		return err.Error()
	}
	n := r.await(t, "a failed inspection", func(all map[string]baremetal.Node) bool {
		return all[name].ProvisionState == baremetal.InspectFailed && all[name].Work.Reservation == ""
	})[name]
	return n.LastError
}

// TestMovedPiGetsNothing deploys a Pi and puts it into another slot, whose power
// comes on: it must not get the system of the node that it was.
func TestMovedPiGetsNothing(t *testing.T) {
	t.Parallel()
	r := startPiRig(t, 3)
	events := make(chan pi.Event, 1000)
	moving := r.watchedPi(t, pi.Pi4, 1, func(e pi.Event) { events <- e })
	r.sockets["bpu-1/1"].put(moving)
	const first, second = "caddy-bpu-1-1", "caddy-bpu-1-2"
	r.found(t, r.inspect(t, first)[first], 1, "rpi4")
	r.ask(t, first, baremetal.VerbProvide)
	r.idle(t, []string{first}, baremetal.Available)
	r.ask(t, first, baremetal.VerbActive)
	r.idle(t, []string{first}, baremetal.Active)
	off := func(name string) {
		t.Helper()
		if err := r.conductor.SetPower(t.Context(), tester, name, conductor.PowerRequest{Target: baremetal.TargetOff}); err != nil {
			t.Fatal(err)
		}
		r.await(t, "off", func(all map[string]baremetal.Node) bool {
			return all[name].PowerState == baremetal.PowerOff && all[name].Work.Reservation == ""
		})
	}
	off(first)
	r.insert(t, "bpu-1", 1, bus.TypeEmpty)
	r.sockets["bpu-1/1"].put(nil)
	for len(events) > 0 {
		<-events
	}
	r.sockets["bpu-1/2"].put(moving)
	r.chassis.Unit("bpu-1").Press(2, 0)
	n := r.await(t, "out of service", func(all map[string]baremetal.Node) bool { return all[first].Maintenance })[first]
	if !strings.Contains(n.MaintenanceReason, "slot 1 of unit bpu-1, where it belongs, has no power") || n.Fault != "misplaced hardware" {
		t.Errorf("maintenance reason %q, fault %q", n.MaintenanceReason, n.Fault)
	}
	off(second)
	for len(events) > 0 {
		if e := <-events; e.Stage == pi.StageConfig || e.Stage == pi.StageKernel || e.Stage == pi.StageMount {
			t.Errorf("in the other slot it came to %q", e.Stage)
		}
	}
	// Back in its place, it boots as before.
	r.sockets["bpu-1/2"].put(nil)
	r.sockets["bpu-1/1"].put(moving)
	r.insert(t, "bpu-1", 1, bus.TypePi)
	if err := r.conductor.SetMaintenance(t.Context(), tester, first, false, ""); err != nil {
		t.Fatal(err)
	}
	r.chassis.Unit("bpu-1").Press(1, 0)
	for deadline := time.After(patient); ; {
		select {
		case e := <-events:
			if e.Stage == pi.StageLogin {
				return
			}
		case <-deadline:
			t.Fatalf("back in its slot it does not boot within %s", patient)
		}
	}
}
