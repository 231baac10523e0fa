//go:build switches

package ovs_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"caddyshack/baremetal"
	"caddyshack/drivers/switches"
	"caddyshack/drivers/switches/ovs"
	"caddyshack/drivers/switches/ovstest"
	"caddyshack/internal/netns"
)

// rig is a bridge "br0" with an uplink and three ports for caddies.
type rig struct {
	*ovstest.OVS
	conf    ovs.Config
	backend *ovs.Bridge
	sw      *switches.Switch
}

func start(t *testing.T) *rig {
	t.Helper()
	o := ovstest.Start(t)
	for _, port := range []string{"c1", "c2", "c3", "up"} {
		if err := netns.Cable(o.NS, port, nil, o.NS, port+"x"); err != nil {
			t.Fatal(err)
		}
	}
	o.AddBridge("br0", "c1", "c2", "c3", "up")
	o.Vsctl("set", "port", "up", "trunks=10,20,30")
	r := &rig{OVS: o, conf: ovs.Config{Address: o.Address, Bridge: "br0"}}
	r.connect(t)
	return r
}

func (r *rig) connect(t *testing.T) {
	t.Helper()
	if err := r.conf.Check(); err != nil {
		t.Fatal(err)
	}
	r.backend = ovs.New(r.conf)
	sw, err := switches.New(switches.Config{ID: "rack1", Uplinks: []string{"up"}, Allowed: switches.VLANRange(10, 30), Timeout: time.Minute}, r.backend)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sw.Close() })
	r.sw = sw
}

func (r *rig) port(name string) string {
	return r.Vsctl("--columns=vlan_mode,tag,trunks,protected", "--format=csv", "--no-headings", "list", "port", name)
}

func TestApply(t *testing.T) {
	t.Parallel()
	r := start(t)
	ctx := t.Context()
	d, err := r.sw.Describe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := d.Port("br0"); !ok || !p.Host {
		t.Errorf("the bridge's own port: %+v, %v", p, ok)
	}
	p, ok := d.Port("c1")
	for deadline := time.Now().Add(time.Minute); ok && !p.Link && time.Now().Before(deadline); p, ok = d.Port("c1") { // the kernel tells of it later
		time.Sleep(10 * time.Millisecond)
		if d, err = r.sw.Describe(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if !ok || p.Host || !p.Link || p.Speed != 10000 {
		t.Errorf("c1: %+v, %v", p, ok)
	}
	trunk := switches.PortConfig{Mode: switches.ModeTrunk, AllowedVLANs: switches.VLANs(20, 21), MTU: 1400}
	hybrid := switches.PortConfig{Mode: switches.ModeHybrid, NativeVLAN: 11, AllowedVLANs: switches.VLANs(20), Isolated: true}
	for _, test := range []struct {
		want switches.Wanted
		c1   string
	}{
		{switches.Wanted{RestIdle: true}, "access,4095,[],true"},
		{switches.Only("c1", switches.Access(10)), "access,10,[],false"},
		{switches.Only("c1", trunk), `trunk,[],"[20, 21]",false`},
		{switches.Only("c1", hybrid), "native-untagged,11,[20],true"},
		{switches.Only("c1", switches.Idle()), "access,4095,[],true"},
	} {
		plan, err := r.sw.Apply(ctx, test.want)
		if err != nil {
			t.Fatal(err)
		}
		if plan.Empty() {
			t.Errorf("%+v: nothing was to be done", test.want)
		}
		if diff := cmp.Diff(test.c1, r.port("c1")); diff != "" {
			t.Errorf("%+v: %s", test.want, diff)
		}
		if plan, err = r.sw.Plan(ctx, test.want); err != nil || !plan.Empty() {
			t.Errorf("%+v: left are %v, %v", test.want, plan.Words(), err)
		}
	}
	if got := r.Vsctl("get", "interface", "c1", "mtu"); got != "1400" {
		t.Errorf("MTU %s", got)
	}
	if got := r.port("up"); got != `[],[],"[10, 20, 30]",false` {
		t.Errorf("the uplink is now %s", got)
	}
	if _, err := r.sw.Apply(ctx, switches.Only("br0", switches.Access(10))); !baremetal.IsKind(err, baremetal.Invalid) {
		t.Errorf("the bridge's own port: %v", err)
	}
}

// A change that was made for what is no longer so does nothing.
func TestLateChangeIsRefused(t *testing.T) {
	t.Parallel()
	r := start(t)
	ctx := t.Context()
	old := ovs.New(r.conf) // another controller
	defer func() { _ = old.Close() }()
	before, err := old.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	late := []switches.Change{{Port: "c1", To: switches.PortState{Native: 30}}}
	if _, err := r.sw.Apply(ctx, switches.Only("c1", switches.Access(10))); err != nil {
		t.Fatal(err)
	}
	if err := old.Do(ctx, before.Version, late); !baremetal.IsKind(err, baremetal.Conflict) {
		t.Errorf("after another controller's change: got %v, want Conflict", err)
	}
	if before, err = old.Read(ctx); err != nil {
		t.Fatal(err)
	}
	r.Vsctl("set", "port", "c1", "tag=20") // by hand
	if err := old.Do(ctx, before.Version, late); !baremetal.IsKind(err, baremetal.Conflict) {
		t.Errorf("after a change by hand: got %v, want Conflict", err)
	}
	if got := r.port("c1"); got != "access,20,[],false" {
		t.Errorf("c1 is %s", got)
	}
}

func TestRestarts(t *testing.T) {
	t.Parallel()
	r := start(t)
	ctx := t.Context()
	want := switches.Wanted{Ports: map[string]switches.PortConfig{"c1": switches.Access(10), "c2": switches.Access(20)}, RestIdle: true}
	if _, err := r.sw.Apply(ctx, want); err != nil {
		t.Fatal(err)
	}
	before, err := r.sw.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r.RestartSwitch()
	r.RestartServer()
	plan, err := r.sw.Plan(ctx, want)
	if err != nil || !plan.Empty() {
		t.Fatalf("after restarts: %v, %v", plan.Words(), err)
	}
	after, err := r.sw.Read(ctx)
	if err != nil || after.Boot == before.Boot {
		t.Errorf("the restart was not noticed: %q, %v", after.Boot, err)
	}
	if _, err := r.sw.Apply(ctx, switches.Only("c3", switches.Access(10))); err != nil {
		t.Fatal(err)
	}
}

func TestDaemonsThatAreAway(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.StopSwitch()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := r.sw.Apply(ctx, switches.Only("c1", switches.Access(10))); !baremetal.IsKind(err, baremetal.Unavailable) {
		t.Errorf("without ovs-vswitchd: %v", err)
	}
	r.StopServer()
	_, err := r.sw.Read(t.Context())
	if !baremetal.IsKind(err, baremetal.Unavailable) || !strings.Contains(err.Error(), "is it running") {
		t.Errorf("without ovsdb-server: %v", err)
	}
}

func TestWatchHearsOfChangesByHand(t *testing.T) {
	t.Parallel()
	r := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan struct{}, 1000)
	ended := make(chan error, 1)
	if _, err := r.backend.Read(ctx); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- r.backend.Watch(ctx, func() { heard <- struct{}{} }) }()
	for deadline := time.Now().Add(time.Minute); len(heard) < 2; { // the first is the beginning
		r.Vsctl("set", "port", "c1", "tag=20")
		r.Vsctl("set", "port", "c1", "tag=10")
		if time.Now().After(deadline) {
			t.Fatal("a change by hand is not heard")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Watch: %v", err)
	}
}

// Over TCP there is no control socket: each change waits until old flows have gone.
func TestRemote(t *testing.T) {
	t.Parallel()
	r := start(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go relay(l, database(r.OVS))
	r.conf = ovs.Config{Address: fmt.Sprintf("tcp:%s", l.Addr()), Bridge: "br0"}
	r.connect(t)
	begin := time.Now()
	if _, err := r.sw.Apply(t.Context(), switches.Only("c1", switches.Access(10))); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 2*time.Second {
		t.Errorf("two changes took %v, in which old flows may still be alive", took)
	}
}

// database dials its unix socket.
func database(o *ovstest.OVS) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		return (&net.Dialer{}).DialContext(context.Background(), "unix", strings.TrimPrefix(o.Address, "unix:"))
	}
}

// relay hands connections on: the database is in another network namespace.
func relay(l net.Listener, dial func() (net.Conn, error)) {
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		to, err := dial()
		if err != nil {
			_ = from.Close()
			continue
		}
		go func() { _, _ = io.Copy(to, from); _ = to.Close() }()
		go func() { _, _ = io.Copy(from, to); _ = from.Close() }()
	}
}

// A port of another bridge is no port of this switch.
func TestPortOfAnotherSwitch(t *testing.T) {
	t.Parallel()
	r := start(t)
	if err := netns.Cable(r.NS, "d1", nil, r.NS, "d1x"); err != nil {
		t.Fatal(err)
	}
	r.AddBridge("br1", "d1")
	before := r.port("d1")
	_, err := r.sw.Apply(t.Context(), switches.Only("d1", switches.Access(10)))
	if !baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), `has no port "d1"`) {
		t.Errorf("got %v", err)
	}
	if after := r.port("d1"); after != before {
		t.Errorf("it was %s and is %s", before, after)
	}
}

// What somebody changes by hand is heard of, and put right.
func TestDrift(t *testing.T) {
	t.Parallel()
	r := start(t)
	fleet, err := switches.NewFleet(r.sw)
	if err != nil {
		t.Fatal(err)
	}
	wanted := switches.Wanted{Ports: map[string]switches.PortConfig{"c1": switches.Access(10)}, RestIdle: true}
	if _, err := r.sw.Apply(t.Context(), wanted); err != nil {
		t.Fatal(err)
	}
	d := &switches.Drift{Fleet: fleet, Every: time.Hour, Grace: time.Millisecond, Log: slog.New(slog.DiscardHandler),
		Intent: func(context.Context, string) (switches.Wanted, error) { return wanted, nil }}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	await := func(what string, right func(switches.DriftState) bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !right(d.States()["rack1"]); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v", what, d.States()["rack1"])
			}
		}
	}
	await("the first look", func(s switches.DriftState) bool { return !s.Checked.IsZero() })
	r.Vsctl("set", "port", "c1", "tag=20")
	await("after a change by hand", func(s switches.DriftState) bool { return s.Found == 1 && s.Repaired == 1 })
	if got := r.port("c1"); got != "access,10,[],false" {
		t.Errorf("c1 is %s", got)
	}
	r.RestartServer()
	await("after a restart of the database", func(s switches.DriftState) bool { return s.Restarts > 0 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
