package ovs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"caddyshack/baremetal"
	"caddyshack/drivers/switches"
)

const (
	database = "Open_vSwitch"
	// versionKey of the bridge's external_ids counts the changes that were made
	// from here, so that one that was made for an older state, or comes late, is
	// refused by the database.
	versionKey = "caddyshack-version"
	// heldKey is there while the bridge forwards nothing; its value is the
	// fail_mode to return to.
	heldKey = "caddyshack-held"
	// changingKey is there while something may be left of before a change; its
	// value is the changed ports, with spaces between them.
	changingKey = "caddyshack-changing"
)

// Bridge is the switches.Backend of one bridge. It connects when it is first
// needed, and again after the connection was lost.
type Bridge struct {
	conf Config

	mu          sync.Mutex // guards what follows
	db          *rpc
	connections int
	applied     int           // cur_cfg, as the database told last
	news        chan struct{} // closed and replaced with each notification

	// What the last Read saw; Read and Do are never called at once.
	seen struct {
		version  string
		ids      table
		failMode set[string]
		ports    map[string]vlans
		root     rootRow
	}
}

// New makes the backend; it does not connect yet.
func New(c Config) *Bridge { return &Bridge{conf: c, news: make(chan struct{})} }

// Close ends the connection.
func (b *Bridge) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.db != nil {
		b.db.fail(errors.New("closed"))
	}
	return nil
}

// connect returns the connection, a new one if need be.
func (b *Bridge) connect(ctx context.Context) (*rpc, error) {
	b.mu.Lock()
	db := b.db
	b.mu.Unlock()
	if db != nil {
		select {
		case <-db.ended:
		default:
			return db, nil
		}
	}
	conn, err := b.conf.dial(ctx)
	if err != nil {
		return nil, baremetal.Errorf(baremetal.Unavailable, "Open vSwitch's database at %s cannot be reached: %w; is it running, and is the address right?", b.conf.Address, err)
	}
	b.mu.Lock()
	b.applied = 0 // it may be another database
	b.mu.Unlock()
	db = newRPC(conn, b.hear)
	columns := func(names ...string) []any { return []any{map[string]any{"columns": names}} }
	var initial json.RawMessage
	err = db.call(ctx, "monitor", []any{database, nil, map[string]any{
		database: columns("cur_cfg"), "Bridge": columns("ports"), "Port": columns(vlanColumns()...)}}, &initial)
	if err != nil {
		db.fail(err)
		hint := ""
		if b.conf.CACertificate != "" { // it says no only after the handshake
			hint = fmt.Sprintf("; does it trust the authority of certificate %q?", b.conf.Certificate)
		}
		return nil, baremetal.Errorf(baremetal.Unavailable, "Open vSwitch's database at %s does not answer: %w%s", b.conf.Address, err, hint)
	}
	b.mu.Lock()
	b.db = db
	b.connections++
	b.mu.Unlock()
	b.note(initial)
	return db, nil
}

// hear is called with each notification.
func (b *Bridge) hear(method string, params json.RawMessage) {
	var update []json.RawMessage
	if method == "update" && json.Unmarshal(params, &update) == nil && len(update) == 2 {
		b.note(update[1])
	}
}

// note keeps what a monitor tells of cur_cfg and wakes who waits.
func (b *Bridge) note(update json.RawMessage) {
	var tables struct {
		Root map[string]struct {
			New struct {
				CurCfg *int `json:"cur_cfg"`
			} `json:"new"`
		} `json:"Open_vSwitch"`
	}
	_ = json.Unmarshal(update, &tables) // what cannot be read is news of something else
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, row := range tables.Root {
		if row.New.CurCfg != nil { // the first answer may be read after later news
			b.applied = max(b.applied, *row.New.CurCfg)
		}
	}
	close(b.news)
	b.news = make(chan struct{})
}

// heard returns cur_cfg and a channel that is closed with the next notification.
func (b *Bridge) heard() (int, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.applied, b.news
}

// Watch implements switches.Watcher.
func (b *Bridge) Watch(ctx context.Context, changed func()) error {
	db, err := b.connect(ctx)
	if err != nil {
		return err
	}
	for {
		_, news := b.heard()
		changed()
		select {
		case <-news:
		case <-db.ended:
			changed()
			return baremetal.Errorf(baremetal.Unavailable, "the connection to Open vSwitch's database at %s has ended", b.conf.Address)
		case <-ctx.Done():
			return nil
		}
	}
}

// op is one operation of a transaction.
type op map[string]any

func named(name string) []any { return []any{[]any{"name", "==", name}} }

// transact runs operations as one transaction; results gets those of each, in order.
func (b *Bridge) transact(ctx context.Context, ops []op, results ...any) error {
	db, err := b.connect(ctx)
	if err != nil {
		return err
	}
	params := []any{database}
	for _, o := range ops {
		params = append(params, o)
	}
	var replies []json.RawMessage
	if err := db.call(ctx, "transact", params, &replies); err != nil {
		return baremetal.Errorf(baremetal.Unavailable, "asking Open vSwitch's database at %s: %w", b.conf.Address, err)
	}
	for _, r := range replies {
		var failed struct{ Error, Details string }
		if json.Unmarshal(r, &failed) == nil && failed.Error != "" {
			if failed.Error == "timed out" { // of a "wait", which looks whether all is as it was
				return baremetal.Errorf(baremetal.Conflict, "the bridge %s has changed since it was read", b.conf.Bridge)
			}
			return fmt.Errorf("the database of Open vSwitch refuses the change: %s: %s", failed.Error, failed.Details)
		}
	}
	if len(replies) < len(results) {
		return errors.New("the database of Open vSwitch answered in part")
	}
	for i, to := range results {
		if to == nil {
			continue
		}
		if err := json.Unmarshal(replies[i], to); err != nil {
			return fmt.Errorf("reading Open vSwitch's database: %w", err)
		}
	}
	return nil
}

type rows[T any] struct {
	Rows []T `json:"rows"`
}

// everything is what the database holds about a bridge.
type everything struct {
	root       rootRow
	bridge     bridgeRow
	ports      []portRow // of this bridge
	interfaces map[uuid]interfaceRow
}

func (b *Bridge) fetch(ctx context.Context) (*everything, error) {
	var roots rows[rootRow]
	var bridges rows[bridgeRow]
	var ports rows[portRow]
	var interfaces rows[interfaceRow]
	selects := []op{
		{"op": "select", "table": database, "where": []any{}, "columns": []string{"_uuid", "ovs_version", "next_cfg", "other_config"}},
		{"op": "select", "table": "Bridge", "where": named(b.conf.Bridge), "columns": []string{"ports", "external_ids", "controller", "fail_mode"}},
		{"op": "select", "table": "Port", "where": []any{}, "columns": append(vlanColumns(), "_uuid", "name", "interfaces")},
		{"op": "select", "table": "Interface", "where": []any{}, "columns": []string{"_uuid", "type", "mtu", "link_state", "link_speed"}},
	}
	err := b.transact(ctx, selects, &roots, &bridges, &ports, &interfaces)
	if err != nil && ctx.Err() == nil { // the connection may have ended since it was used last
		err = b.transact(ctx, selects, &roots, &bridges, &ports, &interfaces)
	}
	if err != nil {
		return nil, err
	}
	if len(roots.Rows) == 0 || len(bridges.Rows) == 0 {
		return nil, baremetal.Errorf(baremetal.Unavailable, "Open vSwitch at %s has no bridge %s: make it with `ovs-vsctl add-br %[2]s`, or correct the configuration", b.conf.Address, b.conf.Bridge)
	}
	all := &everything{root: roots.Rows[0], bridge: bridges.Rows[0], interfaces: map[uuid]interfaceRow{}}
	ours := map[uuid]bool{}
	for _, u := range all.bridge.Ports {
		ours[u] = true
	}
	for _, p := range ports.Rows {
		if ours[p.UUID] {
			all.ports = append(all.ports, p)
		}
	}
	for _, i := range interfaces.Rows {
		all.interfaces[i.UUID] = i
	}
	return all, nil
}

// Describe implements switches.Backend.
func (b *Bridge) Describe(ctx context.Context) (switches.Description, error) {
	all, err := b.fetch(ctx)
	if err != nil {
		return switches.Description{}, err
	}
	d := switches.Description{
		Kind: "Open vSwitch", Model: all.root.Version.first(),
		Capabilities: switches.Capabilities{PortIsolation: true, MTU: true},
		Limits:       switches.Limits{MTU: switches.MaxMTU},
	}
	for _, p := range all.ports {
		i := all.interfaces[p.Interfaces.first()]
		d.Ports = append(d.Ports, switches.Port{
			Name: p.Name, Link: i.Link.first() == "up", Speed: i.Speed.first() / 1e6,
			Host: p.Name == b.conf.Bridge || i.Type == "internal" || i.Type == "patch",
		})
	}
	if len(all.bridge.Controllers) > 0 {
		d.Notes = append(d.Notes, fmt.Sprintf("bridge %s has an OpenFlow controller, whose flows may pass by the VLANs of its ports", b.conf.Bridge))
	}
	return d, nil
}

// versionOf is 0 for a bridge that has never been changed from here.
func versionOf(ids table) string { return cmp.Or(ids[versionKey], "0") }

// Read implements switches.Backend.
func (b *Bridge) Read(ctx context.Context) (switches.State, error) {
	all, err := b.fetch(ctx)
	if err != nil {
		return switches.State{}, err
	}
	b.mu.Lock()
	boot := fmt.Sprintf("%s/%d", all.root.UUID, b.connections)
	b.mu.Unlock()
	s := switches.State{Ports: map[string]switches.PortState{}, Boot: boot, Version: versionOf(all.bridge.ExternalIDs)}
	b.seen.version, b.seen.ids, b.seen.failMode = s.Version, all.bridge.ExternalIDs, all.bridge.FailMode
	b.seen.ports, b.seen.root = map[string]vlans{}, all.root
	_, held := all.bridge.ExternalIDs[heldKey]
	_, changing := all.bridge.ExternalIDs[changingKey]
	s.Unfinished = held || changing
	for _, p := range all.ports {
		state := p.state()
		state.MTU = all.interfaces[p.Interfaces.first()].MTU.first()
		s.Ports[p.Name] = state
		b.seen.ports[p.Name] = p.vlans
	}
	return s, nil
}
