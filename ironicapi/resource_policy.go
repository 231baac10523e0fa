package ironicapi

import "caddyshack/baremetal"

// targetFor is what rules look at for one of the resource.
func (r *resource[T]) targetFor(c *call, t *T) (target, error) {
	if r.target != nil {
		return r.target(t), nil
	}
	return c.targetOfNode(r.nodeOf(t))
}

// seenBy is who may see one of the resource.
func (r *resource[T]) seenBy() rule {
	if r.target != nil {
		return r.visible
	}
	return nodeReader
}

// finder finds the one that a path names, for the rules.
func (r *resource[T]) finder() finder {
	return finder{variable: r.variable, visible: r.seenBy(),
		find: func(c *call) (target, error) {
			t, err := r.one(c)
			if err != nil {
				return target{}, err
			}
			return r.targetFor(c, &t)
		},
		hide: func(c *call) error { return r.notFound(c.vars[r.variable]) }}
}

func (r *resource[T]) notFound(ident string) error {
	return baremetal.Errorf(baremetal.NotFound, "%s %s could not be found.", r.what, ident)
}

// checkMarker refuses a marker that the caller may not see as one that does not exist.
func (r *resource[T]) checkMarker(c *call, uuid string) error {
	t, err := r.read(c.api).One(c.r.Context(), uuid)
	if err != nil {
		return err
	}
	on, err := r.targetFor(c, &t)
	if err == nil && !c.may(r.seenBy(), on) {
		err = r.notFound(uuid)
	}
	return err
}

// mayPutOn looks up the node that one of the resource is put on.
func (r *resource[T]) mayPutOn(c *call, node string) error {
	n, err := c.visibleNode(node)
	if err != nil {
		return asInvalid(err)
	}
	return c.check(r.creates.name, r.creates.rule, targetOf(&n))
}

// ownProject completes something new that has an owner: whoever may not set any
// owner gets their own project, and may name no other.
func (c *call) ownProject(action string, any rule, owner *string) error {
	if c.may(any, target{}) {
		return nil
	}
	if *owner != "" && *owner != c.who.Project {
		return denied(action)
	}
	*owner = c.who.Project
	return nil
}
