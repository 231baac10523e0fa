package ironicapi

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// clone copies a value, so that no two places of the document share one.
func (d *patchDoc) clone(v any) (any, error) {
	if d.budget--; d.budget < 0 {
		return nil, fmt.Errorf("the patched document would be too large")
	}
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, inner := range x {
			c, err := d.clone(inner)
			if err != nil {
				return nil, err
			}
			out[k] = c
		}
		return out, nil
	case []any:
		out := make([]any, len(x))
		for i, inner := range x {
			c, err := d.clone(inner)
			if err != nil {
				return nil, err
			}
			out[i] = c
		}
		return out, nil
	case string: // long strings count for what they hold
		if d.budget -= len(x) / 64; d.budget < 0 {
			return nil, fmt.Errorf("the patched document would be too large")
		}
	}
	return v, nil
}

func equalJSON(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && maps.EqualFunc(x, y, equalJSON)
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, equalJSON)
	}
	if x, ok := a.(fmt.Stringer); ok { // json.Number: 1 and 1.0 are equal
		y, ok := b.(fmt.Stringer)
		return ok && (x.String() == y.String() || sameNumber(x.String(), y.String()))
	}
	return a == b
}

func sameNumber(a, b string) bool {
	x, err := strconv.ParseFloat(a, 64)
	if err != nil {
		return false
	}
	y, err := strconv.ParseFloat(b, 64)
	return err == nil && x == y
}

func depth(v any, above int) int {
	deepest := above
	switch x := v.(type) {
	case map[string]any:
		for _, inner := range x {
			deepest = max(deepest, depth(inner, above+1))
		}
		deepest = max(deepest, above+1)
	case []any:
		for _, inner := range x {
			deepest = max(deepest, depth(inner, above+1))
		}
		deepest = max(deepest, above+1)
	}
	return deepest
}
