package store

import (
	"context"

	"caddyshack/baremetal"
)

// The kinds of resources that are kept as records.

// Portgroups are the port groups.
func (s *Store) Portgroups() baremetal.Collection[baremetal.Portgroup] {
	return records[baremetal.Portgroup]{s, &portgroups}
}

// VolumeConnectors are the connectors of nodes to storage networks.
func (s *Store) VolumeConnectors() baremetal.Collection[baremetal.VolumeConnector] {
	return records[baremetal.VolumeConnector]{s, &connectors}
}

// VolumeTargets are the remote volumes of nodes.
func (s *Store) VolumeTargets() baremetal.Collection[baremetal.VolumeTarget] {
	return records[baremetal.VolumeTarget]{s, &targets}
}

// DeployTemplates are the deploy templates.
func (s *Store) DeployTemplates() baremetal.Collection[baremetal.DeployTemplate] {
	return records[baremetal.DeployTemplate]{s, &templates}
}

// Runbooks are the runbooks.
func (s *Store) Runbooks() baremetal.Collection[baremetal.Runbook] {
	return records[baremetal.Runbook]{s, &runbooks}
}

// InspectionRules are the inspection rules.
func (s *Store) InspectionRules() baremetal.Collection[baremetal.InspectionRule] {
	return records[baremetal.InspectionRule]{s, &rules}
}

var portgroups = kind[baremetal.Portgroup]{
	table: "portgroups", what: "Portgroup", named: true, ofProject: ofProjectNodes,
	columns: []string{"id", "uuid", "node_uuid", "name", "address", "extra", "internal_info", "standalone_ports_supported", "mode",
		"properties", "physical_network", "category", "dynamic_portgroup", "created_at", "updated_at"},
	unsortable: []string{"extra", "internal_info", "properties"},
	args: func(p *baremetal.Portgroup) []any {
		return []any{p.ID, p.UUID, p.NodeUUID, p.Name, p.Address, object(p.Extra), object(p.InternalInfo), flag(p.StandalonePortsSupported), p.Mode,
			object(p.Properties), p.PhysicalNetwork, p.Category, flag(p.DynamicPortgroup), micros(p.CreatedAt), micros(p.UpdatedAt)}
	},
	dest: func(p *baremetal.Portgroup) []any {
		return []any{&p.ID, &p.UUID, &p.NodeUUID, &p.Name, &p.Address, &p.Extra, &p.InternalInfo, &p.StandalonePortsSupported, &p.Mode,
			&p.Properties, &p.PhysicalNetwork, &p.Category, &p.DynamicPortgroup, momentColumn{&p.CreatedAt}, momentColumn{&p.UpdatedAt}}
	},
	meta: func(p *baremetal.Portgroup) meta {
		return meta{&p.ID, &p.UUID, &p.NodeUUID, &p.CreatedAt, &p.UpdatedAt}
	},
	unique: map[string]func(*baremetal.Portgroup) string{
		"name": func(p *baremetal.Portgroup) string { return "A portgroup with name " + p.Name + " already exists." },
		"address": func(p *baremetal.Portgroup) string {
			return "A portgroup with address " + p.Address + " already exists."
		},
	},
	check: func(ctx context.Context, tx *tx, p, before *baremetal.Portgroup) error {
		if before == nil || p.NodeUUID == before.NodeUUID {
			return nil
		}
		return emptyPortgroup(ctx, tx, p.UUID, "moved to another node")
	},
	free: func(ctx context.Context, tx *tx, p *baremetal.Portgroup) error {
		return emptyPortgroup(ctx, tx, p.UUID, "deleted")
	},
}

// emptyPortgroup refuses what cannot be done to a port group that has ports.
func emptyPortgroup(ctx context.Context, tx *tx, uuid, what string) error {
	var id int64
	used, err := queryRow(ctx, tx, []any{&id}, "SELECT id FROM ports WHERE portgroup_uuid = $1 AND portgroup_uuid <> '' LIMIT 1", uuid)
	if err == nil && used {
		err = baremetal.Errorf(baremetal.Invalid, "Portgroup %s can not be %s: it is not empty. Take its ports out first.", uuid, what)
	}
	return err
}

var connectors = kind[baremetal.VolumeConnector]{
	table: "connectors", what: "Volume connector", ofProject: ofProjectNodes,
	columns:    []string{"id", "uuid", "node_uuid", "type", "connector_id", "extra", "created_at", "updated_at"},
	unsortable: []string{"extra"},
	args: func(c *baremetal.VolumeConnector) []any {
		return []any{c.ID, c.UUID, c.NodeUUID, c.Type, c.ConnectorID, object(c.Extra), micros(c.CreatedAt), micros(c.UpdatedAt)}
	},
	dest: func(c *baremetal.VolumeConnector) []any {
		return []any{&c.ID, &c.UUID, &c.NodeUUID, &c.Type, &c.ConnectorID, &c.Extra, momentColumn{&c.CreatedAt}, momentColumn{&c.UpdatedAt}}
	},
	meta: func(c *baremetal.VolumeConnector) meta {
		return meta{&c.ID, &c.UUID, &c.NodeUUID, &c.CreatedAt, &c.UpdatedAt}
	},
	unique: map[string]func(*baremetal.VolumeConnector) string{
		"type": func(c *baremetal.VolumeConnector) string {
			return "A volume connector with type " + c.Type + " and connector ID " + c.ConnectorID + " already exists."
		},
	},
}

var targets = kind[baremetal.VolumeTarget]{
	table: "targets", what: "Volume target", ofProject: ofProjectNodes,
	columns:    []string{"id", "uuid", "node_uuid", "volume_type", "boot_index", "volume_id", "properties", "extra", "created_at", "updated_at"},
	unsortable: []string{"properties", "extra"},
	args: func(t *baremetal.VolumeTarget) []any {
		return []any{t.ID, t.UUID, t.NodeUUID, t.VolumeType, t.BootIndex, t.VolumeID, object(t.Properties), object(t.Extra),
			micros(t.CreatedAt), micros(t.UpdatedAt)}
	},
	dest: func(t *baremetal.VolumeTarget) []any {
		return []any{&t.ID, &t.UUID, &t.NodeUUID, &t.VolumeType, &t.BootIndex, &t.VolumeID, &t.Properties, &t.Extra,
			momentColumn{&t.CreatedAt}, momentColumn{&t.UpdatedAt}}
	},
	meta: func(t *baremetal.VolumeTarget) meta {
		return meta{&t.ID, &t.UUID, &t.NodeUUID, &t.CreatedAt, &t.UpdatedAt}
	},
	unique: map[string]func(*baremetal.VolumeTarget) string{
		"node_uuid": func(t *baremetal.VolumeTarget) string {
			return "A volume target with that boot index already exists on node " + t.NodeUUID + "."
		},
	},
}
