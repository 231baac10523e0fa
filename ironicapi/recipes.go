package ironicapi

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"time"

	"caddyshack/baremetal"
)

type (
	deployTemplate = baremetal.DeployTemplate
	runbook        = baremetal.Runbook
)

var deployTemplateTable = table[deployTemplate]{resource: "deploy_template", fields: []field[deployTemplate]{
	text("uuid", 55, listed|sortable|inCreate|notNull, func(t *deployTemplate) *string { return &t.UUID }, 0, isUUID("uuid")),
	text("name", 55, listed|sortable|inBoth|required|notNull, func(t *deployTemplate) *string { return &t.Name }, 255, traitName),
	steps("steps", "priority", 55, func(t *deployTemplate) *baremetal.Steps { return &t.Steps }, func(v any) ([]baremetal.Step, error) {
		return deploySteps(map[string]any{"deploy_steps": v})
	}),
	object("extra", 55, inBoth, func(t *deployTemplate) *baremetal.Object { return &t.Extra }),
	stamp("created_at", 55, sortable, func(t *deployTemplate) time.Time { return t.CreatedAt }),
	stamp("updated_at", 55, sortable, func(t *deployTemplate) time.Time { return t.UpdatedAt }),
	links("deploy_templates", func(t *deployTemplate) string { return t.UUID }),
}}

var deployTemplates = resource[deployTemplate]{
	key: "deploy_templates", what: "Deploy template", path: "/v1/deploy_templates", variable: "template", since: 55, before: gone405, named: true,
	detail: param{name: "detail", since: 55, doc: "return all fields"}, table: &deployTemplateTable,
	read: func(a *api) baremetal.Collection[deployTemplate] { return a.Store.DeployTemplates() },
	uuid: func(t *deployTemplate) string { return t.UUID },
}

func traitName(s string) error { return baremetal.CheckTrait(s) }

var runbookTable = table[runbook]{resource: "runbook", fields: []field[runbook]{
	text("uuid", 92, listed|sortable|inCreate|notNull, func(r *runbook) *string { return &r.UUID }, 0, isUUID("uuid")),
	runbookName(),
	text("description", 112, sortable|inBoth, func(r *runbook) *string { return &r.Description }, 255),
	steps("steps", "order", 92, func(r *runbook) *baremetal.Steps { return &r.Steps }, runbookSteps),
	flag("disable_ramdisk", 92, sortable|inBoth, false, func(r *runbook) *bool { return &r.DisableRamdisk }),
	flag("public", 92, sortable|inBoth, false, func(r *runbook) *bool { return &r.Public }),
	text("owner", 92, listed|sortable|inBoth, func(r *runbook) *string { return &r.Owner }, 255),
	shown("traits", 112, typeArray, 0, func(b []byte, _ *encoding, r *runbook) []byte { return append(b, r.Traits.Text()...) }),
	object("extra", 92, inBoth, func(r *runbook) *baremetal.Object { return &r.Extra }),
	stamp("created_at", 92, sortable, func(r *runbook) time.Time { return r.CreatedAt }),
	stamp("updated_at", 92, sortable, func(r *runbook) time.Time { return r.UpdatedAt }),
	links("runbooks", func(r *runbook) string { return r.UUID }),
}}

var runbooks = resource[runbook]{
	key: "runbooks", what: "Runbook", path: "/v1/runbooks", variable: "runbook", since: 92, before: gone405, named: true,
	detail: param{name: "detail", since: 92, doc: "return all fields"}, table: &runbookTable,
	read:    func(a *api) baremetal.Collection[runbook] { return a.Store.Runbooks() },
	uuid:    func(r *runbook) string { return r.UUID },
	target:  func(r *runbook) target { return target{owner: r.Owner, public: r.Public} },
	visible: runbookReader,
	own: func(c *call, r *runbook) error {
		if r.Public {
			return c.check("runbook:update:public", systemMember, target{})
		}
		return c.ownProject("runbook:create", systemMember, &r.Owner)
	},
	check: func(c *call, r, before *runbook, _ *node) error {
		if before != nil && (r.Public != before.Public || r.Owner != before.Owner) {
			if err := c.check("runbook:update:owner", systemMember, target{}); err != nil {
				return err
			}
		}
		if r.Public {
			r.Owner = "" // a public one belongs to nobody
		}
		if before == nil && c.minor < runbookTraits {
			r.Traits = baremetal.NewStrings(r.Name) // what its name meant then
		}
		return nil
	},
}

// runbookTraits is the version from which traits and not its name say where a runbook may run.
const runbookTraits = 112

var freeName = regexp.MustCompile(`^[A-Za-z0-9\-._~]+$`)

// runbookName has the syntax of a trait before 1.112.
func runbookName() field[runbook] {
	f := text("name", 92, listed|sortable|inBoth|required|notNull, func(r *runbook) *string { return &r.Name }, 255)
	plain := f.set
	f.set = func(r *runbook, v any, minor int) error {
		if s, ok := v.(string); ok {
			if minor < runbookTraits {
				if err := baremetal.CheckTrait(s); err != nil {
					return err
				}
			} else if !freeName.MatchString(s) || baremetal.IsUUID(s) {
				return schemaError("'" + show(s) + "' does not match '^[A-Za-z0-9\\-._~]+$'")
			}
		}
		return plain(r, v, minor)
	}
	return f
}

// steps is a list of steps whose place is given by rank: "priority" or "order".
func steps[T any](name, rank string, since int, at func(*T) *baremetal.Steps, read func(v any) ([]baremetal.Step, error)) field[T] {
	f := newField(name, since, typeArray, inBoth|required, func(b []byte, _ *encoding, t *T) []byte {
		b, err := appendValue(b, shownSteps(at(t).List(), rank))
		if err != nil { // cannot happen: they were decoded from JSON
			return append(b, "[]"...)
		}
		return b
	})
	f.get = func(t *T) any { return shownSteps(at(t).List(), rank) }
	f.set = func(t *T, v any, _ int) error {
		if err := unmask(v, plainSteps(at(t).List(), rank)); err != nil {
			return err
		}
		list, err := read(v)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return schemaError("[] is too short for " + name)
		}
		s, err := baremetal.NewSteps(list)
		if err == nil {
			*at(t) = s
		}
		return err
	}
	return f
}

// plainSteps are steps as a client writes them.
func plainSteps(list []baremetal.Step, rank string) []any {
	out := make([]any, 0, len(list))
	for _, s := range list {
		place := s.Priority
		if rank == "order" {
			place = s.Order
		}
		args := s.Args
		if args == nil {
			args = map[string]any{}
		}
		out = append(out, map[string]any{"interface": s.Interface, "step": s.Name, "args": args, rank: json.Number(strconv.Itoa(place))})
	}
	return out
}

// shownSteps are plainSteps without the secrets.
func shownSteps(list []baremetal.Step, rank string) []any {
	out := plainSteps(list, rank)
	for _, s := range out {
		mask(s)
	}
	return out
}

// runbookSteps reads the steps of a runbook, sorted into their order.
func runbookSteps(v any) ([]baremetal.Step, error) {
	const name = "steps"
	list, err := stepList(map[string]any{name: v}, name)
	if err != nil {
		return nil, err
	}
	known := []string{"interface", "step", "args", "order"}
	interfaces := append(slices.Clone(stepInterfaces), "network")
	var out []baremetal.Step
	for _, m := range list {
		s, err := readStep(name, m, known, interfaces)
		if err != nil {
			return nil, err
		}
		for _, key := range known {
			if _, ok := m[key]; !ok {
				return nil, invalid("%s: '%s' is a required property", name, key)
			}
		}
		n, whole := wholeNumber(m["order"])
		if !whole || n < 0 || n > 1<<31-1 {
			return nil, invalid("%s: order must be a whole number, 0 or more", name)
		}
		s.Order = int(n)
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b baremetal.Step) int { return a.Order - b.Order })
	return out, nil
}
