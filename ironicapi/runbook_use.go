package ironicapi

import (
	"slices"

	"caddyshack/baremetal"
	"caddyshack/conductor"
)

// useRunbook puts the steps of the runbook that a provision request names into
// it, if that runbook may run on the node.
func (c *call) useRunbook(ident any, r *conductor.ProvisionRequest) error {
	name, ok := ident.(string)
	if !ok || !baremetal.IsUUID(name) && !baremetal.ValidName(name) {
		return invalid("Expected UUID or name for runbook: %s.", show(ident))
	}
	book, err := c.api.Store.Runbooks().One(c.r.Context(), name)
	if on := (target{owner: book.Owner, public: book.Public}); err == nil && !c.may(runbookReader, on) {
		err = runbooks.notFound(name)
	} else if err == nil {
		if err := c.check("runbook:use", runbookUser, on); err != nil {
			return err
		}
	}
	if err != nil {
		return asInvalid(err)
	}
	n, err := c.readNode()
	if err != nil {
		return err
	}
	if !mayRun(&book, &n, c.minor) {
		if c.minor < runbookTraits {
			return invalid("This runbook has not been approved for use on this node %s: %s is not among its traits.", n.UUID, book.Name)
		}
		return invalid("This runbook has not been approved for use on this node %s: they have no trait in common.", n.UUID)
	}
	list := book.Steps.List()
	if r.Verb == baremetal.VerbClean {
		r.CleanSteps = list
	} else {
		r.ServiceSteps = list
	}
	r.DisableRamdisk = r.DisableRamdisk || book.DisableRamdisk
	return nil
}

func mayRun(book *runbook, n *node, minor int) bool {
	have := n.Traits.List()
	if minor < runbookTraits && slices.Contains(have, book.Name) {
		return true
	}
	return slices.ContainsFunc(book.Traits.List(), func(t string) bool { return slices.Contains(have, t) })
}
