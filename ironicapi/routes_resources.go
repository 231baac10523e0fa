package ironicapi

import "slices"

// resourceRoutes are the resources with rows of their own.
func resourceRoutes() []route {
	groups := params(portgroups.query())
	ports := params(pagingParams, []param{fieldsParam, detailParam})
	const groupPorts = "/v1/portgroups/{portgroup}/ports"
	const traits = "/v1/runbooks/{runbook}/traits"
	return slices.Concat(
		// before the routes with a variable of the same length
		[]route{{method: get, path: "/v1/portgroups/detail", since: 23, query: groups, handle: portgroups.listing(true), doc: "list portgroups with all fields"}},
		portgroups.routes(), connectors.routes(), targets.routes(), deployTemplates.routes(), runbooks.routes(), inspectionRules.routes(), allocations.routes(),
		[]route{
			{method: get, path: "/v1/volume", since: 32, handle: showVolume, doc: "links of the volume resources"},
			{method: get, path: groupPorts, since: 24, query: ports, handle: listPortgroupPorts, doc: "list the ports of a port group"},
			{method: get, path: groupPorts + "/detail", since: 24, query: ports, handle: listPortgroupPortsDetail, doc: "list the ports of a port group with all fields"},
			{method: get, path: traits, since: 112, handle: listRunbookTraits, doc: "list the traits of a runbook"},
			{method: put, path: traits, since: 112, body: usualBody, handle: setRunbookTraits, doc: "set the traits of a runbook"},
			{method: del, path: traits, since: 112, handle: removeRunbookTraits, doc: "remove the traits of a runbook"},
			{method: put, path: traits + "/{trait}", since: 112, body: usualBody, handle: addRunbookTrait, doc: "add a trait to a runbook"},
			{method: del, path: traits + "/{trait}", since: 112, handle: removeRunbookTrait, doc: "remove a trait of a runbook"},
		})
}

// nodeResourceRoutes are those resources, and others, below a node.
func nodeResourceRoutes() []route {
	const at = "/v1/nodes/{node}"
	list := params(pagingParams, []param{fieldsParam, detailParam})
	volume := params(pagingParams, []param{fieldsParam, volumeDetail})
	return []route{
		{method: get, path: at + "/vifs", since: 28, handle: listVIFs, doc: "list attached virtual interfaces"},
		{method: post, path: at + "/vifs", since: 28, body: usualBody, handle: attachVIF, doc: "attach a virtual interface"},
		{method: del, path: at + "/vifs/{vif}", since: 28, handle: detachVIF, doc: "detach a virtual interface"},
		{method: get, path: at + "/traits", since: 37, handle: listTraits, doc: "list a node's traits"},
		{method: put, path: at + "/traits", since: 37, body: usualBody, handle: setTraits, doc: "set a node's traits"},
		{method: del, path: at + "/traits", since: 37, handle: removeTraits, doc: "remove a node's traits"},
		{method: put, path: at + "/traits/{trait}", since: 37, body: usualBody, handle: addTrait, doc: "add a trait"},
		{method: del, path: at + "/traits/{trait}", since: 37, handle: removeTrait, doc: "remove a trait"},
		{method: get, path: at + "/allocation", since: 52, query: []param{fieldsParam}, handle: showNodeAllocation, doc: "show the allocation of a node"},
		{method: del, path: at + "/allocation", since: 52, handle: deleteNodeAllocation, doc: "delete the allocation of a node"},
		{method: get, path: at + "/portgroups", since: 24, query: list, handle: portgroups.listingOfNode(false), doc: "list a node's port groups"},
		{method: get, path: at + "/portgroups/detail", since: 24, query: list, handle: portgroups.listingOfNode(true), doc: "list a node's port groups with all fields"},
		{method: get, path: at + "/portgroups/{portgroup}/ports", since: 24, query: list, handle: listPortgroupPorts, doc: "list the ports of a node's port group"},
		{method: get, path: at + "/volume", since: 32, handle: showNodeVolume, doc: "links of a node's volume resources"},
		{method: get, path: at + "/volume/connectors", since: 32, query: volume, handle: connectors.listingOfNode(false), doc: "list a node's volume connectors"},
		{method: get, path: at + "/volume/targets", since: 32, query: volume, handle: targets.listingOfNode(false), doc: "list a node's volume targets"},
		// last of its length: anything else below a node
		{method: "*", path: at + "/{rest}", since: 1, query: []param{{name: anyParams}}, handle: noSuchField, doc: "unknown parts of a node"},
	}
}
