package apitest

import (
	"context"
	"slices"

	"caddyshack/baremetal"
	"caddyshack/conductor"
)

// Token is what Lookup gives to the first who asks for a node in a wait state.
const Token = "twin-token"

// Keep sets a document of a node, as work of a conductor would.
func (b *Backend) Keep(ident string, kind baremetal.DocumentKind, body baremetal.Object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.find(ident)
	if err != nil {
		panic(err)
	}
	b.documents[n.UUID+string(kind)] = baremetal.Document{Kind: kind, Body: body, CreatedAt: b.now()}
}

// Document implements ironicapi.Store.
func (b *Backend) Document(_ context.Context, uuid string, kind baremetal.DocumentKind) (baremetal.Document, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d, found := b.documents[uuid+string(kind)]
	return d, found, nil
}

// isFake tells whether a node is of the type that can do everything.
func isFake(n *baremetal.Node, what string) error {
	if n.Driver != "fake-hardware" {
		return baremetal.Errorf(baremetal.Invalid, "Driver %s does not support %s (disabled or not implemented).", n.Driver, what)
	}
	return nil
}

// SetBootMode implements ironicapi.Conductor.
func (b *Backend) SetBootMode(_ context.Context, _ conductor.Caller, ident, mode string) error {
	_, err := b.change(ident, func(n *baremetal.Node) error {
		n.BootMode = mode
		return isFake(n, "set_boot_mode")
	})
	return err
}

// SetSecureBoot implements ironicapi.Conductor.
func (b *Backend) SetSecureBoot(_ context.Context, _ conductor.Caller, ident string, on bool) error {
	_, err := b.change(ident, func(n *baremetal.Node) error {
		n.SecureBoot = &on
		return isFake(n, "set_secure_boot_state")
	})
	return err
}

func noRAID(driver string) error {
	return baremetal.Errorf(baremetal.NotFound, "Driver %s does not support raid (disabled or not implemented).", driver)
}

// SetRAID implements ironicapi.Conductor.
func (b *Backend) SetRAID(_ context.Context, _ conductor.Caller, ident string, config baremetal.Object) error {
	_, err := b.change(ident, func(n *baremetal.Node) error {
		if isFake(n, "raid") != nil {
			return noRAID(n.Driver)
		}
		n.TargetRAIDConfig = config
		return nil
	})
	return err
}

// RAIDProperties implements ironicapi.Conductor.
func (b *Backend) RAIDProperties(_ context.Context, driver string) (map[string]string, error) {
	if driver != "fake-hardware" {
		return nil, noRAID(driver)
	}
	return map[string]string{"size_gb": "size in GiB. Required."}, nil
}

// VirtualMedia implements ironicapi.Conductor.
func (b *Backend) VirtualMedia(ctx context.Context, ident string) ([]baremetal.VirtualMedium, error) {
	n, err := b.Node(ctx, ident)
	if err == nil {
		err = isFake(&n, "virtual media")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.media[n.UUID], err
}

// AttachMedium implements ironicapi.Conductor.
func (b *Backend) AttachMedium(ctx context.Context, _ conductor.Caller, ident string, m baremetal.VirtualMedium) error {
	n, err := b.Node(ctx, ident)
	if err == nil {
		err = isFake(&n, "virtual media")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.media[n.UUID] = append(b.media[n.UUID], m)
	return err
}

// DetachMedia implements ironicapi.Conductor.
func (b *Backend) DetachMedia(ctx context.Context, _ conductor.Caller, ident string, types []string) error {
	n, err := b.Node(ctx, ident)
	if err == nil {
		err = isFake(&n, "virtual media")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.media[n.UUID] = slices.DeleteFunc(b.media[n.UUID], func(m baremetal.VirtualMedium) bool {
		return types == nil || slices.Contains(types, m.DeviceType)
	})
	return err
}

// DriverVendorMethods implements ironicapi.Conductor.
func (b *Backend) DriverVendorMethods(_ context.Context, driver string) (map[string]conductor.VendorMethod, error) {
	if driver != "caddy" {
		return nil, nil
	}
	return map[string]conductor.VendorMethod{"echo": {HTTPMethods: []string{"GET"}, Description: "answers its arguments"}}, nil
}

// DriverVendorCall implements ironicapi.Conductor.
func (b *Backend) DriverVendorCall(_ context.Context, _ conductor.Caller, driver, method, _ string, args map[string]any) (conductor.VendorResult, error) {
	if driver != "caddy" || method != "echo" {
		return conductor.VendorResult{}, baremetal.Errorf(baremetal.Invalid, "Driver %s does not support vendor_passthru (disabled or not implemented).", driver)
	}
	return conductor.VendorResult{Value: args}, nil
}

// Lookup implements ironicapi.Conductor: it knows nodes in wait states.
func (b *Backend) Lookup(ctx context.Context, uuid string, addresses []string) (baremetal.Node, string, error) {
	if uuid == "" {
		b.mu.Lock()
		for _, p := range b.ports {
			if slices.Contains(addresses, p.Address) {
				uuid = p.NodeUUID
			}
		}
		b.mu.Unlock()
	}
	n, err := b.Node(ctx, uuid)
	if err != nil || !n.ProvisionState.Waiting() {
		return n, "", baremetal.Errorf(baremetal.NotFound, "Node could not be found.")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.looked[n.UUID] {
		return n, "", nil
	}
	b.looked[n.UUID] = true
	return n, Token, nil
}

// Heartbeat implements ironicapi.Conductor.
func (b *Backend) Heartbeat(_ context.Context, _ string, r conductor.HeartbeatRequest) error {
	if r.Token != Token {
		return baremetal.Errorf(baremetal.Unauthorized, "Invalid or missing agent token received.")
	}
	return nil
}

// ContinueInspection implements ironicapi.Conductor.
func (b *Backend) ContinueInspection(ctx context.Context, uuid string, addresses []string, _, _ map[string]any) (string, error) {
	n, _, err := b.Lookup(ctx, uuid, addresses)
	return n.UUID, err
}
