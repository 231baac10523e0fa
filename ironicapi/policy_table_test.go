package ironicapi

import "testing"

// A new route must get a rule: without one it would be for administrators only.
func TestEveryRouteHasARule(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, rt := range routes() {
		key := rt.method + " " + rt.path
		a, ok := policy[key]
		used[key] = true
		switch {
		case rt.public && ok:
			t.Errorf("%s is public and has a rule", key)
		case !rt.public && !ok:
			t.Errorf("%s has no row in the table of policies", key)
		case !rt.public && (a.name == "" || a.rule.system == 0):
			t.Errorf("%s: nobody could use it", key)
		}
		if !rt.public && actionOf(&route{method: rt.method, path: rt.path + "/nosuch"}).rule != systemAdminOnly {
			t.Errorf("%s: a route without a row is open", key)
		}
	}
	for key := range policy {
		if !used[key] {
			t.Errorf("%s has a rule and no route", key)
		}
	}
	for name := range fieldActions {
		if f := nodeTable.find(name); f == nil || !f.patch {
			t.Errorf("%s has a rule and cannot be patched", name)
		}
	}
}

// Whoever may do something to a node may also see it: else the answer to what
// is forbidden would tell that a hidden node exists.
func TestRulesAreWithinVisibility(t *testing.T) {
	t.Parallel()
	for key, a := range policy {
		for roles := Roles(1); roles <= allRoles; roles++ {
			for _, at := range []target{{owner: "p"}, {lessee: "p"}, {}} {
				who := Identity{Project: "p", InProject: roles | RolesOf(names(roles)...)}
				narrowed := a.rule.anyone != 0
				if a.rule.allows(&who, at) && !narrowed && !nodeReader.allows(&who, at) && a.rule.owner != allocationMember.owner {
					t.Errorf("%s: %b on %+v may act on what it cannot see", key, roles, at)
				}
			}
		}
	}
}

func names(r Roles) []string {
	var out []string
	for i, name := range []string{"reader", "member", "manager", "admin", "service"} {
		if r.has(1 << i) {
			out = append(out, name)
		}
	}
	return out
}
