package inspection

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Data is what rules read and change. Numbers are json.Number or Go's own.
type Data struct {
	// Node holds the attributes of the node, "traits" and "uuid" among them.
	Node map[string]any
	// Ports hold the attributes of the node's ports.
	Ports []map[string]any
	// Inventory and PluginData are the findings.
	Inventory, PluginData map[string]any
}

// Clause is a condition or an action.
type Clause struct {
	Op       string          `json:"op"`
	Args     json.RawMessage `json:"args"`
	Loop     json.RawMessage `json:"loop"`
	Multiple string          `json:"multiple"`
}

// Rule says what to do with findings for which all its conditions hold.
type Rule struct {
	UUID                string
	Sensitive           bool // nothing of what it says may be shown
	Conditions, Actions []Clause
}

// Parse reads the lists of a rule; empty text is an empty list.
func Parse(uuid string, sensitive bool, conditions, actions string) (Rule, error) {
	r := Rule{UUID: uuid, Sensitive: sensitive}
	for text, to := range map[*string]*[]Clause{&conditions: &r.Conditions, &actions: &r.Actions} {
		if *text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(*text), to); err != nil {
			return r, fmt.Errorf("reading inspection rule %s: %w", uuid, err)
		}
	}
	return r, nil
}

// Engine applies rules.
type Engine struct {
	// Settable tells whether an attribute of nodes (or of ports) may be changed by a rule.
	Settable, PortSettable func(name string) bool
	// Call makes the HTTP GET of the action api-call; nil refuses it.
	Call func(ctx context.Context, url string, headers map[string]string, timeout time.Duration) error
	// Log takes the texts of the action log.
	Log *slog.Logger
}

// Apply runs the rules in order; the first error ends it.
func (e *Engine) Apply(ctx context.Context, rules []Rule, d *Data) error {
	for i := range rules {
		if err := e.apply(ctx, &rules[i], d); err != nil {
			if rules[i].Sensitive {
				return fmt.Errorf("inspection rule %s failed (it is sensitive: the reason is not shown)", rules[i].UUID)
			}
			return fmt.Errorf("inspection rule %s: %w", rules[i].UUID, err)
		}
	}
	return nil
}

func (e *Engine) apply(ctx context.Context, r *Rule, d *Data) error {
	for _, c := range r.Conditions {
		holds, err := e.holds(c, d)
		if err != nil {
			return fmt.Errorf("condition %q: %w", c.Op, err)
		}
		if !holds {
			return nil
		}
	}
	for _, a := range r.Actions {
		if err := e.each(a, d, func(s scope) (bool, error) { return true, e.act(ctx, a, s) }); err != nil {
			return fmt.Errorf("action %q: %w", a.Op, err)
		}
	}
	return nil
}

// scope is what placeholders can name.
type scope struct {
	d    *Data
	item any
	loop bool // whether there is an item
}

// maxItems bounds a loop.
const maxItems = 4096

// each calls f for every item of the clause's loop, or once; f ends it by false.
func (e *Engine) each(c Clause, d *Data, f func(s scope) (more bool, err error)) error {
	if len(c.Loop) == 0 || string(c.Loop) == "null" {
		_, err := f(scope{d: d})
		return err
	}
	raw, err := decode(c.Loop)
	if err != nil {
		return err
	}
	v, err := expand(raw, scope{d: d}, false)
	if err != nil {
		return err
	}
	var items []any
	switch v := v.(type) {
	case nil:
	case []any:
		items = v
	case map[string]any:
		for _, key := range sortedKeys(v) {
			items = append(items, map[string]any{"key": key, "value": v[key]})
		}
	default:
		return fmt.Errorf("loop is neither a list nor an object")
	}
	if len(items) > maxItems {
		return fmt.Errorf("loop over more than %d items", maxItems)
	}
	for _, item := range items {
		if more, err := f(scope{d: d, item: item, loop: true}); err != nil || !more {
			return err
		}
	}
	return nil
}

// holds evaluates a condition over its loop.
func (e *Engine) holds(c Clause, d *Data) (bool, error) {
	op, negate := strings.CutPrefix(c.Op, "!")
	op = strings.TrimSpace(op)
	seen, result := false, c.Multiple == "all"
	err := e.each(c, d, func(s scope) (bool, error) {
		args, err := arguments(c.Args, op, conditionArgs, s, false)
		if err != nil {
			return false, err
		}
		one, err := check(op, args)
		if err != nil {
			return false, err
		}
		one = one != negate
		switch c.Multiple {
		case "all":
			result = one
			return one, nil
		case "first":
			if !seen {
				result = one
			}
			seen = true
			return false, nil
		case "last":
			result = one
			return true, nil
		case "", "any":
			result = one
			return !one, nil
		}
		return false, fmt.Errorf("multiple is %q, not any, all, first or last", c.Multiple)
	})
	return result, err
}

func decode(raw json.RawMessage) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}
