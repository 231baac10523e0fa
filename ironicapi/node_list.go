package ironicapi

import (
	"net/http"
	"slices"

	"caddyshack/baremetal"
)

// nodeFilters are the query parameters of node lists besides paging.
var nodeFilters = []param{
	{name: "instance_uuid", since: 1, doc: "the node of that instance"},
	{name: "chassis_uuid", since: 1, doc: "nodes of that chassis"},
	{name: "associated", since: 1, doc: "nodes with (or without) an instance"},
	{name: "maintenance", since: 1, doc: "nodes in (or out of) maintenance"},
	fieldsParam,
	{name: "provision_state", since: 9, doc: "nodes in that provision state"},
	{name: "driver", since: 16, doc: "nodes of that hardware type"},
	{name: "resource_class", since: 21, doc: "nodes of that resource class"},
	{name: "fault", since: 42, doc: "nodes with that fault"},
	detailParam,
	{name: "conductor_group", since: 46, doc: "nodes of that conductor group"},
	{name: "conductor", since: 49, doc: "nodes served by that host"},
	{name: "owner", since: 50, doc: "nodes of that owner"},
	{name: "description_contains", since: 51, doc: "nodes with that text in their description"},
	{name: "retired", since: 61, doc: "nodes that are (or are not) retired"},
	{name: "lessee", since: 65, doc: "nodes lent to that project"},
	{name: "project", since: 65, doc: "nodes of or lent to that project"},
	{name: "shard", since: 82, doc: "comma list of shards"},
	{name: "sharded", since: 82, doc: "nodes with (or without) a shard"},
	{name: "include_children", since: 83, doc: "also nodes inside of other nodes"},
	{name: "parent_node", since: 83, doc: "nodes inside of that node"},
	{name: "instance_name", since: 104, doc: "the node of the instance of that name"},
}

var faults = []string{"power failure", "clean failure", "rescue abort failure", "service failure", baremetal.FaultMisplaced, baremetal.FaultIdentity}

func listNodes(c *call) error       { return c.nodeList(false, nil) }
func listNodesDetail(c *call) error { return c.nodeList(true, nil) }

// nodeList answers a list of nodes; chassis, if not nil, narrows it to one chassis.
func (c *call) nodeList(detailed bool, chassis *string) error {
	q, err := c.nodeQuery()
	if err != nil {
		return err
	}
	if chassis != nil {
		q.ChassisUUID = chassis
	}
	if err := c.narrow(&q); err != nil {
		return err
	}
	view, err := nodeTable.view(c, detailed)
	if err != nil {
		return err
	}
	e := c.encoding()
	c.buf = append(c.buf, `{"nodes":[`...)
	count, last := 0, ""
	err = c.api.Store.Nodes(c.r.Context(), q, func(n *node) error {
		if count > 0 {
			c.buf = append(c.buf, ',')
		}
		count++
		if count == q.Limit {
			last = n.UUID
		}
		c.buf = view.append(c.buf, e, n)
		return nil
	})
	if err != nil {
		return err
	}
	c.buf = append(c.buf, ']')
	if q.InstanceUUID == nil {
		c.appendNext("nodes_links", count, q.Page, last)
	}
	c.buf = append(c.buf, '}')
	return c.reply(http.StatusOK)
}

// nodeQuery reads the filters of a node list.
func (c *call) nodeQuery() (q baremetal.NodeQuery, err error) {
	if q.Page, err = c.page(nodeTable.sortableKey); err != nil {
		return q, err
	}
	if q.Marker != "" && !baremetal.IsUUID(q.Marker) {
		return q, invalid("Expected UUID for marker: %s.", show(q.Marker))
	}
	if c.values == nil {
		return q, nil
	}
	for name, to := range map[string]**string{"instance_uuid": &q.InstanceUUID, "chassis_uuid": &q.ChassisUUID} {
		if *to, err = c.uuidArg(name); err != nil {
			return q, err
		}
	}
	for name, to := range map[string]**bool{"associated": &q.Associated, "maintenance": &q.Maintenance, "retired": &q.Retired, "sharded": &q.Sharded} {
		if *to, err = c.boolArg(name); err != nil {
			return q, err
		}
	}
	for name, to := range map[string]**string{
		"driver": &q.Driver, "resource_class": &q.ResourceClass, "fault": &q.Fault, "conductor_group": &q.ConductorGroup,
		"conductor": &q.ConductorHost, "owner": &q.Owner, "lessee": &q.Lessee, "project": &q.Project,
		"description_contains": &q.DescriptionContains, "instance_name": &q.InstanceName, "parent_node": &q.ParentNode,
	} {
		*to = c.textArg(name)
	}
	if q.Fault != nil && !slices.Contains(faults, *q.Fault) {
		return q, invalid("Unrecognized fault \"%s\" is specified, allowed faults are %v", show(*q.Fault), faults)
	}
	if s, ok := c.arg("provision_state"); ok {
		state := baremetal.ProvisionState(s)
		if !state.Valid() {
			return q, invalid("Provision state \"%s\" is not valid", show(s))
		}
		q.ProvisionState = &state
	}
	if s, ok := c.arg("shard"); ok {
		if q.Shards = splitExact(s); q.Shards == nil { // no shard must not mean every shard
			return q, invalid("shard must name at least one shard")
		}
	}
	if q.ParentNode != nil {
		parent, err := c.visibleNode(*q.ParentNode)
		if err != nil {
			return q, err
		}
		q.ParentNode = &parent.UUID
	}
	include, err := c.boolArg("include_children")
	q.IncludeChildren = include != nil && *include
	return q, err
}

// narrow keeps a list to the nodes of the caller's project, unless the caller
// may see all.
func (c *call) narrow(q *baremetal.NodeQuery) error {
	project := c.onlyProject()
	if project == nil {
		return nil
	}
	if q.Project != nil && *q.Project != *project {
		return denied("node:list_all")
	}
	q.Project = project
	return c.checkMarker(q.Marker)
}
