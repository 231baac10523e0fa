package ironicapi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a PATCH: operations, and what copies may add up to in JSON values.
const (
	maxPatchOps    = 1000
	maxPatchValues = 50_000
)

// patchOp is one operation of a JSON Patch (RFC 6902). Beyond the add, replace
// and remove that Ironic knows, move, copy and test work as well.
type patchOp struct {
	op    string
	path  []string // unescaped; the first is a field of the resource
	from  []string
	value any
	text  string // for error messages, without the value
}

// parsePatch reads the body of a PATCH.
func parsePatch(body any) ([]patchOp, error) {
	list, ok := body.([]any)
	if !ok {
		return nil, invalid("Schema error for patch: a JSON Patch must be a list of operations")
	}
	if len(list) > maxPatchOps {
		return nil, invalid("Schema error for patch: more than %d operations", maxPatchOps)
	}
	ops := make([]patchOp, 0, len(list))
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, invalid("Schema error for patch: %s is not of type 'object'", show(item))
		}
		op, err := parseOp(m)
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}

func parseOp(m map[string]any) (patchOp, error) {
	op := patchOp{value: m["value"]}
	op.op, _ = m["op"].(string)
	switch op.op {
	case "add", "replace", "remove", "move", "copy", "test":
	default:
		return op, invalid("Schema error for patch: '%s' is not one of ['add', 'replace', 'remove', 'move', 'copy', 'test']", show(m["op"]))
	}
	for k := range m {
		if k != "op" && k != "path" && k != "value" && k != "from" {
			return op, invalid("Schema error for patch: Additional properties are not allowed ('%s' was unexpected)", show(k))
		}
	}
	var err error
	if op.path, err = parsePointer(m, "path"); err != nil {
		return op, err
	}
	if op.op == "move" || op.op == "copy" {
		if op.from, err = parsePointer(m, "from"); err != nil {
			return op, err
		}
	}
	path, _ := m["path"].(string)
	// in Python's way of writing, which Ironic has here and its client's tests look for
	op.text = fmt.Sprintf(`{'op': '%s', 'path': '%s'}`, op.op, show(path))
	return op, nil
}

// parsePointer reads a JSON Pointer (RFC 6901); the whole document is not allowed.
func parsePointer(m map[string]any, key string) ([]string, error) {
	s, ok := m[key].(string)
	if !ok {
		return nil, invalid("Schema error for patch: '%s' is a required property", key)
	}
	if !strings.HasPrefix(s, "/") || s == "/" || strings.ContainsRune(s, 0) || strings.Count(s, "/") > maxNesting {
		return nil, invalid("Schema error for patch: '%s' does not match '^(/[\\w-]+)+$'", show(s))
	}
	tokens := strings.Split(s[1:], "/")
	for i, t := range tokens {
		if strings.HasSuffix(t, "~") || strings.Count(t, "~") != strings.Count(t, "~0")+strings.Count(t, "~1") {
			return nil, invalid("Schema error for patch: '%s' has a '~' that is neither '~0' nor '~1'", show(s))
		}
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(t, "~1", "/"), "~0", "~")
	}
	return tokens, nil
}

// patchDoc is what a patch works on: the fields it touches, as decoded JSON. A
// field that is null or was removed has the value nil.
type patchDoc struct {
	fields map[string]any
	budget int // JSON values that copies may still add
}

// apply carries out the operations one after another. The document is of no
// use after an error.
func (d *patchDoc) apply(ops []patchOp) error {
	d.budget = maxPatchValues
	for i := range ops {
		if err := d.applyOne(&ops[i]); err != nil {
			return invalid("Couldn't apply patch '[%s]'. Reason: %s", ops[i].text, err)
		}
	}
	for name, v := range d.fields {
		if depth(v, 0) > maxNesting {
			return invalid("Couldn't apply patch. Reason: %s would nest deeper than %d levels", name, maxNesting)
		}
	}
	return nil
}

func (d *patchDoc) applyOne(op *patchOp) error {
	switch op.op {
	case "add", "replace":
		v, err := d.clone(op.value)
		if err != nil {
			return err
		}
		return d.put(op.path, v, op.op == "add")
	case "remove":
		return d.remove(op.path)
	case "test":
		have, err := d.get(op.path)
		if err == nil && !equalJSON(have, op.value) {
			err = fmt.Errorf("the value at '%s' is not the one tested for", show(op.path[len(op.path)-1]))
		}
		return err
	}
	v, err := d.get(op.from)
	if err != nil {
		return err
	}
	if v, err = d.clone(v); err != nil {
		return err
	}
	if op.op == "move" {
		if len(op.path) > len(op.from) && slices.Equal(op.path[:len(op.from)], op.from) {
			return fmt.Errorf("cannot move values into their own children")
		}
		if err := d.remove(op.from); err != nil {
			return err
		}
	}
	return d.put(op.path, v, true)
}

func (d *patchDoc) get(path []string) (any, error) {
	var v any = d.fields
	for _, key := range path {
		switch c := v.(type) {
		case map[string]any:
			inner, ok := c[key]
			if !ok {
				return nil, fmt.Errorf("member '%s' not found", show(key))
			}
			v = inner
		case []any:
			i, err := index(key, len(c)-1)
			if err != nil {
				return nil, err
			}
			v = c[i]
		default:
			return nil, fmt.Errorf("member '%s' not found", show(key))
		}
	}
	return v, nil
}

// put adds or replaces the value at path.
func (d *patchDoc) put(path []string, v any, add bool) error {
	if len(path) == 1 {
		d.fields[path[0]] = v
		return nil
	}
	_, err := edit(d.fields, path, func(container any, key string) (any, error) {
		switch c := container.(type) {
		case map[string]any:
			if _, ok := c[key]; !ok && !add {
				return nil, fmt.Errorf("can't replace a non-existent object '%s'", show(key))
			}
			c[key] = v
			return c, nil
		case []any:
			if add && key == "-" {
				return append(c, v), nil
			}
			last := len(c) - 1
			if add {
				last++
			}
			i, err := index(key, last)
			if err != nil {
				return nil, err
			}
			if add {
				return slices.Insert(c, i, v), nil
			}
			c[i] = v
			return c, nil
		}
		return nil, fmt.Errorf("'%s' is not inside an object or a list", show(key))
	})
	return err
}

// remove deletes the value at path; a field of the resource becomes nil instead.
func (d *patchDoc) remove(path []string) error {
	if len(path) == 1 {
		d.fields[path[0]] = nil
		return nil
	}
	_, err := edit(d.fields, path, func(container any, key string) (any, error) {
		switch c := container.(type) {
		case map[string]any:
			if _, ok := c[key]; !ok {
				return nil, fmt.Errorf("can't remove a non-existent object '%s'", show(key))
			}
			delete(c, key)
			return c, nil
		case []any:
			i, err := index(key, len(c)-1)
			if err != nil {
				return nil, err
			}
			return slices.Delete(c, i, i+1), nil
		}
		return nil, fmt.Errorf("can't remove a non-existent object '%s'", show(key))
	})
	return err
}

// edit changes the container of the last path element and puts back what leaf
// returns, since a list may have moved.
func edit(v any, path []string, leaf func(container any, key string) (any, error)) (any, error) {
	key := path[0]
	if len(path) == 1 {
		return leaf(v, key)
	}
	switch c := v.(type) {
	case map[string]any:
		inner, ok := c[key]
		if !ok {
			return nil, fmt.Errorf("member '%s' not found", show(key))
		}
		changed, err := edit(inner, path[1:], leaf)
		if err != nil {
			return nil, err
		}
		c[key] = changed
		return c, nil
	case []any:
		i, err := index(key, len(c)-1)
		if err != nil {
			return nil, err
		}
		changed, err := edit(c[i], path[1:], leaf)
		if err != nil {
			return nil, err
		}
		c[i] = changed
		return c, nil
	}
	return nil, fmt.Errorf("member '%s' not found", show(key))
}

// index reads an array index of RFC 6901.
func index(key string, last int) (int, error) {
	i, err := strconv.Atoi(key)
	if err != nil || i < 0 || strconv.Itoa(i) != key {
		return 0, fmt.Errorf("'%s' is not a valid list index", show(key))
	}
	if i > last {
		return 0, fmt.Errorf("can't use a list index out of bounds: %d", i)
	}
	return i, nil
}
