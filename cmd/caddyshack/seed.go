package main

import (
	"context"
	"fmt"
	"time"

	"caddyshack/baremetal"
	"caddyshack/bus"
	"caddyshack/conductor"
)

const chassisDescription = "Simulated enclosure of 13 caddies"

// seedChassis returns the uuid of the demo's chassis.
func seedChassis(ctx context.Context, d *daemon) (string, error) {
	list, err := d.store.ChassisList(ctx, baremetal.Page{})
	if err != nil {
		return "", err
	}
	for _, c := range list {
		if c.Description == chassisDescription {
			return c.UUID, nil
		}
	}
	c := baremetal.Chassis{UUID: baremetal.NewUUID(), Description: chassisDescription}
	return c.UUID, d.store.CreateChassis(ctx, &c)
}

// seedNode enters one caddy with its port.
func seedNode(ctx context.Context, d *daemon, chassisUUID string, c caddy) error {
	arch, what := "aarch64", "Raspberry Pi 4"
	switch c.Type {
	case bus.TypeSwitch:
		what = "5-port network switch"
	case bus.TypeOdroid:
		what, arch = "Odroid HC1", "armv7l"
	}
	info := map[string]any{"backplane_unit": c.Unit, "slot": c.Slot, "console_port": c.ConsolePort}
	if c.Serial != "" {
		info["serial_number"] = c.Serial
	}
	n := baremetal.Node{
		Name: c.Name(), Driver: "caddy", ChassisUUID: chassisUUID, ResourceClass: "rpi4", Description: what,
		DriverInfo: baremetal.MustObject(info),
		Properties: baremetal.MustObject(map[string]any{"cpu_arch": arch, "cpus": 4, "memory_mb": 4096, "local_gb": 16}),
		Extra:      baremetal.MustObject(map[string]any{"backplane_unit": c.Unit, "slot": c.Slot}),
	}
	who := conductor.Caller{RequestID: "req-demo", User: "demo"}
	if err := d.conductor.CreateNode(ctx, who, &n); err != nil {
		return err
	}
	return d.conductor.CreatePort(ctx, who, &baremetal.Port{
		NodeUUID: n.UUID, Address: c.MAC().String(), PXEEnabled: true, ForDynamicPortgroup: true,
		Extra: baremetal.MustObject(map[string]any{"ip_address": c.Address().String()}),
		LocalLinkConnection: baremetal.MustObject(map[string]any{
			"switch_id": "02:cd:00:00:00:01", "port_id": fmt.Sprintf("port%d", c.Number), "switch_info": "demo-switch"}),
	})
}

// powerPatience is far above what the first reports of the simulated units take,
// on a machine that is busy, too.
const powerPatience = time.Minute

// awaitPower waits until the power of every caddy has been read back once.
func awaitPower(ctx context.Context, d *daemon) error {
	ctx, cancel := context.WithTimeoutCause(ctx, powerPatience, fmt.Errorf("the power of a simulated caddy is still unknown after %s; run with --verbose and look for its unit", powerPatience))
	defer cancel()
	driver := "caddy"
	for {
		unknown := 0
		err := d.store.Nodes(ctx, baremetal.NodeQuery{Driver: &driver}, func(n *baremetal.Node) error {
			if n.PowerState == baremetal.PowerUnknown {
				unknown++
			}
			return nil
		})
		if err != nil {
			return err
		}
		if unknown == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
