package conductor

import (
	"context"
	"errors"
	"fmt"

	"caddyshack/baremetal"
)

// enroller is who makes nodes of machines that were plugged in.
var enroller = Caller{User: "enrolment", RequestID: "req-enrolment"}

// Enrol makes nodes of machines that reported themselves, unless there is a node
// of their hardware already, whatever its name. Each wanted node has a driver,
// a name and what its driver needs; the reason goes into its history. It may be
// called again, and by several conductors. Machines that could not be entered
// are in the error; the others are.
func (c *Conductor) Enrol(ctx context.Context, wanted []baremetal.Node, reason string) error {
	taken, err := c.hardware(ctx, wanted)
	if err != nil {
		return err
	}
	var errs []error
	for i := range wanted {
		n := &wanted[i]
		if err := c.SetInterfaces(n); err != nil {
			errs = append(errs, err)
			continue
		}
		key := c.hardwareKey(n)
		if key == "" || taken[key] {
			continue
		}
		taken[key] = true
		n.ConductorGroup = c.Group
		err := c.CreateNode(ctx, enroller, n)
		switch {
		case baremetal.IsKind(err, baremetal.Conflict):
			// Another conductor was faster, or the name is taken.
			if other, oerr := c.Store.Node(ctx, n.Name); oerr != nil || other.Work.HardwareKey != key {
				errs = append(errs, fmt.Errorf("entering %s as a node: %w; rename the node of that name", key, err))
			}
		case err != nil:
			errs = append(errs, fmt.Errorf("entering %s as a node: %w", key, err))
		default:
			c.history(ctx, n, baremetal.SeverityInfo, "enrolment", reason+n.Description)
		}
	}
	return errors.Join(errs...)
}

// hardware lists the hardware keys of the nodes of the wanted ones' drivers.
func (c *Conductor) hardware(ctx context.Context, wanted []baremetal.Node) (map[string]bool, error) {
	taken, asked := map[string]bool{}, map[string]bool{}
	for i := range wanted {
		driver := wanted[i].Driver
		if asked[driver] {
			continue
		}
		asked[driver] = true
		err := c.Store.Nodes(ctx, baremetal.NodeQuery{Driver: &driver, IncludeChildren: true}, func(n *baremetal.Node) error {
			taken[n.Work.HardwareKey] = true
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("looking for nodes of machines that were plugged in: %w", err)
		}
	}
	return taken, nil
}

// TakeOut takes a node out of service because of its machine, with one of the
// faults of baremetal; a person puts that right and ends the maintenance. It may
// be called again, and by several conductors. A node that is no more is no error.
func (c *Conductor) TakeOut(ctx context.Context, uuid, fault, reason string) error {
	changed := false
	n, err := c.Store.UpdateNode(ctx, uuid, func(n *baremetal.Node) error {
		changed = !n.Maintenance || n.Fault != fault || n.MaintenanceReason != reason
		n.Maintenance, n.MaintenanceReason, n.Fault = true, reason, fault
		return nil
	})
	if baremetal.IsKind(err, baremetal.NotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("taking node %s out of service for %q: %w", uuid, reason, err)
	}
	if !changed {
		return nil
	}
	c.Log.Error("a machine was taken out of service", "node", uuid, "fault", fault, "reason", reason)
	c.history(ctx, &n, baremetal.SeverityError, "hardware", reason)
	return c.Wake(ctx, uuid)
}
