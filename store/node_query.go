package store

import (
	"context"
	"slices"

	"caddyshack/baremetal"
)

// nodePaging: sort keys are the API's names of what it shows and upstream sorts by.
func nodePaging() paging {
	sortable := same("id", "uuid", "name", "instance_uuid", "power_state", "provision_state", "maintenance", "driver",
		"instance_name", "chassis_uuid", "allocation_uuid", "resource_class", "conductor_group", "owner", "lessee", "shard",
		"parent_node", "target_power_state", "target_provision_state", "provision_updated_at", "fault", "health",
		"protected", "protected_reason", "retired", "retired_reason", "console_enabled", "disable_power_off", "boot_mode",
		"inspection_started_at", "inspection_finished_at", "created_at", "updated_at", "description",
		"maintenance_reason", "last_error", "reservation")
	// Columns that can be NULL, which compares with nothing, are sorted with NULL first.
	sortable["automated_clean"] = "COALESCE(automated_clean, -1)"
	sortable["secure_boot"] = "COALESCE(secure_boot, -1)"
	return paging{table: "nodes", id: "id", mark: "uuid", sortable: sortable, missing: noNode}
}

var nodePages = nodePaging()

// nodeSelection turns a query into SQL.
func (s *Store) nodeSelection(ctx context.Context, q baremetal.NodeQuery) (*selection, error) {
	sel := &selection{}
	sel.equals("instance_uuid", q.InstanceUUID)
	sel.equals("instance_name", q.InstanceName)
	sel.equals("chassis_uuid", q.ChassisUUID)
	sel.equals("resource_class", q.ResourceClass)
	sel.equals("fault", q.Fault)
	sel.equals("conductor_group", q.ConductorGroup)
	sel.equals("owner", q.Owner)
	sel.equals("lessee", q.Lessee)
	sel.flag("maintenance", q.Maintenance)
	sel.flag("retired", q.Retired)
	sel.contains("description", q.DescriptionContains)
	if q.ProvisionState != nil {
		sel.and("provision_state = %s", string(*q.ProvisionState))
	}
	if q.Driver != nil {
		sel.and("driver = %s", *q.Driver)
	}
	if q.Project != nil {
		sel.and(sel.ofProject(*q.Project))
	}
	if q.Associated != nil {
		sel.and("instance_uuid " + isSet(*q.Associated))
	}
	if q.Sharded != nil {
		sel.and("shard " + isSet(*q.Sharded))
	}
	if q.Shards != nil {
		shards := sel.in("shard", q.Shards)
		if !slices.Contains(q.Shards, "") {
			shards += " AND shard <> ''"
		}
		sel.and(shards)
	}
	switch {
	case q.ParentNode != nil:
		sel.equals("parent_node", q.ParentNode)
	case !q.IncludeChildren:
		sel.and("parent_node = ''")
	}
	if q.ConductorHost != nil {
		if err := s.servedBy(ctx, sel, *q.ConductorHost); err != nil {
			return nil, err
		}
	}
	return sel, s.fault(sel.page(ctx, s.read, nodePages, q.Page))
}

func isSet(want bool) string {
	if want {
		return "<> ''"
	}
	return "= ''"
}
