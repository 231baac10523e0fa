package ironicapi

import (
	"net/http"

	"caddyshack/baremetal"
	"caddyshack/conductor"
)

func listVIFs(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	ids, err := c.api.Conductor.VIFs(c.r.Context(), n.UUID)
	if err != nil {
		return err
	}
	c.buf = append(c.buf, `{"vifs":[`...)
	for i, id := range ids {
		if i > 0 {
			c.buf = append(c.buf, ',')
		}
		c.buf = append(appendString(append(c.buf, `{"id":`...), id), '}')
	}
	c.buf = append(c.buf, "]}"...)
	return c.reply(http.StatusOK)
}

// attachVIF takes, besides what it knows, whatever else a client says of an interface.
func attachVIF(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	body, err := c.readObject()
	if err != nil {
		return err
	}
	var r conductor.VIFRequest
	if r.ID, err = textIn(body, "id", true); err != nil {
		return err
	}
	if !baremetal.IsUUID(r.ID) && !baremetal.ValidName(r.ID) {
		return invalid("Expected UUID or name for id: %s.", show(r.ID))
	}
	for name, to := range map[string]*string{"port_uuid": &r.PortUUID, "portgroup_uuid": &r.PortgroupUUID} {
		if *to, err = textIn(body, name, false); err != nil {
			return err
		}
		switch {
		case *to == "":
		case c.minor < 67:
			return needsMinor(67)
		case !baremetal.IsUUID(*to):
			return invalid("Expected UUID for %s: %s.", name, show(*to))
		}
	}
	if r.PortUUID != "" && r.PortgroupUUID != "" {
		return invalid("Cannot specify both port_uuid and portgroup_uuid")
	}
	if err := c.api.Conductor.AttachVIF(c.r.Context(), c.caller(), n.UUID, r); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent, "")
}

func detachVIF(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	vif := c.vars["vif"]
	if !baremetal.IsUUID(vif) && !baremetal.ValidName(vif) {
		return invalid("Expected UUID or name for vif: %s.", show(vif))
	}
	if err := c.api.Conductor.DetachVIF(c.r.Context(), c.caller(), n.UUID, vif); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent, "")
}
