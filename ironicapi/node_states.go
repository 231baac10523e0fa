package ironicapi

import (
	"encoding/json"
	"net/http"
	"time"

	"caddyshack/baremetal"
	"caddyshack/conductor"
)

// statesOf are the fields of GET states, in its order.
var statesOf = []string{
	"console_enabled", "last_error", "power_state", "target_power_state", "provision_state", "target_provision_state",
	"provision_updated_at", "raid_config", "target_raid_config", "boot_mode", "secure_boot",
}

func showStates(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	e := c.encoding()
	c.buf = append(c.buf, '{')
	for i, name := range statesOf {
		f := nodeTable.find(name)
		if f.since > c.minor {
			continue
		}
		if i > 0 {
			c.buf = append(c.buf, ',')
		}
		c.buf = append(c.buf, f.key...)
		c.buf = f.enc(c.buf, e, &n)
	}
	c.buf = append(c.buf, '}')
	return c.reply(http.StatusOK)
}

// statesPath is the Location of accepted changes of state, with the node as the client called it.
func (c *call) statesPath() string { return "/v1/nodes/" + c.vars["node"] + "/states" }

func setPower(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	body, err := c.readObject("target", "timeout")
	if err != nil {
		return err
	}
	target, err := textIn(body, "target", true)
	if err != nil {
		return err
	}
	r := conductor.PowerRequest{Target: baremetal.PowerTarget(target)}
	if !r.Target.Valid() {
		return invalid("The requested action \"%s\" can not be performed on node \"%s\" while it is in state \"%s\".", show(target), n.UUID, n.PowerState)
	}
	if r.Target.Soft() && c.minor < 27 {
		return needsMinor(27)
	}
	if v, ok := body["timeout"]; ok && v != nil {
		if c.minor < 27 {
			return needsMinor(27)
		}
		seconds, ok := wholeNumber(v)
		if !ok || seconds < 1 || seconds > int64(maxPowerTimeout/time.Second) {
			return invalid("timeout has to be a whole number of seconds from 1 to %d", int64(maxPowerTimeout/time.Second))
		}
		r.Timeout = time.Duration(seconds) * time.Second
	}
	if err := c.api.Conductor.SetPower(c.r.Context(), c.caller(), n.UUID, r); err != nil {
		return err
	}
	return c.empty(http.StatusAccepted, c.statesPath())
}

// maxPowerTimeout is the longest a caller may let a power action take.
const maxPowerTimeout = 24 * time.Hour

// wholeNumber reads a number or a string of digits.
func wholeNumber(v any) (int64, bool) {
	switch x := v.(type) {
	case json.Number:
		n, err := x.Int64()
		return n, err == nil
	case string:
		n, err := json.Number(x).Int64()
		return n, err == nil
	}
	return 0, false
}

func showConsole(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	enabled, info, err := c.api.Conductor.Console(c.r.Context(), n.UUID)
	if err != nil {
		return err
	}
	c.buf = append(c.buf, `{"console_enabled":`...)
	c.buf = appendBool(c.buf, enabled)
	c.buf = append(c.buf, `,"console_info":`...)
	if info == nil {
		c.buf = append(c.buf, "null"...)
	} else {
		c.buf = append(c.buf, `{"type":`...)
		c.buf = appendString(c.buf, info.Type)
		c.buf = append(c.buf, `,"url":`...)
		c.buf = appendString(c.buf, info.URL)
		c.buf = append(c.buf, '}')
	}
	c.buf = append(c.buf, '}')
	return c.reply(http.StatusOK)
}

func setConsole(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	body, err := c.readObject("enabled")
	if err != nil {
		return err
	}
	enabled, ok, err := boolIn(body, "enabled")
	if err != nil {
		return err
	}
	if !ok {
		return missing("enabled")
	}
	if err := c.api.Conductor.SetConsole(c.r.Context(), c.caller(), n.UUID, enabled); err != nil {
		return err
	}
	return c.empty(http.StatusAccepted, c.statesPath()+"/console")
}

func setMaintenance(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	body, err := c.readObject("reason")
	if err != nil {
		return err
	}
	reason, err := textIn(body, "reason", false)
	if err != nil {
		return err
	}
	return c.maintenance(n.UUID, true, reason)
}

func unsetMaintenance(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	return c.maintenance(n.UUID, false, "")
}

func (c *call) maintenance(uuid string, on bool, reason string) error {
	if err := c.api.Conductor.SetMaintenance(c.r.Context(), c.caller(), uuid, on, reason); err != nil {
		return err
	}
	return c.empty(http.StatusAccepted, "")
}

func validateNode(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	return c.validate(n.UUID)
}

// validateNamed is the older form, with the node in the query.
func validateNamed(c *call) error {
	ident, ok := c.arg("node")
	if !ok {
		return missing("node")
	}
	c.vars["node"] = ident
	n, err := c.readNode()
	if err != nil {
		return err
	}
	if !c.may(nodeReader, targetOf(&n)) {
		return nodeNotFound(c.plainName(ident))
	}
	if err := c.check("node:validate", ownerMemberLesseeAdmin, targetOf(&n)); err != nil {
		return err
	}
	return c.validate(n.UUID)
}

func (c *call) validate(uuid string) error {
	all, err := c.api.Conductor.Validate(c.r.Context(), uuid)
	if err != nil {
		return err
	}
	c.buf = append(c.buf, '{')
	first := true
	for _, kind := range baremetal.InterfaceKinds() {
		v, ok := all[kind]
		if !ok {
			continue
		}
		if !first {
			c.buf = append(c.buf, ',')
		}
		first = false
		c.buf = appendString(c.buf, kind)
		c.buf = append(c.buf, `:{"result":`...)
		c.buf = appendBool(c.buf, v.OK)
		if !v.OK {
			c.buf = append(c.buf, `,"reason":`...)
			c.buf = appendString(c.buf, v.Reason)
		}
		c.buf = append(c.buf, '}')
	}
	c.buf = append(c.buf, '}')
	return c.reply(http.StatusOK)
}
