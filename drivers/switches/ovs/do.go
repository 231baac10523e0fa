package ovs

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"

	"caddyshack/baremetal"
	"caddyshack/drivers/switches"
)

// Do implements switches.Backend.
func (b *Bridge) Do(ctx context.Context, version string, changes []switches.Change) error {
	if b.seen.ports == nil || version != b.seen.version {
		return baremetal.Errorf(baremetal.Conflict, "the bridge %s has changed since it was read", b.conf.Bridge)
	}
	_, held := b.seen.ids[heldKey]
	ports, cutShort := b.seen.ids[changingKey]
	if cutShort || held { // ovs-vswitchd may not have come to it yet
		if err := b.takenOver(ctx, b.seen.root.NextCfg); err != nil {
			return err
		}
	}
	if cutShort && !held {
		if err := b.forgetAll(ctx, strings.Fields(ports)); err != nil {
			return err
		}
	}
	switch {
	case held || b.changesLists(changes):
		if err := b.hold(ctx); err != nil {
			return err
		}
		if err := b.write(ctx, nil, changes, false); err != nil {
			return err
		}
		return b.release(ctx)
	case len(changes) == 0:
		return b.commit(ctx, finished, nil)
	}
	var names []string
	for _, c := range changes {
		names = append(names, c.Port)
	}
	guarded := b.leaveProtection(changes)
	changing := func(ids table) { ids[changingKey] = strings.Join(names, " ") }
	if err := b.write(ctx, changing, changes, true); err != nil {
		return err
	}
	if err := b.forgetAll(ctx, names); err != nil {
		return err
	}
	return b.write(ctx, finished, guarded, false)
}

// finished notes that nothing is left of before.
func finished(ids table) { delete(ids, changingKey) }

// leaveProtection lists the changes of ports that are protected, as those are
// that carry nothing, and shall no longer be. Such a port stays protected until
// what was learned of it in the VLAN that it had is forgotten.
func (b *Bridge) leaveProtection(changes []switches.Change) []switches.Change {
	var leaving []switches.Change
	for _, c := range changes {
		if b.seen.ports[c.Port].Protected && !columns(c.To).Protected {
			leaving = append(leaving, c)
		}
	}
	return leaving
}

// write writes the columns of ports, if there are any, and a note; guard leaves
// ports protected that are.
func (b *Bridge) write(ctx context.Context, note func(ids table), changes []switches.Change, guard bool) error {
	var ops []op
	after := maps.Clone(b.seen.ports)
	for _, c := range changes {
		seen, row := b.seen.ports[c.Port], columns(c.To)
		row.Protected = row.Protected || guard && seen.Protected
		ops = append(ops, asRead("Port", c.Port, vlanColumns(), seen),
			op{"op": "update", "table": "Port", "where": named(c.Port), "row": row})
		if c.To.MTU != 0 {
			ops = append(ops, op{"op": "update", "table": "Interface", "where": named(c.Port), "row": map[string]any{"mtu_request": c.To.MTU}})
		}
		after[c.Port] = row
	}
	if err := b.commit(ctx, note, ops); err != nil {
		return err
	}
	b.seen.ports = after
	return nil
}

// changesLists tells whether a port has a list of VLANs that will be another.
func (b *Bridge) changesLists(changes []switches.Change) bool {
	for _, c := range changes {
		if seen := b.seen.ports[c.Port]; seen.hasList() && seen.state() != columns(c.To).state() {
			return true
		}
	}
	return false
}

// hold makes the bridge forward nothing, and learn nothing. One that is held
// already may not have come to its flows.
func (b *Bridge) hold(ctx context.Context) error {
	if _, held := b.seen.ids[heldKey]; !held {
		mode := b.seen.failMode.first()
		if err := b.commit(ctx, func(ids table) { ids[heldKey] = mode }, []op{b.failMode("secure")}); err != nil {
			return err
		}
	}
	return b.forgetFlows(ctx)
}

// release makes it forward again, as before hold.
func (b *Bridge) release(ctx context.Context) error {
	mode := b.seen.ids[heldKey]
	done := func(ids table) {
		delete(ids, heldKey)
		delete(ids, changingKey)
	}
	return b.commit(ctx, done, []op{b.failMode(mode)})
}

func (b *Bridge) failMode(mode string) op {
	value := set[string]{}
	if mode != "" {
		value = append(value, mode)
	}
	return op{"op": "update", "table": "Bridge", "where": named(b.conf.Bridge), "row": map[string]any{"fail_mode": value}}
}

// asRead is an operation that fails if a row is no longer what it was.
func asRead(tbl, name string, columns []string, row any) op {
	return op{"op": "wait", "table": tbl, "where": named(name), "columns": columns, "until": "==", "rows": []any{row}, "timeout": 0}
}

// commit runs operations as one transaction, unless somebody else has changed
// the bridge, and returns when ovs-vswitchd has taken them over.
func (b *Bridge) commit(ctx context.Context, note func(ids table), ops []op) error {
	count, _ := strconv.Atoi(versionOf(b.seen.ids)) // what is no number is 0
	ids := maps.Clone(b.seen.ids)
	if ids == nil {
		ids = table{}
	}
	ids[versionKey] = strconv.Itoa(count + 1)
	if note != nil {
		note(ids)
	}
	ops = append([]op{
		// first, since its result is needed
		{"op": "mutate", "table": database, "where": []any{}, "mutations": []any{[]any{"next_cfg", "+=", 1}}},
		{"op": "select", "table": database, "where": []any{}, "columns": []string{"next_cfg"}},
		asRead("Bridge", b.conf.Bridge, []string{"external_ids"}, map[string]any{"external_ids": b.seen.ids}),
		{"op": "update", "table": "Bridge", "where": named(b.conf.Bridge), "row": map[string]any{"external_ids": ids}},
	}, ops...)
	var next rows[struct {
		NextCfg int `json:"next_cfg"`
	}]
	if err := b.transact(ctx, ops, nil, &next); err != nil {
		return err
	}
	if len(next.Rows) != 1 {
		return errors.New("the database of Open vSwitch has no root")
	}
	b.seen.ids, b.seen.version = ids, ids[versionKey]
	return b.takenOver(ctx, next.Rows[0].NextCfg)
}
