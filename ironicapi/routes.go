package ironicapi

import "net/http"

const (
	get   = http.MethodGet
	put   = http.MethodPut
	post  = http.MethodPost
	del   = http.MethodDelete
	patch = http.MethodPatch

	// what a route answers below its version, where it is not 404
	gone405 = http.StatusMethodNotAllowed
	gone406 = http.StatusNotAcceptable
)

// routes is the table of the whole API. Within paths of equal length the first
// match wins, so literal words stand before variables.
func routes() []route {
	var all []route
	for _, part := range [][]route{
		rootRoutes(), nodeRoutes(), stateRoutes(), managementRoutes(), nodePartRoutes(), portRoutes(), chassisRoutes(),
		driverRoutes(), hostRoutes(), agentRoutes(), resourceRoutes(), nodeResourceRoutes(), // the last ends with what is unknown
	} {
		all = append(all, part...)
	}
	return all
}

func rootRoutes() []route {
	return []route{
		{method: get, path: "/", since: 1, public: true, handle: showRoot, query: []param{{name: anyParams}}, doc: "versions of the API"},
		{method: get, path: "/v1", since: 1, public: true, handle: showV1, query: []param{{name: anyParams}}, doc: "resources of v1"},
		{method: get, path: openapiPath, since: 1, public: true, handle: showOpenAPI, query: []param{{name: anyParams}}, doc: "this description"},
		{method: get, path: "/healthcheck", since: 1, public: true, handle: healthcheck, query: []param{{name: anyParams}}, doc: "whether the service works"},
	}
}

func nodeRoutes() []route {
	list := params(pagingParams, nodeFilters)
	return []route{
		{method: get, path: "/v1/nodes", since: 1, query: list, handle: listNodes, doc: "list nodes"},
		{method: post, path: "/v1/nodes", since: 1, body: usualBody, handle: createNode, doc: "create a node"},
		{method: get, path: "/v1/nodes/detail", since: 1, query: list, handle: listNodesDetail, doc: "list nodes with all fields"},
		{method: get, path: "/v1/nodes/validate", since: 1, query: []param{{name: "node", since: 1}}, handle: validateNamed, doc: "validate a node's interfaces"},
		{method: get, path: "/v1/nodes/{node}", since: 1, query: []param{fieldsParam}, handle: showNode, doc: "show a node"},
		{method: patch, path: "/v1/nodes/{node}", since: 1, body: usualBody, query: []param{{name: "reset_interfaces", since: 45}}, handle: patchNode, doc: "change a node"},
		{method: del, path: "/v1/nodes/{node}", since: 1, handle: deleteNode, doc: "delete a node"},
	}
}

func stateRoutes() []route {
	return []route{
		{method: get, path: "/v1/nodes/{node}/states", since: 1, handle: showStates, doc: "show a node's states"},
		{method: put, path: "/v1/nodes/{node}/states/power", since: 1, body: usualBody, handle: setPower, doc: "switch a node's power"},
		{method: put, path: "/v1/nodes/{node}/states/provision", since: 1, body: provisionBody, handle: setProvision, doc: "bring a node to another provision state"},
		{method: get, path: "/v1/nodes/{node}/states/console", since: 1, handle: showConsole, doc: "show a node's console"},
		{method: put, path: "/v1/nodes/{node}/states/console", since: 1, body: usualBody, handle: setConsole, doc: "start or stop a node's console"},
		{method: put, path: "/v1/nodes/{node}/states/raid", since: 12, body: usualBody, handle: setRAID, doc: "set the wanted RAID"},
		{method: put, path: "/v1/nodes/{node}/states/boot_mode", since: 76, body: usualBody, handle: setBootMode, doc: "set the boot mode"},
		{method: put, path: "/v1/nodes/{node}/states/secure_boot", since: 76, body: usualBody, handle: setSecureBoot, doc: "set secure boot"},
		{method: get, path: "/v1/nodes/{node}/validate", since: 1, handle: validateNode, doc: "validate a node's interfaces"},
		{method: put, path: "/v1/nodes/{node}/maintenance", since: 1, body: usualBody, handle: setMaintenance, doc: "put a node into maintenance"},
		{method: del, path: "/v1/nodes/{node}/maintenance", since: 1, handle: unsetMaintenance, doc: "take a node out of maintenance"},
	}
}

func managementRoutes() []route {
	const at = "/v1/nodes/{node}/management"
	const vendor = "/v1/nodes/{node}/vendor_passthru"
	return []route{
		{method: get, path: at + "/boot_device", since: 1, handle: showBootDevice, doc: "show the boot device"},
		{method: put, path: at + "/boot_device", since: 1, body: usualBody, handle: setBootDevice, doc: "set the boot device"},
		{method: get, path: at + "/boot_device/supported", since: 1, handle: listBootDevices, doc: "list the boot devices that work"},
		{method: put, path: at + "/inject_nmi", since: 29, body: usualBody, handle: injectNMI, doc: "interrupt a node"},
		{method: get, path: at + "/indicators", since: 63, handle: listIndicators, doc: "list a node's lights"},
		{method: get, path: at + "/indicators/{indicator}", since: 63, handle: showIndicator, doc: "show a light"},
		{method: put, path: at + "/indicators/{indicator}", since: 63, body: usualBody, handle: setIndicator, doc: "set a light"},
		{method: get, path: vendor + "/methods", since: 1, handle: listVendorMethods, doc: "list vendor methods"},
		{method: "*", path: vendor + "/{method}", since: 1, body: usualBody, query: []param{{name: anyParams}}, handle: callVendor, doc: "call a vendor method"},
		{method: "*", path: vendor, since: 1, body: usualBody, query: []param{{name: anyParams}}, handle: callVendor, doc: "call a vendor method"},
	}
}

// nodePartRoutes are lists below a node.
func nodePartRoutes() []route {
	ports := params(pagingParams, []param{fieldsParam, detailParam, {name: "address", since: 1}})
	return []route{
		{method: get, path: "/v1/nodes/{node}/ports", since: 1, query: ports, handle: listNodePorts, doc: "list a node's ports"},
		{method: get, path: "/v1/nodes/{node}/ports/detail", since: 1, query: ports, handle: listNodePortsDetail, doc: "list a node's ports with all fields"},
		{method: get, path: "/v1/nodes/{node}/history", since: 78, query: params(pagingParams, []param{{name: "detail", since: 78}}), handle: listHistory, doc: "list what happened to a node"},
		{method: get, path: "/v1/nodes/{node}/history/detail", since: 78, query: pagingParams, handle: listHistoryDetail, doc: "list what happened to a node with all fields"},
		{method: get, path: "/v1/nodes/{node}/history/{entry}", since: 78, handle: showHistory, doc: "show one thing that happened"},
		{method: get, path: "/v1/nodes/{node}/boot_log", since: 1, handle: showBootLog, doc: "what a node was seen doing while it booted; live with Accept: text/event-stream"},
		{method: get, path: "/v1/nodes/{node}/bios", since: 40, query: []param{{name: "detail", since: 74}, {name: "fields", since: 74}}, handle: listBIOS, doc: "list BIOS settings"},
		{method: get, path: "/v1/nodes/{node}/bios/{setting}", since: 40, handle: showBIOS, doc: "show a BIOS setting"},
		{method: get, path: "/v1/nodes/{node}/firmware", since: 86, handle: listFirmware, doc: "list firmware components"},
		{method: get, path: "/v1/nodes/{node}/inventory", since: 81, handle: showInventory, doc: "show what an inspection found"},
		{method: get, path: "/v1/nodes/{node}/vmedia", since: 93, handle: listMedia, doc: "list virtual media"},
		{method: post, path: "/v1/nodes/{node}/vmedia", since: 89, body: usualBody, handle: attachMedium, doc: "attach a virtual medium"},
		{method: del, path: "/v1/nodes/{node}/vmedia", since: 89, query: []param{{name: "device_types", since: 89}}, handle: detachMedia, doc: "detach virtual media"},
		{method: get, path: "/v1/nodes/{node}/children", since: 83, handle: listChildren, doc: "list the nodes inside of a node"},
	}
}

func portRoutes() []route {
	list := params(pagingParams, portFilters)
	return []route{
		{method: get, path: "/v1/ports", since: 1, query: list, handle: listPorts, doc: "list ports"},
		{method: post, path: "/v1/ports", since: 1, body: usualBody, handle: createPort, doc: "create a port"},
		{method: get, path: "/v1/ports/detail", since: 1, query: list, handle: listPortsDetail, doc: "list ports with all fields"},
		{method: get, path: "/v1/ports/{port}", since: 1, query: []param{fieldsParam}, handle: showPort, doc: "show a port"},
		{method: patch, path: "/v1/ports/{port}", since: 1, body: usualBody, handle: patchPort, doc: "change a port"},
		{method: del, path: "/v1/ports/{port}", since: 1, handle: deletePort, doc: "delete a port"},
	}
}

func chassisRoutes() []route {
	list := params(pagingParams, []param{fieldsParam, detailParam})
	nodes := params(pagingParams, nodeFilters)
	return []route{
		{method: get, path: "/v1/chassis", since: 1, query: list, handle: listChassis, doc: "list chassis"},
		{method: post, path: "/v1/chassis", since: 1, body: usualBody, handle: createChassis, doc: "create a chassis"},
		{method: get, path: "/v1/chassis/detail", since: 1, query: list, handle: listChassisDetail, doc: "list chassis with all fields"},
		{method: get, path: "/v1/chassis/{chassis}", since: 1, query: []param{fieldsParam}, handle: showChassis, doc: "show a chassis"},
		{method: patch, path: "/v1/chassis/{chassis}", since: 1, body: usualBody, handle: patchChassis, doc: "change a chassis"},
		{method: del, path: "/v1/chassis/{chassis}", since: 1, handle: deleteChassis, doc: "delete a chassis"},
		{method: get, path: "/v1/chassis/{chassis}/nodes", since: 1, query: nodes, handle: listChassisNodes, doc: "list the nodes of a chassis"},
		{method: get, path: "/v1/chassis/{chassis}/nodes/detail", since: 1, query: nodes, handle: listChassisNodesDetail, doc: "list the nodes of a chassis with all fields"},
	}
}

func driverRoutes() []route {
	const at = "/v1/drivers/{driver}"
	fields := param{name: "fields", since: 77, doc: "comma list of fields to return"}
	return []route{
		{method: get, path: "/v1/drivers", since: 1, query: []param{{name: "type", since: 30}, {name: "detail", since: 30}, fields}, handle: listDrivers, doc: "list hardware types"},
		{method: get, path: at, since: 1, query: []param{fields}, handle: showDriver, doc: "show a hardware type"},
		{method: get, path: at + "/properties", since: 1, handle: showDriverProperties, doc: "list the keys of driver_info"},
		{method: get, path: at + "/raid/logical_disk_properties", since: 12, before: gone406, handle: showDriverRAID, doc: "list the properties of logical disks"},
		{method: get, path: at + "/vendor_passthru/methods", since: 1, handle: listDriverVendorMethods, doc: "list vendor methods"},
		{method: "*", path: at + "/vendor_passthru/{method}", since: 1, body: usualBody, query: []param{{name: anyParams}}, handle: callDriverVendor, doc: "call a vendor method"},
		{method: "*", path: at + "/vendor_passthru", since: 1, body: usualBody, query: []param{{name: anyParams}}, handle: callDriverVendor, doc: "call a vendor method"},
	}
}

func hostRoutes() []route {
	return []route{
		{method: get, path: "/v1/conductors", since: 49, query: params(pagingParams, []param{fieldsParam, {name: "detail", since: 49}}), handle: listConductors, doc: "list conductors"},
		{method: get, path: "/v1/conductors/{hostname}", since: 49, query: []param{fieldsParam}, handle: showConductor, doc: "show a conductor"},
		{method: get, path: "/v1/shards", since: 82, handle: listShards, doc: "count nodes by shard"},
	}
}

func agentRoutes() []route {
	return []route{
		{method: get, path: "/v1/lookup", since: 22, public: true, query: []param{{name: "addresses", since: 22}, {name: "node_uuid", since: 22}}, handle: lookup, doc: "find the node of a deploy agent"},
		{method: post, path: "/v1/heartbeat/{node}", since: 22, public: true, body: usualBody, handle: heartbeat, doc: "sign of life of a deploy agent"},
		{method: post, path: "/v1/events", since: 54, before: gone405, body: usualBody, handle: takeEvents, doc: "events of other services"},
		{method: post, path: "/v1/continue_inspection", since: 1, public: true, body: inspectionBody, query: []param{{name: "node_uuid", since: 1}}, handle: continueInspection, doc: "findings of an inspection agent"},
	}
}
