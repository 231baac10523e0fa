package ironicapi

import (
	"encoding/json"
	"strings"
	"testing"
)

// described is the description as a client reads it.
func described(t *testing.T) map[string]any {
	t.Helper()
	text, err := json.Marshal(openapiDocument("https://cloud.example/baremetal"))
	if err != nil {
		t.Fatal(err)
	}
	var d map[string]any
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// at follows a path of keys; nil if there is nothing.
func at(v any, keys ...string) any {
	for _, k := range keys {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

func TestEveryRouteIsDescribed(t *testing.T) {
	t.Parallel()
	d := described(t)
	ids := map[string]bool{}
	for _, rt := range routes() {
		methods := []string{rt.method}
		if rt.method == "*" {
			methods = anyMethods
		}
		for _, m := range methods {
			op, ok := at(d, "paths", rt.path, strings.ToLower(m)).(map[string]any)
			if !ok {
				t.Errorf("%s %s is not described", m, rt.path)
				continue
			}
			id, _ := op["operationId"].(string)
			if id == "" || ids[id] {
				t.Errorf("%s %s: operationId %q is empty or there twice", m, rt.path, id)
			}
			ids[id] = true
			if op["summary"] == "" || at(op, "responses", "2XX") == nil || at(op, "responses", "default") == nil {
				t.Errorf("%s %s: no summary or responses: %v", m, rt.path, op)
			}
			if (op["x-policy"] == nil) != rt.public {
				t.Errorf("%s %s: policy %v", m, rt.path, op["x-policy"])
			}
		}
	}
}

func TestDescriptionIsSound(t *testing.T) {
	t.Parallel()
	d := described(t)
	var walk func(where string, v any)
	walk = func(where string, v any) {
		switch x := v.(type) {
		case map[string]any:
			if to, ok := x["$ref"].(string); ok {
				if at(d, strings.Split(strings.TrimPrefix(to, "#/"), "/")...) == nil {
					t.Errorf("%s: %s points nowhere", where, to)
				}
			}
			if x["type"] == "array" && x["items"] == nil {
				t.Errorf("%s: an array of what?", where)
			}
			for k, inner := range x {
				walk(where+"/"+k, inner)
			}
		case []any:
			for _, inner := range x {
				walk(where, inner)
			}
		}
	}
	walk("", d)
	paths, _ := d["paths"].(map[string]any)
	for path, item := range paths {
		declared := map[string]bool{}
		params, _ := at(item, "parameters").([]any)
		for _, p := range params {
			name, _ := at(p, "name").(string)
			declared[name] = true
		}
		found := variables.FindAllStringSubmatch(path, -1)
		for _, m := range found {
			if !declared[m[1]] {
				t.Errorf("%s: {%s} is not declared", path, m[1])
			}
		}
		if len(found) != len(declared) {
			t.Errorf("%s declares %v", path, declared)
		}
	}
	for path := range replies {
		if paths[path] == nil && !strings.HasSuffix(path, "/detail") {
			t.Errorf("%s has a shape and no route", path)
		}
	}
	for _, f := range nodeTable.fields {
		if at(d, "components", "schemas", "node", "properties", f.name, "x-min-version") != minorText(f.since) {
			t.Errorf("node.%s is not described", f.name)
		}
	}
	if d["openapi"] != "3.0.3" || at(d, "info", "version") != maxVersion[0] {
		t.Errorf("openapi %v, info %v", d["openapi"], d["info"])
	}
}
