package ironicapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"caddyshack/baremetal"
)

// statusOf is the one place where kinds of errors become HTTP.
func statusOf(kind baremetal.Kind) int {
	switch kind {
	case baremetal.Invalid:
		return http.StatusBadRequest
	case baremetal.Unauthorized:
		return http.StatusUnauthorized
	case baremetal.Forbidden:
		return http.StatusForbidden
	case baremetal.NotFound:
		return http.StatusNotFound
	case baremetal.MethodNotAllowed:
		return http.StatusMethodNotAllowed
	case baremetal.NotAcceptable:
		return http.StatusNotAcceptable
	case baremetal.Conflict, baremetal.Locked, baremetal.ClaimLost:
		return http.StatusConflict
	case baremetal.TooLarge:
		return http.StatusRequestEntityTooLarge
	case baremetal.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// statusClientGone is what is logged for a client that closed its connection.
const statusClientGone = 499

// fail answers with an error. What went wrong inside is logged and not shown.
func (c *call) fail(err error) {
	if c.r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		c.status = statusClientGone
		c.w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if bad := (badIdentError{}); errors.As(err, &bad) {
		c.failRouting(http.StatusBadRequest, bad.Error())
		return
	}
	kind := baremetal.KindOf(err)
	status := statusOf(kind)
	text := err.Error()
	switch {
	case errors.Is(err, context.DeadlineExceeded) && kind == baremetal.Internal:
		c.api.Log.Error("request ran out of time", "request_id", c.id, "node", c.node, "err", err)
		status, text = http.StatusServiceUnavailable, "The request took too long; try again later."
	case kind == baremetal.Locked && !c.mayKnowHolder():
		text = "Node " + c.node + " is locked, please retry after the current operation is completed."
	case status == http.StatusInternalServerError:
		c.api.Log.Error("request failed", "request_id", c.id, "node", c.node, "err", err)
		text = "Internal error. The service's log has the reason under request id " + c.id + "."
	}
	if status == http.StatusServiceUnavailable {
		c.w.Header().Set("Retry-After", "2")
	}
	c.fault(status, text)
}

// mayKnowHolder tells whether the caller may read the reservation of the node in
// question, which names the host that works on it.
func (c *call) mayKnowHolder() bool {
	if c.may(ownerReader, target{}) {
		return true
	}
	t, err := c.targetOfNode(c.node)
	return err == nil && c.may(ownerReader, t)
}

// fault sends an error of the application.
func (c *call) fault(status int, text string) {
	inner := append([]byte(nil), `{"faultcode": "`...)
	if status >= http.StatusInternalServerError {
		inner = append(inner, "Server"...)
	} else {
		inner = append(inner, "Client"...)
	}
	inner = append(inner, `", "faultstring": `...)
	inner = appendString(inner, text)
	inner = append(inner, `, "debuginfo": null}`...)
	c.errorMessage(status, inner)
}

// failRouting sends an error of routing, which has another shape.
func (c *call) failRouting(status int, description string) {
	inner := append([]byte(nil), `{"code": `...)
	inner = strconv.AppendInt(inner, int64(status), 10)
	inner = append(inner, `, "title": `...)
	inner = appendString(inner, http.StatusText(status))
	inner = append(inner, `, "description": `...)
	inner = appendString(inner, description)
	inner = append(inner, '}')
	c.errorMessage(status, inner)
}

// errorMessage wraps the inner document as a string, as Ironic does.
func (c *call) errorMessage(status int, inner []byte) {
	if status == http.StatusNotAcceptable && c.route == nil {
		delete(c.w.Header(), versionHeader)
	}
	c.buf = append(c.buf[:0], `{"error_message": `...)
	c.buf = appendString(c.buf, string(inner))
	c.buf = append(c.buf, '}')
	_ = c.reply(status)
}

// deny sends what an Authenticator said.
func (c *call) deny(d *Denial) {
	for name, values := range d.Header {
		c.w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	c.buf = append(c.buf[:0], d.Body...)
	_ = c.reply(d.Status)
}

func invalid(format string, args ...any) error {
	return baremetal.Errorf(baremetal.Invalid, format, args...)
}

// needsMinor is the 406 for something newer than the requested version.
func needsMinor(since int) error {
	return baremetal.Errorf(baremetal.NotAcceptable,
		"Request not acceptable. The minimal required API version should be %s", minorText(since))
}
