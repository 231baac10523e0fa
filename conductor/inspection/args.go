package inspection

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The arguments of each op in the order of a list; a name with "…" takes all
// that is left, one with "?" may be missing.
var (
	conditionArgs = map[string][]string{
		"eq": {"values…"}, "lt": {"values…"}, "gt": {"values…"}, "is-empty": {"value"}, "is-none": {"value"}, "is-true": {"value"},
		"is-false": {"value"}, "in-net": {"address", "subnet"}, "matches": {"value", "regex"}, "contains": {"value", "regex"},
		"one-of": {"value", "values"},
	}
	actionArgs = map[string][]string{
		"fail": {"msg"}, "log": {"msg", "level?"}, "set-attribute": {"path", "value"}, "extend-attribute": {"path", "value", "unique?"},
		"del-attribute": {"path"}, "set-capability": {"name", "value"}, "unset-capability": {"name"}, "add-trait": {"name"},
		"remove-trait": {"name"}, "set-plugin-data": {"path", "value"}, "extend-plugin-data": {"path", "value", "unique?"},
		"unset-plugin-data": {"path"}, "set-port-attribute": {"port_id", "path", "value"},
		"extend-port-attribute": {"port_id", "path", "value", "unique?"}, "del-port-attribute": {"port_id", "path"},
		"api-call": {"url", "headers?", "proxies?", "timeout?", "retries?", "backoff_factor?"},
	}
)

// args are the arguments of one call, with placeholders replaced.
type args map[string]any

func (a args) text(name string) string { return text(a[name]) }

// arguments reads a list or object of arguments for an op. With strict,
// a placeholder that names nothing is an error; else it is nil.
func arguments(raw json.RawMessage, op string, known map[string][]string, s scope, strict bool) (args, error) {
	names, ok := known[op]
	if !ok {
		return nil, fmt.Errorf("there is no op %q", op)
	}
	if len(raw) == 0 {
		raw = []byte("[]")
	}
	v, err := decode(raw)
	if err != nil {
		return nil, err
	}
	if v, err = expand(v, s, strict); err != nil {
		return nil, err
	}
	out := args{}
	switch v := v.(type) {
	case []any:
		for i, name := range names {
			if rest, all := strings.CutSuffix(name, "…"); all {
				out[rest] = v[min(i, len(v)):]
				v = nil
				break
			}
			if i < len(v) {
				out[strings.TrimSuffix(name, "?")] = v[i]
			}
		}
		if len(v) > len(names) {
			return nil, fmt.Errorf("%d arguments are too many", len(v))
		}
	case map[string]any:
		out = v
		if rest, all := strings.CutSuffix(names[0], "…"); all && v[rest] == nil {
			var values []any
			for _, key := range sortedKeys(v) {
				if key != "force_strings" {
					values = append(values, v[key])
				}
			}
			out = args{rest: values, "force_strings": v["force_strings"]}
		}
	default:
		return nil, fmt.Errorf("args are neither a list nor an object")
	}
	for _, name := range names {
		if _, ok := out[strings.TrimSuffix(name, "…")]; !ok && !strings.HasSuffix(name, "?") {
			return nil, fmt.Errorf("the argument %s is missing", name)
		}
	}
	return out, nil
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// expand replaces the placeholders in all texts of a value.
func expand(v any, s scope, strict bool) (any, error) {
	var err error
	switch v := v.(type) {
	case string:
		return format(v, s, strict)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			if out[i], err = expand(v[i], s, strict); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for key := range v {
			if out[key], err = expand(v[key], s, strict); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

// format replaces {placeholders}; a text that is one placeholder becomes the
// value it names, of whatever type. "{{" and "}}" stand for the braces.
func format(t string, s scope, strict bool) (any, error) {
	if !strings.ContainsAny(t, "{}") {
		return t, nil
	}
	var b strings.Builder
	for i := 0; i < len(t); i++ {
		ch := t[i]
		if ch != '{' && ch != '}' {
			b.WriteByte(ch)
			continue
		}
		if i+1 < len(t) && t[i+1] == ch {
			b.WriteByte(ch)
			i++
			continue
		}
		end := strings.IndexByte(t[i:], '}')
		if ch == '}' || end < 0 {
			return nil, fmt.Errorf("a single brace in %q", shortened(t))
		}
		v, found := s.resolve(t[i+1 : i+end])
		if !found && strict {
			return nil, fmt.Errorf("%s names nothing", shortened(t[i:i+end+1]))
		}
		if i == 0 && end == len(t)-1 {
			return v, nil
		}
		b.WriteString(text(v))
		i += end
	}
	return b.String(), nil
}

func shortened(s string) string {
	const longest = 100
	if len(s) > longest {
		return strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return s
}

// resolve finds what a placeholder names: node.name, inventory[cpu][count],
// item, item[mac_address].
func (s scope) resolve(path string) (any, bool) {
	path = strings.NewReplacer("[", ".", "]", "").Replace(path)
	root, rest, deeper := strings.Cut(path, ".")
	var v any
	switch root {
	case "node":
		v = s.d.Node
	case "inventory":
		v = s.d.Inventory
	case "plugin_data":
		v = s.d.PluginData
	case "ports":
		list := make([]any, len(s.d.Ports))
		for i := range s.d.Ports {
			list[i] = s.d.Ports[i]
		}
		v = list
	case "item":
		if !s.loop {
			return nil, false
		}
		v = s.item
	default:
		return nil, false
	}
	found := true
	if deeper {
		v, found = get(v, strings.Split(rest, "."))
	}
	return clone(v), found // what a rule puts elsewhere must not be one with what it came from
}

func clone(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for key := range x {
			out[key] = clone(x[key])
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = clone(x[i])
		}
		return out
	}
	return v
}
