package ironicapi

import (
	"net/http"

	"caddyshack/baremetal"
)

// listChildren lists the nodes inside of a node.
func listChildren(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	c.buf = append(c.buf, `{"children":[`...)
	first := true
	err = c.api.Store.Nodes(c.r.Context(), baremetal.NodeQuery{ParentNode: &n.UUID, Project: c.onlyProject()}, func(child *node) error {
		if !first {
			c.buf = append(c.buf, ',')
		}
		first = false
		c.buf = appendString(c.buf, child.UUID)
		return nil
	})
	if err != nil {
		return err
	}
	c.buf = append(c.buf, `],"links":`...)
	c.buf = append(appendLinks(c.buf, c.linkBase(), "nodes/", n.UUID, "/children"), '}')
	return c.reply(http.StatusOK)
}

// noSuchField answers for an unknown word below a node: to GET, that might be a field.
func noSuchField(c *call) error {
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		c.failRouting(http.StatusNotFound, "")
		return nil
	}
	return invalid("Field %s is not a valid field.", show(c.vars["rest"]))
}
