package networks

import (
	"slices"

	"caddyshack/baremetal"
	"caddyshack/drivers/switches"
)

// The keys by which a node and its ports say what network they want.
const (
	// bootNetworkKey of driver_info gives the node's ports that boot a native
	// VLAN for that, for good; its tenants' networks come with tags (mode hybrid).
	bootNetworkKey = "boot_network"
	switchportKey  = "switchport"
)

// networkKeys are Ironic's keys of driver_info.
var networkKeys = map[baremetal.NetworkKind]string{
	baremetal.ProvisioningNetwork: "provisioning_network",
	baremetal.CleaningNetwork:     "cleaning_network",
	baremetal.RescuingNetwork:     "rescuing_network",
	baremetal.InspectionNetwork:   "inspection_network",
	baremetal.ServicingNetwork:    "servicing_network",
}

// Properties describes the keys of driver_info.
func Properties() map[string]string {
	return map[string]string{
		"provisioning_network": "network in which the node boots that has no network of a tenant: a name, a VLAN, or access/native_vlan=N. Optional.",
		"cleaning_network":     "network for cleaning, in the same forms. Optional; without one the ports are idle meanwhile.",
		"rescuing_network":     "network for rescue. Optional, default: the one for provisioning.",
		"inspection_network":   "network for inspection. Optional, default: the one for provisioning.",
		"servicing_network":    "network for service steps. Optional; without one the ports stay where they are.",
		bootNetworkKey:         "network of purpose boot from which the node boots for good, its tenants' networks being tagged (mode hybrid). Optional.",
	}
}

// Wanted is what the switch's port that p is plugged into shall be while its
// node's ports are in a network of the kind. The error is of kind Invalid.
func (d *Driver) Wanted(n *baremetal.Node, p *baremetal.Port, kind baremetal.NetworkKind) (switches.PortConfig, error) {
	switch kind {
	case baremetal.IdleNetwork:
		return switches.Idle(), nil
	case baremetal.TenantNetwork:
		return d.tenantPort(n, p)
	case baremetal.ProvisioningNetwork:
		if !p.PXEEnabled {
			return d.tenantPort(n, p)
		}
	default:
		if !p.PXEEnabled {
			return switches.Idle(), nil
		}
	}
	config, found, err := d.phase(n, kind)
	if err == nil && !found {
		return switches.Idle(), nil
	}
	return config, err
}

// tenantPort is what the port's virtual interface says, else extra.switchport,
// else idle.
func (d *Driver) tenantPort(n *baremetal.Node, p *baremetal.Port) (switches.PortConfig, error) {
	boot := n.DriverInfo.Str(bootNetworkKey)
	vif := p.InternalInfo.Str(baremetal.TenantVIF)
	switch {
	case boot != "" && p.PXEEnabled:
		return d.hybrid(boot, vif)
	case vif != "":
		return d.Catalog.tenant(vif)
	}
	return d.switchport(p)
}

// hybrid is a port that boots in a native VLAN and has its tenant's network tagged.
func (d *Driver) hybrid(boot, vif string) (switches.PortConfig, error) {
	config, err := d.Catalog.Resolve(boot)
	if err != nil {
		return config, baremetal.Errorf(baremetal.Invalid, "driver_info.%s: %w", bootNetworkKey, err)
	}
	n := d.Catalog.byVLAN[config.NativeVLAN]
	if config.Mode != switches.ModeAccess || n == nil || !slices.Contains(n.Purposes, NativeBoot) {
		return config, baremetal.Errorf(baremetal.Invalid, "driver_info.%s: %q is no network that nodes boot from for good: "+
			"name one whose [[networks]] block has the purpose %q", bootNetworkKey, boot, NativeBoot)
	}
	config.Isolated = n.Isolated
	if vif == "" {
		return config, nil
	}
	tenant, err := d.Catalog.tenant(vif)
	if err != nil {
		return config, err
	}
	config.Mode, config.AllowedVLANs = switches.ModeHybrid, tenant.VLANs()
	return config, config.Check()
}

// switchport reads extra.switchport; idle if there is none.
func (d *Driver) switchport(p *baremetal.Port) (switches.PortConfig, error) {
	if !p.Extra.Has(switchportKey) {
		return switches.Idle(), nil
	}
	m, ok := p.Extra.Get(switchportKey).(map[string]any)
	if !ok {
		return switches.PortConfig{}, baremetal.Errorf(baremetal.Invalid,
			`port %s: extra.switchport must be an object, like {"mode": "access", "native_vlan": 20}`, p.UUID)
	}
	o, err := baremetal.NewObject(m)
	if err != nil {
		return switches.PortConfig{}, err
	}
	config, err := switches.ParseSwitchport([]byte(o.Text()))
	if err != nil {
		return config, baremetal.Errorf(baremetal.Invalid, "port %s: extra.%w", p.UUID, err)
	}
	if p.PXEEnabled && config.NativeVLAN == 0 {
		return config, baremetal.Errorf(baremetal.Invalid,
			"port %s: extra.switchport: a port that boots needs a native_vlan, since a Pi boots without tags: use mode access or hybrid", p.UUID)
	}
	return config, nil
}

// phase is the node's network of a kind: its own, the configuration's, or for
// what boots a helper system the one for provisioning.
func (d *Driver) phase(n *baremetal.Node, kind baremetal.NetworkKind) (config switches.PortConfig, found bool, err error) {
	key := networkKeys[kind]
	if text := n.DriverInfo.Str(key); text != "" {
		config, err = d.Catalog.Resolve(text)
		if err == nil && config.NativeVLAN == 0 {
			err = baremetal.Errorf(baremetal.Invalid, "%q has no native VLAN, without which a Pi does not boot", text)
		}
		if err != nil {
			err = baremetal.Errorf(baremetal.Invalid, "driver_info.%s: %w", key, err)
		}
		return config, true, err
	}
	if c := d.Catalog.byKind[kind]; c != nil {
		return switches.Access(c.VLAN), true, nil
	}
	if kind == baremetal.RescuingNetwork || kind == baremetal.InspectionNetwork {
		return d.phase(n, baremetal.ProvisioningNetwork)
	}
	return switches.PortConfig{}, false, nil
}
