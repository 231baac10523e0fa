package networks_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"caddyshack/baremetal"
	"caddyshack/drivers"
	"caddyshack/drivers/networks"
	"caddyshack/drivers/switches"
)

// rows is a database in memory.
type rows struct {
	nodes []baremetal.Node
	ports []baremetal.Port
}

func (r *rows) Node(_ context.Context, ident string) (baremetal.Node, error) {
	for _, n := range r.nodes {
		if n.UUID == ident {
			return n, nil
		}
	}
	return baremetal.Node{}, baremetal.Errorf(baremetal.NotFound, "no node %s", ident)
}

func (r *rows) Nodes(_ context.Context, _ baremetal.NodeQuery, each func(*baremetal.Node) error) error {
	for i := range r.nodes {
		if err := each(&r.nodes[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *rows) Ports(context.Context, baremetal.PortQuery) ([]baremetal.Port, error) {
	return r.ports, nil
}

func object(t *testing.T, text string) baremetal.Object {
	t.Helper()
	if text == "" {
		return ""
	}
	o, err := baremetal.ParseObject([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func newDriver(t *testing.T, r *rows) *networks.Driver {
	t.Helper()
	about := switches.Description{Ports: []switches.Port{{Name: "up"}, {Name: "p1"}, {Name: "p2"}, {Name: "p3"}}}
	var all []*switches.Switch
	for i, name := range []string{"rack", "other"} {
		about.Capabilities.PortIsolation = i == 0
		sw, err := switches.New(switches.Config{ID: fmt.Sprintf("02:00:00:00:77:0%d", i+1), Name: name, Uplinks: []string{"up"}}, switches.NewMemory(about, nil))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sw)
	}
	fleet, err := switches.NewFleet(all...)
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := networks.NewCatalog([]networks.Network{
		{Name: "blue", VLAN: 20, Server: netip.MustParsePrefix("10.20.0.1/24")}, {Name: "green", VLAN: 30},
		{Name: "own-1", VLAN: 111, Purposes: []baremetal.NetworkKind{networks.NativeBoot}},
		{Name: "common", VLAN: 112, Isolated: true, Purposes: []baremetal.NetworkKind{networks.NativeBoot}},
		{Name: "boot", VLAN: 10, Server: netip.MustParsePrefix("10.10.0.1/24"), Purposes: []baremetal.NetworkKind{baremetal.ProvisioningNetwork}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &networks.Driver{Catalog: catalog, Fleet: fleet, Rows: r}
}

func TestWanted(t *testing.T) {
	t.Parallel()
	const tenant, provisioning, cleaning = baremetal.TenantNetwork, baremetal.ProvisioningNetwork, baremetal.CleaningNetwork
	for name, tc := range map[string]struct {
		kind       baremetal.NetworkKind
		info, vif  string
		switchport string
		second     bool   // a port that does not boot
		want, says string // says: the error
	}{
		"idle":                  {kind: baremetal.IdleNetwork, vif: "blue", want: "idle"},
		"tenant":                {kind: tenant, vif: "blue", want: "access/native_vlan=20"},
		"tenant by VLAN":        {kind: tenant, vif: "77", want: "access/native_vlan=77"},
		"tenant, nothing":       {kind: tenant, want: "idle"},
		"switchport":            {kind: tenant, switchport: `{"mode": "hybrid", "native_vlan": 20, "allowed_vlans": [30, "40-41"]}`, want: "hybrid/native_vlan=20/allowed_vlans=30,40-41"},
		"VIF before switchport": {kind: tenant, vif: "green", switchport: `{"mode": "access", "native_vlan": 20}`, want: "access/native_vlan=30"},
		"trunk that boots":      {kind: tenant, switchport: `{"mode": "trunk", "allowed_vlans": [30]}`, says: "needs a native_vlan"},
		"trunk, second port":    {kind: tenant, second: true, switchport: `{"mode": "trunk", "allowed_vlans": [30]}`, want: "trunk/allowed_vlans=30"},
		"switchport, no object": {kind: tenant, switchport: `"blue"`, says: "must be an object"},
		"VLAN 4095":             {kind: tenant, switchport: `{"mode": "access", "native_vlan": 4095}`, says: "VLAN 4095 cannot be"},
		"default":               {kind: provisioning, want: "access/native_vlan=10"},
		"provisioning, second":  {kind: provisioning, second: true, vif: "green", want: "access/native_vlan=30"},
		"by name":               {kind: provisioning, info: `{"provisioning_network": "green"}`, want: "access/native_vlan=30"},
		"Ironic's form":         {kind: cleaning, info: `{"cleaning_network": "access/native_vlan=250"}`, want: "access/native_vlan=250"},
		"no such network":       {kind: cleaning, info: `{"cleaning_network": "mauve"}`, says: "driver_info.cleaning_network: \"mauve\" is neither"},
		"no native VLAN":        {kind: cleaning, info: `{"cleaning_network": "trunk/allowed_vlans=30"}`, says: "no native VLAN"},
		"cleaning, none":        {kind: cleaning, want: "idle"},
		"rescue, default":       {kind: baremetal.RescuingNetwork, info: `{"provisioning_network": "33"}`, want: "access/native_vlan=33"},
		"hybrid":                {kind: tenant, info: `{"boot_network": 111}`, vif: "blue", want: "hybrid/native_vlan=111/allowed_vlans=20"},
		"hybrid by name":        {kind: tenant, info: `{"boot_network": "own-1"}`, vif: "blue", want: "hybrid/native_vlan=111/allowed_vlans=20"},
		"hybrid, a tenant's":    {kind: tenant, info: `{"boot_network": "green"}`, vif: "blue", says: "no network that nodes boot from for good"},
		"VIF to boot networks":  {kind: tenant, vif: "own-1", says: "for no tenant"},
		"hybrid, no tenant":     {kind: tenant, info: `{"boot_network": 111}`, want: "access/native_vlan=111"},
		"hybrid, second port":   {kind: tenant, info: `{"boot_network": 111}`, second: true, vif: "blue", want: "access/native_vlan=20"},
		"hybrid, trunk":         {kind: tenant, info: `{"boot_network": "trunk/native_vlan=1/allowed_vlans=3"}`, vif: "blue", says: "no network that nodes boot from for good"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := baremetal.Node{UUID: baremetal.NewUUID(), DriverInfo: object(t, tc.info)}
			p := baremetal.Port{PXEEnabled: !tc.second}
			if tc.vif != "" {
				p.InternalInfo = p.InternalInfo.With(baremetal.TenantVIF, tc.vif)
			}
			if tc.switchport != "" {
				p.Extra = object(t, `{"switchport": `+tc.switchport+`}`)
			}
			got, err := newDriver(t, &rows{}).Wanted(&n, &p, tc.kind)
			if tc.says != "" {
				if !baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("got %v, %v; want the words %q", got, err, tc.says)
				}
				return
			}
			if err != nil || got.String() != tc.want {
				t.Errorf("got %s, %v; want %s", got, err, tc.want)
			}
		})
	}
}

func TestBootServer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		iface, vif string
		want, says string
		kind       baremetal.NetworkKind
	}{
		"in rescue":          {networks.Name, "blue", "10.10.0.1/24", "", baremetal.RescuingNetwork},
		"tenant":             {networks.Name, "blue", "10.20.0.1/24", "", ""},
		"provisioning":       {networks.Name, "", "10.10.0.1/24", "", ""},
		"nobody serves":      {networks.Name, "green", "", "would boot in VLAN 30, where this controller has no address", ""},
		"another interface":  {"noop", "green", "invalid Prefix", "", ""},
		"a VLAN with a name": {networks.Name, "20", "10.20.0.1/24", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			task := &drivers.Task{Node: baremetal.Node{UUID: "n", Interfaces: map[string]string{"network": tc.iface}}, Ports: []baremetal.Port{{PXEEnabled: true}}}
			if tc.vif != "" {
				task.Ports[0].InternalInfo = task.Ports[0].InternalInfo.With(baremetal.TenantVIF, tc.vif)
			}
			task.Node.SetNetwork(baremetal.NetworkState{Kind: tc.kind})
			got, err := newDriver(t, &rows{}).BootServer(task)
			if tc.says != "" {
				if !baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("got %v, %v; want the words %q", got, err, tc.says)
				}
				return
			}
			if err != nil || got.String() != tc.want {
				t.Errorf("got %s, %v; want %s", got, err, tc.want)
			}
		})
	}
}

// A switch that has forgotten everything is made right from the rows: what two
// nodes claim, what cannot be, and what nobody claims, is idle.
func TestIntent(t *testing.T) {
	t.Parallel()
	r := &rows{}
	add := func(uuid, port, vif, iface string) {
		n := baremetal.Node{UUID: uuid, Interfaces: map[string]string{"network": iface}}
		n.SetNetwork(baremetal.NetworkState{Kind: baremetal.TenantNetwork})
		r.nodes = append(r.nodes, n)
		r.ports = append(r.ports, baremetal.Port{UUID: "port-" + uuid, NodeUUID: uuid, PXEEnabled: true,
			InternalInfo:        baremetal.MustObject(map[string]any{baremetal.TenantVIF: vif}),
			LocalLinkConnection: baremetal.MustObject(map[string]any{"switch_id": "02:00:00:00:77:01", "port_id": port})})
	}
	d := newDriver(t, r)
	intent := func() switches.Wanted {
		t.Helper()
		w, err := d.Intent(t.Context(), "02:00:00:00:77:01")
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	add("a", "p1", "blue", networks.Name)
	add("b", "up", "blue", networks.Name) // an uplink is not for nodes
	add("c", "p2", "mauve", networks.Name)
	if w := intent(); len(w.Ports) != 2 || w.Ports["p1"] != switches.Access(20) || w.Ports["p2"] != switches.Idle() || !w.RestIdle {
		t.Errorf("got %+v", w)
	}
	add("d", "p1", "green", networks.Name)
	if w := intent(); w.Ports["p1"] != switches.Idle() {
		t.Errorf("two nodes claim port p1, which is %s", w.Ports["p1"])
	}
	add("e", "p3", "blue", "noop")
	if w := intent(); w.RestIdle {
		t.Error("the port of a node whose network is not moved would be idle")
	}
	n := r.nodes[3]
	err := d.Validate(t.Context(), &drivers.Task{Node: n, Ports: r.ports[3:4]})
	if !baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), "also that of port port-a of node a") {
		t.Errorf("validate says %v", err)
	}
}

func TestCatalogRefuses(t *testing.T) {
	t.Parallel()
	blue := networks.Network{Name: "blue", VLAN: 20, Server: netip.MustParsePrefix("10.20.0.1/24")}
	for says, n := range map[string]networks.Network{
		"there is another of this name":   {Name: "blue", VLAN: 21},
		"as \"blue\" has":                 {Name: "x", VLAN: 20},
		"and no number":                   {Name: "20", VLAN: 21},
		"are also those of \"blue\"":      {Name: "x", VLAN: 21, Server: netip.MustParsePrefix("10.20.0.129/25")},
		"must be an IPv4 address":         {Name: "x", VLAN: 21, Server: netip.MustParsePrefix("10.21.0.0/24")},
		"vlan 0 cannot be":                {Name: "x"},
		"purpose \"tenant\" is not known": {Name: "x", VLAN: 21, Purposes: []baremetal.NetworkKind{baremetal.TenantNetwork}},
	} {
		if _, err := networks.NewCatalog([]networks.Network{blue, n}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want the words %q", err, says)
		}
	}
}

// TestSharedBootNetwork: a native boot network is one node's, or it is isolated
// on one switch that can isolate.
func TestSharedBootNetwork(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		network, first, second string // where the two nodes are: "switch/port"
		says                   string
	}{
		"own":               {"own-1", "rack/p1", "rack/p2", "is the boot network of node a already"},
		"isolated":          {"common", "rack/p1", "rack/p2", ""},
		"on two switches":   {"common", "rack/p1", "other/p2", "ports are isolated within one switch only"},
		"no such isolation": {"common", "other/p1", "other/p2", "this switch cannot isolate ports"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &rows{}
			d := newDriver(t, r)
			for i, at := range []string{tc.first, tc.second} {
				sw, port, _ := strings.Cut(at, "/")
				id := string(rune('a' + i))
				n := baremetal.Node{UUID: id, Interfaces: map[string]string{"network": networks.Name}, DriverInfo: baremetal.MustObject(map[string]any{"boot_network": tc.network})}
				n.SetNetwork(baremetal.NetworkState{Kind: baremetal.TenantNetwork})
				r.nodes = append(r.nodes, n)
				r.ports = append(r.ports, baremetal.Port{UUID: "port-" + id, NodeUUID: id, PXEEnabled: true,
					InternalInfo:        baremetal.MustObject(map[string]any{baremetal.TenantVIF: "blue"}),
					LocalLinkConnection: baremetal.MustObject(map[string]any{"switch_id": sw, "port_id": port})})
			}
			task := &drivers.Task{Node: r.nodes[1], Ports: r.ports[1:], Log: slog.New(slog.DiscardHandler)}
			err := d.MoveNetwork(t.Context(), task, baremetal.TenantNetwork)
			if tc.says == "" && err != nil || tc.says != "" && (!baremetal.IsKind(err, baremetal.Invalid) || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("got %v, want the words %q", err, tc.says)
			}
		})
	}
}
