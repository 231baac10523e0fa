package conductor

import (
	"context"
	"fmt"

	"caddyshack/baremetal"
)

// Tell adds to a node's history what somebody outside has seen of its machine,
// and looks at the node again if it waits for something. All conductors may be
// told; the one that is shown for the node writes it down. A node that is no
// more is no error.
func (c *Conductor) Tell(ctx context.Context, uuid string, severity baremetal.Severity, kind, event string) error {
	n, err := c.Store.Node(ctx, uuid)
	if baremetal.IsKind(err, baremetal.NotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("telling of node %s that %q: %w", uuid, event, err)
	}
	if host := c.HostFor(&n); host != "" && host != c.Host {
		return nil
	}
	c.history(ctx, &n, severity, kind, event)
	return c.Wake(ctx, uuid)
}
