package ironicapi

import (
	"strings"

	"caddyshack/baremetal"
)

// fieldActions say who may change which field of a node; the other fields go by node:update.
var fieldActions = map[string]action{
	"driver":          {"node:update:driver_interfaces", ownerAdmin}, // and all *_interface
	"driver_info":     {"node:update:driver_info", ownerMember},
	"properties":      {"node:update:properties", ownerMember},
	"network_data":    {"node:update:network_data", ownerMember},
	"instance_uuid":   {"node:update:instance_uuid", ownerMember},
	"lessee":          {"node:update:lessee", ownerMember},
	"name":            {"node:update:name", ownerMember},
	"retired":         {"node:update:retired", ownerMember},
	"retired_reason":  {"node:update:retired", ownerMember},
	"owner":           {"node:update:owner", systemMember},
	"conductor_group": {"node:update:conductor_group", systemMember},
	"parent_node":     {"node:update:parent_node", systemMember},
	"chassis_uuid":    {"node:update:chassis_uuid", systemAdminOnly},
	"shard":           {"node:update:shard", systemAdminOnly},
	"instance_info":   {"node:update_instance_info", ownerMemberLesseeAdmin},
	"maintenance":     {"node:set_maintenance", ownerMemberLesseeAdmin},
}

var (
	generalUpdate = action{"node:update", nodeMember}
	noCleaning    = action{"node:disable_cleaning", systemAdminOnly}
	ownerInUse    = action{"node:update_owner_provisioned", systemAdminOnly}
)

func fieldAction(name string) action {
	if strings.HasSuffix(name, "_interface") {
		name = "driver"
	}
	if a, ok := fieldActions[name]; ok {
		return a
	}
	return generalUpdate
}

// checkFields refuses a patch that touches a field the caller may not change.
// Fields that are only read (test, copy from) count as well: the answer would
// tell what is in them.
func (c *call) checkFields(n *node, fields []*field[node], ops []patchOp) error {
	t := targetOf(n)
	for _, f := range fields {
		a := fieldAction(f.name)
		if err := c.check(a.name, a.rule, t); err != nil {
			return err
		}
		if f.name == "owner" && n.ProvisionState == baremetal.Active {
			if err := c.check(ownerInUse.name, ownerInUse.rule, t); err != nil {
				return err
			}
		}
	}
	for _, op := range ops {
		if op.path[0] != "automated_clean" || op.op == "remove" || op.op == "test" {
			continue
		}
		if on, ok := toBool(op.value); ok && on && op.from == nil {
			continue
		}
		if err := c.check(noCleaning.name, noCleaning.rule, t); err != nil {
			return err
		}
	}
	return nil
}

// checkNewNode lets project administrators create nodes of their own project;
// what only the service's administrators may set, they may not set here either.
func (c *call) checkNewNode(n *node, body map[string]any) error {
	if c.may(systemAdmin, target{}) {
		return nil
	}
	if n.Owner != "" && n.Owner != c.who.Project {
		return denied("node:create")
	}
	n.Owner = c.who.Project
	for name := range body {
		a := fieldAction(name)
		switch {
		case name == "owner" || name == "uuid" || isEmpty(body[name]) && name != "automated_clean":
			continue
		case name == "automated_clean" && n.AutomatedClean != nil && !*n.AutomatedClean:
			a = noCleaning
		case name == "driver" || a.name == generalUpdate.name:
			continue // a node of their own
		}
		if err := c.check(a.name, a.rule, targetOf(n)); err != nil {
			return err
		}
	}
	return nil
}
