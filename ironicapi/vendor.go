package ironicapi

import "net/http"

func listVendorMethods(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	methods, err := c.api.Conductor.VendorMethods(c.r.Context(), n.UUID)
	if err != nil {
		return err
	}
	if methods == nil {
		c.buf = append(c.buf, "{}"...)
		return c.reply(http.StatusOK)
	}
	if c.buf, err = appendValue(c.buf, methods); err != nil {
		return err
	}
	return c.reply(http.StatusOK)
}

// callVendor passes a call through to the node's vendor interface; the method is in the path or in the query.
func callVendor(c *call) error {
	n, err := c.readNode()
	if err != nil {
		return err
	}
	method, ok := c.vars["method"]
	if !ok {
		if method, ok = c.arg("method"); !ok || method == "" {
			return missing("method")
		}
	}
	args, err := c.readObject()
	if err != nil {
		return err
	}
	result, err := c.api.Conductor.VendorCall(c.r.Context(), c.caller(), n.UUID, method, c.r.Method, args)
	if err != nil {
		return err
	}
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
