package ironicapi

import (
	"net/http"
	"time"

	"caddyshack/baremetal"
)

type chassis = baremetal.Chassis

var chassisTable = table[chassis]{resource: "chassis", fields: []field[chassis]{
	text("uuid", 1, listed|sortable|inCreate|notNull, func(c *chassis) *string { return &c.UUID }, 0, isUUID("uuid")),
	text("description", 1, listed|sortable|inBoth, func(c *chassis) *string { return &c.Description }, 255),
	object("extra", 1, inBoth, func(c *chassis) *baremetal.Object { return &c.Extra }),
	stamp("created_at", 1, sortable, func(c *chassis) time.Time { return c.CreatedAt }),
	stamp("updated_at", 1, sortable, func(c *chassis) time.Time { return c.UpdatedAt }),
	// the links of nodes are one list too deep, as Ironic sends them
	shown("nodes", 1, typeArray, hidden, func(b []byte, e *encoding, c *chassis) []byte {
		b = append(b, '[')
		return append(appendLinks(b, e.base, "chassis/", c.UUID, "/nodes"), ']')
	}),
	links("chassis", func(c *chassis) string { return c.UUID }),
}}

// chassisUUID reads the chassis of the path.
func (c *call) chassisUUID() (string, error) {
	id := c.vars["chassis"]
	if !baremetal.IsUUID(id) {
		return "", invalid("Expected UUID for chassis: %s.", show(id))
	}
	return id, nil
}

func (c *call) replyChassis(status int, ch *chassis, view selection[chassis]) error {
	c.buf = view.append(c.buf, c.encoding(), ch)
	return c.reply(status)
}

func listChassis(c *call) error       { return c.chassisList(false) }
func listChassisDetail(c *call) error { return c.chassisList(true) }

func (c *call) chassisList(detailed bool) error {
	p, err := c.page(chassisTable.sortableKey)
	if err != nil {
		return err
	}
	view, err := chassisTable.view(c, detailed)
	if err != nil {
		return err
	}
	all, err := c.api.Store.ChassisList(c.r.Context(), p)
	if err != nil {
		return err
	}
	return replyList(c, "chassis", "chassis_links", view, all, p, func(ch *chassis) string { return ch.UUID })
}

func showChassis(c *call) error {
	view, err := chassisTable.chosen(c)
	if err != nil {
		return err
	}
	id, err := c.chassisUUID()
	if err != nil {
		return err
	}
	ch, err := c.api.Store.Chassis(c.r.Context(), id)
	if err != nil {
		return err
	}
	return c.replyChassis(http.StatusOK, &ch, view)
}

func createChassis(c *call) error {
	body, err := c.readObject()
	if err != nil {
		return err
	}
	var ch chassis
	if err := chassisTable.create(&ch, body, c.minor); err != nil {
		return err
	}
	if ch.UUID == "" {
		ch.UUID = baremetal.NewUUID()
	}
	if err := c.api.Store.CreateChassis(c.r.Context(), &ch); err != nil {
		return err
	}
	c.w.Header().Set("Location", c.rawBase()+"/v1/chassis/"+ch.UUID)
	return c.replyChassis(http.StatusCreated, &ch, chassisTable.all(c.minor))
}

func patchChassis(c *call) error {
	id, err := c.chassisUUID()
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
	ch, err := c.api.Store.UpdateChassis(c.r.Context(), id, func(ch *chassis) error {
		return chassisTable.patch(ch, ops, c.minor)
	})
	if err != nil {
		return err
	}
	return c.replyChassis(http.StatusOK, &ch, chassisTable.all(c.minor))
}

func deleteChassis(c *call) error {
	id, err := c.chassisUUID()
	if err != nil {
		return err
	}
	if err := c.api.Store.DeleteChassis(c.r.Context(), id); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent, "")
}

func listChassisNodes(c *call) error       { return c.chassisNodes(false) }
func listChassisNodesDetail(c *call) error { return c.chassisNodes(true) }

func (c *call) chassisNodes(detailed bool) error {
	id, err := c.chassisUUID()
	if err != nil {
		return err
	}
	if _, err := c.api.Store.Chassis(c.r.Context(), id); err != nil {
		return err
	}
	return c.nodeList(detailed, &id)
}
