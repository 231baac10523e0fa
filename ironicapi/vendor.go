package ironicapi

import (
	"net/http"

	"caddyshack/conductor"
)

func listVendorMethods(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	methods, err := c.api.Conductor.VendorMethods(c.r.Context(), n.UUID)
	if err != nil {
		return err
	}
	return c.replyMethods(methods)
}

func (c *call) replyMethods(methods map[string]conductor.VendorMethod) (err error) {
	if methods == nil {
		methods = map[string]conductor.VendorMethod{}
	}
	if c.buf, err = appendValue(c.buf, methods); err != nil {
		return err
	}
	return c.reply(http.StatusOK)
}

// callVendor passes a call through to the node's vendor interface.
func callVendor(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	method, args, err := c.vendorMethod()
	if err != nil {
		return err
	}
	result, err := c.api.Conductor.VendorCall(c.r.Context(), c.caller(), n.UUID, method, c.r.Method, args)
	if err != nil {
		return err
	}
	return c.replyVendor(result)
}

// vendorMethod reads a call of a vendor method, which is in the path or in the query.
func (c *call) vendorMethod() (method string, args map[string]any, err error) {
	method, ok := c.vars["method"]
	if !ok {
		if method, ok = c.arg("method"); !ok || method == "" {
			return "", nil, missing("method")
		}
	}
	args, err = c.readObject()
	return method, args, err
}

func (c *call) replyVendor(result conductor.VendorResult) (err error) {
	status := http.StatusOK
	if result.Async {
		status = http.StatusAccepted
	}
	if result.Value == nil {
		return c.empty(status, "")
	}
	if c.buf, err = appendValue(c.buf, result.Value); err != nil {
		return err
	}
	return c.reply(status)
}
