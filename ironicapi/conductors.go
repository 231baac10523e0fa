package ironicapi

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"caddyshack/baremetal"
)

type host = baremetal.Conductor

var conductorTable = table[host]{resource: "conductor", fields: []field[host]{
	shown("hostname", 1, typeString, listed|sortable, func(b []byte, _ *encoding, h *host) []byte { return appendString(b, h.Hostname) }),
	shown("conductor_group", 1, typeString, listed|sortable, func(b []byte, _ *encoding, h *host) []byte { return appendString(b, h.ConductorGroup) }),
	shown("alive", 1, typeBool, listed, func(b []byte, _ *encoding, h *host) []byte { return appendBool(b, h.Alive) }),
	shown("drivers", 1, typeArray, 0, func(b []byte, _ *encoding, h *host) []byte { return appendStrings(b, h.Drivers) }),
	stamp("created_at", 1, sortable, func(h *host) time.Time { return h.CreatedAt }),
	stamp("updated_at", 1, sortable, func(h *host) time.Time { return h.UpdatedAt }),
	shown("links", 1, typeArray, listed|hidden, func(b []byte, e *encoding, h *host) []byte {
		return appendLinks(b, e.base, "conductors/", h.Hostname, "")
	}),
}}

func listConductors(c *call) error {
	p, err := c.page(conductorTable.sortableKey)
	if err != nil {
		return err
	}
	view, err := conductorTable.view(c, false)
	if err != nil {
		return err
	}
	all, err := c.api.Store.Conductors(c.r.Context(), p)
	if err != nil {
		return err
	}
	return replyList(c, "conductors", "conductor_links", view, all, p, func(h *host) string { return h.Hostname })
}

func showConductor(c *call) error {
	view, err := conductorTable.chosen(c)
	if err != nil {
		return err
	}
	h, err := c.api.Store.Conductor(c.r.Context(), c.vars["hostname"])
	if err != nil {
		return err
	}
	c.buf = view.append(c.buf, c.encoding(), &h)
	return c.reply(http.StatusOK)
}

// listShards counts nodes by shard; those without one go by the name "None", as Ironic has it.
func listShards(c *call) error {
	shards, err := c.api.Store.Shards(c.r.Context())
	if err != nil {
		return err
	}
	c.buf = append(c.buf, `{"shards":[`...)
	for i, name := range sortedKeys(shards) {
		if i > 0 {
			c.buf = append(c.buf, ',')
		}
		count := shards[name]
		if name == "" {
			name = "None"
		}
		c.buf = append(c.buf, `{"name":`...)
		c.buf = appendString(c.buf, name)
		c.buf = append(c.buf, `,"count":`...)
		c.buf = append(strconv.AppendInt(c.buf, int64(count), 10), '}')
	}
	c.buf = append(c.buf, "]}"...)
	return c.reply(http.StatusOK)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
