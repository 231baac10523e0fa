package ironicapi

import (
	"time"

	"caddyshack/baremetal"
)

type portgroup = baremetal.Portgroup

var portgroupTable = table[portgroup]{resource: "portgroup", fields: []field[portgroup]{
	text("uuid", 23, listed|sortable|inCreate|notNull, func(p *portgroup) *string { return &p.UUID }, 0, isUUID("uuid")),
	macField("address", 23, listed|sortable|inBoth, func(p *portgroup) *string { return &p.Address }),
	text("name", 23, listed|sortable|inBoth, func(p *portgroup) *string { return &p.Name }, 255, portgroupName),
	text("node_uuid", 23, sortable|inBoth|required|notNull, func(p *portgroup) *string { return &p.NodeUUID }, 0, isUUID("node_uuid")),
	object("extra", 23, inBoth, func(p *portgroup) *baremetal.Object { return &p.Extra }),
	shown("internal_info", 23, typeObject, 0, func(b []byte, _ *encoding, p *portgroup) []byte { return appendMasked(b, p.InternalInfo) }),
	flag("standalone_ports_supported", 23, sortable|inBoth, true, func(p *portgroup) *bool { return &p.StandalonePortsSupported }),
	portgroupMode(),
	object("properties", 26, inBoth, func(p *portgroup) *baremetal.Object { return &p.Properties }),
	text("physical_network", 102, sortable|inBoth, func(p *portgroup) *string { return &p.PhysicalNetwork }, 64, notBlank("physical_network")),
	text("category", 103, sortable|inBoth, func(p *portgroup) *string { return &p.Category }, 80),
	shown("dynamic_portgroup", 111, typeBool, sortable, func(b []byte, _ *encoding, p *portgroup) []byte { return appendBool(b, p.DynamicPortgroup) }),
	stamp("created_at", 23, sortable, func(p *portgroup) time.Time { return p.CreatedAt }),
	stamp("updated_at", 23, sortable, func(p *portgroup) time.Time { return p.UpdatedAt }),
	shown("ports", 24, typeArray, hidden, func(b []byte, e *encoding, p *portgroup) []byte {
		return appendLinks(b, e.base, "portgroups/", p.UUID, "/ports")
	}),
	links("portgroups", func(p *portgroup) string { return p.UUID }),
}}

func portgroupName(s string) error {
	if !baremetal.ValidName(s) {
		return invalid("Cannot create portgroup with invalid name '%s'", show(s))
	}
	return nil
}

// portgroupMode is the mode of Linux bonding: it has a default and cannot be taken away.
func portgroupMode() field[portgroup] {
	f := text("mode", 26, sortable|inBoth|notNull, func(p *portgroup) *string { return &p.Mode }, 255, notBlank("mode"))
	plain := f.set
	f.nullable = true
	f.set = func(p *portgroup, v any, minor int) error {
		if v == nil {
			if p.UUID != "" {
				return invalid("'/mode' is a mandatory attribute and can not be removed")
			}
			v = baremetal.DefaultPortgroupMode
		}
		return plain(p, v, minor)
	}
	return f
}

// macField is an optional MAC address.
func macField[T any](name string, since int, o option, at func(*T) *string) field[T] {
	f := text(name, since, o, at, 0)
	f.set = func(t *T, v any, _ int) error {
		if v == nil {
			*at(t) = ""
			return nil
		}
		s, ok := v.(string)
		if !ok {
			return wrongType(v, "string", "null")
		}
		mac, err := baremetal.ParseMAC(s)
		if err == nil {
			*at(t) = mac
		}
		return err
	}
	return f
}

var portgroups = resource[portgroup]{
	key: "portgroups", what: "Portgroup", path: "/v1/portgroups", variable: "portgroup", since: 23, named: true,
	detail: detailParam, table: &portgroupTable,
	filters: []param{{name: "node", since: 23, doc: "port groups of that node"}, {name: "address", since: 23, doc: "the port group with that MAC address"},
		{name: "shard", since: 106, doc: "comma list of shards"}, {name: "conductor_groups", since: 99, doc: "comma list of conductor groups"}},
	read:    func(a *api) baremetal.Collection[portgroup] { return a.Store.Portgroups() },
	write:   func(a *api) baremetal.Collection[portgroup] { return a.Conductor.Portgroups() },
	uuid:    func(p *portgroup) string { return p.UUID },
	filter:  portgroupFilter,
	nodeOf:  func(p *portgroup) string { return p.NodeUUID },
	creates: action{"portgroup:create", portAdmin}, updates: action{"portgroup:update", ownerAdmin},
	fresh: func() portgroup {
		return portgroup{StandalonePortsSupported: true, Mode: baremetal.DefaultPortgroupMode}
	},
}

func portgroupFilter(c *call, q *baremetal.Query) (none bool, err error) {
	if err := c.atMostOne("node", "address", "shard", "conductor_groups"); err != nil {
		return false, err
	}
	if err := c.nodeArg("node", &q.NodeUUID); err != nil {
		return false, err
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
	return false, nil
}

// groupList reads a comma list of conductor groups, of which "" is one.
func groupList(s string) []string {
	list := splitList(s)
	if list == nil {
		list = []string{""}
	}
	return list
}

func listPortgroupPorts(c *call) error       { return c.portgroupPorts(false) }
func listPortgroupPortsDetail(c *call) error { return c.portgroupPorts(true) }

// portgroupPorts lists the ports of the port group of the path, which may also name its node.
func (c *call) portgroupPorts(detailed bool) error {
	var nodeUUID *string
	if _, ok := c.vars["node"]; ok {
		n, err := c.readNode()
		if err != nil {
			return err
		}
		nodeUUID = &n.UUID
	}
	p, err := portgroups.one(c)
	if err == nil && nodeUUID != nil && p.NodeUUID != *nodeUUID {
		err = baremetal.Errorf(baremetal.NotFound, "Portgroup %s could not be found.", show(c.vars["portgroup"]))
	}
	if err != nil {
		return err
	}
	return c.portList(detailed, nodeUUID, &p.UUID)
}

// visiblePortgroup reads a port group that a query names; one of a node that
// the caller may not see is not found.
func (c *call) visiblePortgroup(ident string) (portgroup, error) {
	if !baremetal.IsUUID(ident) && !baremetal.ValidName(ident) {
		return portgroup{}, invalid("Expected UUID or name for portgroup: %s.", show(ident))
	}
	g, err := c.api.Store.Portgroups().One(c.r.Context(), ident)
	if err == nil && c.onlyProject() != nil {
		if _, err = c.visibleNode(g.NodeUUID); baremetal.IsKind(err, baremetal.NotFound) {
			err = baremetal.Errorf(baremetal.NotFound, "Portgroup %s could not be found.", ident)
		}
	}
	return g, err
}
