package ironicapi

import (
	"net/http"
	"slices"
	"strings"

	"caddyshack/baremetal"
	"caddyshack/conductor"
)

type driver = conductor.DriverInfo

var driverTable = table[driver]{resource: "driver", fields: driverFields()}

func driverFields() []field[driver] {
	f := []field[driver]{
		shown("name", 1, typeString, listed, func(b []byte, _ *encoding, d *driver) []byte { return appendString(b, d.Name) }),
		shown("hosts", 1, typeArray, listed, func(b []byte, _ *encoding, d *driver) []byte { return appendStrings(b, d.Hosts) }),
		shown("type", 30, typeString, listed, func(b []byte, _ *encoding, _ *driver) []byte { return append(b, `"dynamic"`...) }),
		shown("properties", 14, typeArray, listed|hidden, func(b []byte, e *encoding, d *driver) []byte {
			return appendLinks(b, e.base, "drivers/", d.Name, "/properties")
		}),
		links("drivers", func(d *driver) string { return d.Name }),
	}
	for _, kind := range baremetal.InterfaceKinds() {
		since := max(30, interfaceSince[kind])
		if since == 31 { // drivers showed these one version before nodes did
			since = 30
		}
		f = append(f,
			shown("default_"+kind+"_interface", since, typeString, 0, func(b []byte, _ *encoding, d *driver) []byte {
				return appendNullable(b, d.Defaults[kind])
			}),
			shown("enabled_"+kind+"_interfaces", since, typeArray, 0, func(b []byte, _ *encoding, d *driver) []byte {
				return appendStrings(b, d.Enabled[kind])
			}))
	}
	return f
}

func listDrivers(c *call) error {
	if kind, ok := c.arg("type"); ok && kind != "dynamic" {
		if kind != "classic" {
			return invalid("Driver type must be one of classic, dynamic, not '%s'", show(kind))
		}
		c.buf = append(c.buf, `{"drivers":[]}`...)
		return c.reply(http.StatusOK)
	}
	view, err := driverTable.view(c, false)
	if err != nil {
		return err
	}
	all, err := c.api.Conductor.Drivers(c.r.Context())
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b driver) int { return strings.Compare(a.Name, b.Name) })
	return replyList(c, "drivers", "drivers_links", view, all, baremetal.Page{}, func(d *driver) string { return d.Name })
}

func (c *call) readDriver() (driver, error) {
	return c.api.Conductor.Driver(c.r.Context(), c.vars["driver"])
}

func showDriver(c *call) error {
	view, err := driverTable.chosen(c)
	if err != nil {
		return err
	}
	d, err := c.readDriver()
	if err != nil {
		return err
	}
	c.buf = view.append(c.buf, c.encoding(), &d)
	return c.reply(http.StatusOK)
}

func showDriverProperties(c *call) error {
	d, err := c.readDriver()
	if err != nil {
		return err
	}
	return c.replyTexts(d.Properties)
}

func listDriverVendorMethods(c *call) error {
	d, err := c.readDriver()
	if err != nil {
		return err
	}
	methods, err := c.api.Conductor.DriverVendorMethods(c.r.Context(), d.Name)
	if err != nil {
		return err
	}
	return c.replyMethods(methods)
}

func callDriverVendor(c *call) error {
	d, err := c.readDriver()
	if err != nil {
		return err
	}
	method, args, err := c.vendorMethod()
	if err != nil {
		return err
	}
	result, err := c.api.Conductor.DriverVendorCall(c.r.Context(), c.caller(), d.Name, method, c.r.Method, args)
	if err != nil {
		return err
	}
	return c.replyVendor(result)
}
