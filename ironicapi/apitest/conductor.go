package apitest

import (
	"context"
	"slices"
	"time"

	"caddyshack/baremetal"
	"caddyshack/conductor"
)

// CreateNode implements ironicapi.Conductor.
func (b *Backend) CreateNode(_ context.Context, _ conductor.Caller, n *baremetal.Node) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n.UUID == "" {
		n.UUID = baremetal.NewUUID()
	}
	if err := b.interfaces(n); err != nil {
		return err
	}
	if err := b.unique(n); err != nil {
		return err
	}
	b.nextID++
	n.ID, n.CreatedAt = b.nextID, b.now()
	kept := *n
	b.nodes = append(b.nodes, &kept)
	return nil
}

func (b *Backend) unique(n *baremetal.Node) error {
	for _, other := range b.nodes {
		switch {
		case other.ID == n.ID && n.ID != 0:
		case other.UUID == n.UUID:
			return baremetal.Errorf(baremetal.Conflict, "A node with UUID %s already exists.", n.UUID)
		case n.Name != "" && other.Name == n.Name:
			return baremetal.Errorf(baremetal.Conflict, "A node with name %s already exists.", n.Name)
		case n.InstanceUUID != "" && other.InstanceUUID == n.InstanceUUID:
			return baremetal.Errorf(baremetal.Conflict, "Instance %s is already associated with a node, it cannot be associated with this other node %s.", n.InstanceUUID, n.UUID)
		}
	}
	return nil
}

// change is UpdateNode with the lock rules for what is named.
func (b *Backend) change(ident string, change func(*baremetal.Node) error) (baremetal.Node, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.find(ident)
	if err != nil {
		return baremetal.Node{}, err
	}
	if n.Work.Reservation != "" {
		return baremetal.Node{}, baremetal.Errorf(baremetal.Locked,
			"Node %s is locked by host %s, please retry after the current operation is completed.", n.UUID, n.Work.Reservation)
	}
	next := *n
	if err := change(&next); err != nil {
		return baremetal.Node{}, err
	}
	if err := b.unique(&next); err != nil {
		return baremetal.Node{}, err
	}
	next.UpdatedAt = b.now()
	*n = next
	return next, nil
}

// UpdateNode implements ironicapi.Conductor.
func (b *Backend) UpdateNode(_ context.Context, _ conductor.Caller, ident string, change func(*baremetal.Node) error) (baremetal.Node, error) {
	if err := b.failing("UpdateNode"); err != nil {
		return baremetal.Node{}, err
	}
	return b.change(ident, change)
}

// DeleteNode implements ironicapi.Conductor.
func (b *Backend) DeleteNode(_ context.Context, _ conductor.Caller, ident string) error {
	var uuid string
	_, err := b.change(ident, func(n *baremetal.Node) error {
		uuid = n.UUID
		free := []baremetal.ProvisionState{baremetal.Enroll, baremetal.Manageable, baremetal.AdoptFailed, baremetal.Available}
		switch {
		case n.Protected:
			return baremetal.Errorf(baremetal.Forbidden, "Node %s is protected and can not be undeployed, rebuilt or deleted.", n.UUID)
		case n.Maintenance:
			return nil
		case n.InstanceUUID != "":
			return baremetal.Errorf(baremetal.Conflict, "Node %s is associated with instance %s.", n.UUID, n.InstanceUUID)
		case !slices.Contains(free, n.ProvisionState):
			return baremetal.Errorf(baremetal.Conflict, "Can not delete node \"%s\" while it is in provision state \"%s\".", n.UUID, n.ProvisionState)
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nodes = slices.DeleteFunc(b.nodes, func(n *baremetal.Node) bool { return n.UUID == uuid })
	b.ports = slices.DeleteFunc(b.ports, func(p *baremetal.Port) bool { return p.NodeUUID == uuid })
	return nil
}

// SetInterfaces implements ironicapi.Conductor.
func (b *Backend) SetInterfaces(n *baremetal.Node) error { return b.interfaces(n) }

// CreatePort implements ironicapi.Conductor.
func (b *Backend) CreatePort(_ context.Context, _ conductor.Caller, p *baremetal.Port) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.UUID == "" {
		p.UUID = baremetal.NewUUID()
	}
	if err := b.uniquePort(p); err != nil {
		return err
	}
	b.nextID++
	p.ID, p.CreatedAt = b.nextID, b.now()
	kept := *p
	b.ports = append(b.ports, &kept)
	return nil
}

func (b *Backend) uniquePort(p *baremetal.Port) error {
	if _, err := b.portgroups.at(p.PortgroupUUID); err != nil && p.PortgroupUUID != "" {
		return baremetal.Errorf(baremetal.Invalid, "Portgroup %s could not be found.", p.PortgroupUUID)
	}
	for _, other := range b.ports {
		switch {
		case other.ID == p.ID && p.ID != 0:
		case other.Address == p.Address:
			return baremetal.Errorf(baremetal.Conflict, "A port with MAC address %s already exists.", p.Address)
		case other.UUID == p.UUID:
			return baremetal.Errorf(baremetal.Conflict, "A port with UUID %s already exists.", p.UUID)
		}
	}
	return nil
}

// UpdatePort implements ironicapi.Conductor.
func (b *Backend) UpdatePort(_ context.Context, _ conductor.Caller, ident string, change func(*baremetal.Port, *baremetal.Node) error) (baremetal.Port, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, err := b.port(ident)
	if err != nil {
		return baremetal.Port{}, err
	}
	n, err := b.find(b.ports[i].NodeUUID)
	if err != nil {
		return baremetal.Port{}, err
	}
	next, owner := *b.ports[i], *n
	if err := change(&next, &owner); err != nil {
		return baremetal.Port{}, err
	}
	if err := b.uniquePort(&next); err != nil {
		return baremetal.Port{}, err
	}
	next.UpdatedAt = b.now()
	*b.ports[i] = next
	return next, nil
}

// DeletePort implements ironicapi.Conductor.
func (b *Backend) DeletePort(_ context.Context, _ conductor.Caller, ident string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, err := b.port(ident)
	if err != nil {
		return err
	}
	b.ports = slices.Delete(b.ports, i, i+1)
	return nil
}

// SetPower implements ironicapi.Conductor.
func (b *Backend) SetPower(_ context.Context, _ conductor.Caller, ident string, r conductor.PowerRequest) error {
	_, err := b.change(ident, func(n *baremetal.Node) error {
		n.PowerState = r.Target.Outcome()
		return nil
	})
	return err
}

// SetProvision implements ironicapi.Conductor: it goes to where the verb ends.
func (b *Backend) SetProvision(_ context.Context, _ conductor.Caller, ident string, r conductor.ProvisionRequest) error {
	_, err := b.change(ident, func(n *baremetal.Node) error {
		event, _ := r.Verb.Event()
		if n.Maintenance && (event == baremetal.EventDeploy || event == baremetal.EventRebuild) {
			return baremetal.Errorf(baremetal.Invalid, "The %s operation can't be performed on node %s because it's in maintenance mode.", r.Verb, n.UUID)
		}
		next, ok := n.ProvisionState.Next(event)
		if !ok {
			return baremetal.Errorf(baremetal.Invalid,
				"The requested action \"%s\" can not be performed on node \"%s\" while it is in state \"%s\".", r.Verb, n.UUID, n.ProvisionState)
		}
		if n.Protected && (event == baremetal.EventDelete || event == baremetal.EventRebuild) {
			return baremetal.Errorf(baremetal.Forbidden, "Node %s is protected and can not be undeployed, rebuilt or deleted.", n.UUID)
		}
		if next == baremetal.Deleting {
			next, n.InstanceUUID, n.InstanceInfo = baremetal.Available, "", ""
		}
		if done, ok := next.Next(baremetal.EventDone); ok && next.Working() {
			if next = done; event == baremetal.EventClean {
				next = baremetal.Manageable
			}
		}
		n.SetState(next, b.now())
		if next == baremetal.Active {
			n.PowerState = baremetal.PowerOn
		}
		return nil
	})
	return err
}

// SetMaintenance implements ironicapi.Conductor.
func (b *Backend) SetMaintenance(_ context.Context, _ conductor.Caller, ident string, on bool, reason string) error {
	_, err := b.change(ident, func(n *baremetal.Node) error {
		n.Maintenance, n.MaintenanceReason = on, reason
		return nil
	})
	return err
}

// SetConsole implements ironicapi.Conductor.
func (b *Backend) SetConsole(_ context.Context, _ conductor.Caller, ident string, enabled bool) error {
	_, err := b.change(ident, func(n *baremetal.Node) error {
		n.ConsoleEnabled = enabled
		return nil
	})
	return err
}

// Console implements ironicapi.Conductor.
func (b *Backend) Console(ctx context.Context, ident string) (bool, *conductor.ConsoleInfo, error) {
	n, err := b.Node(ctx, ident)
	if err != nil || !n.ConsoleEnabled {
		return false, nil, err
	}
	return true, &conductor.ConsoleInfo{Type: "socat", URL: "tcp://127.0.0.1:10000"}, nil
}

// Validate implements ironicapi.Conductor: everything is well but the rescue interface.
func (b *Backend) Validate(context.Context, string) (map[string]conductor.Validation, error) {
	out := map[string]conductor.Validation{}
	for _, kind := range baremetal.InterfaceKinds() {
		if kind != "vendor" {
			out[kind] = conductor.Validation{OK: kind != "rescue"}
		}
	}
	out["rescue"] = conductor.Validation{Reason: "Driver fake-hardware does not support rescue (disabled or not implemented)."}
	return out, nil
}

// BootDevice implements ironicapi.Conductor.
func (b *Backend) BootDevice(_ context.Context, ident string) (conductor.BootDevice, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.boot[ident], nil
}

// SetBootDevice implements ironicapi.Conductor.
func (b *Backend) SetBootDevice(_ context.Context, _ conductor.Caller, ident string, d conductor.BootDevice) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.boot[ident] = d
	return nil
}

// SupportedBootDevices implements ironicapi.Conductor.
func (b *Backend) SupportedBootDevices(context.Context, string) ([]string, error) {
	return []string{"pxe"}, nil
}

// InjectNMI implements ironicapi.Conductor.
func (b *Backend) InjectNMI(context.Context, conductor.Caller, string) error {
	return b.failing("InjectNMI")
}

// Indicators implements ironicapi.Conductor.
func (b *Backend) Indicators(context.Context, string) ([]conductor.Indicator, error) {
	return []conductor.Indicator{{Name: "led", Component: "chassis", States: []string{"on", "off"}}}, nil
}

// IndicatorState implements ironicapi.Conductor.
func (b *Backend) IndicatorState(_ context.Context, ident, component, name string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lights[ident+component+name], nil
}

// SetIndicatorState implements ironicapi.Conductor.
func (b *Backend) SetIndicatorState(_ context.Context, _ conductor.Caller, ident, component, name, state string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lights[ident+component+name] = state
	return nil
}

// BootLog implements ironicapi.Conductor: the twin's machines have booted once.
func (b *Backend) BootLog(context.Context, string) (any, error) {
	return []map[string]any{{"attempt": 1}}, nil
}

// FollowBoot implements ironicapi.Conductor: one sign, and no more.
func (b *Backend) FollowBoot(ctx context.Context, _ string, send func(event any) error) error {
	if err := send(map[string]any{"stage": "mount"}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// VendorMethods implements ironicapi.Conductor.
func (b *Backend) VendorMethods(context.Context, string) (map[string]conductor.VendorMethod, error) {
	return map[string]conductor.VendorMethod{"echo": {HTTPMethods: []string{"GET", "POST"}, Description: "answers its arguments"}}, nil
}

// VendorCall implements ironicapi.Conductor.
func (b *Backend) VendorCall(_ context.Context, _ conductor.Caller, _, method, _ string, args map[string]any) (conductor.VendorResult, error) {
	switch method {
	case "echo":
		return conductor.VendorResult{Value: args}, nil
	case "later":
		return conductor.VendorResult{Async: true}, nil
	}
	return conductor.VendorResult{}, baremetal.Errorf(baremetal.Invalid, "Unsupported vendor method: %s", method)
}

// Drivers implements ironicapi.Conductor.
func (b *Backend) Drivers(context.Context) ([]conductor.DriverInfo, error) {
	return slices.Clone(b.drivers), nil
}

// Driver implements ironicapi.Conductor.
func (b *Backend) Driver(_ context.Context, name string) (conductor.DriverInfo, error) {
	return b.driver(name)
}

// HostFor implements ironicapi.Conductor.
func (b *Backend) HostFor(*baremetal.Node) string { return Host }

// SetClock makes the twin's times come from now.
func (b *Backend) SetClock(now func() time.Time) { b.now = now }
