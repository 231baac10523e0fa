package conductor

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// record is do for a call whose success is written into the row.
func record[I any](ctx context.Context, c *Conductor, who Caller, ident, kind, what string,
	call func(context.Context, I, *drivers.Task) error, change func(n *baremetal.Node)) error {
	return doThen(ctx, c, who, ident, kind, what, call, func(ctx context.Context, w *work) error {
		return w.write(ctx, func(n *baremetal.Node, _ time.Time) error { change(n); return nil })
	})
}

// SetBootMode changes how the machine's firmware boots: uefi or bios.
func (c *Conductor) SetBootMode(ctx context.Context, who Caller, ident, mode string) error {
	return record(ctx, c, who, ident, "management", "set_boot_mode", func(ctx context.Context, m drivers.BootModes, t *drivers.Task) error {
		modes, err := m.SupportedBootModes(ctx, t)
		if err != nil {
			return err
		}
		if !slices.Contains(modes, mode) {
			return baremetal.Errorf(baremetal.Invalid, "Invalid boot mode %s specified. Supported are: %v.", mode, modes)
		}
		return m.SetBootMode(ctx, t, mode)
	}, func(n *baremetal.Node) { n.BootMode = mode })
}

// SetSecureBoot switches secure boot.
func (c *Conductor) SetSecureBoot(ctx context.Context, who Caller, ident string, on bool) error {
	return record(ctx, c, who, ident, "management", "set_secure_boot_state", func(ctx context.Context, m drivers.SecureBoot, t *drivers.Task) error {
		return m.SetSecureBoot(ctx, t, on)
	}, func(n *baremetal.Node) { n.SecureBoot = &on })
}

// asRAID is drivers.As for RAID, whose absence is kind NotFound, as clients expect.
func (c *Conductor) asRAID(n *baremetal.Node) (drivers.RAID, error) {
	impl, err := drivers.As[drivers.RAID](c.Registry, n, "raid", "raid")
	if err != nil {
		return nil, baremetal.Errorf(baremetal.NotFound, "%s", err)
	}
	return impl, nil
}

// SetRAID sets the RAID that the steps of the raid interface shall make. A node
// without RAID is kind NotFound.
func (c *Conductor) SetRAID(ctx context.Context, who Caller, ident string, config baremetal.Object) error {
	n, err := c.Store.Node(ctx, ident)
	if err != nil {
		return err
	}
	impl, err := c.asRAID(&n)
	if err != nil {
		return err
	}
	if err := impl.ValidateRAID(ctx, c.readTask(ctx, n), config); err != nil {
		return err
	}
	_, err = c.UpdateNode(ctx, who, ident, func(n *baremetal.Node) error {
		n.TargetRAIDConfig = config
		return nil
	})
	return err
}

// RAIDProperties describes the logical disks that nodes of a driver can have; a
// driver without RAID, or an unknown one, is kind NotFound.
func (c *Conductor) RAIDProperties(_ context.Context, driver string) (map[string]string, error) {
	n, err := c.exampleNode(driver)
	if err != nil {
		return nil, err
	}
	impl, err := c.asRAID(&n)
	if err != nil {
		return nil, err
	}
	return impl.LogicalDiskProperties(), nil
}

// exampleNode is a node of a driver with its default interfaces; an unknown driver is kind NotFound.
func (c *Conductor) exampleNode(driver string) (baremetal.Node, error) {
	n := baremetal.Node{Driver: driver}
	if err := c.SetInterfaces(&n); err != nil {
		return n, baremetal.Errorf(baremetal.NotFound, "Failed to load the driver %s: it is not enabled. Enabled are: %v.", driver, c.drivers)
	}
	return n, nil
}

// media is the body of a MediaDocument.
type media struct {
	Media []baremetal.VirtualMedium `json:"media"`
}

func readMedia(o baremetal.Object) (m media) {
	if err := json.Unmarshal([]byte(o.Text()), &m); err != nil {
		return media{}
	}
	return m
}

func (m media) object() (baremetal.Object, error) {
	if len(m.Media) == 0 {
		return "", nil
	}
	return baremetal.NewObject(map[string]any{"media": m.Media})
}

// VirtualMedia lists what is attached to a node; a driver that cannot attach is kind Invalid.
func (c *Conductor) VirtualMedia(ctx context.Context, ident string) ([]baremetal.VirtualMedium, error) {
	n, err := c.Store.Node(ctx, ident)
	if err != nil {
		return nil, err
	}
	if _, err := drivers.As[drivers.VirtualMedia](c.Registry, &n, "management", "virtual media"); err != nil {
		return nil, err
	}
	d, _, err := c.Store.Document(ctx, n.UUID, baremetal.MediaDocument)
	return readMedia(d.Body).Media, err
}

// AttachMedium shows an image to a machine as a drive, in place of one of the same type.
func (c *Conductor) AttachMedium(ctx context.Context, who Caller, ident string, m baremetal.VirtualMedium) error {
	return c.changeMedia(ctx, who, ident, func(ctx context.Context, v drivers.VirtualMedia, t *drivers.Task) error {
		return v.AttachMedium(ctx, t, m)
	}, func(all media) media {
		all.Media = slices.DeleteFunc(all.Media, func(old baremetal.VirtualMedium) bool { return old.DeviceType == m.DeviceType })
		all.Media = append(all.Media, m)
		return all
	})
}

// DetachMedia takes drives of the types away, all of them if none is named.
func (c *Conductor) DetachMedia(ctx context.Context, who Caller, ident string, deviceTypes []string) error {
	if len(deviceTypes) == 0 {
		deviceTypes = DeviceTypes()
	}
	return c.changeMedia(ctx, who, ident, func(ctx context.Context, v drivers.VirtualMedia, t *drivers.Task) error {
		return v.DetachMedia(ctx, t, deviceTypes)
	}, func(all media) media {
		all.Media = slices.DeleteFunc(all.Media, func(old baremetal.VirtualMedium) bool { return slices.Contains(deviceTypes, old.DeviceType) })
		return all
	})
}

// DeviceTypes are the drives that a virtual medium can be.
func DeviceTypes() []string { return []string{"cdrom", "disk", "floppy"} }

func (c *Conductor) changeMedia(ctx context.Context, who Caller, ident string,
	call func(context.Context, drivers.VirtualMedia, *drivers.Task) error, change func(media) media) error {
	return doThen(ctx, c, who, ident, "management", "virtual media", call, func(ctx context.Context, w *work) error {
		return c.Store.ChangeDocument(ctx, w.node.UUID, baremetal.MediaDocument, w.claim.epoch, func(old baremetal.Object) (baremetal.Object, error) {
			return change(readMedia(old)).object()
		})
	})
}
