package ironicapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// The description of the API in OpenAPI 3.0 is made from the tables that the
// server itself works by: routes, query parameters, fields and policies. What
// is particular to OpenStack is in extensions: x-min-version and x-policy.

// doc is a JSON object of the description.
type doc = map[string]any

const openapiPath = "/openapi.json"

// showOpenAPI answers with the description of the API.
func showOpenAPI(c *call) error {
	text, err := c.api.openapi()
	if err != nil {
		return err
	}
	c.buf = append(c.buf, text...)
	return c.reply(http.StatusOK)
}

// openapiOnce makes the description when it is first asked for.
func openapiOnce(base string) func() ([]byte, error) {
	return sync.OnceValues(func() ([]byte, error) {
		text, err := json.Marshal(openapiDocument(base))
		if err != nil {
			return nil, fmt.Errorf("describing the API: %w", err)
		}
		return text, nil
	})
}

func openapiDocument(base string) doc {
	if base == "" {
		base = "/"
	}
	paths := doc{}
	for _, rt := range routes() {
		at, ok := paths[rt.path].(doc)
		if !ok {
			at = doc{}
			if params := pathParams(rt.path); len(params) > 0 {
				at["parameters"] = params
			}
			paths[rt.path] = at
		}
		methods := []string{rt.method}
		if rt.method == "*" {
			methods = anyMethods
		}
		for _, m := range methods {
			at[strings.ToLower(m)] = operation(&rt, m)
		}
	}
	return doc{
		"openapi": "3.0.3",
		"info": doc{
			"title": "Caddyshack: OpenStack Bare Metal (Ironic) API", "version": minorText(maxMinor),
			"description": "Which endpoints, parameters and fields there are depends on the version a request asks for with the header " +
				versionHeader + ": x-min-version says since when each one is there. Without the header it is " + minorText(minMinor) + ".",
			"license": doc{"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
		},
		"servers": []any{doc{"url": base}},
		"paths":   paths,
		"components": doc{
			"schemas":    schemas(),
			"parameters": doc{"version": versionParam()},
			"responses": doc{"error": doc{"description": "The request was refused, or failed.",
				"content": doc{"application/json": doc{"schema": ref("schemas", "error")}}}},
			"securitySchemes": doc{
				"http_basic": doc{"type": "http", "scheme": "basic"},
				"keystone":   doc{"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
			},
		},
	}
}

func ref(kind, name string) doc { return doc{"$ref": "#/components/" + kind + "/" + name} }

func versionParam() doc {
	return doc{"name": versionHeader, "in": "header", "schema": doc{"type": "string", "pattern": `^(1\.\d+|latest)$`},
		"description": fmt.Sprintf("version of the API, %s to %s or latest", minorText(minMinor), minorText(maxMinor))}
}

var variables = regexp.MustCompile(`\{(\w+)\}`)

func pathParams(path string) []any {
	var out []any
	for _, m := range variables.FindAllStringSubmatch(path, -1) {
		out = append(out, doc{"name": m[1], "in": "path", "required": true, "schema": doc{"type": "string"}})
	}
	return out
}

// operation describes one method of a route.
func operation(rt *route, method string) doc {
	params := []any{ref("parameters", "version")}
	for _, p := range rt.query {
		if p.name == anyParams {
			continue
		}
		d := doc{"name": p.name, "in": "query", "schema": doc{"type": queryType(p.name)}, "x-min-version": minorText(max(p.since, rt.since))}
		if p.doc != "" {
			d["description"] = p.doc
		}
		params = append(params, d)
	}
	op := doc{
		"operationId": operationID(method, rt.path), "summary": rt.doc, "tags": []string{tag(rt.path)}, "parameters": params,
		"x-min-version": minorText(rt.since), "responses": doc{"2XX": success(rt, method), "default": ref("responses", "error")},
	}
	if rt.public {
		op["security"] = []any{}
	} else {
		op["security"] = []any{doc{}, doc{"http_basic": []any{}}, doc{"keystone": []any{}}}
		op["x-policy"] = "baremetal:" + actionOf(rt).name
	}
	if rt.body != noBody && method != get && method != del {
		op["requestBody"] = doc{"content": doc{"application/json": doc{"schema": requestSchema(rt, method)}}}
	}
	return op
}

func operationID(method, path string) string {
	words := strings.FieldsFunc(strings.TrimPrefix(path, "/v1"), func(r rune) bool { return strings.ContainsRune("/{}._", r) })
	id := strings.ToLower(method)
	for _, w := range words {
		id += strings.ToUpper(w[:1]) + w[1:]
	}
	if len(words) == 0 {
		id += map[string]string{"/": "Root", "/v1": "V1"}[path]
	}
	return id
}

func tag(path string) string {
	if first := firstSegment(path); first != "" {
		return first
	}
	return "service"
}

// queryType is the type of a query parameter.
func queryType(name string) string {
	switch name {
	case "limit":
		return "integer"
	case "associated", "maintenance", "retired", "sharded", "detail", "include_children", "reset_interfaces":
		return "boolean"
	}
	return "string"
}

func success(rt *route, method string) doc {
	d := doc{"description": "The request was accepted or done."}
	s, ok := replies[rt.path]
	switch {
	case rt.path == openapiPath, method == del, !ok && method != get, method == put:
		return d
	case !ok:
		d["content"] = doc{"application/json": doc{"schema": doc{"type": "object"}}}
	case method == get && s.list != "":
		d["content"] = doc{"application/json": doc{"schema": listOf(s.list, s.schema)}}
	default:
		d["content"] = doc{"application/json": doc{"schema": ref("schemas", s.schema)}}
	}
	return d
}

func listOf(key, schema string) doc {
	return doc{"type": "object", "required": []string{key}, "properties": doc{
		key:    doc{"type": "array", "items": ref("schemas", schema)},
		"next": doc{"type": "string", "description": "the next page, if there may be one"},
	}}
}

func requestSchema(rt *route, method string) doc {
	if method == patch {
		return ref("schemas", "patch")
	}
	if s, ok := replies[rt.path]; ok && method == post {
		return ref("schemas", s.schema)
	}
	if rt.path == "/v1/nodes/{node}/states/provision" {
		return ref("schemas", "provision")
	}
	return doc{"type": "object"}
}

// reply is the shape of an answer: one of a schema, or a list of them under a key.
type reply struct{ list, schema string }

// replies are the shapes that are made from tables of fields, by path.
var replies = maps.Collect(func(yield func(string, reply) bool) {
	for _, r := range []struct{ path, key, item, schema string }{
		{"/v1/nodes", "nodes", "{node}", "node"}, {"/v1/ports", "ports", "{port}", "port"},
		{"/v1/chassis", "chassis", "{chassis}", "chassis"}, {"/v1/drivers", "drivers", "{driver}", "driver"},
		{"/v1/conductors", "conductors", "{hostname}", "conductor"}, {"/v1/nodes/{node}/history", "history", "{entry}", "history"},
		{portgroups.path, portgroups.key, "{portgroup}", "portgroup"}, {allocations.path, allocations.key, "{allocation}", "allocation"},
		{connectors.path, connectors.key, "{connector}", "volume_connector"}, {targets.path, targets.key, "{target}", "volume_target"},
		{deployTemplates.path, deployTemplates.key, "{template}", "deploy_template"}, {runbooks.path, runbooks.key, "{runbook}", "runbook"},
		{inspectionRules.path, inspectionRules.key, "{rule}", "inspection_rule"},
	} {
		if !yield(r.path, reply{r.key, r.schema}) || !yield(r.path+"/detail", reply{r.key, r.schema}) || !yield(r.path+"/"+r.item, reply{"", r.schema}) {
			return
		}
	}
	for path, r := range map[string]reply{
		"/v1/nodes/{node}/ports": {"ports", "port"}, "/v1/nodes/{node}/ports/detail": {"ports", "port"},
		"/v1/nodes/{node}/portgroups": {"portgroups", "portgroup"}, "/v1/nodes/{node}/portgroups/detail": {"portgroups", "portgroup"},
		"/v1/nodes/{node}/portgroups/{portgroup}/ports": {"ports", "port"},
		"/v1/portgroups/{portgroup}/ports":              {"ports", "port"}, "/v1/portgroups/{portgroup}/ports/detail": {"ports", "port"},
		"/v1/nodes/{node}/volume/connectors": {"connectors", "volume_connector"}, "/v1/nodes/{node}/volume/targets": {"targets", "volume_target"},
		"/v1/chassis/{chassis}/nodes": {"nodes", "node"}, "/v1/chassis/{chassis}/nodes/detail": {"nodes", "node"},
		"/v1/nodes/{node}/allocation": {"", "allocation"},
	} {
		if !yield(path, r) {
			return
		}
	}
})

// schemas are the shapes of everything that has a table of fields, and of what surrounds them.
func schemas() doc {
	return doc{
		"node": nodeTable.schema(), "port": portTable.schema(), "chassis": chassisTable.schema(), "driver": driverTable.schema(),
		"conductor": conductorTable.schema(), "history": historyTable.schema(), "portgroup": portgroupTable.schema(),
		"allocation": allocationTable.schema(), "volume_connector": connectorTable.schema(), "volume_target": targetTable.schema(),
		"deploy_template": deployTemplateTable.schema(), "runbook": runbookTable.schema(), "inspection_rule": inspectionRules.table.schema(),
		"provision": provisionSchema(),
		"error": doc{"type": "object", "properties": doc{
			"error_message": doc{"type": "string", "description": "JSON: {faultcode, faultstring, debuginfo} or {code, title, description}"},
			"error":         doc{"type": "object", "description": "in place of error_message, if nobody knows who asks"},
		}},
		"patch": doc{"type": "array", "maxItems": maxPatchOps, "items": doc{
			"type": "object", "required": []string{"op", "path"}, "properties": doc{
				"op":    doc{"type": "string", "enum": []string{"add", "replace", "remove", "move", "copy", "test"}},
				"path":  doc{"type": "string", "description": "JSON Pointer (RFC 6901)"},
				"from":  doc{"type": "string", "description": "JSON Pointer, for move and copy"},
				"value": doc{},
			}}},
	}
}

// schema describes the fields of a resource.
func (t *table[T]) schema() doc {
	properties := doc{}
	var required []string
	for _, f := range t.fields {
		d := doc{"x-min-version": minorText(f.since)}
		switch f.typ {
		case typeTime:
			d["type"], d["format"], d["nullable"] = "string", "date-time", true
		case typeArray:
			d["type"], d["items"] = "array", doc{}
		default:
			d["type"] = string(f.typ)
		}
		if f.typ == typeString && f.nullable {
			d["nullable"] = true
		}
		if !f.create && !f.patch {
			d["readOnly"] = true
		}
		if f.required {
			required = append(required, f.name)
		}
		properties[f.name] = d
	}
	s := doc{"type": "object", "properties": properties}
	if required != nil {
		slices.Sort(required)
		s["required"] = required
	}
	return s
}

// provisionSchema is the body of PUT states/provision.
func provisionSchema() doc {
	properties := doc{"target": doc{"type": "string"}}
	for _, f := range provisionFields {
		d := doc{"x-min-version": minorText(f.since)}
		verbs := make([]string, len(f.verbs))
		for i, v := range f.verbs {
			verbs[i] = string(v)
		}
		d["description"] = "with target " + strings.Join(verbs, ", ")
		switch {
		case strings.HasSuffix(f.name, "_steps"):
			d["type"], d["items"] = "array", doc{"type": "object"}
		case f.name == "disable_ramdisk":
			d["type"] = "boolean"
		case f.name != "configdrive": // text or an object
			d["type"] = "string"
		}
		properties[f.name] = d
	}
	return doc{"type": "object", "required": []string{"target"}, "properties": properties}
}
