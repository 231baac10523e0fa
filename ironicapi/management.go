package ironicapi

import (
	"net/http"
	"slices"
	"strings"

	"caddyshack/conductor"
)

// bootDevices are the names the API knows.
var bootDevices = []string{"pxe", "disk", "cdrom", "bios", "safe", "wanboot", "iscsiboot", "floppy", "uefihttp"}

func showBootDevice(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	d, err := c.api.Conductor.BootDevice(c.r.Context(), n.UUID)
	if err != nil {
		return err
	}
	c.buf = append(c.buf, `{"boot_device":`...)
	c.buf = appendNullable(c.buf, d.Device)
	c.buf = append(c.buf, `,"persistent":`...)
	if d.Device == "" {
		c.buf = append(c.buf, "null"...)
	} else {
		c.buf = appendBool(c.buf, d.Persistent)
	}
	c.buf = append(c.buf, '}')
	return c.reply(http.StatusOK)
}

func setBootDevice(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	body, err := c.readObject("boot_device", "persistent")
	if err != nil {
		return err
	}
	var d conductor.BootDevice
	if d.Device, err = textIn(body, "boot_device", true); err != nil {
		return err
	}
	if d.Persistent, _, err = boolIn(body, "persistent"); err != nil {
		return err
	}
	if !slices.Contains(bootDevices, d.Device) {
		return invalid("Invalid boot device %s specified.", show(d.Device))
	}
	if err := c.api.Conductor.SetBootDevice(c.r.Context(), c.caller(), n.UUID, d); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent, "")
}

func listBootDevices(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	names, err := c.api.Conductor.SupportedBootDevices(c.r.Context(), n.UUID)
	if err != nil {
		return err
	}
	c.buf = append(c.buf, `{"supported_boot_devices":`...)
	c.buf = append(appendStrings(c.buf, names), '}')
	return c.reply(http.StatusOK)
}

func injectNMI(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	if _, err := c.readObject([]string{}...); err != nil {
		return err
	}
	if err := c.api.Conductor.InjectNMI(c.r.Context(), c.caller(), n.UUID); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent, "")
}

func listIndicators(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	all, err := c.api.Conductor.Indicators(c.r.Context(), n.UUID)
	if err != nil {
		return err
	}
	c.buf = append(c.buf, `{"indicators":[`...)
	for i, ind := range all {
		if i > 0 {
			c.buf = append(c.buf, ',')
		}
		name := ind.Name + "@" + ind.Component
		c.buf = append(c.buf, `{"name":`...)
		c.buf = appendString(c.buf, name)
		c.buf = append(c.buf, `,"component":`...)
		c.buf = appendString(c.buf, ind.Component)
		c.buf = append(c.buf, `,"readonly":`...)
		c.buf = appendBool(c.buf, ind.ReadOnly)
		c.buf = append(c.buf, `,"states":`...)
		c.buf = appendStrings(c.buf, ind.States)
		c.buf = append(c.buf, `,"links":`...)
		c.buf = appendLinks(c.buf, c.linkBase(), "nodes/", n.UUID, "/management/indicators/"+name)
		c.buf = append(c.buf, '}')
	}
	c.buf = append(c.buf, "]}"...)
	return c.reply(http.StatusOK)
}

// indicator reads "name@component" of the path.
func (c *call) indicator() (name, component string, err error) {
	name, component, ok := strings.Cut(c.vars["indicator"], "@")
	if !ok || name == "" || component == "" {
		return "", "", invalid("Expected NAME@COMPONENT for indicator: %s", show(c.vars["indicator"]))
	}
	return name, component, nil
}

func showIndicator(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	name, component, err := c.indicator()
	if err != nil {
		return err
	}
	state, err := c.api.Conductor.IndicatorState(c.r.Context(), n.UUID, component, name)
	if err != nil {
		return err
	}
	c.buf = append(c.buf, `{"state":`...)
	c.buf = append(appendNullable(c.buf, state), '}')
	return c.reply(http.StatusOK)
}

func setIndicator(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	name, component, err := c.indicator()
	if err != nil {
		return err
	}
	body, err := c.readObject("state")
	if err != nil {
		return err
	}
	state, err := textIn(body, "state", true)
	if err != nil {
		return err
	}
	if state = strings.ToLower(state); state != "on" && state != "off" && state != "blinking" {
		return invalid("Invalid indicator state %s: it must be on, off or blinking", show(state))
	}
	if err := c.api.Conductor.SetIndicatorState(c.r.Context(), c.caller(), n.UUID, component, name, state); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent, "")
}
