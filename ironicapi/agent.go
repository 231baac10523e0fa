package ironicapi

import (
	"strings"

	"caddyshack/baremetal"
)

// lookup is asked by a deploy agent for its node. It answers the same for
// unknown nodes and for those that expect no agent, which so far are all.
func lookup(c *call) error {
	uuid, hasUUID := c.arg("node_uuid")
	addresses, hasAddresses := c.arg("addresses")
	if hasUUID && !baremetal.IsUUID(uuid) {
		return invalid("Expected UUID for node_uuid: %s.", show(uuid))
	}
	known := false
	for _, a := range strings.Split(addresses, ",") {
		if _, err := baremetal.ParseMAC(strings.TrimSpace(a)); err == nil {
			known = true
		}
	}
	if !hasUUID && (!hasAddresses || !known) {
		return baremetal.Errorf(baremetal.NotFound, "Node could not be found: addresses or node_uuid is needed.")
	}
	return baremetal.Errorf(baremetal.NotFound, "Node could not be found.")
}

// heartbeat is sent by a deploy agent; without a token from lookup none is believed.
func heartbeat(c *call) error {
	if _, err := c.readNode(); err != nil {
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
	token, err := textIn(body, "agent_token", false)
	if err != nil {
		return err
	}
	if token == "" {
		return invalid("Agent token is required for heartbeat processing.")
	}
	return baremetal.Errorf(baremetal.Unauthorized, "Invalid or missing agent token received.")
}

// continueInspection takes the findings of an inspection agent; no node waits for one so far.
func continueInspection(c *call) error {
	if _, err := c.readBody(); err != nil {
		return err
	}
	return baremetal.Errorf(baremetal.NotFound, "Node could not be found.")
}
