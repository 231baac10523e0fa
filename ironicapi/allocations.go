package ironicapi

import (
	"net/http"
	"time"

	"caddyshack/baremetal"
)

type allocation = baremetal.Allocation

var allocationTable = table[allocation]{resource: "allocation", fields: []field[allocation]{
	text("uuid", 52, sortable|inCreate|notNull, func(a *allocation) *string { return &a.UUID }, 0, isUUID("uuid")),
	text("name", 52, sortable|inBoth, func(a *allocation) *string { return &a.Name }, 255, allocationName),
	text("resource_class", 52, sortable|inCreate, func(a *allocation) *string { return &a.ResourceClass }, longestClass, notBlank("resource_class")),
	stringList("traits", 52, func(a *allocation) *baremetal.Strings { return &a.Traits }, baremetal.Traits),
	stringList("candidate_nodes", 52, func(a *allocation) *baremetal.Strings { return &a.CandidateNodes },
		func(list []string) (baremetal.Strings, error) { return baremetal.NewStrings(list...), nil }),
	object("extra", 52, inBoth, func(a *allocation) *baremetal.Object { return &a.Extra }),
	text("owner", 60, sortable|inCreate, func(a *allocation) *string { return &a.Owner }, 255),
	shown("node_uuid", 52, typeString, sortable, func(b []byte, _ *encoding, a *allocation) []byte { return appendNullable(b, a.NodeUUID) }),
	shown("state", 52, typeString, sortable, func(b []byte, _ *encoding, a *allocation) []byte { return appendNullable(b, string(a.State)) }),
	shown("last_error", 52, typeString, sortable, func(b []byte, _ *encoding, a *allocation) []byte { return appendNullable(b, a.LastError) }),
	stamp("created_at", 52, sortable, func(a *allocation) time.Time { return a.CreatedAt }),
	stamp("updated_at", 52, sortable, func(a *allocation) time.Time { return a.UpdatedAt }),
	links("allocations", func(a *allocation) string { return a.UUID }),
}}

func allocationName(s string) error {
	if !baremetal.ValidName(s) {
		return invalid("Cannot create or rename allocation with invalid name '%s'", show(s))
	}
	return nil
}

var allocations = resource[allocation]{
	key: "allocations", what: "Allocation", path: "/v1/allocations", variable: "allocation", since: 52, before: gone405, patched: 57,
	named: true, full: true, table: &allocationTable,
	filters: []param{{name: "node", since: 52, doc: "the allocation of that node"}, {name: "resource_class", since: 52, doc: "allocations of that resource class"},
		{name: "state", since: 52, doc: "allocations in that state"}, {name: "owner", since: 60, doc: "allocations of that owner"}},
	read:  func(a *api) baremetal.Collection[allocation] { return a.Store.Allocations() },
	write: func(a *api) baremetal.Collection[allocation] { return a.Conductor.Allocations() },
	uuid:  func(a *allocation) string { return a.UUID },
	filter: func(c *call, q *baremetal.Query) (bool, error) {
		q.ResourceClass, q.State, q.Owner = c.textArg("resource_class"), c.textArg("state"), c.textArg("owner")
		if q.Owner != nil && *q.Owner != c.who.Project && c.onlyProject() != nil {
			return false, denied("allocation:list_all")
		}
		return false, c.nodeArg("node", &q.NodeUUID)
	},
	prepare: prepareAllocation,
	target:  func(a *allocation) target { return target{owner: a.Owner} },
	visible: allocationReader,
	own: func(c *call, a *allocation) error {
		return c.ownProject("allocation:create_restricted", systemMember, &a.Owner)
	},
}

// prepareAllocation looks up the nodes that a new allocation names.
func prepareAllocation(c *call, body map[string]any, a *allocation) error {
	if v, ok := body["node"]; ok && v != nil {
		if c.minor < 58 {
			return needsMinor(58)
		}
		if !isEmpty(body["candidate_nodes"]) {
			return invalid("Cannot specify both node and candidate_nodes")
		}
		n, err := c.nodeIn("node", v)
		if err != nil {
			return err
		}
		a.NodeUUID = n.UUID
	} else if isEmpty(body["resource_class"]) {
		return invalid("Schema error for allocation: 'resource_class' is a required property")
	}
	delete(body, "node")
	list, ok := body["candidate_nodes"].([]any)
	if !ok {
		return nil
	}
	if len(list) > maxCandidates {
		return invalid("Schema error for allocation: more than %d candidate_nodes", maxCandidates)
	}
	for i, v := range list {
		n, err := c.nodeIn("candidate_nodes", v)
		if baremetal.IsKind(err, baremetal.Invalid) {
			return invalid("Nodes cannot be found: %s", show(v))
		}
		if err != nil {
			return err
		}
		list[i] = n.UUID
	}
	return nil
}

// maxCandidates is the most nodes an allocation may name.
const maxCandidates = 1000

// nodeIn reads a node that a body names by uuid or name.
func (c *call) nodeIn(field string, v any) (node, error) {
	s, ok := v.(string)
	if !ok || !baremetal.IsUUID(s) && !baremetal.ValidName(s) {
		return node{}, invalid("Expected UUID or name for %s: %s.", field, show(v))
	}
	n, err := c.visibleNode(s)
	if err != nil {
		return node{}, asInvalid(err)
	}
	return n, nil
}

// stringList is a list of strings that is given at creation.
func stringList[T any](name string, since int, at func(*T) *baremetal.Strings, read func([]string) (baremetal.Strings, error)) field[T] {
	f := newField(name, since, typeArray, inCreate, func(b []byte, _ *encoding, t *T) []byte { return append(b, at(t).Text()...) })
	f.get = func(t *T) any { return at(t).List() }
	f.set = func(t *T, v any, _ int) error {
		list, err := toStrings(v)
		if err != nil {
			return err
		}
		s, err := read(list)
		if err == nil {
			*at(t) = s
		}
		return err
	}
	return f
}

func toStrings(v any) ([]string, error) {
	if v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, wrongType(v, "array")
	}
	out := make([]string, 0, len(list))
	for _, item := range list {
		s, ok := item.(string)
		if !ok {
			return nil, wrongType(item, "string")
		}
		out = append(out, s)
	}
	return out, nil
}

// ofThisNode finds the allocation of the node of the path, for an action on it.
func (c *call) ofThisNode(name string, r rule) (allocation, error) {
	n, err := c.readNode()
	if err != nil {
		return allocation{}, err
	}
	none := baremetal.Errorf(baremetal.NotFound, "Node %s has no allocation.", show(c.vars["node"]))
	if n.AllocationUUID == "" {
		return allocation{}, none
	}
	a, err := c.api.Store.Allocations().One(c.r.Context(), n.AllocationUUID)
	if err == nil && !c.may(allocationReader, target{owner: a.Owner}) {
		return allocation{}, none
	}
	if err == nil {
		err = c.check(name, r, target{owner: a.Owner})
	}
	return a, err
}

func showNodeAllocation(c *call) error {
	view, err := allocations.table.chosen(c)
	if err != nil {
		return err
	}
	a, err := c.ofThisNode("allocation:get", allocationReader)
	if err != nil {
		return err
	}
	return allocations.reply(c, http.StatusOK, &a, view)
}

func deleteNodeAllocation(c *call) error {
	a, err := c.ofThisNode("allocation:delete", allocationMember)
	if err != nil {
		return err
	}
	if err := c.api.Conductor.Allocations().Delete(c.r.Context(), a.UUID, nil); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent, "")
}
