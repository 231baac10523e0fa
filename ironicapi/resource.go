package ironicapi

import (
	"fmt"
	"net/http"

	"caddyshack/baremetal"
)

// resource is a kind of thing with rows of its own, served by the same
// handlers: list, show, create, change, delete.
type resource[T any] struct {
	key      string // plural, in replies
	what     string // one of them, in sentences
	path     string // "/v1/portgroups"
	variable string // of the path
	since    int
	before   int // status of writes below since; 0 = 404
	patched  int // version that brought PATCH, 0 = since
	detail   param
	filters  []param
	table    *table[T]
	named    bool // can be called by name
	full     bool // lists show all fields

	read func(*api) baremetal.Collection[T]
	// write is the collection for changes; nil = read.
	write func(*api) baremetal.Collection[T]
	uuid  func(*T) string
	// filter turns the query's own filters into conditions; nil = there are none.
	// none means that nothing can match.
	filter func(*call, *baremetal.Query) (none bool, err error)
	// fresh is what a new one starts from; nil = the zero value.
	fresh func() T
	// prepare completes a body before it is read, and looks up what it names; nil = nothing.
	prepare func(c *call, body map[string]any, t *T) error
	// target is what rules look at, for a kind with an owner of its own, and
	// visible who may see it; nil = that of its node, which nodeOf names.
	target  func(*T) target
	visible rule
	nodeOf  func(*T) string
	// creates and updates are who may do that to one of a node; with the zero
	// action the routes' rules say all.
	creates, updates action
	// own gives a new one its owner; nil = it has none.
	own func(*call, *T) error
	// mayPatch refuses operations that the caller has no right to; nil = none.
	mayPatch func(*call, []patchOp) error
	// check holds the rules of a new (before is nil) or changed one; n is its
	// node, nil for a kind without.
	check func(c *call, t, before *T, n *node) error
}

func (r *resource[T]) writer(a *api) baremetal.Collection[T] {
	if r.write != nil {
		return r.write(a)
	}
	return r.read(a)
}

// ident reads the one the path names.
func (r *resource[T]) ident(c *call) (string, error) {
	id := c.vars[r.variable]
	switch {
	case baremetal.IsUUID(id):
		return id, nil
	case !r.named:
		return "", invalid("Expected UUID for %s: %s.", r.variable, show(id))
	case !baremetal.ValidName(id):
		return "", invalid("Expected UUID or name for %s: %s.", r.variable, show(id))
	}
	return id, nil
}

// list answers a list; node, if not nil, narrows it to what belongs to one.
func (r *resource[T]) list(c *call, detailed bool, node *string) error {
	q := baremetal.Query{NodeUUID: node}
	var err error
	if q.Page, err = c.page(r.table.sortableKey); err != nil {
		return err
	}
	if q.Marker != "" && !baremetal.IsUUID(q.Marker) {
		return invalid("Expected UUID for marker: %s.", show(q.Marker))
	}
	view, err := r.table.view(c, detailed || r.full)
	if err != nil {
		return err
	}
	none := false
	if r.filter != nil && c.values != nil {
		if none, err = r.filter(c, &q); err != nil {
			return err
		}
	}
	if q.Project = c.onlyProject(); q.Project != nil && q.Marker != "" {
		if err := r.checkMarker(c, q.Marker); err != nil {
			return err
		}
	}
	var items []T
	if !none {
		if items, err = r.read(c.api).List(c.r.Context(), q); err != nil {
			return err
		}
	}
	return replyList(c, r.key, r.key+"_links", view, items, q.Page, r.uuid)
}

func (r *resource[T]) listing(detailed bool) func(*call) error {
	return func(c *call) error { return r.list(c, detailed, nil) }
}

// listingOfNode lists what belongs to the node of the path.
func (r *resource[T]) listingOfNode(detailed bool) func(*call) error {
	return func(c *call) error {
		n, err := c.readNode()
		if err != nil {
			return err
		}
		return r.list(c, detailed, &n.UUID)
	}
}

func (r *resource[T]) reply(c *call, status int, t *T, view selection[T]) error {
	c.buf = view.append(c.buf, c.encoding(), t)
	return c.reply(status)
}

// one reads the one the path names.
func (r *resource[T]) one(c *call) (t T, err error) {
	id, err := r.ident(c)
	if err != nil {
		return t, err
	}
	return r.read(c.api).One(c.r.Context(), id)
}

func (r *resource[T]) show(c *call) error {
	view, err := r.table.chosen(c)
	if err != nil {
		return err
	}
	t, err := r.one(c)
	if err != nil {
		return err
	}
	return r.reply(c, http.StatusOK, &t, view)
}

func (r *resource[T]) create(c *call) error {
	body, err := c.readObject()
	if err != nil {
		return err
	}
	var t T
	if r.fresh != nil {
		t = r.fresh()
	}
	if r.prepare != nil {
		if err := r.prepare(c, body, &t); err != nil {
			return err
		}
	}
	if err := r.table.create(&t, body, c.minor); err != nil {
		return err
	}
	if s, ok := body["node_uuid"].(string); ok {
		if err := r.mayPutOn(c, s); err != nil {
			return err
		}
	}
	if r.own != nil {
		if err := r.own(c, &t); err != nil {
			return err
		}
	}
	err = r.writer(c.api).Create(c.r.Context(), &t, func(t *T, n *node) error {
		if r.check == nil {
			return nil
		}
		return r.check(c, t, nil, n)
	})
	if err != nil {
		return asInvalid(err)
	}
	c.w.Header().Set("Location", c.rawBase()+r.path+"/"+r.uuid(&t))
	return r.reply(c, http.StatusCreated, &t, r.table.all(c.minor))
}

func (r *resource[T]) patch(c *call) error {
	id, err := r.ident(c)
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
	if _, err := r.table.touches(ops, c.minor); err != nil {
		return err
	}
	if r.mayPatch != nil {
		if err := r.mayPatch(c, ops); err != nil {
			return err
		}
	}
	if err := r.checkPatchedNode(c, ops); err != nil {
		return err
	}
	t, err := r.writer(c.api).Update(c.r.Context(), id, func(t *T, n *node) error {
		before := *t
		if r.nodeOf != nil { // it may have changed hands
			if err := c.check(r.updates.name, r.updates.rule, targetOf(n)); err != nil {
				return err
			}
		}
		if err := r.table.patch(t, ops, c.minor); err != nil {
			return err
		}
		if r.check == nil {
			return nil
		}
		return r.check(c, t, &before, n)
	})
	if err != nil {
		return err
	}
	return r.reply(c, http.StatusOK, &t, r.table.all(c.minor))
}

// checkPatchedNode looks up the node that a patch moves something to, before the transaction.
func (r *resource[T]) checkPatchedNode(c *call, ops []patchOp) error {
	for _, op := range ops {
		if op.path[0] != "node_uuid" {
			continue
		}
		switch s, isText := op.value.(string); {
		case op.op == "move" || op.op == "copy":
			return invalid("Couldn't apply patch '[%s]'. Reason: /node_uuid can only be set to a value", op.text)
		case isText && op.op != "remove" && baremetal.IsUUID(s):
			if err := r.mayPutOn(c, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *resource[T]) delete(c *call) error {
	id, err := r.ident(c)
	if err != nil {
		return err
	}
	if err := r.writer(c.api).Delete(c.r.Context(), id, nil); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent, "")
}

// query is what its lists can be asked.
func (r *resource[T]) query() []param {
	q := params(pagingParams, []param{fieldsParam})
	if r.detail.name != "" {
		q = append(q, r.detail)
	}
	return params(q, r.filters)
}

// routes are those every resource has.
func (r *resource[T]) routes() []route {
	one := r.path + "/{" + r.variable + "}"
	patched := r.patched
	if patched == 0 {
		patched = r.since
	}
	doc := func(verb string) string { return fmt.Sprintf("%s one of %s", verb, r.key) }
	return []route{
		{method: get, path: r.path, since: r.since, query: r.query(), handle: r.listing(false), doc: "list " + r.key},
		{method: post, path: r.path, since: r.since, before: r.before, body: usualBody, handle: r.create, doc: doc("create")},
		{method: get, path: one, since: r.since, query: []param{fieldsParam}, handle: r.show, doc: doc("show")},
		{method: patch, path: one, since: patched, before: r.before, body: usualBody, handle: r.patch, doc: doc("change")},
		{method: del, path: one, since: r.since, before: r.before, handle: r.delete, doc: doc("delete")},
	}
}

// nodeArg reads a filter that names a node by uuid or name.
func (c *call) nodeArg(name string, to **string) error {
	ident, ok := c.arg(name)
	if !ok {
		return nil
	}
	if !baremetal.IsUUID(ident) && !baremetal.ValidName(ident) {
		return invalid("Expected UUID or name for node: %s.", show(ident))
	}
	n, err := c.visibleNode(ident)
	if err != nil {
		return err
	}
	*to = &n.UUID
	return nil
}

// atMostOne refuses filters that exclude each other.
func (c *call) atMostOne(names ...string) error {
	given := 0
	for _, name := range names {
		if _, ok := c.arg(name); ok {
			given++
		}
	}
	if given > 1 {
		return baremetal.Errorf(baremetal.Forbidden, "Operation not permitted.")
	}
	return nil
}

// listArg reads a filter of several values; none at all must not mean every one.
func (c *call) listArg(name string) ([]string, error) {
	s, ok := c.arg(name)
	if !ok {
		return nil, nil
	}
	list := splitExact(s)
	if list == nil {
		return nil, invalid("%s must name at least one %s", name, name)
	}
	return list, nil
}
