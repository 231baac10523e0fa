package ironicapi

import (
	"net/http"
	"slices"

	"caddyshack/baremetal"
)

func patchNode(c *call) error {
	reset, err := c.boolArg("reset_interfaces")
	if err != nil {
		return err
	}
	body, err := c.readBody()
	if err != nil {
		return err
	}
	ops, err := parsePatch(body)
	if err != nil {
		return err
	}
	n, err := c.readNode()
	if err != nil {
		return err
	}
	fields, err := nodeTable.touches(ops, c.minor)
	if err != nil {
		return err
	}
	touched := make(map[string]bool, len(fields))
	for _, f := range fields {
		touched[f.name] = true
	}
	if err := c.checkFields(&n, fields, ops); err != nil {
		return err
	}
	if reset != nil && *reset && !touched["driver"] {
		return invalid("The reset_interfaces parameter can only be used when changing the node's driver.")
	}
	if err := c.checkPatchedReferences(n.UUID, ops); err != nil {
		return err
	}
	n, err = c.api.Conductor.UpdateNode(c.r.Context(), c.caller(), n.UUID, func(n *node) error {
		if err := c.checkFields(n, fields, ops); err != nil { // it may have changed hands
			return err
		}
		if err := c.mayPatch(n, ops); err != nil {
			return err
		}
		before := *n
		if err := nodeTable.patch(n, ops, c.minor); err != nil {
			return err
		}
		if err := c.settleInterfaces(n, &before, touched, reset != nil && *reset); err != nil {
			return err
		}
		return c.checkChange(n, &before, touched)
	})
	if err != nil {
		return err
	}
	return c.replyNode(http.StatusOK, &n)
}

// checkPatchedReferences looks up what a patch refers to before the transaction.
func (c *call) checkPatchedReferences(node string, ops []patchOp) error {
	for _, op := range ops {
		name := op.path[0]
		if name != "chassis_uuid" && name != "parent_node" {
			continue
		}
		switch op.op {
		case "add", "replace":
			s, ok := op.value.(string)
			if !ok || !baremetal.IsUUID(s) {
				continue // the field itself refuses it, or it is null
			}
			var err error
			if name == "chassis_uuid" {
				err = c.checkChassis(s)
			} else {
				err = c.checkParent(node, s)
			}
			if err != nil {
				return err
			}
		case "move", "copy":
			return invalid("Couldn't apply patch '[%s]'. Reason: /%s can only be set to a value", op.text, name)
		}
	}
	return nil
}

// patchStates are the states with a target in which a node may be patched all the same.
var patchStates = []baremetal.ProvisionState{
	baremetal.DeployFailed, baremetal.InspectWait, baremetal.InspectFailed, baremetal.CleanFailed, baremetal.ErrorState,
	baremetal.Verifying, baremetal.AdoptFailed, baremetal.RescueFailed, baremetal.UnrescueFailed,
	baremetal.ServiceHold, baremetal.ServiceFailed,
}

// mayPatch tells whether the node can be patched at all in its state.
func (c *call) mayPatch(n *node, ops []patchOp) error {
	if n.TargetProvisionState == "" || slices.Contains(patchStates, n.ProvisionState) ||
		(n.ProvisionState == baremetal.Inspecting && c.minor < 39) {
		return nil
	}
	if n.Maintenance && len(ops) == 1 && ops[0].op == "remove" && slices.Equal(ops[0].path, []string{"instance_uuid"}) {
		return nil
	}
	return baremetal.Errorf(baremetal.Conflict, "Node %s can not be updated while a state transition is in progress.", n.UUID)
}

// settleInterfaces gives a node whose driver or interfaces changed a valid set of interfaces.
func (c *call) settleInterfaces(n, before *node, touched map[string]bool, reset bool) error {
	if n.Driver != before.Driver && before.ConsoleEnabled {
		return baremetal.Errorf(baremetal.Conflict, "Node %s can not have driver updated while its console is enabled.", n.UUID)
	}
	changed := n.Driver != before.Driver
	if reset {
		for _, kind := range baremetal.InterfaceKinds() {
			if f := nodeTable.find(kind + "_interface"); !touched[f.name] {
				if err := f.set(n, nil, c.minor); err != nil {
					return err
				}
			}
		}
		changed = true
	}
	for _, kind := range baremetal.InterfaceKinds() {
		changed = changed || n.Interfaces[kind] != before.Interfaces[kind]
	}
	if !changed {
		return nil
	}
	return c.api.Conductor.SetInterfaces(n)
}

// quietStates are those in which nothing depends on a node's interfaces.
var quietStates = []baremetal.ProvisionState{
	baremetal.Enroll, baremetal.Inspecting, baremetal.InspectWait, baremetal.Manageable, baremetal.Available,
}

const quietText = "available, enroll, inspect wait, inspecting, manageable"

// checkChange holds the rules on what may change in which state (section 4.5 of the API reference).
func (c *call) checkChange(n, before *node, touched map[string]bool) error {
	quiet := slices.Contains(quietStates, n.ProvisionState)
	if !quiet && !before.Maintenance && !n.Maintenance {
		changed := ""
		if n.Driver != before.Driver {
			changed = "driver"
		}
		for _, kind := range baremetal.InterfaceKinds() {
			if n.Interfaces[kind] != before.Interfaces[kind] {
				changed = kind + "_interface"
			}
		}
		if changed != "" {
			return baremetal.Errorf(baremetal.Conflict,
				"Node %s can not have %s updated unless it is in one of allowed (%s) states or in maintenance mode.", n.UUID, changed, quietText)
		}
	}
	if n.ResourceClass != before.ResourceClass && before.ResourceClass != "" && !quiet {
		return baremetal.Errorf(baremetal.Conflict,
			"Node %s can not have resource_class updated unless it is in one of allowed (%s) states.", n.UUID, quietText)
	}
	if n.ChassisUUID == "" && before.ChassisUUID != "" && c.minor < 25 {
		return needsMinor(25)
	}
	if before.InstanceUUID != "" && n.InstanceUUID != "" && n.InstanceUUID != before.InstanceUUID {
		return baremetal.Errorf(baremetal.Conflict, "Node %s is associated with instance %s.", n.UUID, before.InstanceUUID)
	}
	if touched["maintenance"] && !n.Maintenance {
		n.MaintenanceReason, n.Fault = "", ""
	}
	if err := checkProtected(n, before, touched); err != nil {
		return err
	}
	return checkRetired(n, before, touched)
}

func checkProtected(n, before *node, touched map[string]bool) error {
	if n.Protected && !before.Protected && n.ProvisionState != baremetal.Active && n.ProvisionState != baremetal.Rescue {
		return baremetal.Errorf(baremetal.Conflict,
			"Node %s can not have protected set unless it is in one of allowed (active, rescue) states.", n.UUID)
	}
	if n.Protected || n.ProtectedReason == "" {
		return nil
	}
	if touched["protected_reason"] && n.ProtectedReason != before.ProtectedReason {
		return invalid("Cannot set protected_reason when protected is not set")
	}
	n.ProtectedReason = ""
	return nil
}

func checkRetired(n, before *node, touched map[string]bool) error {
	if n.Retired && !before.Retired && n.ProvisionState == baremetal.Available {
		return baremetal.Errorf(baremetal.Conflict, "Node %s can not have retired set while it is available.", n.UUID)
	}
	if n.Retired || n.RetiredReason == "" {
		return nil
	}
	if touched["retired_reason"] && n.RetiredReason != before.RetiredReason {
		return invalid("Cannot set retired_reason when retired is not set")
	}
	n.RetiredReason = ""
	return nil
}
