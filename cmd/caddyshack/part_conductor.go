package main

import (
	"context"
	"maps"
	"time"

	"caddyshack/baremetal"
	"caddyshack/bus"
	"caddyshack/conductor"
	"caddyshack/drivers"
	"caddyshack/drivers/backplane"
	"caddyshack/drivers/console"
	"caddyshack/drivers/fake"
	"caddyshack/drivers/networks"
	"caddyshack/drivers/nfsroot"
	"caddyshack/pxe"
)

// openConductor registers the hardware types and makes the conductor.
func (d *daemon) openConductor(context.Context) error {
	if !d.cfg.has(roleConductor) {
		return nil
	}
	boot, err := d.bootService()
	if err != nil {
		return err
	}
	d.service = boot
	types := map[string]func() *drivers.HardwareType{
		typeCaddy: func() *drivers.HardwareType { return d.caddyType(boot) }, fake.Name: fake.HardwareType, typeIPMI: fake.IPMI,
	}
	var enabled []*drivers.HardwareType
	for _, name := range d.cfg.HardwareTypes {
		enabled = append(enabled, types[name]())
	}
	reg, err := drivers.NewRegistry(enabled...)
	if err != nil {
		return err
	}
	var rows conductor.Store = d.store
	if d.wrapStore != nil {
		rows = d.wrapStore(rows)
	}
	d.conductor, err = conductor.New(conductor.Settings{
		Store: rows, Registry: reg, Host: d.cfg.Host, Group: d.cfg.ConductorGroup, Places: []string{d.cfg.Place},
		NoAutomatedClean: d.cfg.Deploy.AutomatedClean != nil && !*d.cfg.Deploy.AutomatedClean,
		ForcePowerState:  d.cfg.Deploy.ForcePowerState,
		NoBootCycles:     d.cfg.Boot.Watchdog.CycleSilent != nil && !*d.cfg.Boot.Watchdog.CycleSilent,
		OnBoot:           newBootMetrics(d.metrics),
		Arrival:          unitsReturn,
		Log:              d.log.With("part", "conductor"),
	})
	return err
}

// unitsReturn is how long steps that go on after a start wait for units that are
// not on the bus yet: with this process its broker was away, and they try to
// reach it after 1, 2, 4, … and at last every 60 s.
const unitsReturn = 75 * time.Second

// caddyType is the hardware type caddy with the parts of this process.
func (d *daemon) caddyType(boot bootService) *drivers.HardwareType {
	const name = "caddy"
	deploy := &nfsroot.Driver{
		Boot:         boot,
		DefaultImage: pxe.ImageSource{URL: d.cfg.Images.DefaultImage, Checksum: d.cfg.Images.DefaultChecksum},
		Deployable:   d.deployable, Watch: d.watchdog(), AwayTimeout: d.cfg.Deploy.AwayTimeout.Duration,
		RootGB: d.cfg.Deploy.RootGB,
	}
	units := &backplane.Driver{Fleet: d.fleet}
	rescue := &nfsroot.Rescue{Driver: deploy, Power: backplane.Power{Driver: units},
		Image: pxe.ImageSource{URL: d.cfg.Images.RescueImage, Checksum: d.cfg.Images.RescueChecksum}}
	absent := func(what string) any { return drivers.Absent{Driver: name, What: what} }
	h := &drivers.HardwareType{
		Name: name,
		Interfaces: map[string]map[string]any{
			"bios":       {"no-bios": absent("bios")},
			"boot":       {"rpi-netboot": nfsroot.Boot{Driver: deploy}},
			"console":    {"no-console": console.None(name)},
			"deploy":     {"nfs-root": deploy},
			"firmware":   {"no-firmware": absent("firmware")},
			"inspect":    {inspectNetboot: d.newInspect(backplane.Power{Driver: units}, boot), "no-inspect": absent("inspection")},
			"management": {"backplane": backplane.Management{Driver: units}},
			"network":    {"noop": drivers.NoOp{}, "flat": drivers.Flat{}},
			"power":      {"backplane": backplane.Power{Driver: units}},
			"raid":       {"no-raid": absent("raid")},
			"rescue":     {"nfs-rescue": rescue, "no-rescue": absent("rescue")},
			"storage":    {"noop": drivers.NoOp{}},
			"vendor":     {"backplane": backplane.Vendor{Driver: units}, "no-vendor": drivers.NoOp{}},
		},
		Defaults: map[string]string{
			"bios": "no-bios", "boot": "rpi-netboot", "console": "no-console", "deploy": "nfs-root",
			"firmware": "no-firmware", "inspect": inspectNetboot, "management": "backplane", "network": "noop",
			"power": "backplane", "raid": "no-raid", "rescue": "nfs-rescue", "storage": "noop", "vendor": "backplane",
		},
		Properties: map[string]string{
			"serial_number": "serial number of the Raspberry Pi, 8 or 16 hex digits. Optional.",
		},
	}
	maps.Copy(h.Properties, backplane.Properties())
	if d.networks != nil {
		deploy.Networks = d.networks
		h.Interfaces["network"][networks.Name] = d.networks
		h.Defaults["network"] = networks.Name
		maps.Copy(h.Properties, networks.Properties())
	}
	if d.consoles != nil {
		h.Interfaces["console"] = console.Interfaces(d.consoles, name)
		h.Defaults["console"] = "serial-shellinabox"
		maps.Copy(h.Properties, console.Properties())
	}
	return h
}

// deployable refuses a deploy to a caddy that holds no Pi, as its unit reports it.
func (d *daemon) deployable(ctx context.Context, n *baremetal.Node) error {
	unit := n.DriverInfo.Str(backplane.UnitProperty)
	slot, _ := n.DriverInfo.Int(backplane.SlotProperty)
	view, err := d.fleet.Slot(ctx, unit, slot)
	if err != nil {
		return baremetal.Errorf(baremetal.Invalid, "What slot %d of unit %s holds is not known: %w", slot, unit, err)
	}
	if typ := view.State.Type; typ != bus.TypePi && typ != bus.TypePi5 {
		return baremetal.Errorf(baremetal.Invalid,
			"Slot %d of unit %s holds %s: there is no Raspberry Pi to deploy to. Its power and console work.", slot, unit, holds(typ))
	}
	return nil
}

// observe takes what the bus reports of a slot to the conductor.
func (d *daemon) observe(ctx context.Context, o drivers.Observation) {
	select {
	case <-d.working:
	case <-ctx.Done():
		return
	}
	if err := d.conductor.Observe(ctx, o); err != nil && ctx.Err() == nil {
		d.log.Warn("recording what a unit reported failed", "slot", o.Key, "err", err)
	}
}
