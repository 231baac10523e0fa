package ironicapi

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"caddyshack/baremetal"
)

type (
	connector    = baremetal.VolumeConnector
	volumeTarget = baremetal.VolumeTarget
)

var connectorTypes = []string{"iqn", "ip", "mac", "wwnn", "wwpn", "port", "portgroup"}

var connectorTable = table[connector]{resource: "volume connector", fields: []field[connector]{
	text("uuid", 32, listed|sortable|inCreate|notNull, func(v *connector) *string { return &v.UUID }, 0, isUUID("uuid")),
	text("node_uuid", 32, listed|sortable|inBoth|required|notNull, func(v *connector) *string { return &v.NodeUUID }, 0, isUUID("node_uuid")),
	text("type", 32, listed|sortable|inBoth|required|notNull, func(v *connector) *string { return &v.Type }, 0, func(s string) error {
		if !slices.Contains(connectorTypes, s) {
			return schemaError("'" + show(s) + "' is not one of ['" + strings.Join(connectorTypes, "', '") + "']")
		}
		return nil
	}),
	text("connector_id", 32, listed|sortable|inBoth|required|notNull, func(v *connector) *string { return &v.ConnectorID }, 255, notBlank("connector_id")),
	object("extra", 32, inBoth, func(v *connector) *baremetal.Object { return &v.Extra }),
	stamp("created_at", 32, sortable, func(v *connector) time.Time { return v.CreatedAt }),
	stamp("updated_at", 32, sortable, func(v *connector) time.Time { return v.UpdatedAt }),
	links("volume/connectors", func(v *connector) string { return v.UUID }),
}}

var targetTable = table[volumeTarget]{resource: "volume target", fields: []field[volumeTarget]{
	text("uuid", 32, listed|sortable|inCreate|notNull, func(v *volumeTarget) *string { return &v.UUID }, 0, isUUID("uuid")),
	text("node_uuid", 32, listed|sortable|inBoth|required|notNull, func(v *volumeTarget) *string { return &v.NodeUUID }, 0, isUUID("node_uuid")),
	text("volume_type", 32, listed|sortable|inBoth|required|notNull, func(v *volumeTarget) *string { return &v.VolumeType }, 64, notBlank("volume_type")),
	number("boot_index", 32, listed|sortable|inBoth|required, 0, 1<<31-1, func(v *volumeTarget) *int64 { return &v.BootIndex }),
	text("volume_id", 32, listed|sortable|inBoth|required|notNull, func(v *volumeTarget) *string { return &v.VolumeID }, 36, notBlank("volume_id")),
	volumeProperties(),
	object("extra", 32, inBoth, func(v *volumeTarget) *baremetal.Object { return &v.Extra }),
	stamp("created_at", 32, sortable, func(v *volumeTarget) time.Time { return v.CreatedAt }),
	stamp("updated_at", 32, sortable, func(v *volumeTarget) time.Time { return v.UpdatedAt }),
	links("volume/targets", func(v *volumeTarget) string { return v.UUID }),
}}

// volumeProperties say how to reach a volume: only administrators see them.
func volumeProperties() field[volumeTarget] {
	f := secretObject("properties", 32, inBoth, func(v *volumeTarget) *baremetal.Object { return &v.Properties })
	plain := f.enc
	f.enc = func(b []byte, e *encoding, v *volumeTarget) []byte {
		if !e.may(targetProperties, target{}) {
			return append(b, `{"redacted_contents":"** Redacted - requires baremetal:volume:view_target_properties permission. **"}`...)
		}
		return plain(b, e, v)
	}
	return f
}

// mayReadProperties refuses a patch that would tell what the properties are to
// somebody who is not shown them.
func mayReadProperties(c *call, ops []patchOp) error {
	for _, op := range ops {
		if op.from != nil && op.from[0] == "properties" || op.op == "test" && op.path[0] == "properties" {
			return c.check("volume:view_target_properties", targetProperties, target{})
		}
	}
	return nil
}

// volumeDetail came with the volumes, earlier than for other lists.
var volumeDetail = param{name: "detail", since: 32, doc: "return all fields"}

var connectors = resource[connector]{
	key: "connectors", what: "Volume connector", path: "/v1/volume/connectors", variable: "connector", since: 32,
	detail: volumeDetail, table: &connectorTable, filters: []param{{name: "node", since: 32, doc: "connectors of that node"}},
	read:    func(a *api) baremetal.Collection[connector] { return a.Store.VolumeConnectors() },
	write:   func(a *api) baremetal.Collection[connector] { return a.Conductor.VolumeConnectors() },
	uuid:    func(v *connector) string { return v.UUID },
	filter:  ofNode,
	nodeOf:  func(v *connector) string { return v.NodeUUID },
	creates: action{"volume:create", ownerLesseeAdmin}, updates: action{"volume:update", ownerMemberLesseeAdmin},
}

var targets = resource[volumeTarget]{
	key: "targets", what: "Volume target", path: "/v1/volume/targets", variable: "target", since: 32,
	detail: volumeDetail, table: &targetTable, filters: []param{{name: "node", since: 32, doc: "targets of that node"}},
	read:    func(a *api) baremetal.Collection[volumeTarget] { return a.Store.VolumeTargets() },
	write:   func(a *api) baremetal.Collection[volumeTarget] { return a.Conductor.VolumeTargets() },
	uuid:    func(v *volumeTarget) string { return v.UUID },
	filter:  ofNode,
	nodeOf:  func(v *volumeTarget) string { return v.NodeUUID },
	creates: action{"volume:create", ownerLesseeAdmin}, updates: action{"volume:update", ownerMemberLesseeAdmin},
	mayPatch: mayReadProperties,
}

func ofNode(c *call, q *baremetal.Query) (bool, error) { return false, c.nodeArg("node", &q.NodeUUID) }

func showVolume(c *call) error { return c.volumeLinks("volume/", "", "/") }

func showNodeVolume(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	return c.volumeLinks("nodes/", n.UUID, "/volume/")
}

func (c *call) volumeLinks(path, id, rest string) error {
	base := c.linkBase()
	if id == "" {
		rest = ""
	}
	c.buf = append(c.buf, `{"connectors":`...)
	c.buf = appendLinks(c.buf, base, path, id, rest+"connectors")
	c.buf = append(c.buf, `,"targets":`...)
	c.buf = appendLinks(c.buf, base, path, id, rest+"targets")
	c.buf = append(c.buf, `,"links":`...)
	c.buf = append(appendLinks(c.buf, base, path, id, rest), '}')
	return c.reply(http.StatusOK)
}
