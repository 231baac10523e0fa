package store

import "caddyshack/baremetal"

// The kinds of resources that say what to do with nodes and belong to none.

var templates = kind[baremetal.DeployTemplate]{
	table: "templates", what: "Deploy template", named: true,
	columns:    []string{"id", "uuid", "name", "steps", "extra", "created_at", "updated_at"},
	unsortable: []string{"steps", "extra"},
	args: func(t *baremetal.DeployTemplate) []any {
		return []any{t.ID, t.UUID, t.Name, string(t.Steps), object(t.Extra), micros(t.CreatedAt), micros(t.UpdatedAt)}
	},
	dest: func(t *baremetal.DeployTemplate) []any {
		return []any{&t.ID, &t.UUID, &t.Name, &t.Steps, &t.Extra, momentColumn{&t.CreatedAt}, momentColumn{&t.UpdatedAt}}
	},
	meta: func(t *baremetal.DeployTemplate) meta { return meta{&t.ID, &t.UUID, nil, &t.CreatedAt, &t.UpdatedAt} },
	unique: map[string]func(*baremetal.DeployTemplate) string{
		"name": func(t *baremetal.DeployTemplate) string {
			return "A deploy template with name " + t.Name + " already exists."
		},
	},
}

var runbooks = kind[baremetal.Runbook]{
	table: "runbooks", what: "Runbook", named: true,
	ofProject: func(sel *selection, project string) string {
		return "(" + ofOwner(sel, project) + " OR public = 1)"
	},
	columns: []string{"id", "uuid", "name", "description", "steps", "disable_ramdisk", "public", "owner", "traits", "extra",
		"created_at", "updated_at"},
	unsortable: []string{"steps", "traits", "extra"},
	args: func(r *baremetal.Runbook) []any {
		return []any{r.ID, r.UUID, r.Name, r.Description, string(r.Steps), flag(r.DisableRamdisk), flag(r.Public), r.Owner, string(r.Traits),
			object(r.Extra), micros(r.CreatedAt), micros(r.UpdatedAt)}
	},
	dest: func(r *baremetal.Runbook) []any {
		return []any{&r.ID, &r.UUID, &r.Name, &r.Description, &r.Steps, &r.DisableRamdisk, &r.Public, &r.Owner, &r.Traits,
			&r.Extra, momentColumn{&r.CreatedAt}, momentColumn{&r.UpdatedAt}}
	},
	meta: func(r *baremetal.Runbook) meta { return meta{&r.ID, &r.UUID, nil, &r.CreatedAt, &r.UpdatedAt} },
	unique: map[string]func(*baremetal.Runbook) string{
		"name": func(r *baremetal.Runbook) string { return "A runbook with name " + r.Name + " already exists." },
	},
}

var rules = kind[baremetal.InspectionRule]{
	table: "rules", what: "Inspection rule",
	columns: []string{"id", "uuid", "description", "priority", "sensitive", "phase", "conditions", "actions", "created_at",
		"updated_at"},
	unsortable: []string{"conditions", "actions"},
	args: func(r *baremetal.InspectionRule) []any {
		return []any{r.ID, r.UUID, r.Description, r.Priority, flag(r.Sensitive), r.Phase, r.Conditions, r.Actions,
			micros(r.CreatedAt), micros(r.UpdatedAt)}
	},
	dest: func(r *baremetal.InspectionRule) []any {
		return []any{&r.ID, &r.UUID, &r.Description, &r.Priority, &r.Sensitive, &r.Phase, &r.Conditions, &r.Actions,
			momentColumn{&r.CreatedAt}, momentColumn{&r.UpdatedAt}}
	},
	meta: func(r *baremetal.InspectionRule) meta { return meta{&r.ID, &r.UUID, nil, &r.CreatedAt, &r.UpdatedAt} },
}
