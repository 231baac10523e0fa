package ironicapi

import (
	"caddyshack/baremetal"
)

// rule says which roles suffice for an action, by what they are held on. A
// caller needs one role of one set.
type rule struct {
	system Roles // on the whole service
	owner  Roles // in the project that owns the node (or the allocation)
	lessee Roles // in the project the node is lent to
	anyone Roles // in any project
	public Roles // in any project, on what is meant for all
}

// target is what an action is done to, as far as rules look at it.
type target struct {
	owner, lessee string
	public        bool
}

func targetOf(n *node) target { return target{owner: n.Owner, lessee: n.Lessee} }

func (r rule) allows(who *Identity, t target) bool {
	if who.System.has(r.system) {
		return true
	}
	if who.Project == "" {
		return false
	}
	return who.InProject.has(r.anyone) ||
		t.public && who.InProject.has(r.public) ||
		t.owner == who.Project && who.InProject.has(r.owner) ||
		t.lessee == who.Project && who.InProject.has(r.lessee)
}

// The rules, by the names that Ironic's documentation of its policy uses for them.
var (
	systemReader = rule{system: Reader | Service}
	systemMember = rule{system: Member | Service}
	systemAdmin  = rule{system: Admin | Service}
	// an administrator in person, not a service
	systemAdminOnly = rule{system: Admin}

	apiReader   = rule{system: Reader | Service, anyone: Reader | Service}
	nodeReader  = rule{system: Reader | Service, owner: Reader | Service, lessee: Reader}
	ownerReader = rule{system: Reader | Service, owner: Reader | Service}
	nodeMember  = rule{system: Member | Service, owner: Member, lessee: Member}
	ownerMember = rule{system: Member | Service, owner: Member | Service}
	ownerAdmin  = rule{system: Member | Service, owner: Manager | Service}
	// creation and deletion of ports and port groups
	portAdmin = rule{system: Admin | Service, owner: Manager | Service}
	// provisioning and what belongs to it
	ownerMemberLesseeAdmin = rule{system: Member | Service, owner: Member | Service, lessee: Manager}
	// volume connectors and targets
	ownerLesseeAdmin = rule{system: Member | Service, owner: Manager | Service, lessee: Manager}
	selfOwnedCreate  = rule{system: Admin | Service, anyone: Admin | Service}
	selfOwnedDelete  = rule{system: Admin, owner: Admin}

	allocationReader  = rule{system: Reader | Service, owner: Reader}
	allocationMember  = rule{system: Member | Service, owner: Member}
	allocationCreator = rule{system: Member | Service, anyone: Member}

	runbookReader  = rule{system: Reader | Service, owner: Reader, public: Reader}
	runbookUser    = rule{system: Member | Service, owner: Member, public: Member}
	runbookManager = rule{system: Member | Service, owner: Manager}
	runbookCreator = rule{system: Member | Service, anyone: Manager}

	targetProperties = rule{system: Reader | Service, anyone: Admin}
)

// action is what is asked for: Ironic's name of it, which refusals show, and its rule.
type action struct {
	name string
	rule rule
}

// denied is the refusal of an action on something the caller may see.
func denied(name string) error {
	return baremetal.Errorf(baremetal.Forbidden, "Access was denied to the following resource: baremetal:%s", name)
}

// actionOf is the action of a route; a route without a row is for administrators.
func actionOf(rt *route) action {
	if a, ok := policy[rt.method+" "+rt.path]; ok {
		return a
	}
	return action{"admin", systemAdminOnly}
}

// authorize refuses a request that its route's rule does not allow. What the
// caller may not see is not found; what may be seen and not done is forbidden.
// It runs before the handler, so that no handler can forget it.
func (c *call) authorize() error {
	if c.api.Auth == nil || c.route.public {
		return nil
	}
	a := actionOf(c.route)
	if a.rule.allows(&c.who, target{}) {
		return nil
	}
	if c.who.Project == "" && c.who.System == 0 {
		return denied(a.name) // neither the service nor a project: nothing can be seen
	}
	for _, look := range finders {
		if _, ok := c.vars[look.variable]; !ok {
			continue
		}
		t, err := look.find(c)
		if err != nil {
			return err
		}
		if !look.visible.allows(&c.who, t) {
			return look.hide(c)
		}
		if !a.rule.allows(&c.who, t) {
			return denied(a.name)
		}
		return nil
	}
	return denied(a.name)
}

// finder finds what a variable of the path names.
type finder struct {
	variable string
	find     func(*call) (target, error)
	visible  rule              // who may know that it exists
	hide     func(*call) error // the answer if it did not exist
}

// finders are tried in order: the first variable that a path has decides.
var finders = []finder{
	nodeFinder, portFinder, portgroups.finder(), connectors.finder(), targets.finder(), allocations.finder(), runbooks.finder(),
}

var (
	nodeFinder = finder{variable: "node", visible: nodeReader,
		find: func(c *call) (target, error) {
			n, err := c.readNode()
			c.vetted = n.UUID
			return targetOf(&n), err
		},
		hide: func(c *call) error { return nodeNotFound(c.plainName(c.vars["node"])) }}
	portFinder = finder{variable: "port", visible: nodeReader,
		find: func(c *call) (target, error) {
			id, err := c.portIdent()
			if err != nil {
				return target{}, err
			}
			p, err := c.api.Store.Port(c.r.Context(), id)
			if err != nil {
				return target{}, err
			}
			return c.targetOfNode(p.NodeUUID)
		},
		hide: func(c *call) error {
			return baremetal.Errorf(baremetal.NotFound, "Port %s could not be found.", c.vars["port"])
		}}
)

// targetOfNode is the target of something that belongs to a node.
func (c *call) targetOfNode(uuid string) (target, error) {
	n, err := c.api.Store.Node(c.r.Context(), uuid)
	return targetOf(&n), err
}

// may tells whether the caller may do something to a target.
func (c *call) may(r rule, t target) bool {
	return c.api.Auth == nil || r.allows(&c.who, t)
}

// check is may as an error, for what a handler decides from the body.
func (c *call) check(name string, r rule, t target) error {
	if c.may(r, t) {
		return nil
	}
	return denied(name)
}

// visibleNode reads a node that a query or a body names; one that the caller
// may not see is not found.
func (c *call) visibleNode(ident string) (node, error) {
	n, err := c.api.Store.Node(c.r.Context(), ident)
	if err == nil && !c.may(nodeReader, targetOf(&n)) {
		return node{}, nodeNotFound(ident)
	}
	return n, err
}

func nodeNotFound(ident string) error {
	return baremetal.Errorf(baremetal.NotFound, "Node %s could not be found.", ident)
}

// onlyProject is the project that lists are narrowed to: nil for callers who
// may see everything.
func (c *call) onlyProject() *string {
	if c.may(systemReader, target{}) {
		return nil
	}
	project := c.who.Project
	return &project
}

// checkMarker refuses a marker that the caller may not see in the words for one that does not exist.
func (c *call) checkMarker(uuid string) error {
	if uuid == "" || c.onlyProject() == nil {
		return nil
	}
	_, err := c.visibleNode(uuid)
	return err
}
