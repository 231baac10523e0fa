package conductor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// VendorMethods lists the methods of the node's vendor interface.
func (c *Conductor) VendorMethods(ctx context.Context, ident string) (map[string]VendorMethod, error) {
	return read(ctx, c, ident, "vendor", "vendor passthru", func(v any, t *drivers.Task) (map[string]VendorMethod, error) {
		if v, ok := v.(drivers.Vendor); ok {
			return v.VendorMethods(t), nil
		}
		return map[string]VendorMethod{}, nil
	})
}

// VendorCall runs a vendor method; an unknown one is kind Invalid. One that is
// asynchronous is accepted here and runs under the claim afterwards; its failure
// is in last_error.
func (c *Conductor) VendorCall(ctx context.Context, who Caller, ident, method, httpMethod string, args map[string]any) (VendorResult, error) {
	n, err := c.Store.Node(ctx, ident)
	if err != nil {
		return VendorResult{}, err
	}
	v, err := drivers.As[drivers.Vendor](c.Registry, &n, "vendor", "vendor passthru")
	if err != nil {
		return VendorResult{}, err
	}
	t := c.readTask(ctx, n)
	m, err := pickMethod(v.VendorMethods(t), method, httpMethod, "node "+n.UUID)
	if err != nil {
		return VendorResult{}, err
	}
	if check, ok := v.(drivers.VendorChecker); ok {
		if err := check.CheckVendorCall(t, method, args); err != nil {
			return VendorResult{}, err
		}
	}
	if !m.Async {
		var value any
		err := do(ctx, c, who, ident, "vendor", "vendor passthru", func(ctx context.Context, v drivers.Vendor, t *drivers.Task) (err error) {
			value, err = v.VendorCall(ctx, t, method, httpMethod, args)
			return err
		})
		return VendorResult{Value: value}, err
	}
	return VendorResult{Async: true}, c.borrowAside(ctx, n.UUID, func(ctx context.Context, w *work) error {
		w.log = c.Log.With("node", w.node.UUID, "request_id", who.RequestID, "method", method)
		return w.vendor(ctx, who, func(ctx context.Context, t *drivers.Task) error {
			_, err := v.VendorCall(ctx, t, method, httpMethod, args)
			return err
		}, method)
	})
}

// vendor runs an asynchronous vendor method and keeps its failure in the row.
func (w *work) vendor(ctx context.Context, who Caller, call func(context.Context, *drivers.Task) error, method string) error {
	t, err := w.task(ctx)
	if err != nil {
		return err
	}
	callCtx, cancel := context.WithTimeout(ctx, w.c.PowerTimeout)
	defer cancel()
	err = call(callCtx, t)
	if err == nil || ctx.Err() != nil {
		return err
	}
	text := fmt.Sprintf("Failed to run the vendor method %s: %s", method, err)
	if werr := w.write(ctx, func(n *baremetal.Node, _ time.Time) error {
		n.LastError = text
		asked := *n
		who.asks(&asked.Work.Intent)
		n.Work.Events = append(n.Work.Events, w.c.entry(&asked, baremetal.SeverityError, "vendor", text, 0))
		return nil
	}); werr != nil {
		return werr
	}
	return err
}

// pickMethod finds a method among those that owner has.
func pickMethod(all map[string]VendorMethod, method, httpMethod, owner string) (VendorMethod, error) {
	m, ok := all[method]
	switch {
	case !ok:
		return m, baremetal.Errorf(baremetal.Invalid, "Method %s not found in the vendor interface of %s.", method, owner)
	case !slices.Contains(m.HTTPMethods, httpMethod):
		return m, baremetal.Errorf(baremetal.Invalid, "Method %s does not support HTTP %s; it takes %v.", method, httpMethod, m.HTTPMethods)
	}
	return m, nil
}

// DriverVendorMethods lists the methods of a driver itself.
func (c *Conductor) DriverVendorMethods(_ context.Context, driver string) (map[string]VendorMethod, error) {
	n, err := c.exampleNode(driver)
	if err != nil {
		return nil, err
	}
	if v, err := drivers.As[drivers.DriverVendor](c.Registry, &n, "vendor", "vendor_passthru"); err == nil {
		return v.DriverMethods(), nil
	}
	return map[string]VendorMethod{}, nil
}

// DriverVendorCall runs a method of a driver itself; an unknown one is kind
// Invalid. The failure of an asynchronous one is only logged.
func (c *Conductor) DriverVendorCall(ctx context.Context, who Caller, driver, method, httpMethod string, args map[string]any) (VendorResult, error) {
	n, err := c.exampleNode(driver)
	if err != nil {
		return VendorResult{}, err
	}
	v, err := drivers.As[drivers.DriverVendor](c.Registry, &n, "vendor", "vendor_passthru")
	if err != nil {
		return VendorResult{}, err
	}
	m, err := pickMethod(v.DriverMethods(), method, httpMethod, "driver "+driver)
	if err != nil {
		return VendorResult{}, err
	}
	call := func(ctx context.Context) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, c.PowerTimeout)
		defer cancel()
		return v.DriverCall(ctx, method, httpMethod, args)
	}
	if !m.Async {
		value, err := call(ctx)
		return VendorResult{Value: value}, err
	}
	if err := c.room(); err != nil {
		return VendorResult{}, err
	}
	c.mu.Lock()
	base := c.base
	c.workers.Add(1)
	c.mu.Unlock()
	go func() {
		defer c.workers.Done()
		if _, err := call(base); err != nil {
			c.Log.Error("asynchronous call failed", "driver", driver, "method", method, "request_id", who.RequestID, "err", err)
		}
	}()
	return VendorResult{Async: true}, nil
}
