package ironicapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"caddyshack/baremetal"
	"caddyshack/conductor"
)

// heartbeatTimeout is how often an agent should report, in seconds.
const heartbeatTimeout = 300

// agentsAllowed refuses agents where they are switched off.
func (c *call) agentsAllowed() error {
	if c.api.NoAgents {
		return baremetal.Errorf(baremetal.Forbidden, "The endpoints for deploy agents are disabled here.")
	}
	return nil
}

// lookup is asked by a deploy agent for its node. It answers the same for
// unknown nodes and for those that expect no agent.
func lookup(c *call) error {
	if err := c.agentsAllowed(); err != nil {
		return err
	}
	uuid, hasUUID := c.arg("node_uuid")
	if hasUUID && !baremetal.IsUUID(uuid) {
		return invalid("Expected UUID for node_uuid: %s.", show(uuid))
	}
	text, _ := c.arg("addresses")
	addresses := macs(splitList(text))
	if !hasUUID && addresses == nil {
		return baremetal.Errorf(baremetal.NotFound, "Node could not be found: addresses or node_uuid is needed.")
	}
	n, token, err := c.api.Conductor.Lookup(c.r.Context(), uuid, addresses)
	if err != nil {
		return err
	}
	if token == "" { // it was given to somebody already
		token = masked
	}
	view, err := nodeTable.named(maxMinor, []string{"uuid", "properties", "instance_info", "driver_internal_info"})
	if err != nil {
		return err
	}
	c.node = n.UUID
	c.buf = append(c.buf, `{"node":`...)
	c.buf = view.append(c.buf, c.encoding(), &n)
	c.buf = append(c.buf, `,"config":{"heartbeat_timeout":`...)
	c.buf = strconv.AppendInt(c.buf, heartbeatTimeout, 10)
	c.buf = append(c.buf, `,"metrics":{},"metrics_statsd":{},"agent_containers":{}`...)
	if c.minor >= 62 {
		c.buf = append(c.buf, `,"agent_token":`...)
		c.buf = appendString(c.buf, token)
		c.buf = append(c.buf, `,"agent_token_required":true`...)
	}
	c.buf = append(c.buf, "}}"...)
	return c.reply(http.StatusOK)
}

// macs keeps what is a MAC address.
func macs(list []string) []string {
	var out []string
	for _, a := range list {
		if mac, err := baremetal.ParseMAC(strings.TrimSpace(a)); err == nil && len(out) < maxInterfaces {
			out = append(out, mac)
		}
	}
	return out
}

// heartbeat is sent by a deploy agent; without the token from lookup none is believed.
func heartbeat(c *call) error {
	if err := c.agentsAllowed(); err != nil {
		return err
	}
	n, err := c.readNode()
	if err != nil {
		return err
	}
	body, err := c.readObject("callback_url", "agent_version", "agent_token", "agent_verify_ca", "agent_status", "agent_status_message")
	if err != nil {
		return err
	}
	if _, ok := body["callback_url"]; !ok {
		return missing("callback_url")
	}
	for _, f := range []struct {
		name  string
		since int
	}{{"agent_version", 36}, {"agent_token", 62}, {"agent_verify_ca", 68}, {"agent_status", 72}, {"agent_status_message", 72}} {
		if _, ok := body[f.name]; ok && c.minor < f.since {
			return invalid("Unexpected arguments: %s", f.name)
		}
	}
	var r conductor.HeartbeatRequest
	for name, to := range map[string]*string{
		"callback_url": &r.CallbackURL, "agent_version": &r.Version, "agent_token": &r.Token, "agent_verify_ca": &r.VerifyCA,
		"agent_status": &r.Status, "agent_status_message": &r.Message,
	} {
		if *to, err = textIn(body, name, false); err != nil {
			return err
		}
	}
	if r.Token == "" {
		return invalid("Agent token is required for heartbeat processing.")
	}
	if r.Status != "" && !slices.Contains([]string{"start", "end", "error"}, r.Status) {
		return invalid("agent_status '%s' is not one of start, end, error", show(r.Status))
	}
	if err := c.api.Conductor.Heartbeat(c.r.Context(), n.UUID, r); err != nil {
		return err
	}
	return c.empty(http.StatusAccepted, "")
}

// maxInterfaces is the most network interfaces that findings may have.
const maxInterfaces = 64

// continueInspection takes the findings of an inspection agent.
func continueInspection(c *call) error {
	if err := c.agentsAllowed(); err != nil {
		return err
	}
	uuid, hasUUID := c.arg("node_uuid")
	if hasUUID && !baremetal.IsUUID(uuid) {
		return invalid("Expected UUID for node_uuid: %s.", show(uuid))
	}
	body, err := c.readObject()
	if err != nil {
		return err
	}
	inventory, addresses, err := readFindings(body)
	if err != nil {
		return err
	}
	delete(body, "inventory")
	found, err := c.api.Conductor.ContinueInspection(c.r.Context(), uuid, addresses, inventory, body)
	if err != nil {
		return err
	}
	c.node = found
	c.buf = append(c.buf, `{"uuid":`...)
	c.buf = append(appendString(c.buf, found), '}')
	return c.reply(http.StatusAccepted)
}

// readFindings checks the outline of an agent's findings and returns the
// inventory in them and the MAC addresses that it names.
func readFindings(body map[string]any) (inventory map[string]any, addresses []string, err error) {
	inventory, ok := body["inventory"].(map[string]any)
	if !ok || len(inventory) == 0 {
		return nil, nil, invalid("Inventory is required for continue_inspection, and must be an object.")
	}
	if v, ok := inventory["interfaces"]; ok && v != nil {
		list, ok := v.([]any)
		if !ok || len(list) > maxInterfaces {
			return nil, nil, invalid("inventory.interfaces must be a list of at most %d objects.", maxInterfaces)
		}
		var names []string
		for _, item := range list {
			m, ok := item.(map[string]any)
			if !ok {
				return nil, nil, invalid("inventory.interfaces must be a list of at most %d objects.", maxInterfaces)
			}
			if mac, ok := m["mac_address"].(string); ok {
				names = append(names, mac)
			}
		}
		addresses = macs(names)
	}
	return inventory, addresses, nil
}
