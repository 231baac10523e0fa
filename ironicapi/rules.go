package ironicapi

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"caddyshack/baremetal"
)

type inspectionRule = baremetal.InspectionRule

var inspectionRuleTable = table[inspectionRule]{resource: "inspection_rule", fields: []field[inspectionRule]{
	text("uuid", 96, listed|sortable|inCreate|notNull, func(r *inspectionRule) *string { return &r.UUID }, 0, isUUID("uuid")),
	text("description", 96, listed|sortable|inBoth, func(r *inspectionRule) *string { return &r.Description }, 255),
	number("priority", 96, listed|sortable|inBoth, 0, 9999, func(r *inspectionRule) *int64 { return &r.Priority }),
	flag("sensitive", 96, sortable|inBoth, false, func(r *inspectionRule) *bool { return &r.Sensitive }),
	rulePhase(),
	ruleParts("conditions", 0, func(r *inspectionRule) *string { return &r.Conditions }, conditionOps, []string{"op", "args", "loop", "multiple"}),
	ruleParts("actions", required, func(r *inspectionRule) *string { return &r.Actions }, actionOps, []string{"op", "args", "loop"}),
	stamp("created_at", 96, sortable, func(r *inspectionRule) time.Time { return r.CreatedAt }),
	stamp("updated_at", 96, sortable, func(r *inspectionRule) time.Time { return r.UpdatedAt }),
	links("inspection_rules", func(r *inspectionRule) string { return r.UUID }),
}}

var (
	conditionOps = []string{"eq", "lt", "gt", "is-empty", "in-net", "matches", "contains", "one-of", "is-none", "is-true", "is-false"}
	actionOps    = []string{"fail", "log", "set-attribute", "extend-attribute", "del-attribute", "set-capability", "unset-capability",
		"add-trait", "remove-trait", "set-plugin-data", "extend-plugin-data", "unset-plugin-data", "set-port-attribute",
		"extend-port-attribute", "del-port-attribute", "api-call"}
	ruleMultiples = []string{"any", "all", "first", "last"}
)

var inspectionRules = resource[inspectionRule]{
	key: "inspection_rules", what: "Inspection rule", path: "/v1/inspection_rules", variable: "rule", since: 96, before: gone405,
	detail: param{name: "detail", since: 96, doc: "return all fields"}, table: &inspectionRuleTable,
	read:  func(a *api) baremetal.Collection[inspectionRule] { return a.Store.InspectionRules() },
	uuid:  func(r *inspectionRule) string { return r.UUID },
	fresh: func() inspectionRule { return inspectionRule{Phase: baremetal.MainPhase} },
	check: func(_ *call, r, before *inspectionRule, _ *node) error {
		if before != nil && before.Sensitive && !r.Sensitive {
			return invalid("Inspection rule %s is sensitive; that cannot be unset.", r.UUID)
		}
		return nil
	},
}

func rulePhase() field[inspectionRule] {
	f := text("phase", 96, listed|sortable|inBoth, func(r *inspectionRule) *string { return &r.Phase }, 255)
	f.set = func(r *inspectionRule, v any, _ int) error {
		if v != nil && v != baremetal.MainPhase {
			return schemaError("'" + show(v) + "' is not one of ['main'] for phase")
		}
		r.Phase = baremetal.MainPhase
		return nil
	}
	return f
}

// ruleParts is a list of conditions or actions. Those of a sensitive rule are
// shown as null, and for a patch they are one secret, which it may replace and
// not look into.
func ruleParts(name string, o option, at func(*inspectionRule) *string, ops, known []string) field[inspectionRule] {
	f := newField(name, 96, typeArray, inBoth|o, func(b []byte, _ *encoding, r *inspectionRule) []byte {
		switch {
		case r.Sensitive:
			return append(b, "null"...)
		case *at(r) == "":
			return append(b, "[]"...)
		}
		return append(b, *at(r)...)
	})
	f.get = func(r *inspectionRule) any {
		switch {
		case r.Sensitive:
			return masked
		case *at(r) == "":
			return []any{}
		}
		v, err := decodeJSON([]byte(*at(r)))
		if err != nil { // cannot happen: it was encoded here
			return []any{}
		}
		return v
	}
	f.set = func(r *inspectionRule, v any, _ int) error {
		switch {
		case v == nil:
			v = []any{}
		case v == masked && *at(r) != "", v == masked && o&required == 0:
			return nil // as it was
		}
		list, ok := v.([]any)
		if !ok {
			return wrongType(v, "array")
		}
		if len(list) == 0 && o&required != 0 {
			return schemaError("[] is too short for " + name)
		}
		if len(list) > maxSteps {
			return invalid("%s: more than %d", name, maxSteps)
		}
		for _, item := range list {
			if err := checkRulePart(name, item, ops, known); err != nil {
				return err
			}
		}
		if len(list) == 0 {
			*at(r) = ""
			return nil
		}
		text, err := json.Marshal(list)
		if err != nil {
			return schemaError(err.Error())
		}
		*at(r) = string(text)
		return nil
	}
	return f
}

func checkRulePart(name string, item any, ops, known []string) error {
	m, ok := item.(map[string]any)
	if !ok {
		return wrongType(item, "object")
	}
	for k := range m {
		if !slices.Contains(known, k) {
			return schemaError("Additional properties are not allowed ('" + show(k) + "' was unexpected) in " + name)
		}
	}
	op, _ := m["op"].(string)
	bare := op
	if name == "conditions" {
		bare = strings.TrimSpace(strings.TrimPrefix(op, "!"))
	}
	if !slices.Contains(ops, bare) {
		return schemaError("'" + show(m["op"]) + "' is not one of ['" + strings.Join(ops, "', '") + "'] for op of " + name)
	}
	switch m["args"].(type) {
	case map[string]any, []any:
	default:
		return schemaError("args of " + name + " must be an object or a list")
	}
	switch m["loop"].(type) {
	case nil, map[string]any, []any, string:
	default:
		return schemaError("loop of " + name + " must be an object, a list or a string")
	}
	if v, ok := m["multiple"]; ok {
		if s, _ := v.(string); !slices.Contains(ruleMultiples, s) {
			return schemaError("'" + show(v) + "' is not one of ['" + strings.Join(ruleMultiples, "', '") + "'] for multiple")
		}
	}
	return nil
}
