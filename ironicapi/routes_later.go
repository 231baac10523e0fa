package ironicapi

// collection is a top-level resource that is still empty.
type collection struct {
	key, item   string // plural and the name of one
	path        string
	since       int
	before      int // of writes, below since
	patchSince  int
	query       []param
	detail      bool // has a /detail path
	detailSince int  // of ?detail=; 0 = 1.43
	description string
}

// laterRoutes are the resources whose routes and versions exist, and which hold nothing yet.
func laterRoutes() []route {
	var all []route
	for _, col := range []collection{
		{key: "portgroups", item: "portgroup", path: "/v1/portgroups", since: 23, patchSince: 23, detail: true, description: "Portgroup",
			query: []param{{name: "node", since: 23}, {name: "address", since: 23}, {name: "shard", since: 106}, {name: "conductor_groups", since: 99}}},
		{key: "allocations", item: "allocation", path: "/v1/allocations", since: 52, before: gone405, patchSince: 57, description: "Allocation",
			query: []param{{name: "node", since: 52}, {name: "resource_class", since: 52}, {name: "state", since: 52}, {name: "owner", since: 60}}},
		{key: "deploy_templates", item: "template", path: "/v1/deploy_templates", since: 55, before: gone405, patchSince: 55, description: "Deploy template"},
		{key: "runbooks", item: "runbook", path: "/v1/runbooks", since: 92, before: gone405, patchSince: 92, description: "Runbook"},
		{key: "inspection_rules", item: "rule", path: "/v1/inspection_rules", since: 96, before: gone405, patchSince: 96, description: "Inspection rule"},
		{key: "connectors", item: "connector", path: "/v1/volume/connectors", since: 32, patchSince: 32, detailSince: 32, description: "Volume connector",
			query: []param{{name: "node", since: 32}}},
		{key: "targets", item: "target", path: "/v1/volume/targets", since: 32, patchSince: 32, detailSince: 32, description: "Volume target",
			query: []param{{name: "node", since: 32}}},
	} {
		all = append(all, col.routes()...)
	}
	return append(all,
		route{method: get, path: "/v1/volume", since: 32, handle: showVolume, doc: "links of the volume resources"},
		route{method: get, path: "/v1/portgroups/{portgroup}/ports", since: 24, query: params(pagingParams, []param{fieldsParam, detailParam}), handle: noneFound("Portgroup", "portgroup"), doc: "list the ports of a port group"},
		route{method: get, path: "/v1/portgroups/{portgroup}/ports/detail", since: 24, query: params(pagingParams, []param{fieldsParam}), handle: noneFound("Portgroup", "portgroup"), doc: "list the ports of a port group with all fields"},
		route{method: get, path: "/v1/runbooks/{runbook}/traits", since: 112, handle: noneFound("Runbook", "runbook"), doc: "list the traits of a runbook"},
		route{method: put, path: "/v1/runbooks/{runbook}/traits", since: 112, body: usualBody, handle: noneFound("Runbook", "runbook"), doc: "set the traits of a runbook"},
		route{method: del, path: "/v1/runbooks/{runbook}/traits", since: 112, handle: noneFound("Runbook", "runbook"), doc: "remove the traits of a runbook"},
		route{method: put, path: "/v1/runbooks/{runbook}/traits/{trait}", since: 112, handle: noneFound("Runbook", "runbook"), doc: "add a trait to a runbook"},
		route{method: del, path: "/v1/runbooks/{runbook}/traits/{trait}", since: 112, handle: noneFound("Runbook", "runbook"), doc: "remove a trait of a runbook"},
	)
}

func (col collection) routes() []route {
	detail := detailParam
	if detail.since = max(col.since, 43); col.detailSince != 0 {
		detail.since = col.detailSince
	}
	list := params(pagingParams, []param{fieldsParam, detail}, col.query)
	one := col.path + "/{" + col.item + "}"
	r := []route{{method: get, path: col.path, since: col.since, query: list, handle: emptyList(col.key), doc: "list " + col.key}}
	if col.detail {
		r = append(r, route{method: get, path: col.path + "/detail", since: col.since, query: list, handle: emptyList(col.key), doc: "list " + col.key + " with all fields"})
	}
	return append(r,
		route{method: post, path: col.path, since: col.since, before: col.before, body: usualBody, handle: later(col.key), doc: "create one of " + col.key},
		route{method: get, path: one, since: col.since, query: []param{fieldsParam}, handle: noneFound(col.description, col.item), doc: "show one of " + col.key},
		route{method: patch, path: one, since: col.patchSince, before: col.before, body: usualBody, handle: noneFound(col.description, col.item), doc: "change one of " + col.key},
		route{method: del, path: one, since: col.since, before: col.before, handle: noneFound(col.description, col.item), doc: "delete one of " + col.key},
	)
}

// laterNodeRoutes are the parts of a node that are still to come.
func laterNodeRoutes() []route {
	const at = "/v1/nodes/{node}"
	list := params(pagingParams, []param{fieldsParam, detailParam})
	volume := params(pagingParams, []param{fieldsParam, {name: "detail", since: 32}})
	return []route{
		{method: get, path: at + "/vifs", since: 28, handle: emptyOfNode("vifs"), doc: "list attached virtual interfaces"},
		{method: post, path: at + "/vifs", since: 28, body: usualBody, handle: laterOfNode("virtual interfaces"), doc: "attach a virtual interface"},
		{method: del, path: at + "/vifs/{vif}", since: 28, handle: laterOfNode("virtual interfaces"), doc: "detach a virtual interface"},
		{method: get, path: at + "/traits", since: 37, handle: emptyOfNode("traits"), doc: "list a node's traits"},
		{method: put, path: at + "/traits", since: 37, body: usualBody, handle: laterOfNode("traits"), doc: "set a node's traits"},
		{method: del, path: at + "/traits", since: 37, handle: laterOfNode("traits"), doc: "remove a node's traits"},
		{method: put, path: at + "/traits/{trait}", since: 37, body: usualBody, handle: laterOfNode("traits"), doc: "add a trait"},
		{method: del, path: at + "/traits/{trait}", since: 37, handle: laterOfNode("traits"), doc: "remove a trait"},
		{method: get, path: at + "/allocation", since: 52, query: []param{fieldsParam}, handle: noneOfNode("Allocation of node", "node"), doc: "show the allocation of a node"},
		{method: del, path: at + "/allocation", since: 52, handle: noneOfNode("Allocation of node", "node"), doc: "delete the allocation of a node"},
		{method: get, path: at + "/portgroups", since: 24, query: list, handle: emptyOfNode("portgroups"), doc: "list a node's port groups"},
		{method: get, path: at + "/portgroups/detail", since: 24, query: list, handle: emptyOfNode("portgroups"), doc: "list a node's port groups with all fields"},
		{method: get, path: at + "/portgroups/{portgroup}/ports", since: 24, query: list, handle: noneOfNode("Portgroup", "portgroup"), doc: "list the ports of a node's port group"},
		{method: get, path: at + "/volume", since: 32, handle: showNodeVolume, doc: "links of a node's volume resources"},
		{method: get, path: at + "/volume/connectors", since: 32, query: volume, handle: emptyOfNode("connectors"), doc: "list a node's volume connectors"},
		{method: get, path: at + "/volume/targets", since: 32, query: volume, handle: emptyOfNode("targets"), doc: "list a node's volume targets"},
		// last of its length: anything else below a node
		{method: "*", path: at + "/{rest}", since: 1, query: []param{{name: anyParams}}, handle: noSuchField, doc: "unknown parts of a node"},
	}
}
