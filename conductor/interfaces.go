package conductor

import (
	"context"
	"errors"
	"maps"
	"slices"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// Validate asks each interface whether the node has all it needs; it takes no claim.
func (c *Conductor) Validate(ctx context.Context, ident string) (map[string]Validation, error) {
	n, err := c.Store.Node(ctx, ident)
	if err != nil {
		return nil, err
	}
	t := c.readTask(ctx, n)
	out := map[string]Validation{}
	for _, kind := range baremetal.InterfaceKinds() {
		if kind == "vendor" {
			continue
		}
		v, err := drivers.As[drivers.Validator](c.Registry, &n, kind, kind)
		if err == nil {
			err = v.Validate(ctx, t)
		}
		if err != nil {
			out[kind] = Validation{Reason: err.Error()}
		} else {
			out[kind] = Validation{OK: true}
		}
	}
	return out, nil
}

// read calls an interface without a claim.
func read[I, R any](ctx context.Context, c *Conductor, ident, kind, what string, call func(I, *drivers.Task) (R, error)) (R, error) {
	var none R
	n, err := c.Store.Node(ctx, ident)
	if err != nil {
		return none, err
	}
	impl, err := drivers.As[I](c.Registry, &n, kind, what)
	if err != nil {
		return none, err
	}
	return call(impl, c.readTask(ctx, n))
}

// do calls an interface under a claim and a deadline.
func do[I any](ctx context.Context, c *Conductor, who Caller, ident, kind, what string, call func(context.Context, I, *drivers.Task) error) error {
	return doThen(ctx, c, who, ident, kind, what, call, func(context.Context, *work) error { return nil })
}

// doThen is do for a call whose success is kept, under the same claim.
func doThen[I any](ctx context.Context, c *Conductor, who Caller, ident, kind, what string,
	call func(context.Context, I, *drivers.Task) error, keep func(context.Context, *work) error) error {
	n, err := c.Store.Node(ctx, ident)
	if err != nil {
		return err
	}
	impl, err := drivers.As[I](c.Registry, &n, kind, what)
	if err != nil {
		return err
	}
	return c.borrow(ctx, ident, func(ctx context.Context, w *work) error {
		w.log = c.Log.With("node", w.node.UUID, "request_id", who.RequestID)
		t, err := w.task(ctx)
		if err != nil {
			return err
		}
		callCtx, cancel := context.WithTimeout(ctx, c.PowerTimeout)
		defer cancel()
		switch err := call(callCtx, impl, t); {
		case errors.Is(err, context.DeadlineExceeded):
			return baremetal.Errorf(baremetal.Unavailable, "%s of node %s did not finish within %s: %w", what, w.node.UUID, c.PowerTimeout, err)
		case err != nil:
			return err
		}
		return keep(ctx, w)
	})
}

// SupportedBootDevices lists the names the node's management interface takes.
func (c *Conductor) SupportedBootDevices(ctx context.Context, ident string) ([]string, error) {
	return read(ctx, c, ident, "management", "management", func(m drivers.Management, t *drivers.Task) ([]string, error) {
		return m.SupportedBootDevices(ctx, t)
	})
}

// BootDevice tells where the node boots from.
func (c *Conductor) BootDevice(ctx context.Context, ident string) (BootDevice, error) {
	return read(ctx, c, ident, "management", "management", func(m drivers.Management, t *drivers.Task) (BootDevice, error) {
		return m.BootDevice(ctx, t)
	})
}

// SetBootDevice sets where the node boots from; an unsupported name is kind Invalid.
func (c *Conductor) SetBootDevice(ctx context.Context, who Caller, ident string, d BootDevice) error {
	return do(ctx, c, who, ident, "management", "management", func(ctx context.Context, m drivers.Management, t *drivers.Task) error {
		names, err := m.SupportedBootDevices(ctx, t)
		if err != nil {
			return err
		}
		if !slices.Contains(names, d.Device) {
			return baremetal.Errorf(baremetal.Invalid, "Invalid boot device %s specified. Supported are: %v.", d.Device, names)
		}
		return m.SetBootDevice(ctx, t, d)
	})
}

// InjectNMI interrupts the machine.
func (c *Conductor) InjectNMI(ctx context.Context, who Caller, ident string) error {
	return do(ctx, c, who, ident, "management", "inject_nmi", func(ctx context.Context, m drivers.NMI, t *drivers.Task) error {
		return m.InjectNMI(ctx, t)
	})
}

// Indicators lists the node's lights.
func (c *Conductor) Indicators(ctx context.Context, ident string) ([]Indicator, error) {
	return read(ctx, c, ident, "management", "indicators", func(m drivers.Indicators, t *drivers.Task) ([]Indicator, error) {
		return m.Indicators(ctx, t)
	})
}

// IndicatorState tells whether a light is on, off or blinking.
func (c *Conductor) IndicatorState(ctx context.Context, ident, component, name string) (string, error) {
	return read(ctx, c, ident, "management", "indicators", func(m drivers.Indicators, t *drivers.Task) (string, error) {
		return m.IndicatorState(ctx, t, component, name)
	})
}

// SetIndicatorState switches a light.
func (c *Conductor) SetIndicatorState(ctx context.Context, who Caller, ident, component, name, state string) error {
	return do(ctx, c, who, ident, "management", "indicators", func(ctx context.Context, m drivers.Indicators, t *drivers.Task) error {
		return m.SetIndicatorState(ctx, t, component, name, state)
	})
}

// Drivers describes the hardware types of all live conductors; those of other
// processes are known by name only where this one does not have them.
func (c *Conductor) Drivers(context.Context) ([]DriverInfo, error) {
	var all []DriverInfo
	for _, name := range c.drivers {
		info, err := c.driverInfo(name)
		if err != nil {
			return nil, err
		}
		all = append(all, info)
	}
	return all, nil
}

// Driver describes one hardware type; an unknown one is kind NotFound.
func (c *Conductor) Driver(_ context.Context, name string) (DriverInfo, error) {
	if !slices.Contains(c.drivers, name) {
		return DriverInfo{}, baremetal.Errorf(baremetal.NotFound, "Failed to load the driver %s: it is not enabled. Enabled are: %v.", name, c.drivers)
	}
	return c.driverInfo(name)
}

func (c *Conductor) driverInfo(name string) (DriverInfo, error) {
	h, err := c.Registry.Type(name)
	if err != nil {
		return DriverInfo{}, err
	}
	info := DriverInfo{Name: name, Defaults: maps.Clone(h.Defaults), Enabled: map[string][]string{}, Properties: maps.Clone(h.Properties)}
	for _, kind := range baremetal.InterfaceKinds() {
		info.Enabled[kind] = h.InterfaceNames(kind)
	}
	c.mu.Lock()
	peers := c.peers
	c.mu.Unlock()
	for _, p := range peers {
		if p.Alive && slices.Contains(p.Drivers, name) {
			info.Hosts = append(info.Hosts, p.Hostname)
		}
	}
	slices.Sort(info.Hosts)
	info.Hosts = slices.Compact(info.Hosts)
	return info, nil
}
