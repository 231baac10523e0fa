package main

import (
	"context"
	"fmt"
	"net/netip"

	"caddyshack/baremetal"
	"caddyshack/bus"
	"caddyshack/drivers"
	"caddyshack/drivers/backplane"
	"caddyshack/drivers/netboot"
)

// inspectNetboot is the name of the inspect interface that learns from a boot.
const inspectNetboot = "netboot"

// newInspect makes it.
func (d *daemon) newInspect(power drivers.Power, boot bootService) *netboot.Inspect {
	return &netboot.Inspect{
		Power: power, Slot: d.slotOf, Sightings: boot.Sightings, Nodes: d.knownPis,
		BootTimeout: d.cfg.Boot.Watchdog.deadlines().FirstFile(), Tries: d.cfg.Boot.Watchdog.tries(),
		Misplace: func(ctx context.Context, uuid, reason string) error {
			return d.conductor.TakeOut(ctx, uuid, baremetal.FaultMisplaced, reason)
		},
	}
}

// slotOf reads a node's slot.
func (d *daemon) slotOf(ctx context.Context, n *baremetal.Node) (netboot.Slot, error) {
	unit, slot := slotNames(n)
	s, err := d.fleet.Slot(ctx, unit, slot)
	if err != nil {
		return netboot.Slot{}, fmt.Errorf("reading slot %d of unit %s: %w", slot, unit, err)
	}
	c, _ := d.fleet.Content(unit, slot)
	return netboot.Slot{
		Name: slotText(unit, slot), Pi: s.State.Type == bus.TypePi || s.State.Type == bus.TypePi5, Five: s.State.Type == bus.TypePi5,
		Holds: holds(s.State.Type), Empty: s.State.Type == bus.TypeEmpty, Powered: c.Powered,
	}, nil
}

func slotNames(n *baremetal.Node) (unit string, slot int) {
	slot, _ = n.DriverInfo.Int(backplane.SlotProperty)
	return n.DriverInfo.Str(backplane.UnitProperty), slot
}

func slotText(unit string, slot int) string { return fmt.Sprintf("slot %d of unit %s", slot, unit) }

// knownPis lists the caddies, and what is known of the Pis in them.
func (d *daemon) knownPis(ctx context.Context) ([]netboot.Known, error) {
	driver := typeCaddy
	var all []netboot.Known
	at := map[string]int{}
	err := d.store.Nodes(ctx, baremetal.NodeQuery{Driver: &driver, IncludeChildren: true}, func(n *baremetal.Node) error {
		k := netboot.Known{UUID: n.UUID, Name: n.Name, Serial: n.DriverInfo.Str("serial_number")}
		if k.Name == "" {
			k.Name = n.UUID
		}
		unit, slot := slotNames(n)
		k.Slot = slotText(unit, slot)
		c, told := d.fleet.Content(unit, slot)
		k.Powered = c.Powered || !told
		k.Pi = c.Type == bus.TypePi || c.Type == bus.TypePi5
		if inspecting(n) {
			k.Inspecting = n.InspectionStartedAt
		}
		at[n.UUID] = len(all)
		all = append(all, k)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the nodes: %w", err)
	}
	ports, err := d.store.Ports(ctx, baremetal.PortQuery{})
	if err != nil {
		return nil, fmt.Errorf("listing the ports: %w", err)
	}
	for i := range ports {
		n, ok := at[ports[i].NodeUUID]
		if !ok {
			continue
		}
		k := &all[n]
		k.MACs = append(k.MACs, ports[i].Address)
		if a, err := netip.ParseAddr(ports[i].Extra.Str("ip_address")); err == nil {
			k.Addresses = append(k.Addresses, a)
		}
	}
	return all, nil
}

// inspecting tells whether a node is in an inspection that needs power.
func inspecting(n *baremetal.Node) bool {
	return n.ProvisionState == baremetal.Inspecting && n.Interfaces["inspect"] == inspectNetboot
}
