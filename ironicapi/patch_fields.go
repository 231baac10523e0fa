package ironicapi

import (
	"slices"
	"strings"
)

// touches returns the fields a patch reads or writes, and checks that it may.
func (t *table[T]) touches(ops []patchOp, minor int) ([]*field[T], error) {
	var out []*field[T]
	look := func(name string, remove bool) error {
		f := t.find(name)
		if f == nil || !f.patch {
			return invalid("Cannot patch /%s. Only the following can be updated: %s", show(name), strings.Join(t.patchable(minor), ", "))
		}
		if f.since > minor {
			return needsMinor(f.since)
		}
		if remove && f.required {
			return invalid("'/%s' is a mandatory attribute and can not be removed", name)
		}
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
		return nil
	}
	for _, op := range ops {
		whole := len(op.path) == 1
		if err := look(op.path[0], whole && op.op == "remove"); err != nil {
			return nil, err
		}
		if op.from != nil {
			if err := look(op.from[0], len(op.from) == 1 && op.op == "move"); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (t *table[T]) patchable(minor int) []string {
	var names []string
	for _, f := range t.fields {
		if f.patch && f.since <= minor {
			names = append(names, "/"+f.name)
		}
	}
	slices.Sort(names)
	return names
}

// patch applies the operations to v, which is changed only in the fields they
// touch. On an error v is of no use.
func (t *table[T]) patch(v *T, ops []patchOp, minor int) error {
	fields, err := t.touches(ops, minor)
	if err != nil {
		return err
	}
	d := patchDoc{fields: make(map[string]any, len(fields))}
	for _, f := range fields {
		d.fields[f.name] = f.get(v)
	}
	if err := d.apply(ops); err != nil {
		return err
	}
	for _, f := range fields {
		value := d.fields[f.name]
		if value == nil && f.required {
			return invalid("'/%s' is a mandatory attribute and can not be removed", f.name)
		}
		if err := t.assign(f, v, value, minor); err != nil {
			return err
		}
	}
	return nil
}
