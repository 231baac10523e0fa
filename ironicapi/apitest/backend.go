package apitest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/ironicapi"
)

// Host is the host name of the twin's conductor.
const Host = "twin"

// Backend is the twin. The zero value is not usable; see New.
type Backend struct {
	*collections
	mu      sync.Mutex
	nextID  int64
	nodes   []*baremetal.Node
	ports   []*baremetal.Port
	chassis []*baremetal.Chassis
	history []baremetal.HistoryEntry
	drivers []conductor.DriverInfo
	boot    map[string]conductor.BootDevice
	lights  map[string]string
	looked  map[string]bool // nodes whose token was given

	documents map[string]baremetal.Document // by uuid and kind
	media     map[string][]baremetal.VirtualMedium
	now       func() time.Time

	// Fail, if set, is asked before each call by its name; an error is what the call answers.
	Fail func(call string) error
}

var (
	_ ironicapi.Store     = (*Backend)(nil)
	_ ironicapi.Conductor = (*Backend)(nil)
)

// New returns a twin with the hardware types fake-hardware and caddy, and no nodes.
func New() *Backend {
	return &Backend{collections: newCollections(), drivers: hardwareTypes(), boot: map[string]conductor.BootDevice{}, lights: map[string]string{}, looked: map[string]bool{},
		documents: map[string]baremetal.Document{}, media: map[string][]baremetal.VirtualMedium{}, now: time.Now}
}

func hardwareTypes() []conductor.DriverInfo {
	fake := conductor.DriverInfo{Name: "fake-hardware", Hosts: []string{Host}, Defaults: map[string]string{}, Enabled: map[string][]string{},
		Properties: map[string]string{"A1": "A1 description. Required.", "B2": "B2 description. Optional."}}
	caddy := conductor.DriverInfo{Name: "caddy", Hosts: []string{Host}, Defaults: map[string]string{}, Enabled: map[string][]string{},
		Properties: map[string]string{"backplane_unit": "id of the unit on the bus. Required.", "slot": "slot of the unit, 1 to 4. Required."}}
	for _, kind := range baremetal.InterfaceKinds() {
		switch kind {
		case "network", "storage":
			fake.Enabled[kind] = []string{"noop"}
		default:
			fake.Enabled[kind] = []string{"fake", "no-" + kind}
		}
		caddy.Enabled[kind] = []string{"own-" + kind}
		fake.Defaults[kind], caddy.Defaults[kind] = fake.Enabled[kind][0], caddy.Enabled[kind][0]
	}
	return []conductor.DriverInfo{fake, caddy}
}

func (b *Backend) failing(call string) error {
	if b.Fail == nil {
		return nil
	}
	return b.Fail(call)
}

func notFound(what, ident string) error {
	return baremetal.Errorf(baremetal.NotFound, "%s %s could not be found.", what, ident)
}

func (b *Backend) find(ident string) (*baremetal.Node, error) {
	for _, n := range b.nodes {
		if n.UUID == ident || n.Name != "" && n.Name == ident {
			return n, nil
		}
	}
	return nil, notFound("Node", ident)
}

// Edit changes a node behind the API's back, as a device or an operator's database tool would.
func (b *Backend) Edit(ident string, change func(*baremetal.Node)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.find(ident)
	if err != nil {
		panic(err)
	}
	change(n)
}

// Record appends to a node's history.
func (b *Backend) Record(e baremetal.HistoryEntry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.history = append(b.history, e)
}

// Node implements ironicapi.Store.
func (b *Backend) Node(_ context.Context, ident string) (baremetal.Node, error) {
	if err := b.failing("Node"); err != nil {
		return baremetal.Node{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.find(ident)
	if err != nil {
		return baremetal.Node{}, err
	}
	return *n, nil
}

// Nodes implements ironicapi.Store.
func (b *Backend) Nodes(_ context.Context, q baremetal.NodeQuery, each func(*baremetal.Node) error) error {
	if err := b.failing("Nodes"); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []*baremetal.Node
	for _, n := range b.nodes {
		if matches(n, &q) {
			found = append(found, n)
		}
	}
	found, err := page(found, q.Page, func(n *baremetal.Node) string { return n.UUID }, nodeSortKey)
	if err != nil {
		return err
	}
	for _, n := range found {
		if err := each(n); err != nil {
			return err
		}
	}
	return nil
}

func matches(n *baremetal.Node, q *baremetal.NodeQuery) bool {
	is := func(want *string, have string) bool { return want == nil || *want == have }
	yes := func(want *bool, have bool) bool { return want == nil || *want == have }
	return is(q.InstanceUUID, n.InstanceUUID) && is(q.InstanceName, n.InstanceName) && is(q.ChassisUUID, n.ChassisUUID) &&
		yes(q.Associated, n.InstanceUUID != "") && yes(q.Maintenance, n.Maintenance) && yes(q.Retired, n.Retired) &&
		(q.ProvisionState == nil || *q.ProvisionState == n.ProvisionState) && is(q.Driver, n.Driver) &&
		is(q.ResourceClass, n.ResourceClass) && is(q.Fault, n.Fault) && is(q.ConductorGroup, n.ConductorGroup) &&
		is(q.ConductorHost, Host) && is(q.Owner, n.Owner) && is(q.Lessee, n.Lessee) &&
		(q.Project == nil || *q.Project != "" && (*q.Project == n.Owner || *q.Project == n.Lessee)) &&
		(q.DescriptionContains == nil || strings.Contains(n.Description, *q.DescriptionContains)) &&
		(q.Shards == nil || slices.Contains(q.Shards, n.Shard)) && yes(q.Sharded, n.Shard != "") &&
		(q.ParentNode != nil || q.IncludeChildren || n.ParentNode == "") && is(q.ParentNode, n.ParentNode)
}

func nodeSortKey(n *baremetal.Node, key string) string {
	switch key {
	case "name":
		return n.Name
	case "provision_state":
		return string(n.ProvisionState)
	}
	return n.UUID
}

// page sorts and cuts a list.
func page[T any](list []*T, p baremetal.Page, id func(*T) string, key func(*T, string) string) ([]*T, error) {
	if p.SortBy != "" {
		slices.SortStableFunc(list, func(x, y *T) int { return cmp.Compare(key(x, p.SortBy), key(y, p.SortBy)) })
	}
	if p.Desc {
		slices.Reverse(list)
	}
	if p.Marker != "" {
		i := slices.IndexFunc(list, func(x *T) bool { return id(x) == p.Marker })
		if i < 0 {
			return nil, notFound("Marker", p.Marker)
		}
		list = list[i+1:]
	}
	if p.Limit > 0 && len(list) > p.Limit {
		list = list[:p.Limit]
	}
	return list, nil
}

func values[T any](list []*T) []T {
	out := make([]T, 0, len(list))
	for _, x := range list {
		out = append(out, *x)
	}
	return out
}

// Port implements ironicapi.Store.
func (b *Backend) Port(_ context.Context, ident string) (baremetal.Port, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, err := b.port(ident)
	if err != nil {
		return baremetal.Port{}, err
	}
	return *b.ports[i], nil
}

func (b *Backend) port(ident string) (int, error) {
	i := slices.IndexFunc(b.ports, func(p *baremetal.Port) bool { return p.UUID == ident || p.Name != "" && p.Name == ident })
	if i < 0 {
		return 0, notFound("Port", ident)
	}
	return i, nil
}

// portOf tells whether a port's node belongs to a project; nil is any.
func (b *Backend) portOf(p *baremetal.Port, project *string) bool {
	if project == nil {
		return true
	}
	n, err := b.find(p.NodeUUID)
	return err == nil && *project != "" && (n.Owner == *project || n.Lessee == *project)
}

// Ports implements ironicapi.Store.
func (b *Backend) Ports(_ context.Context, q baremetal.PortQuery) ([]baremetal.Port, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []*baremetal.Port
	for _, p := range b.ports {
		if (q.NodeUUID == nil || *q.NodeUUID == p.NodeUUID) && (q.Address == nil || *q.Address == p.Address) &&
			b.portOf(p, q.Project) {
			found = append(found, p)
		}
	}
	found, err := page(found, q.Page, func(p *baremetal.Port) string { return p.UUID }, func(p *baremetal.Port, _ string) string { return p.Address })
	return values(found), err
}

// Chassis implements ironicapi.Store.
func (b *Backend) Chassis(_ context.Context, uuid string) (baremetal.Chassis, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, err := b.chassisAt(uuid)
	if err != nil {
		return baremetal.Chassis{}, err
	}
	return *b.chassis[i], nil
}

func (b *Backend) chassisAt(uuid string) (int, error) {
	i := slices.IndexFunc(b.chassis, func(c *baremetal.Chassis) bool { return c.UUID == uuid })
	if i < 0 {
		return 0, notFound("Chassis", uuid)
	}
	return i, nil
}

// ChassisList implements ironicapi.Store.
func (b *Backend) ChassisList(_ context.Context, p baremetal.Page) ([]baremetal.Chassis, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found, err := page(slices.Clone(b.chassis), p, func(c *baremetal.Chassis) string { return c.UUID },
		func(c *baremetal.Chassis, _ string) string { return c.Description })
	return values(found), err
}

// CreateChassis implements ironicapi.Store.
func (b *Backend) CreateChassis(_ context.Context, c *baremetal.Chassis) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.chassisAt(c.UUID); err == nil {
		return baremetal.Errorf(baremetal.Conflict, "Chassis with UUID %s already exists.", c.UUID)
	}
	c.CreatedAt = b.now()
	kept := *c
	b.chassis = append(b.chassis, &kept)
	return nil
}

// UpdateChassis implements ironicapi.Store.
func (b *Backend) UpdateChassis(_ context.Context, uuid string, change func(*baremetal.Chassis) error) (baremetal.Chassis, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, err := b.chassisAt(uuid)
	if err != nil {
		return baremetal.Chassis{}, err
	}
	c := *b.chassis[i]
	if err := change(&c); err != nil {
		return baremetal.Chassis{}, err
	}
	c.UpdatedAt = b.now()
	*b.chassis[i] = c
	return c, nil
}

// DeleteChassis implements ironicapi.Store.
func (b *Backend) DeleteChassis(_ context.Context, uuid string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, err := b.chassisAt(uuid)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(b.nodes, func(n *baremetal.Node) bool { return n.ChassisUUID == uuid }) {
		return baremetal.Errorf(baremetal.Invalid, "Cannot complete the requested action because chassis %s contains nodes.", uuid)
	}
	b.chassis = slices.Delete(b.chassis, i, i+1)
	return nil
}

// History implements ironicapi.Store.
func (b *Backend) History(_ context.Context, q baremetal.HistoryQuery) ([]baremetal.HistoryEntry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []*baremetal.HistoryEntry
	for i := range b.history {
		if b.history[i].NodeUUID == q.NodeUUID {
			found = append(found, &b.history[i])
		}
	}
	found, err := page(found, q.Page, func(h *baremetal.HistoryEntry) string { return h.UUID },
		func(h *baremetal.HistoryEntry, _ string) string { return h.Event })
	return values(found), err
}

// HistoryEntry implements ironicapi.Store.
func (b *Backend) HistoryEntry(_ context.Context, nodeUUID, uuid string) (baremetal.HistoryEntry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range b.history {
		if h.NodeUUID == nodeUUID && h.UUID == uuid {
			return h, nil
		}
	}
	return baremetal.HistoryEntry{}, notFound("Node history record", uuid)
}

// Conductors implements ironicapi.Store.
func (b *Backend) Conductors(context.Context, baremetal.Page) ([]baremetal.Conductor, error) {
	c, err := b.Conductor(context.Background(), Host)
	return []baremetal.Conductor{c}, err
}

// Conductor implements ironicapi.Store.
func (b *Backend) Conductor(_ context.Context, hostname string) (baremetal.Conductor, error) {
	if hostname != Host {
		return baremetal.Conductor{}, notFound("Conductor", hostname)
	}
	return baremetal.Conductor{Hostname: Host, Alive: true, Drivers: []string{"caddy", "fake-hardware"}, CreatedAt: b.now()}, nil
}

// Shards implements ironicapi.Store.
func (b *Backend) Shards(context.Context) (map[string]int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]int{}
	for _, n := range b.nodes {
		out[n.Shard]++
	}
	return out, nil
}

// Ping implements ironicapi.Store.
func (b *Backend) Ping(context.Context) error { return b.failing("Ping") }

// interfaces fills and checks a node's interfaces.
func (b *Backend) interfaces(n *baremetal.Node) error {
	d, err := b.driver(n.Driver)
	if err != nil {
		return baremetal.Errorf(baremetal.Invalid,
			"No valid host was found. Reason: No conductor service registered which supports driver %s.", n.Driver)
	}
	m := maps.Clone(n.Interfaces)
	if m == nil {
		m = map[string]string{}
	}
	for _, kind := range baremetal.InterfaceKinds() {
		if m[kind] == "" {
			m[kind] = d.Defaults[kind]
		}
		if !slices.Contains(d.Enabled[kind], m[kind]) {
			return baremetal.Errorf(baremetal.Invalid,
				"Could not find the following interface in the 'ironic.hardware.interfaces.%s' entrypoint: %s. Valid interfaces are %v.",
				kind, m[kind], d.Enabled[kind])
		}
	}
	n.Interfaces = m
	return nil
}

func (b *Backend) driver(name string) (conductor.DriverInfo, error) {
	for _, d := range b.drivers {
		if d.Name == name {
			return d, nil
		}
	}
	return conductor.DriverInfo{}, baremetal.Errorf(baremetal.NotFound, "Could not find the following driver(s) or hardware type(s): %s.", name)
}
