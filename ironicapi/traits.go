package ironicapi

import (
	"net/http"
	"slices"

	"caddyshack/baremetal"
)

func (c *call) replyTraits(t baremetal.Strings) error {
	c.buf = append(append(append(c.buf, `{"traits":`...), t.Text()...), '}')
	return c.reply(http.StatusOK)
}

// traitsBody reads the body of PUT traits.
func (c *call) traitsBody() (baremetal.Strings, error) {
	body, err := c.readObject("traits")
	if err != nil {
		return "", err
	}
	v, ok := body["traits"]
	if !ok {
		return "", missing("traits")
	}
	list, err := toStrings(v)
	if err != nil || v == nil {
		return "", invalid("traits must be a list of strings")
	}
	return baremetal.Traits(list)
}

// with and without return changes of a list of traits.
func withTrait(trait string) func(baremetal.Strings) (baremetal.Strings, error) {
	return func(t baremetal.Strings) (baremetal.Strings, error) { return baremetal.Traits(append(t.List(), trait)) }
}

func withoutTrait(owner, trait string) func(baremetal.Strings) (baremetal.Strings, error) {
	return func(t baremetal.Strings) (baremetal.Strings, error) {
		list := t.List()
		i := slices.Index(list, trait)
		if i < 0 {
			return "", baremetal.Errorf(baremetal.NotFound, "%s doesn't have a trait '%s'", owner, show(trait))
		}
		return baremetal.NewStrings(slices.Delete(list, i, i+1)...), nil
	}
}

func listTraits(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	return c.replyTraits(n.Traits)
}

// changeTraits changes the traits of the node of the path; location "" is none.
func (c *call) changeTraits(location string, change func(n *node, t baremetal.Strings) (baremetal.Strings, error)) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	_, err = c.api.Conductor.UpdateNode(c.r.Context(), c.caller(), n.UUID, func(n *node) error {
		t, err := change(n, n.Traits)
		if err == nil {
			n.Traits = t
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.empty(http.StatusNoContent, location)
}

func setTraits(c *call) error {
	t, err := c.traitsBody()
	if err != nil {
		return err
	}
	return c.changeTraits("", func(*node, baremetal.Strings) (baremetal.Strings, error) { return t, nil })
}

func removeTraits(c *call) error {
	return c.changeTraits("", func(*node, baremetal.Strings) (baremetal.Strings, error) { return "", nil })
}

// emptyBody refuses a body where there must be none.
func (c *call) emptyBody() error {
	body, err := c.readBody()
	if err == nil && body != nil {
		err = invalid("No body should be provided when setting a trait")
	}
	return err
}

func addTrait(c *call) error {
	if err := c.emptyBody(); err != nil {
		return err
	}
	trait := c.vars["trait"]
	return c.changeTraits("/v1/nodes/"+c.vars["node"]+"/traits/"+trait, func(_ *node, t baremetal.Strings) (baremetal.Strings, error) {
		return withTrait(trait)(t)
	})
}

func removeTrait(c *call) error {
	trait := c.vars["trait"]
	return c.changeTraits("", func(n *node, t baremetal.Strings) (baremetal.Strings, error) {
		return withoutTrait("Node "+n.UUID, trait)(t)
	})
}

func listRunbookTraits(c *call) error {
	r, err := runbooks.one(c)
	if err != nil {
		return err
	}
	return c.replyTraits(r.Traits)
}

func (c *call) changeRunbookTraits(change func(baremetal.Strings) (baremetal.Strings, error)) error {
	id, err := runbooks.ident(c)
	if err != nil {
		return err
	}
	_, err = c.api.Store.Runbooks().Update(c.r.Context(), id, func(r *runbook, _ *node) error {
		t, err := change(r.Traits)
		if err == nil {
			r.Traits = t
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.empty(http.StatusNoContent, "")
}

func setRunbookTraits(c *call) error {
	t, err := c.traitsBody()
	if err != nil {
		return err
	}
	return c.changeRunbookTraits(func(baremetal.Strings) (baremetal.Strings, error) { return t, nil })
}

func removeRunbookTraits(c *call) error {
	return c.changeRunbookTraits(func(baremetal.Strings) (baremetal.Strings, error) { return "", nil })
}

func addRunbookTrait(c *call) error {
	if err := c.emptyBody(); err != nil {
		return err
	}
	return c.changeRunbookTraits(withTrait(c.vars["trait"]))
}

func removeRunbookTrait(c *call) error {
	return c.changeRunbookTraits(withoutTrait("Runbook "+show(c.vars["runbook"]), c.vars["trait"]))
}
