package inspection

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// split reads a path: /a/b as in a JSON patch, a/b, or a.b.
func split(path string) ([]string, error) {
	sep := "."
	if strings.Contains(path, "/") {
		sep = "/"
	}
	parts := strings.Split(strings.TrimPrefix(path, "/"), sep)
	for i := range parts {
		if parts[i] == "" {
			return nil, fmt.Errorf("the path %q has an empty part", shortened(path))
		}
		parts[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(parts[i])
	}
	return parts, nil
}

// get finds what is at a path within objects and lists.
func get(v any, path []string) (any, bool) {
	for _, key := range path {
		switch x := v.(type) {
		case map[string]any:
			next, ok := x[key]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(x) {
				return nil, false
			}
			v = x[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// set puts a value at a path, making the objects on the way.
func set(m map[string]any, path []string, value any) error {
	for _, key := range path[:len(path)-1] {
		next, ok := m[key].(map[string]any)
		if !ok {
			if m[key] != nil {
				return fmt.Errorf("%q is not an object", key)
			}
			next = map[string]any{}
			m[key] = next
		}
		m = next
	}
	m[path[len(path)-1]] = value
	return nil
}

// del removes what is at a path; nothing there is no error.
func del(m map[string]any, path []string) {
	for _, key := range path[:len(path)-1] {
		next, ok := m[key].(map[string]any)
		if !ok {
			return
		}
		m = next
	}
	delete(m, path[len(path)-1])
}

// extend appends to the list at a path.
func extend(m map[string]any, path []string, value any, unique bool) error {
	old, _ := get(m, path)
	list, ok := old.([]any)
	if !ok && old != nil {
		return fmt.Errorf("%q is not a list", strings.Join(path, "/"))
	}
	if unique {
		for _, x := range list {
			if equal(x, value) {
				return nil
			}
		}
	}
	return set(m, path, append(append([]any(nil), list...), value))
}

// text writes a value as a rule's text shows it.
func text(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case json.Number:
		return x.String()
	case bool, int, int64, float64:
		return fmt.Sprint(x)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

func number(v any) (float64, bool) {
	switch x := v.(type) {
	case json.Number:
		f, err := x.Float64()
		return f, err == nil
	case int:
		return float64(x), true
	case int64:
		return float64(x), true
	case float64:
		return x, true
	}
	return 0, false
}

func equal(a, b any) bool {
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y
	}
	return reflect.DeepEqual(a, b)
}
