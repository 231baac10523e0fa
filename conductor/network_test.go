package conductor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/drivers"
	"caddyshack/drivers/fake"
	"caddyshack/drivers/networks"
	"caddyshack/drivers/switches"
	"caddyshack/store"
)

// rooted is a deploy whose machine lives on its root, as nfs-root's does.
type rooted struct{ fake.Deploy }

func (rooted) HoldsRoot() bool { return true }

// faulty is a switch in memory that can be made to fail.
type faulty struct {
	*switches.Memory
	dead atomic.Bool
	// stuck is a port that takes no change; "" = none.
	stuck atomic.Value
	// watch is told of each change before it is made.
	watch func(ctx context.Context, before switches.State, c switches.Change)
}

var errDead = errors.New("connection refused")

func (f *faulty) Read(ctx context.Context) (switches.State, error) {
	if f.dead.Load() {
		return switches.State{}, errDead
	}
	return f.Memory.Read(ctx)
}

func (f *faulty) Do(ctx context.Context, version string, changes []switches.Change) error {
	if f.dead.Load() {
		return errDead
	}
	before, err := f.Memory.Read(ctx)
	if err != nil {
		return err
	}
	var done []switches.Change
	for _, c := range changes {
		if c.Port == f.stuck.Load() {
			continue
		}
		if f.watch != nil {
			f.watch(ctx, before, c)
		}
		done = append(done, c)
	}
	return f.Memory.Do(ctx, version, done)
}

const switchMAC = "02:00:00:00:77:01"

// wired is a conductor whose nodes are plugged into a switch in memory.
type wired struct {
	*rig
	backend *faulty
	sw      *switches.Switch
	net     *networks.Driver
}

// newSwitch makes the switch: p1 to p8, and an uplink that is never touched.
func newSwitch(t *testing.T) (*faulty, *switches.Switch) {
	t.Helper()
	about := switches.Description{Kind: "memory", Ports: []switches.Port{{Name: "up"}}}
	for i := range 8 {
		about.Ports = append(about.Ports, switches.Port{Name: fmt.Sprintf("p%d", i+1)})
	}
	uplink := switches.PortState{Tagged: switches.VLANRange(2, 300)}
	b := &faulty{Memory: switches.NewMemory(about, map[string]switches.PortState{"up": uplink})}
	sw, err := switches.New(switches.Config{ID: switchMAC, Name: "rack", Uplinks: []string{"up"}, IdleVLAN: 999}, b)
	if err != nil {
		t.Fatal(err)
	}
	return b, sw
}

// networkType is fake-hardware with machines that live on their roots and are
// plugged into the switch.
func networkType(t *testing.T, s *store.Store, sw *switches.Switch) (*drivers.HardwareType, *networks.Driver) {
	t.Helper()
	fleet, err := switches.NewFleet(sw)
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := networks.NewCatalog([]networks.Network{
		{Name: "blue", VLAN: 20}, {Name: "green", VLAN: 30},
		{Name: "boot", VLAN: 10, Purposes: []baremetal.NetworkKind{baremetal.ProvisioningNetwork}},
		{Name: "wash", VLAN: 40, Purposes: []baremetal.NetworkKind{baremetal.CleaningNetwork}},
		{Name: "work", VLAN: 50, Purposes: []baremetal.NetworkKind{baremetal.ServicingNetwork}},
		{Name: "own-1", VLAN: 111, Purposes: []baremetal.NetworkKind{networks.NativeBoot}},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &networks.Driver{Catalog: catalog, Fleet: fleet, Rows: s}
	h := fake.HardwareType()
	h.Name = "wired"
	h.Interfaces["network"][networks.Name], h.Defaults["network"] = d, networks.Name
	h.Interfaces["deploy"]["rooted"], h.Defaults["deploy"] = rooted{}, "rooted"
	return h, d
}

func startWired(t *testing.T) *wired {
	t.Helper()
	s := openStore(t, t.TempDir())
	b, sw := newSwitch(t)
	h, d := networkType(t, s, sw)
	return &wired{rig: start(t, s, nil, h), backend: b, sw: sw, net: d}
}

// plugged makes a node with one port, plugged into the switch's port.
func (r *wired) plugged(t *testing.T, name, port string, state baremetal.ProvisionState) baremetal.Node {
	t.Helper()
	n := r.node(t, name, func(n *baremetal.Node) { n.Driver, n.ProvisionState = "wired", state })
	r.plug(t, n.UUID, port, true)
	return n
}

func (r *wired) plug(t *testing.T, node, port string, boots bool) string {
	t.Helper()
	mac := fmt.Sprintf("02:00:00:00:00:%02x", port[1])
	p := baremetal.Port{NodeUUID: node, Address: mac, PXEEnabled: boots, LocalLinkConnection: info("switch_id", switchMAC, "port_id", port)}
	if err := r.CreatePort(t.Context(), who, &p); err != nil {
		t.Fatal(err)
	}
	return p.UUID
}

// vlan is the native VLAN of a port of the switch, now.
func (r *wired) vlan(t *testing.T, port string) int {
	t.Helper()
	st, err := r.backend.Memory.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Ports[port].Native
}

func (r *wired) wantVLAN(t *testing.T, port string, want int, when string) {
	t.Helper()
	if got := r.vlan(t, port); got != want {
		t.Errorf("%s: port %s is in VLAN %d, want %d", when, port, got, want)
	}
}

func (r *wired) attach(t *testing.T, node, vif string) error {
	t.Helper()
	return r.AttachVIF(t.Context(), who, node, conductor.VIFRequest{ID: vif})
}

func refused(t *testing.T, err error, kind baremetal.Kind, says string) {
	t.Helper()
	if !baremetal.IsKind(err, kind) || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v; want kind %v and the words %q", err, kind, says)
	}
}

func TestVIFMovesThePort(t *testing.T) {
	t.Parallel()
	r := startWired(t)
	n := r.plugged(t, "n", "p1", baremetal.Available)
	if err := r.attach(t, n.UUID, "blue"); err != nil {
		t.Fatal(err)
	}
	r.wantVLAN(t, "p1", 20, "attached to blue")
	refused(t, r.attach(t, n.UUID, "blue"), baremetal.Conflict, "already attached")
	refused(t, r.attach(t, n.UUID, "green"), baremetal.Invalid, "not enough free physical ports")
	if err := r.DetachVIF(t.Context(), who, n.UUID, "blue"); err != nil {
		t.Fatal(err)
	}
	r.wantVLAN(t, "p1", 999, "detached")
	refused(t, r.DetachVIF(t.Context(), who, n.UUID, "blue"), baremetal.Invalid, "not attached")
	for vif, says := range map[string]string{
		"mauve": "neither a network", "boot": "for no tenant", "10": "for no tenant", "999": "may not be used", "4095": "cannot be", "0": "cannot be",
		"1": "may not be used",
	} {
		refused(t, r.attach(t, n.UUID, vif), baremetal.Invalid, says)
		r.wantVLAN(t, "p1", 999, "after "+vif)
	}
	if err := r.attach(t, n.UUID, "123"); err != nil {
		t.Fatal(err)
	}
	r.wantVLAN(t, "p1", 123, "attached to a VLAN")
	if ids, err := r.VIFs(t.Context(), n.UUID); err != nil || len(ids) != 1 || ids[0] != "123" {
		t.Errorf("list %v, %v", ids, err)
	}
}

func TestWrongCables(t *testing.T) {
	t.Parallel()
	r := startWired(t)
	one := r.plugged(t, "one", "p1", baremetal.Available)
	if err := r.attach(t, one.UUID, "blue"); err != nil {
		t.Fatal(err)
	}
	two := r.node(t, "two", func(n *baremetal.Node) { n.Driver, n.ProvisionState = "wired", baremetal.Available })
	for link, says := range map[string]string{
		"": "does not say where", "p1": "is also that of port", "up": "uplink", "p99": "has no port", "switch": "there is no switch",
	} {
		o := info("switch_id", switchMAC, "port_id", link)
		switch link {
		case "":
			o = ""
		case "switch":
			o = info("switch_id", "02:00:00:00:77:99", "port_id", "p1")
		}
		p := baremetal.Port{NodeUUID: two.UUID, Address: "02:00:00:00:01:01", PXEEnabled: true, LocalLinkConnection: o}
		if err := r.CreatePort(t.Context(), who, &p); err != nil {
			t.Fatal(err)
		}
		err := r.attach(t, two.UUID, "green")
		refused(t, err, baremetal.Invalid, says)
		if err := r.DeletePort(t.Context(), who, p.UUID); err != nil {
			t.Error(err)
		}
	}
	r.wantVLAN(t, "p1", 20, "after all")
}

func TestNetworkThroughALife(t *testing.T) {
	t.Parallel()
	r := startWired(t)
	n := r.plugged(t, "n", "p1", baremetal.Manageable)
	seen := map[int]bool{}
	r.backend.watch = func(_ context.Context, _ switches.State, c switches.Change) {
		node, err := r.store.Node(context.Background(), n.UUID)
		if err != nil || node.PowerState == baremetal.PowerOn {
			t.Errorf("port moved to %s while the power is %q (%v)", c.To, node.PowerState, err)
		}
		seen[c.To.Native] = true
	}
	r.verb(t, n.UUID, baremetal.VerbProvide)
	r.awaitState(t, n.UUID, baremetal.Available)
	if err := r.attach(t, n.UUID, "blue"); err != nil {
		t.Fatal(err)
	}
	r.verb(t, n.UUID, baremetal.VerbActive)
	got := r.awaitState(t, n.UUID, baremetal.Active)
	r.wantVLAN(t, "p1", 20, "active")
	if got.Network() != (baremetal.NetworkState{Kind: baremetal.TenantNetwork}) || got.PowerState != baremetal.PowerOn {
		t.Errorf("network %+v, power %q, error %q", got.Network(), got.PowerState, got.LastError)
	}
	refused(t, r.DetachVIF(t.Context(), who, n.UUID, "blue"), baremetal.Invalid, "power off first")
	r.wantVLAN(t, "p1", 20, "after a refused detach")

	r.ask(t, n.UUID, conductor.ProvisionRequest{Verb: baremetal.VerbService, ServiceSteps: []baremetal.Step{step("deploy", "fake", nil)}})
	got = r.await(t, n.UUID, "serviced", func(n *baremetal.Node) bool {
		return n.ProvisionState == baremetal.Active && n.Work.Reservation == ""
	})
	if !seen[50] || got.PowerState != baremetal.PowerOn {
		t.Errorf("service: seen %v, power %q, error %q", seen, got.PowerState, got.LastError)
	}
	r.wantVLAN(t, "p1", 20, "serviced")
	r.verb(t, n.UUID, baremetal.VerbRescue)
	got = r.awaitState(t, n.UUID, baremetal.Rescue)
	r.wantVLAN(t, "p1", 10, "in rescue") // no network for it: that of provisioning
	r.backend.watch = nil                // fake-hardware's unrescue leaves the machine on
	r.verb(t, n.UUID, baremetal.VerbUnrescue)
	r.awaitState(t, n.UUID, baremetal.Active)
	r.wantVLAN(t, "p1", 20, "after rescue")
	r.verb(t, n.UUID, baremetal.VerbDeleted)
	got = r.awaitState(t, n.UUID, baremetal.Available)
	r.wantVLAN(t, "p1", 999, "undeployed")
	if ids, _ := r.VIFs(t.Context(), n.UUID); len(ids) != 0 || got.Network().Kind != baremetal.IdleNetwork {
		t.Errorf("undeployed with %v in %+v", ids, got.Network())
	}
	if seen[30] {
		t.Errorf("was in a VLAN that it has nothing to do with: %v", seen)
	}
}

func TestDeployWithoutTenant(t *testing.T) {
	t.Parallel()
	r := startWired(t)
	n := r.plugged(t, "n", "p1", baremetal.Available)
	second := r.plug(t, n.UUID, "p2", false)
	r.verb(t, n.UUID, baremetal.VerbActive)
	r.awaitState(t, n.UUID, baremetal.Active)
	r.wantVLAN(t, "p1", 10, "active without a tenant")
	err := r.AttachVIF(t.Context(), who, n.UUID, conductor.VIFRequest{ID: "green", PortUUID: second})
	if err != nil { // the machine runs, and keeps its root
		t.Fatal(err)
	}
	r.wantVLAN(t, "p1", 10, "second port attached")
	r.wantVLAN(t, "p2", 30, "second port attached")
	refused(t, r.attach(t, n.UUID, "blue"), baremetal.Invalid, "power off first")
	if err := r.SetPower(t.Context(), who, n.UUID, conductor.PowerRequest{Target: baremetal.TargetOff}); err != nil {
		t.Fatal(err)
	}
	r.await(t, n.UUID, "off", func(n *baremetal.Node) bool { return n.PowerState == baremetal.PowerOff && n.Work.Reservation == "" })
	if err := r.attach(t, n.UUID, "blue"); err != nil {
		t.Fatal(err)
	}
	r.wantVLAN(t, "p1", 20, "attached while off")
	r.wantVLAN(t, "p2", 30, "attached while off")
}

func TestCleaningNetwork(t *testing.T) {
	t.Parallel()
	r := startWired(t)
	n := r.plugged(t, "n", "p1", baremetal.Manageable)
	if err := r.attach(t, n.UUID, "blue"); err != nil {
		t.Fatal(err)
	}
	r.ask(t, n.UUID, conductor.ProvisionRequest{Verb: baremetal.VerbClean, CleanSteps: []baremetal.Step{step("deploy", "hold", nil), step("deploy", "fake", nil)}})
	r.awaitState(t, n.UUID, baremetal.CleanHold)
	r.wantVLAN(t, "p1", 40, "in cleaning")
	if err := r.DetachVIF(t.Context(), who, n.UUID, "blue"); err != nil {
		t.Fatal(err)
	}
	if err := r.attach(t, n.UUID, "green"); err != nil {
		t.Fatal(err)
	}
	r.wantVLAN(t, "p1", 40, "attached in cleaning")
	r.verb(t, n.UUID, baremetal.VerbUnhold)
	r.awaitState(t, n.UUID, baremetal.Manageable)
	r.wantVLAN(t, "p1", 30, "cleaned")
}

func TestFailedMoveEndsIdle(t *testing.T) {
	t.Parallel()
	r := startWired(t)
	n := r.plugged(t, "n", "p1", baremetal.Available)
	r.backend.dead.Store(true)
	refused(t, r.attach(t, n.UUID, "blue"), baremetal.Unavailable, "port p1 of switch rack")
	if ids, _ := r.VIFs(t.Context(), n.UUID); len(ids) != 0 {
		t.Errorf("attached after a failure: %v", ids)
	}
	r.verb(t, n.UUID, baremetal.VerbActive)
	got := r.awaitState(t, n.UUID, baremetal.DeployFailed)
	if !strings.Contains(got.LastError, "switch rack") || got.PowerState == baremetal.PowerOn {
		t.Errorf("power %q, error %q", got.PowerState, got.LastError)
	}
	if want := (baremetal.NetworkState{Kind: baremetal.IdleNetwork, Moving: true}); got.Network() != want {
		t.Errorf("network %+v, want %+v", got.Network(), want)
	}
	r.backend.dead.Store(false)
	if err := r.RestoreNetwork(t.Context(), n.UUID); err != nil {
		t.Fatal(err)
	}
	r.wantVLAN(t, "p1", 999, "the switch answers again")
	r.verb(t, n.UUID, baremetal.VerbActive)
	got = r.awaitState(t, n.UUID, baremetal.Active)
	r.wantVLAN(t, "p1", 10, "deployed again")

	other := r.plugged(t, "other", "p2", baremetal.Available)
	if err := r.attach(t, other.UUID, "blue"); err != nil {
		t.Fatal(err)
	}
	r.backend.stuck.Store("p2")
	if err := r.DetachVIF(t.Context(), who, other.UUID, "blue"); !baremetal.IsKind(err, baremetal.Unavailable) {
		t.Errorf("a port that takes no change: %v", err)
	}
	if ids, _ := r.VIFs(t.Context(), other.UUID); len(ids) != 1 {
		t.Errorf("not detached, but listed are %v", ids)
	}
	r.wantVLAN(t, "p2", 20, "not detached")
}

// A node that boots from a native network of its own keeps it, whatever its
// tenants' networks are: they come and go with tags while it runs.
func TestHybridNode(t *testing.T) {
	t.Parallel()
	r := startWired(t)
	n := r.node(t, "n", func(n *baremetal.Node) {
		n.Driver, n.ProvisionState, n.DriverInfo = "wired", baremetal.Available, info("boot_network", "own-1")
	})
	r.plug(t, n.UUID, "p1", true)
	r.verb(t, n.UUID, baremetal.VerbActive)
	got := r.awaitState(t, n.UUID, baremetal.Active)
	if got.PowerState != baremetal.PowerOn {
		t.Fatalf("power %q", got.PowerState)
	}
	want := func(when string, tagged ...int) {
		t.Helper()
		st, err := r.backend.Memory.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if p := st.Ports["p1"]; p.Native != 111 || p.Tagged != switches.VLANs(tagged...) {
			t.Errorf("%s: the port has %s", when, p)
		}
	}
	want("deployed")
	if err := r.attach(t, n.UUID, "blue"); err != nil {
		t.Fatal(err)
	}
	want("attached while running", 20)
	if err := r.DetachVIF(t.Context(), who, n.UUID, "blue"); err != nil {
		t.Fatal(err)
	}
	want("detached while running")
	other := r.node(t, "other", func(n *baremetal.Node) {
		n.Driver, n.ProvisionState, n.DriverInfo = "wired", baremetal.Available, info("boot_network", "own-1")
	})
	r.plug(t, other.UUID, "p2", true)
	err := r.SetProvision(t.Context(), who, other.UUID, conductor.ProvisionRequest{Verb: baremetal.VerbActive, Minor: 115})
	refused(t, err, baremetal.Invalid, "is the boot network of node")
	r.wantVLAN(t, "p2", 0, "refused")
}
