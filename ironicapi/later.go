package ironicapi

import (
	"net/http"

	"caddyshack/baremetal"
)

// The resources of this file have their routes and versions; what they hold is
// still to come. Lists are empty, single items are not found, writes say so.

// emptyList answers a list of a top-level collection.
func emptyList(key string) func(*call) error {
	return func(c *call) error {
		if _, err := c.page(anySortKey); err != nil {
			return err
		}
		return c.replyEmptyList(key)
	}
}

func anySortKey(string) (int, bool) { return 1, true }

func (c *call) replyEmptyList(key string) error {
	c.buf = append(append(append(c.buf, `{"`...), key...), `":[]}`...)
	return c.reply(http.StatusOK)
}

// emptyOfNode is emptyList for what belongs to a node.
func emptyOfNode(key string) func(*call) error {
	return func(c *call) error {
		if _, err := c.readNode(); err != nil {
			return err
		}
		return c.replyEmptyList(key)
	}
}

// noneFound answers for one item of an empty collection; the item is the path's variable of that name.
func noneFound(what, variable string) func(*call) error {
	return func(c *call) error {
		return baremetal.Errorf(baremetal.NotFound, "%s %s could not be found.", what, show(c.vars[variable]))
	}
}

// noneOfNode is noneFound for what belongs to a node.
func noneOfNode(what, variable string) func(*call) error {
	return func(c *call) error {
		if _, err := c.readNode(); err != nil {
			return err
		}
		return noneFound(what, variable)(c)
	}
}

// later refuses a write.
func later(what string) func(*call) error {
	return func(c *call) error {
		if c.route.body != noBody {
			if _, err := c.readBody(); err != nil {
				return err
			}
		}
		return notYet(what)
	}
}

// laterOfNode is later for what belongs to a node.
func laterOfNode(what string) func(*call) error {
	return func(c *call) error {
		if _, err := c.readNode(); err != nil {
			return err
		}
		return later(what)(c)
	}
}

func showVolume(c *call) error { return c.volumeLinks("volume/", "", "/") }

func showNodeVolume(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	return c.volumeLinks("nodes/", n.UUID, "/volume/")
}

func (c *call) volumeLinks(path, id, rest string) error {
	base := c.linkBase()
	if id == "" {
		rest = ""
	}
	c.buf = append(c.buf, `{"connectors":`...)
	c.buf = appendLinks(c.buf, base, path, id, rest+"connectors")
	c.buf = append(c.buf, `,"targets":`...)
	c.buf = appendLinks(c.buf, base, path, id, rest+"targets")
	c.buf = append(c.buf, `,"links":`...)
	c.buf = append(appendLinks(c.buf, base, path, id, rest), '}')
	return c.reply(http.StatusOK)
}

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
