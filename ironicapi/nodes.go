package ironicapi

import (
	"net/http"
	"strings"

	"caddyshack/baremetal"
)

// nodeIdent reads the node of the path: a uuid, or from 1.5 on a name.
func (c *call) nodeIdent() (string, error) {
	ident := c.vars["node"]
	if baremetal.IsUUID(ident) {
		return ident, nil
	}
	if !baremetal.ValidName(ident) {
		return "", badIdentError{ident}
	}
	if c.minor < 5 {
		return "", baremetal.Errorf(baremetal.NotFound, "Node %s could not be found.", ident)
	}
	return ident, nil
}

// badIdentError is a path with something that no node can be called; it has the
// shape of a routing error.
type badIdentError struct{ ident string }

func (e badIdentError) Error() string { return "Expected UUID or name for node: " + show(e.ident) }

// readNode reads the node of the path. Before 1.91 a suffix ".json" is not part of the name.
func (c *call) readNode() (node, error) {
	ident, err := c.nodeIdent()
	if err != nil {
		return node{}, err
	}
	n, err := c.api.Store.Node(c.r.Context(), ident)
	if bare := c.plainName(ident); bare != ident && baremetal.IsKind(err, baremetal.NotFound) {
		n, err = c.api.Store.Node(c.r.Context(), bare)
	}
	if err != nil {
		return n, err
	}
	if c.vetted != "" && c.vetted != n.UUID { // the name changed hands since the caller's right was checked
		return node{}, nodeNotFound(ident)
	}
	c.node = n.UUID
	return n, nil
}

// plainName is a node's name without the suffix ".json" that it may have before 1.91.
func (c *call) plainName(ident string) string {
	if bare, ok := strings.CutSuffix(ident, ".json"); ok && bare != "" && c.minor < 91 {
		return bare
	}
	return ident
}

func (c *call) encoding() *encoding {
	return &encoding{base: c.linkBase(), minor: c.minor, host: c.api.Conductor.HostFor, may: c.may}
}

// replyNode answers with the whole node.
func (c *call) replyNode(status int, n *node) error {
	c.node = n.UUID
	c.buf = nodeTable.all(c.minor).append(c.buf, c.encoding(), n)
	return c.reply(status)
}

func showNode(c *call) error {
	view, err := nodeTable.chosen(c)
	if err != nil {
		return err
	}
	n, err := c.readNode()
	if err != nil {
		return err
	}
	c.buf = view.append(c.buf, c.encoding(), &n)
	return c.reply(http.StatusOK)
}

func createNode(c *call) error {
	body, err := c.readObject()
	if err != nil {
		return err
	}
	var n node
	if err := nodeTable.create(&n, body, c.minor); err != nil {
		return err
	}
	n.ProvisionState = baremetal.Enroll
	if c.minor < 11 {
		n.ProvisionState = baremetal.Available
	}
	if n.RetiredReason != "" && !n.Retired {
		return invalid("Cannot set retired_reason when retired is not set")
	}
	if err := c.checkNewNode(&n, body); err != nil {
		return err
	}
	if err := c.checkChassis(n.ChassisUUID); err != nil {
		return err
	}
	if err := c.checkParent(n.UUID, n.ParentNode); err != nil {
		return err
	}
	if err := c.api.Conductor.CreateNode(c.r.Context(), c.caller(), &n); err != nil {
		return err
	}
	c.w.Header().Set("Location", c.rawBase()+"/v1/nodes/"+n.UUID)
	return c.replyNode(http.StatusCreated, &n)
}

// checkChassis refuses a chassis that does not exist.
func (c *call) checkChassis(chassis string) error {
	if chassis == "" {
		return nil
	}
	_, err := c.api.Store.Chassis(c.r.Context(), chassis)
	return asInvalid(err)
}

// deepestFamily is how many nodes may be one inside of another.
const deepestFamily = 8

// checkParent refuses a parent that does not exist, or that is inside of the
// node: none of the two would be in any list then.
func (c *call) checkParent(node, parent string) error {
	if parent == "" {
		return nil
	}
	p, err := c.visibleNode(parent)
	for depth := 1; err == nil; depth++ {
		switch {
		case p.UUID == node:
			return invalid("Node %s cannot be inside of node %s, which is that node or inside of it.", node, parent)
		case p.ParentNode == "":
			return nil
		case depth == deepestFamily:
			return invalid("Node %s cannot have a child: it is %d levels inside of other nodes.", parent, depth)
		}
		p, err = c.api.Store.Node(c.r.Context(), p.ParentNode)
	}
	return asInvalid(err)
}

// asInvalid turns "not found" into a 400: it is the body that is wrong, not the path.
func asInvalid(err error) error {
	if baremetal.IsKind(err, baremetal.NotFound) {
		return invalid("%s", err)
	}
	return err
}

func deleteNode(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	if err := c.api.Conductor.DeleteNode(c.r.Context(), c.caller(), n.UUID); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent, "")
}
