package conductor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/conductor/conductortest"
	"caddyshack/drivers"
	"caddyshack/drivers/networks"
	"caddyshack/drivers/switches"
	"caddyshack/store"
)

var errKilled = errors.New("this process has been killed")

// life is a process that can be killed: from then on nothing that it does
// reaches the database or the switch.
type life struct {
	conductor.Store
	*switches.Memory
	left atomic.Int64 // uses of database and switch until it is killed
	// lose is what happens to the next changes of the switch: 0 = they are made,
	// 1 = they get lost, 2 = they are made and the answer gets lost, 3 = the first of them is made.
	lose  atomic.Int32
	check func(before switches.State, c switches.Change)
}

// alive is more than a process uses in a test.
const alive = 1 << 40

func (l *life) use() error {
	if l.left.Add(-1) < 0 {
		return errKilled
	}
	return nil
}

func (l *life) UpdateNode(ctx context.Context, ident string, change func(*baremetal.Node) error) (baremetal.Node, error) {
	if err := l.use(); err != nil {
		return baremetal.Node{}, err
	}
	return l.Store.UpdateNode(ctx, ident, change)
}

func (l *life) UpdateClaimed(ctx context.Context, uuid string, epoch int64, change func(*baremetal.Node) error) (baremetal.Node, error) {
	if err := l.use(); err != nil {
		return baremetal.Node{}, err
	}
	return l.Store.UpdateClaimed(ctx, uuid, epoch, change)
}

func (l *life) UpdatePort(ctx context.Context, ident string, change func(*baremetal.Port, *baremetal.Node) error) (baremetal.Port, error) {
	if err := l.use(); err != nil {
		return baremetal.Port{}, err
	}
	return l.Store.UpdatePort(ctx, ident, change)
}

func (l *life) Claim(ctx context.Context, uuid, owner, host string, lease time.Duration) (baremetal.Node, error) {
	if l.left.Load() <= 0 {
		return baremetal.Node{}, errKilled
	}
	return l.Store.Claim(ctx, uuid, owner, host, lease)
}

func (l *life) Renew(ctx context.Context, owner string, nodes map[string]int64, lease time.Duration) ([]string, error) {
	if l.left.Load() <= 0 {
		return nil, errKilled
	}
	return l.Store.Renew(ctx, owner, nodes, lease)
}

func (l *life) Read(ctx context.Context) (switches.State, error) {
	if err := l.use(); err != nil {
		return switches.State{}, err
	}
	return l.Memory.Read(ctx)
}

func (l *life) Do(ctx context.Context, version string, changes []switches.Change) error {
	if err := l.use(); err != nil {
		return err
	}
	lose := l.lose.Swap(0)
	switch lose {
	case 1:
		return nil
	case 3:
		changes = changes[:1]
	}
	before, err := l.Memory.Read(ctx)
	if err != nil {
		return err
	}
	for _, c := range changes {
		l.check(before, c)
	}
	if err := l.Memory.Do(ctx, version, changes); err != nil || lose == 0 {
		return err
	}
	return errDead
}

// playground is a switch, a database, and one life after another.
type playground struct {
	t      *rapid.T
	store  *store.Store
	memory *switches.Memory
	writes conductortest.Changes
	nodes  []string // uuid of the node behind p1, p2, …

	*conductor.Conductor
	life *life
	sw   *switches.Switch
	net  *networks.Driver
	stop func()

	mu    sync.Mutex
	fault string // the first VLAN that was somewhere it must not be
}

// born starts a process on what the one before has left.
func (p *playground) born(outer *testing.T) {
	p.life = &life{Store: p.store, Memory: p.memory, check: p.check}
	p.life.left.Store(alive)
	sw, err := switches.New(switches.Config{ID: switchMAC, Name: "rack", Uplinks: []string{"up"}, IdleVLAN: 999}, p.life)
	if err != nil {
		p.t.Fatal(err)
	}
	h, net := networkType(outer, p.store, sw)
	reg, err := drivers.NewRegistry(h)
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := conductor.New(conductor.Settings{Store: p.writes.Watch(p.life), Registry: reg, Host: "shack", Log: slog.New(slog.DiscardHandler), LockWait: time.Millisecond})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Run(ctx)
	}()
	<-c.Ready()
	p.Conductor, p.sw, p.net = c, sw, net
	p.stop = func() { cancel(); <-done }
}

// check is told of each change of the switch before it is made: a VLAN that the
// port does not have yet must be what the database wants at this moment.
func (p *playground) check(before switches.State, c switches.Change) {
	joins := c.To.Carries().Minus(before.Ports[c.Port].Carries())
	if joins.Empty() {
		return
	}
	index, err := strconv.Atoi(c.Port[1:])
	want := 999
	if err == nil && index <= len(p.nodes) {
		want, err = wantedVLAN(p.store, p.nodes[index-1])
	}
	if err != nil || joins != switches.VLANs(want) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.fault = fmt.Sprintf("port %s joins VLAN %s, wanted is %d (%v)", c.Port, joins, want, err)
	}
}

// wantedVLAN is what the rows say of a node's only port, worked out apart from the driver.
func wantedVLAN(s *store.Store, uuid string) (int, error) {
	ctx := context.Background()
	n, err := s.Node(ctx, uuid)
	if err != nil {
		return 0, err
	}
	ports, err := s.Ports(ctx, baremetal.PortQuery{NodeUUID: &uuid})
	if err != nil {
		return 0, err
	}
	vlan := map[baremetal.NetworkKind]int{baremetal.IdleNetwork: 999, baremetal.ProvisioningNetwork: 10, baremetal.CleaningNetwork: 40,
		baremetal.RescuingNetwork: 10, baremetal.InspectionNetwork: 10, baremetal.ServicingNetwork: 50, baremetal.TenantNetwork: 999}[n.Network().Kind]
	if vif := ports[0].InternalInfo.Str(baremetal.TenantVIF); vif != "" && n.Network().Kind == baremetal.TenantNetwork {
		vlan = map[string]int{"blue": 20, "green": 30, "77": 77}[vif]
	}
	return vlan, nil
}

// await waits until nobody has anything to do with the node any more.
func (p *playground) await(uuid string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var n baremetal.Node
	idle := p.writes.Await(ctx, func() bool {
		var err error
		if n, err = p.store.Node(context.Background(), uuid); err != nil {
			p.t.Fatal(err)
		}
		return !n.ProvisionState.Working() && n.Work.Reservation == "" && n.Work.Intent.Idle()
	})
	if !idle {
		p.t.Fatalf("still in %q, reserved by %q, intent %+v", n.ProvisionState, n.Work.Reservation, n.Work.Intent)
	}
}

// settle lets the process, or the next one, end what was begun, and does what
// the comparison of switches with the database does.
func (p *playground) settle(outer *testing.T) {
	if p.life.left.Load() <= 0 {
		p.stop()
		p.born(outer)
	}
	p.life.left.Store(alive) // no death until all is settled
	p.life.lose.Store(0)
	ctx := context.Background()
	for _, uuid := range p.nodes {
		p.await(uuid)
	}
	moving, err := p.net.Unsettled(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, uuid := range moving {
		err := p.RestoreNetwork(ctx, uuid)
		for ; baremetal.IsKind(err, baremetal.Locked); err = p.RestoreNetwork(ctx, uuid) {
			p.await(uuid)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
	if _, err := p.sw.Settle(ctx, func(ctx context.Context) (switches.Wanted, error) { return p.net.Intent(ctx, switchMAC) }); err != nil {
		p.t.Fatal(err)
	}
	st, err := p.memory.Read(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	for i, uuid := range p.nodes {
		want, err := wantedVLAN(p.store, uuid)
		n, _ := p.store.Node(ctx, uuid)
		if got := st.Ports[fmt.Sprintf("p%d", i+1)]; err != nil || got.Carries() != switches.VLANs(want) {
			p.t.Fatalf("node %d in %q, %+v: the port has %s, the database wants VLAN %d (%v); last error %q", i, n.ProvisionState, n.Network(), got, want, err, n.LastError)
		}
		if n.Network().Moving {
			p.t.Fatalf("node %d is moving for ever: %+v", i, n.Network())
		}
	}
	for port, got := range st.Ports {
		if port == "up" && got.Carries() != switches.VLANRange(2, 300) {
			p.t.Fatalf("the uplink was touched: %s", got)
		}
	}
}

// TestSwitchFollowsDatabase: whatever is asked for, in whatever order, with
// changes that get lost, a switch that forgets, and controllers that are
// killed, at no moment does a port get a VLAN that the database does not want
// for it then; and in the end the switch is what the database wants.
func TestSwitchFollowsDatabase(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		round++
		about := switches.Description{Kind: "memory", Ports: []switches.Port{{Name: "up"}}}
		for i := range 3 {
			about.Ports = append(about.Ports, switches.Port{Name: fmt.Sprintf("p%d", i+1)})
		}
		up := switches.PortState{Tagged: switches.VLANRange(2, 300)}
		p := &playground{t: rt, store: s, memory: switches.NewMemory(about, map[string]switches.PortState{"up": up})}
		p.born(t)
		defer func() { p.stop() }()
		for i := range 2 {
			n := baremetal.Node{Driver: "wired", ProvisionState: baremetal.Available}
			if err := p.CreateNode(ctx, who, &n); err != nil {
				rt.Fatal(err)
			}
			port := baremetal.Port{NodeUUID: n.UUID, Address: fmt.Sprintf("02:00:00:%02x:%02x:%02x", round>>8, round&0xff, i), PXEEnabled: true,
				LocalLinkConnection: info("switch_id", switchMAC, "port_id", fmt.Sprintf("p%d", i+1))}
			if err := p.CreatePort(ctx, who, &port); err != nil {
				rt.Fatal(err)
			}
			p.nodes = append(p.nodes, n.UUID)
			defer func() { // the next round's nodes are plugged in there
				if _, err := s.UpdateNode(ctx, n.UUID, func(n *baremetal.Node) error { n.Maintenance = true; return nil }); err == nil {
					_ = s.DeletePort(ctx, port.UUID, func(*baremetal.Port, *baremetal.Node) error { return nil })
				}
			}()
		}
		node := func(t *rapid.T) string { return rapid.SampledFrom(p.nodes).Draw(t, "node") }
		verbs := []baremetal.Verb{baremetal.VerbActive, baremetal.VerbDeleted, baremetal.VerbActive, baremetal.VerbDeleted, baremetal.VerbManage,
			baremetal.VerbProvide, baremetal.VerbRebuild, baremetal.VerbRescue, baremetal.VerbUnrescue}
		rt.Repeat(map[string]func(*rapid.T){
			"attach": func(t *rapid.T) {
				_ = p.AttachVIF(ctx, who, node(t), conductor.VIFRequest{ID: rapid.SampledFrom([]string{"blue", "green", "77"}).Draw(t, "vif")})
			},
			"detach": func(t *rapid.T) {
				uuid := node(t)
				if ids, err := p.VIFs(ctx, uuid); err == nil && len(ids) > 0 {
					_ = p.DetachVIF(ctx, who, uuid, ids[0])
				}
			},
			"verb": func(t *rapid.T) {
				_ = p.SetProvision(ctx, who, node(t), conductor.ProvisionRequest{Verb: rapid.SampledFrom(verbs).Draw(t, "verb"), Minor: 115, RescuePassword: "x"})
			},
			"power off": func(t *rapid.T) {
				_ = p.SetPower(ctx, who, node(t), conductor.PowerRequest{Target: baremetal.TargetOff})
			},
			"lost change": func(t *rapid.T) { p.life.lose.Store(int32(rapid.IntRange(1, 3).Draw(t, "lost"))) },
			"restart of the switch": func(t *rapid.T) {
				st, err := p.memory.Read(ctx)
				if err != nil {
					t.Fatal(err)
				}
				var forgot []switches.Change
				for _, port := range []string{"p1", "p2", "p3"} {
					forgot = append(forgot, switches.Change{Port: port, To: switches.PortState{Native: 1}})
				}
				if err := p.memory.Do(ctx, st.Version, forgot); err != nil {
					t.Log("it changed just now:", err)
				}
			},
			"kill": func(t *rapid.T) {
				if after := int64(rapid.IntRange(0, 12).Draw(t, "after")); p.life.left.Load() > after {
					p.life.left.Store(after)
				}
			},
			"": func(*rapid.T) {},
			"settle": func(*rapid.T) {
				p.settle(t)
			},
		})
		p.settle(t)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.fault != "" {
			rt.Fatal(p.fault)
		}
	})
}
