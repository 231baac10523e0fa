package conductor

import (
	"context"
	"fmt"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// SetConsole accepts the start or stop of a node's console.
func (c *Conductor) SetConsole(ctx context.Context, who Caller, ident string, enabled bool) error {
	n, err := c.Store.Node(ctx, ident)
	if err != nil {
		return err
	}
	impl, err := drivers.As[drivers.Console](c.Registry, &n, "console", "console")
	if err != nil {
		return err
	}
	if err := impl.Validate(ctx, c.readTask(ctx, n)); err != nil {
		return err
	}
	_, err = c.accept(ctx, ident, func(n *baremetal.Node, _ time.Time) error {
		if n.ConsoleEnabled == enabled {
			return nil
		}
		n.LastError = ""
		n.Work.Intent.Console = &enabled
		who.asks(&n.Work.Intent)
		return nil
	})
	return err
}

// Console tells where the node's console is; info is nil while it is not enabled.
func (c *Conductor) Console(ctx context.Context, ident string) (bool, *ConsoleInfo, error) {
	n, err := c.Store.Node(ctx, ident)
	if err != nil {
		return false, nil, err
	}
	impl, err := drivers.As[drivers.Console](c.Registry, &n, "console", "console")
	if err != nil || !n.ConsoleEnabled {
		return false, nil, err
	}
	info, err := impl.Console(ctx, c.readTask(ctx, n))
	if err != nil {
		now, rerr := c.Store.Node(ctx, n.UUID)
		if rerr == nil && (!now.ConsoleEnabled || now.Work.Intent.Console != nil) { // it is being stopped
			return now.ConsoleEnabled, nil, nil
		}
		return true, nil, err
	}
	return true, &info, nil
}

// console starts or stops the console that was asked for.
func (w *work) console(ctx context.Context) (bool, error) {
	enable := *w.node.Work.Intent.Console
	t, err := w.task(ctx)
	if err != nil {
		return true, err
	}
	cctx, cancel := context.WithTimeout(ctx, w.c.PowerTimeout)
	defer cancel()
	impl, cerr := drivers.As[drivers.Console](w.c.Registry, &w.node, "console", "console")
	if cerr == nil {
		if enable {
			cerr = impl.StartConsole(cctx, t)
		} else {
			cerr = impl.StopConsole(cctx, t)
		}
	}
	if cerr != nil && ctx.Err() != nil {
		return true, cerr
	}
	more := false
	err = w.write(ctx, func(n *baremetal.Node, _ time.Time) error {
		n.Work.Intent.Console = nil
		if cerr == nil {
			n.ConsoleEnabled = enable
			if enable && n.Work.Place == "" {
				n.Work.Place = w.c.Places[0]
			}
		} else {
			n.LastError = consoleError(enable, cerr)
		}
		more = n.ProvisionState.Working() || n.Work.Intent.Power != ""
		if !more {
			drop(n, w.laterWakeIfBusy(n))
		}
		return nil
	})
	if err == nil && cerr != nil {
		w.history(ctx, baremetal.SeverityError, "console", consoleError(enable, cerr))
	}
	return more, err
}

func consoleError(enable bool, err error) string {
	if enable {
		return fmt.Sprintf("Failed to start console: %s", err)
	}
	return fmt.Sprintf("Failed to stop console: %s", err)
}

// restoreConsoles starts the consoles that were enabled before this process began.
func (c *Conductor) restoreConsoles(ctx context.Context) error {
	var nodes []baremetal.Node
	err := c.Store.Nodes(ctx, baremetal.NodeQuery{IncludeChildren: true}, func(n *baremetal.Node) error {
		if n.ConsoleEnabled && c.serves(n) {
			nodes = append(nodes, *n)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking for enabled consoles: %w", err)
	}
	for _, n := range nodes {
		impl, err := drivers.As[drivers.Console](c.Registry, &n, "console", "console")
		if err == nil {
			err = impl.StartConsole(ctx, c.readTask(ctx, n))
		}
		if err != nil {
			c.Log.Warn("starting a console again failed", "node", n.UUID, "err", err)
			c.seen(ctx, &n, baremetal.SeverityError, "console", consoleError(true, err))
		}
	}
	return nil
}
