package store

import (
	"context"
	"strings"
	"time"

	"caddyshack/baremetal"
)

var portColumns = []string{"id", "uuid", "node_uuid", "address", "name", "description", "vendor", "category", "extra", "internal_info",
	"local_link_connection", "pxe_enabled", "is_smartnic", "for_dynamic_portgroup", "physical_network", "portgroup_uuid", "created_at", "updated_at"}

var (
	selectPort = "SELECT " + strings.Join(portColumns, ", ") + " FROM ports"
	insertPort = "INSERT INTO ports (" + strings.Join(portColumns, ", ") + ") VALUES (" + placeholders(1, len(portColumns)) + ")"
	updatePort = "UPDATE ports SET (" + strings.Join(portColumns[2:], ", ") + ") = (" + placeholders(3, len(portColumns)-2) +
		") WHERE id = $1 AND uuid = $2"
)

func portArgs(p *baremetal.Port) []any {
	return []any{p.ID, p.UUID, p.NodeUUID, p.Address, p.Name, p.Description, p.Vendor, p.Category, object(p.Extra), object(p.InternalInfo),
		object(p.LocalLinkConnection), flag(p.PXEEnabled), flag(p.IsSmartNIC), flag(p.ForDynamicPortgroup), p.PhysicalNetwork, p.PortgroupUUID,
		micros(p.CreatedAt), micros(p.UpdatedAt)}
}

func scanPort(scan func(dest ...any) error, p *baremetal.Port) error {
	var created, updated int64
	err := scan(&p.ID, &p.UUID, &p.NodeUUID, &p.Address, &p.Name, &p.Description, &p.Vendor, &p.Category, &p.Extra, &p.InternalInfo,
		&p.LocalLinkConnection, &p.PXEEnabled, &p.IsSmartNIC, &p.ForDynamicPortgroup, &p.PhysicalNetwork, &p.PortgroupUUID, &created, &updated)
	p.CreatedAt, p.UpdatedAt = fromMicros(created), fromMicros(updated)
	return err
}

func noPort(ident string) error {
	return baremetal.Errorf(baremetal.NotFound, "Port %s could not be found.", ident)
}

var portPages = paging{table: "ports", id: "id", mark: "uuid", missing: noPort,
	sortable: same("id", "uuid", "node_uuid", "address", "name", "description", "vendor", "category", "pxe_enabled", "is_smartnic",
		"physical_network", "portgroup_uuid", "created_at", "updated_at")}

// Port returns the port with that uuid or name.
func (s *Store) Port(ctx context.Context, ident string) (baremetal.Port, error) {
	p, err := onePort(ctx, s.read, ident, "")
	return p, s.fault(err)
}

func onePort(ctx context.Context, q querier, ident, suffix string) (p baremetal.Port, err error) {
	found := false
	err = scanPort(func(dest ...any) (err error) {
		found, err = queryRow(ctx, q, dest, selectPort+byIdent(ident)+suffix, ident)
		return err
	}, &p)
	if err == nil && !found {
		err = noPort(ident)
	}
	return p, err
}

// Ports lists ports; limit 0 is no limit.
func (s *Store) Ports(ctx context.Context, q baremetal.PortQuery) ([]baremetal.Port, error) {
	sel, err := s.portSelection(ctx, q)
	if err != nil {
		return nil, err
	}
	return list(ctx, s, selectPort+sel.text(), sel.args, func(row scanner, p *baremetal.Port) error { return scanPort(row.Scan, p) })
}

// portSelection turns a query into SQL.
func (s *Store) portSelection(ctx context.Context, q baremetal.PortQuery) (*selection, error) {
	sel := &selection{}
	if q.NodeUUID != nil {
		sel.and("node_uuid = %s", *q.NodeUUID)
	}
	if q.Address != nil {
		sel.and("address = %s", *q.Address)
	}
	sel.contains("description", q.DescriptionContains)
	sel.equals("portgroup_uuid", q.PortgroupUUID)
	if q.Shards != nil {
		sel.and(sel.ofNodes("shard", q.Shards))
	}
	if q.ConductorGroups != nil {
		sel.and(sel.ofNodes("conductor_group", q.ConductorGroups))
	}
	if q.Project != nil {
		sel.and(ofProjectNodes(sel, *q.Project))
	}
	return sel, s.fault(sel.page(ctx, s.read, portPages, q.Page))
}

// CreatePort stores a new port and sets its ID and CreatedAt. A uuid, address
// or name that another port has is kind Conflict, a missing node kind Invalid.
func (s *Store) CreatePort(ctx context.Context, p *baremetal.Port) error {
	now, err := s.stamp(ctx)
	if err != nil {
		return err
	}
	made := *p
	err = s.write(ctx, func(ctx context.Context, tx *tx) error {
		made = *p
		made.CreatedAt = now
		if err := s.checkNode(ctx, tx, made.NodeUUID); err != nil {
			return err
		}
		if err := checkPortgroup(ctx, tx, &made, s.engine.rowLock()); err != nil {
			return err
		}
		var err error
		if made.ID, err = nextID(ctx, tx, "ports"); err != nil {
			return err
		}
		_, err = tx.exec(ctx, insertPort, portArgs(&made)...)
		return s.portConflict(err, &made)
	})
	if err == nil {
		*p = made
	}
	return err
}

func (s *Store) portConflict(err error, p *baremetal.Port) error {
	switch s.engine.duplicate(err) {
	case "ports.uuid":
		return baremetal.Errorf(baremetal.Conflict, "A port with UUID %s already exists.", p.UUID)
	case "ports.address":
		return baremetal.Errorf(baremetal.Conflict, "A port with MAC address %s already exists.", p.Address)
	case "ports.name":
		return baremetal.Errorf(baremetal.Conflict, "A port with name %s already exists.", p.Name)
	}
	return err
}

// checkNode makes sure that the node of a port is there and stays until the transaction ends.
func (s *Store) checkNode(ctx context.Context, tx *tx, uuid string) error {
	var id int64
	found, err := queryRow(ctx, tx, []any{&id}, "SELECT id FROM nodes WHERE uuid = $1"+s.engine.rowLock(), uuid)
	if err == nil && !found {
		err = baremetal.Errorf(baremetal.Invalid, "Node %s could not be found.", uuid)
	}
	return err
}

// lockPort reads a port and its node for a change.
func (s *Store) lockPort(ctx context.Context, tx *tx, ident string) (baremetal.Port, baremetal.Node, error) {
	seen, err := onePort(ctx, tx, ident, "")
	if err != nil {
		return seen, baremetal.Node{}, err
	}
	// Node before port, as everywhere; the port may have changed meanwhile.
	n, err := s.lockNode(ctx, tx, seen.NodeUUID)
	if err != nil {
		return seen, n, err
	}
	p, err := onePort(ctx, tx, seen.UUID, s.engine.rowLock())
	if err == nil && p.NodeUUID != seen.NodeUUID {
		err = baremetal.Errorf(baremetal.Conflict, "Port %s was moved to another node meanwhile; please retry.", p.UUID)
	}
	return p, n, err
}

// checkPortgroup makes sure that the port group of a port is there, of the same
// node, and stays until the transaction ends.
func checkPortgroup(ctx context.Context, tx *tx, p *baremetal.Port, rowLock string) error {
	if p.PortgroupUUID == "" {
		return nil
	}
	var node string
	found, err := queryRow(ctx, tx, []any{&node}, "SELECT node_uuid FROM portgroups WHERE uuid = $1"+rowLock, p.PortgroupUUID)
	switch {
	case err != nil:
		return err
	case !found:
		return baremetal.Errorf(baremetal.Invalid, "Portgroup %s could not be found.", p.PortgroupUUID)
	case node != p.NodeUUID:
		return baremetal.Errorf(baremetal.Invalid, "Portgroup %s doesn't belong to node %s.", p.PortgroupUUID, p.NodeUUID)
	}
	return nil
}

// moveTo locks the node a port moves to, on which nobody may work either.
func (s *Store) moveTo(ctx context.Context, tx *tx, node string, now time.Time) error {
	n, err := s.lockNode(ctx, tx, node)
	switch {
	case baremetal.IsKind(err, baremetal.NotFound):
		return baremetal.Errorf(baremetal.Invalid, "Node %s could not be found.", node)
	case err == nil && n.Locked(now):
		return baremetal.Errorf(baremetal.Locked, "Node %s is locked by host %s, please retry after the current operation is completed.",
			n.UUID, n.Work.Reservation)
	}
	return err
}

// UpdatePort applies change to a port in one transaction; it is shown the
// port's node too, which is not written. An error of change is returned as it
// is and nothing is written.
func (s *Store) UpdatePort(ctx context.Context, ident string, change func(*baremetal.Port, *baremetal.Node) error) (p baremetal.Port, err error) {
	now, err := s.stamp(ctx)
	if err != nil {
		return p, err
	}
	clock, err := s.Now(ctx)
	if err != nil {
		return p, s.fault(err)
	}
	err = s.write(ctx, func(ctx context.Context, tx *tx) error {
		before, n, err := s.lockPort(ctx, tx, ident)
		if err != nil {
			return err
		}
		p = before
		if err := theirs(change(&p, &n)); err != nil {
			return err
		}
		p.ID, p.UUID, p.CreatedAt = before.ID, before.UUID, before.CreatedAt
		if p == before {
			return nil
		}
		if p.NodeUUID != before.NodeUUID {
			if err := s.moveTo(ctx, tx, p.NodeUUID, clock); err != nil {
				return err
			}
		}
		if err := checkPortgroup(ctx, tx, &p, s.engine.rowLock()); err != nil {
			return err
		}
		p.UpdatedAt = now
		_, err = tx.exec(ctx, updatePort, portArgs(&p)...)
		return s.portConflict(err, &p)
	})
	return p, err
}

// DeletePort deletes a port after check accepted it and its node.
func (s *Store) DeletePort(ctx context.Context, ident string, check func(*baremetal.Port, *baremetal.Node) error) error {
	return s.write(ctx, func(ctx context.Context, tx *tx) error {
		p, n, err := s.lockPort(ctx, tx, ident)
		if err != nil {
			return err
		}
		if err := theirs(check(&p, &n)); err != nil {
			return err
		}
		_, err = tx.exec(ctx, "DELETE FROM ports WHERE id = $1", p.ID)
		return err
	})
}
