package ironicapi

import (
	"net/http"
	"strconv"
	"time"

	"caddyshack/baremetal"
)

type historyEntry = baremetal.HistoryEntry

// longestEvent is how much of an event a list shows, in characters.
const longestEvent = 255

var historyTable = table[historyEntry]{resource: "history", fields: []field[historyEntry]{
	shown("uuid", 1, typeString, listed|sortable, func(b []byte, _ *encoding, h *historyEntry) []byte { return appendString(b, h.UUID) }),
	stamp("created_at", 1, listed|sortable, func(h *historyEntry) time.Time { return h.CreatedAt }),
	shown("severity", 1, typeString, listed|sortable, func(b []byte, _ *encoding, h *historyEntry) []byte {
		return appendNullable(b, string(h.Severity))
	}),
	shown("event", 1, typeString, listed, func(b []byte, _ *encoding, h *historyEntry) []byte { return appendNullable(b, h.Event) }),
	shown("event_type", 1, typeString, sortable, func(b []byte, _ *encoding, h *historyEntry) []byte { return appendNullable(b, h.EventType) }),
	shown("conductor", 1, typeString, sortable, func(b []byte, _ *encoding, h *historyEntry) []byte { return appendNullable(b, h.Conductor) }),
	shown("user", 1, typeString, sortable, func(b []byte, _ *encoding, h *historyEntry) []byte { return appendNullable(b, h.User) }),
	shown("project", 113, typeString, 0, func(b []byte, _ *encoding, h *historyEntry) []byte { return appendNullable(b, h.Project) }),
	shown("state", 115, typeString, 0, func(b []byte, _ *encoding, h *historyEntry) []byte { return appendNullable(b, string(h.State)) }),
	shown("target_provision_state", 115, typeString, 0, func(b []byte, _ *encoding, h *historyEntry) []byte {
		return appendNullable(b, string(h.TargetProvisionState))
	}),
	shown("duration_seconds", 115, typeNumber, 0, func(b []byte, _ *encoding, h *historyEntry) []byte {
		return strconv.AppendFloat(b, h.DurationSeconds, 'f', -1, 64)
	}),
	shown("links", 1, typeArray, listed|hidden, func(b []byte, e *encoding, h *historyEntry) []byte {
		return appendLinks(b, e.base, "nodes/"+h.NodeUUID+"/history/", h.UUID, "")
	}),
}}

func listHistory(c *call) error {
	detail, err := c.boolArg("detail")
	if err != nil {
		return err
	}
	return c.history(detail != nil && *detail)
}

// listHistoryDetail is what the openstack client asks for with --long; Ironic
// itself does not have it.
func listHistoryDetail(c *call) error { return c.history(true) }

func (c *call) history(detailed bool) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	q := baremetal.HistoryQuery{NodeUUID: n.UUID}
	if q.Page, err = c.page(historyTable.sortableKey); err != nil {
		return err
	}
	view := historyTable.columns(c.minor)
	if detailed {
		view = historyTable.all(c.minor)
	}
	entries, err := c.api.Store.History(c.r.Context(), q)
	if err != nil {
		return err
	}
	if !detailed {
		for i := range entries {
			if r := []rune(entries[i].Event); len(r) > longestEvent {
				entries[i].Event = string(r[:longestEvent])
			}
		}
	}
	return replyList(c, "history", "history_links", view, entries, q.Page, func(h *historyEntry) string { return h.UUID })
}

func showHistory(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	if !baremetal.IsUUID(c.vars["entry"]) {
		return invalid("Expected UUID for history: %s.", show(c.vars["entry"]))
	}
	h, err := c.api.Store.HistoryEntry(c.r.Context(), n.UUID, c.vars["entry"])
	if err != nil {
		return err
	}
	c.buf = historyTable.all(c.minor).append(c.buf, c.encoding(), &h)
	return c.reply(http.StatusOK)
}

// replyList answers a page of a collection that is read whole.
func replyList[T any](c *call, key, linksKey string, view selection[T], items []T, p baremetal.Page, id func(*T) string) error {
	e := c.encoding()
	c.buf = append(append(append(c.buf, `{"`...), key...), `":[`...)
	last := ""
	for i := range items {
		if i > 0 {
			c.buf = append(c.buf, ',')
		}
		c.buf = view.append(c.buf, e, &items[i])
		last = id(&items[i])
	}
	c.buf = append(c.buf, ']')
	c.appendNext(linksKey, len(items), p, last)
	c.buf = append(c.buf, '}')
	return c.reply(http.StatusOK)
}
