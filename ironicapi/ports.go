package ironicapi

import (
	"net/http"
	"slices"

	"caddyshack/baremetal"
)

// portFilters are the query parameters of port lists besides paging.
var portFilters = []param{
	{name: "node", since: 1, doc: "ports of that node, by uuid or (1.6) name"},
	{name: "node_uuid", since: 1, doc: "ports of that node"},
	{name: "address", since: 1, doc: "the port with that MAC address"},
	fieldsParam,
	{name: "portgroup", since: 24, doc: "ports of that port group"},
	detailParam,
	{name: "description_contains", since: 97, doc: "ports with that text in their description"},
	{name: "shard", since: 82, doc: "comma list of shards"},
	{name: "conductor_groups", since: 99, doc: "comma list of conductor groups"},
	// the Network service's own query, which deployers without that service send here
	{name: "binding:host_id", since: 1, doc: "answers an empty list"},
}

func listPorts(c *call) error           { return c.portList(false, nil, nil) }
func listPortsDetail(c *call) error     { return c.portList(true, nil, nil) }
func listNodePorts(c *call) error       { return c.nodePorts(false) }
func listNodePortsDetail(c *call) error { return c.nodePorts(true) }

func (c *call) nodePorts(detailed bool) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	return c.portList(detailed, &n.UUID, nil)
}

// portList answers a list of ports, narrowed to those of a node and of a port group if they are not nil.
func (c *call) portList(detailed bool, nodeUUID, portgroupUUID *string) error {
	q := baremetal.PortQuery{NodeUUID: nodeUUID, PortgroupUUID: portgroupUUID}
	var err error
	if q.Page, err = c.page(portTable.sortableKey); err != nil {
		return err
	}
	if q.Marker != "" && !baremetal.IsUUID(q.Marker) {
		return invalid("Expected UUID for marker: %s.", show(q.Marker))
	}
	view, err := portTable.view(c, detailed)
	if err != nil {
		return err
	}
	none, err := c.portFilter(&q)
	if err != nil {
		return err
	}
	q.Project = c.onlyProject()
	if err := c.checkPortMarker(q.Marker); err != nil {
		return err
	}
	var ports []port
	if !none {
		if ports, err = c.api.Store.Ports(c.r.Context(), q); err != nil {
			return err
		}
	}
	return replyList(c, "ports", "ports_links", view, ports, q.Page, func(p *port) string { return p.UUID })
}

// portFilter reads the filters of a port list; none means that nothing can match.
func (c *call) portFilter(q *baremetal.PortQuery) (none bool, err error) {
	if err := c.atMostOne("node", "portgroup", "shard"); err != nil {
		return false, err
	}
	if _, ok := c.arg("binding:host_id"); ok {
		return true, nil
	}
	for _, name := range []string{"node_uuid", "node"} {
		ident, ok := c.arg(name)
		if !ok {
			continue
		}
		switch {
		case baremetal.IsUUID(ident):
		case name == "node_uuid":
			return false, invalid("Expected UUID for node_uuid: %s.", show(ident))
		case c.minor < 6:
			return false, needsMinor(6)
		case !baremetal.ValidName(ident):
			return false, invalid("Expected UUID or name for node: %s.", show(ident))
		}
		n, err := c.visibleNode(ident)
		if err != nil {
			return false, err
		}
		if q.NodeUUID != nil && *q.NodeUUID != n.UUID {
			none = true
		}
		q.NodeUUID = &n.UUID
	}
	if s, ok := c.arg("address"); ok {
		mac, err := baremetal.ParseMAC(s)
		if err != nil {
			return false, err
		}
		q.Address = &mac
	}
	if q.Shards, err = c.listArg("shard"); err != nil {
		return false, err
	}
	if s, ok := c.arg("conductor_groups"); ok {
		q.ConductorGroups = groupList(s)
	}
	q.DescriptionContains = c.textArg("description_contains")
	if s, ok := c.arg("portgroup"); ok {
		g, err := c.visiblePortgroup(s)
		if err != nil {
			return false, err
		}
		q.PortgroupUUID = &g.UUID
	}
	return none, nil
}

// portIdent reads the port of the path: a uuid, or from 1.88 on a name.
func (c *call) portIdent() (string, error) {
	id := c.vars["port"]
	if baremetal.IsUUID(id) || c.minor >= 88 && baremetal.ValidName(id) {
		return id, nil
	}
	return "", invalid("Expected UUID for port: %s.", show(id))
}

func (c *call) replyPort(status int, p *port, view selection[port]) error {
	c.node = p.NodeUUID
	c.buf = view.append(c.buf, c.encoding(), p)
	return c.reply(status)
}

func showPort(c *call) error {
	view, err := portTable.chosen(c)
	if err != nil {
		return err
	}
	id, err := c.portIdent()
	if err != nil {
		return err
	}
	p, err := c.api.Store.Port(c.r.Context(), id)
	if err != nil {
		return err
	}
	return c.replyPort(http.StatusOK, &p, view)
}

func createPort(c *call) error {
	body, err := c.readObject()
	if err != nil {
		return err
	}
	if v, ok := body["node_ident"]; ok {
		if c.minor < 94 {
			return needsMinor(94)
		}
		if _, both := body["node_uuid"]; both {
			return invalid("Exactly one of node_uuid and node_ident must be given")
		}
		ident, ok := v.(string)
		if !ok {
			return invalid("Schema error for port: %s", wrongType(v, "string"))
		}
		n, err := c.visibleNode(ident)
		if err != nil {
			return asInvalid(err)
		}
		delete(body, "node_ident")
		body["node_uuid"] = n.UUID
	}
	p := port{PXEEnabled: true, ForDynamicPortgroup: true}
	if err := portTable.create(&p, body, c.minor); err != nil {
		return err
	}
	n, err := c.visibleNode(p.NodeUUID)
	if err != nil {
		return asInvalid(err)
	}
	if err := c.check("port:create", portAdmin, targetOf(&n)); err != nil {
		return err
	}
	c.node = p.NodeUUID
	if err := c.api.Conductor.CreatePort(c.r.Context(), c.caller(), &p); err != nil {
		return asInvalid(err)
	}
	c.w.Header().Set("Location", c.rawBase()+"/v1/ports/"+p.UUID)
	return c.replyPort(http.StatusCreated, &p, portTable.all(c.minor))
}

func patchPort(c *call) error {
	id, err := c.portIdent()
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
	var moved *node // where a port goes that changes its node
	for _, op := range ops {
		if op.path[0] != "node_uuid" {
			continue
		}
		if s, ok := op.value.(string); ok && (op.op == "add" || op.op == "replace") && baremetal.IsUUID(s) {
			n, err := c.visibleNode(s)
			if err != nil {
				return asInvalid(err)
			}
			if err := c.check("port:create", portAdmin, targetOf(&n)); err != nil {
				return err
			}
			moved = &n
		} else if op.op == "move" || op.op == "copy" {
			return invalid("Couldn't apply patch '[%s]'. Reason: /node_uuid can only be set to a value", op.text)
		}
	}
	p, err := c.api.Conductor.UpdatePort(c.r.Context(), c.caller(), id, func(p *port, n *node) error {
		before := *p
		if err := c.check("port:update", ownerAdmin, targetOf(n)); err != nil { // it may have changed hands
			return err
		}
		if err := portTable.patch(p, ops, c.minor); err != nil {
			return err
		}
		if p.NodeUUID != before.NodeUUID && moved != nil {
			if err := checkPortMove(p, n, moved); err != nil {
				return err
			}
		}
		return checkPortChange(p, &before, n)
	})
	if err != nil {
		return err
	}
	return c.replyPort(http.StatusOK, &p, portTable.all(c.minor))
}

// portStates are those in which a port may be connected otherwise.
var portStates = []baremetal.ProvisionState{baremetal.Enroll, baremetal.Inspecting, baremetal.InspectWait, baremetal.Manageable}

// checkPortChange holds the rules on what of a port may change in which state of its node.
func checkPortChange(p, before *port, n *node) error {
	if n.Maintenance {
		return nil
	}
	if p.Address != before.Address && (n.ProvisionState == baremetal.Active || n.InstanceUUID != "") {
		return baremetal.Errorf(baremetal.Conflict,
			"Cannot update the address of port %s while node %s is active or has an instance, unless it is in maintenance.", p.UUID, n.UUID)
	}
	if slices.Contains(portStates, n.ProvisionState) {
		return nil
	}
	changed := ""
	switch {
	case p.NodeUUID != before.NodeUUID:
		changed = "node_uuid"
	case p.PortgroupUUID != before.PortgroupUUID:
		changed = "portgroup_uuid"
	case p.PXEEnabled != before.PXEEnabled:
		changed = "pxe_enabled"
	case p.LocalLinkConnection != before.LocalLinkConnection:
		changed = "local_link_connection"
	case p.PhysicalNetwork != before.PhysicalNetwork:
		changed = "physical_network"
	}
	if changed != "" {
		return baremetal.Errorf(baremetal.Conflict,
			"Port %s can not have %s updated unless node %s is in one of the states enroll, inspecting, inspect wait, manageable or in maintenance mode.",
			p.UUID, changed, n.UUID)
	}
	return nil
}

// checkPortMove refuses to take a port from its node to another while something depends on it.
func checkPortMove(p *port, from, to *node) error {
	if vif := p.InternalInfo.Str(baremetal.TenantVIF); vif != "" && !from.Maintenance {
		return baremetal.Errorf(baremetal.Conflict, "Port %s can not be moved while VIF %s is attached to it; detach it first.", p.UUID, vif)
	}
	if !to.Maintenance && !slices.Contains(portStates, to.ProvisionState) {
		return baremetal.Errorf(baremetal.Conflict,
			"Port %s can not be moved to node %s unless that is in one of the states enroll, inspecting, inspect wait, manageable or in maintenance mode.",
			p.UUID, to.UUID)
	}
	return nil
}

func deletePort(c *call) error {
	id, err := c.portIdent()
	if err != nil {
		return err
	}
	if err := c.api.Conductor.DeletePort(c.r.Context(), c.caller(), id); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent, "")
}

// checkPortMarker is checkMarker for a list of ports.
func (c *call) checkPortMarker(uuid string) error {
	if uuid == "" || c.onlyProject() == nil {
		return nil
	}
	p, err := c.api.Store.Port(c.r.Context(), uuid)
	if err != nil {
		return err
	}
	t, err := c.targetOfNode(p.NodeUUID)
	if err == nil && !c.may(nodeReader, t) {
		err = baremetal.Errorf(baremetal.NotFound, "Port %s could not be found.", uuid)
	}
	return err
}
