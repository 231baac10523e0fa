package conductor

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// keep writes the documents of a finished piece of work.
func (w *work) keep(ctx context.Context, documents map[baremetal.DocumentKind]baremetal.Object) error {
	for _, kind := range slices.Sorted(maps.Keys(documents)) {
		now, err := w.c.Store.Now(ctx)
		if err != nil {
			return err
		}
		err = w.c.Store.ChangeDocument(ctx, w.node.UUID, kind, w.claim.epoch, func(old baremetal.Object) (baremetal.Object, error) {
			return merge(kind, old, documents[kind], now)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// merge keeps since when each setting and component is known, and which version
// of a component was the first.
func merge(kind baremetal.DocumentKind, old, new baremetal.Object, now time.Time) (baremetal.Object, error) {
	switch kind {
	case baremetal.BIOSDocument:
		return mergeList(old, new, "settings", func(s *baremetal.BIOSSetting) string { return s.Name },
			func(s, before *baremetal.BIOSSetting) {
				s.CreatedAt, s.UpdatedAt = now, time.Time{}
				if before != nil {
					s.CreatedAt, s.UpdatedAt = before.CreatedAt, before.UpdatedAt
					if s.Value != before.Value {
						s.UpdatedAt = now
					}
				}
			})
	case baremetal.FirmwareDocument:
		return mergeList(old, new, "components", func(f *baremetal.FirmwareComponent) string { return f.Component },
			func(f, before *baremetal.FirmwareComponent) {
				f.CreatedAt, f.UpdatedAt = now, time.Time{}
				if before != nil {
					f.InitialVersion, f.CreatedAt, f.UpdatedAt = before.InitialVersion, before.CreatedAt, before.UpdatedAt
					if f.CurrentVersion != before.CurrentVersion {
						f.UpdatedAt = now
					}
				}
			})
	}
	return new, nil
}

func mergeList[T any](old, new baremetal.Object, key string, name func(*T) string, date func(t, before *T)) (baremetal.Object, error) {
	var before, after map[string][]T
	if err := json.Unmarshal([]byte(old.Text()), &before); err != nil {
		before = nil // an older form is written anew
	}
	if err := json.Unmarshal([]byte(new.Text()), &after); err != nil {
		return "", err
	}
	list := after[key]
	for i := range list {
		var was *T
		if at := slices.IndexFunc(before[key], func(t T) bool { return name(&t) == name(&list[i]) }); at >= 0 {
			was = &before[key][at]
		}
		date(&list[i], was)
	}
	if len(list) == 0 {
		return "", nil
	}
	return baremetal.NewObject(map[string]any{key: list})
}

// lookAround reads what a machine's firmware says of itself, where the driver can.
func (w *work) lookAround(ctx context.Context, t *drivers.Task) (map[baremetal.DocumentKind]baremetal.Object, error) {
	found := map[baremetal.DocumentKind]baremetal.Object{}
	if bios, err := drivers.As[drivers.BIOS](w.c.Registry, &w.node, "bios", "bios"); err == nil {
		all, err := bios.BIOSSettings(ctx, t)
		if err != nil {
			return nil, err
		}
		found[baremetal.BIOSDocument] = baremetal.MustObject(map[string]any{"settings": all})
	}
	if firmware, err := drivers.As[drivers.Firmware](w.c.Registry, &w.node, "firmware", "firmware"); err == nil {
		all, err := firmware.FirmwareComponents(ctx, t)
		if err != nil {
			return nil, err
		}
		found[baremetal.FirmwareDocument] = baremetal.MustObject(map[string]any{"components": all})
	}
	return found, nil
}

// health is what the machine says of itself; a failure to ask leaves what was known.
func (w *work) health(ctx context.Context, t *drivers.Task) string {
	h, err := drivers.As[drivers.Health](w.c.Registry, &w.node, "management", "health")
	if err != nil {
		return w.node.Health
	}
	s, err := h.Health(ctx, t)
	if err != nil {
		w.log.Warn("reading the health failed", "err", err)
		return w.node.Health
	}
	return s
}
