package ironicapi

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"caddyshack/baremetal"
	"caddyshack/conductor"
)

// call is one request on its way through the API. Calls are pooled; nothing of
// one may be kept after its handler returned.
type call struct {
	api    *api
	w      http.ResponseWriter
	r      *http.Request
	route  *route
	vars   map[string]string
	values url.Values
	minor  int
	id     string // request id
	who    Identity
	base   string // of links, JSON-escaped
	node   string // uuid of the node in question, for the log
	vetted string // uuid of the node of the path on which the caller's right was checked
	buf    []byte // the reply
	status int    // 0 = nothing was answered yet
}

// maxPooled is the largest reply buffer that is kept for the next request.
const maxPooled = 4 << 20

// Shared header values: they are only read.
var (
	jsonType   = []string{"application/json"}
	minVersion = []string{minorText(minMinor)}
	maxVersion = []string{minorText(maxMinor)}
)

// ServeHTTP answers one request.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c := a.calls.Get().(*call)
	*c = call{api: a, w: w, r: r, buf: c.buf[:0], id: "req-" + uuid.NewString()}
	template := "unknown"
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			a.Log.Error("request panicked", "request_id", c.id, "panic", p, "stack", string(debug.Stack()))
			if c.status == 0 {
				c.fail(baremetal.Errorf(baremetal.Internal, "panic"))
			}
		}
		a.account(c, template, time.Since(start))
		if cap(c.buf) > maxPooled {
			c.buf = nil
		}
		*c = call{api: a, buf: c.buf}
		a.calls.Put(c)
	}()
	h := w.Header()
	ids := []string{c.id}
	h["Openstack-Request-Id"] = ids
	h["X-Openstack-Request-Id"] = ids
	h[minVersionHeader] = minVersion
	h[maxVersionHeader] = maxVersion

	if path := a.cleanPath(r.URL.Path); path != r.URL.Path {
		c.r = new(http.Request)
		*c.r = *r
		u := *r.URL
		u.Path, u.RawPath = path, ""
		c.r.URL = &u
	}
	var match mux.RouteMatch
	var ep *endpoint
	if a.router.Match(c.r, &match) {
		ep, _ = match.Handler.(*endpoint)
	}
	if ep != nil {
		template = ep.path
		c.vars = match.Vars
	}
	c.serve(ep)
}

// serve goes through what comes before every handler.
func (c *call) serve(ep *endpoint) {
	if c.pageAllowed() {
		return
	}
	if c.api.Auth != nil && (ep == nil || !ep.public) {
		who, denial := c.api.Auth.Authenticate(c.r)
		if denial != nil {
			c.deny(denial)
			return
		}
		c.who = who
	}
	if ep == nil {
		c.failRouting(http.StatusNotFound, "")
		return
	}
	minor, asked, ok := requestedMinor(c.r.Header)
	if !ok && c.r.URL.Path != "/" && c.r.URL.Path != "/healthcheck" && c.r.URL.Path != openapiPath {
		if c.r.URL.Path == "/v1" {
			c.fault(http.StatusNotAcceptable, badVersion(asked))
		} else {
			c.failRouting(http.StatusNotAcceptable, badVersion(asked))
		}
		return
	}
	c.minor = minor
	method := c.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	c.route = ep.methods[method]
	if c.route == nil && ep.path == "/" { // any method reads the document
		c.route = ep.methods[http.MethodGet]
	}
	if c.route == nil {
		c.w.Header().Set("Allow", ep.allow)
		c.failRouting(http.StatusMethodNotAllowed, "")
		return
	}
	c.w.Header()[versionHeader] = []string{minorText(minor)}
	if minor < c.route.since {
		c.tooOld(ep)
		return
	}
	if err := c.checkQuery(); err != nil {
		c.fail(err)
		return
	}
	if err := c.authorize(); err != nil {
		c.fail(err)
		return
	}
	if err := c.route.handle(c); err != nil {
		c.fail(err)
	}
}

// tooOld answers a request for an endpoint newer than its version.
func (c *call) tooOld(ep *endpoint) {
	switch c.route.before {
	case http.StatusNotAcceptable:
		c.fail(needsMinor(c.route.since))
	case http.StatusMethodNotAllowed:
		c.w.Header().Set("Allow", ep.allow)
		c.failRouting(http.StatusMethodNotAllowed, "")
	default:
		c.fault(http.StatusNotFound, "Not Found")
	}
}

// caller is who asks, for the conductor.
func (c *call) caller() conductor.Caller {
	return conductor.Caller{RequestID: c.id, User: c.who.User, Project: c.who.Project}
}

// linkBase is what links start with, escaped for a JSON string.
func (c *call) linkBase() string {
	if c.base == "" {
		base := c.api.base
		if base == "" {
			scheme := "http://"
			if c.r.TLS != nil {
				scheme = "https://"
			}
			base = scheme + c.r.Host
		}
		quoted := appendString(nil, base)
		c.base = string(quoted[1 : len(quoted)-1])
	}
	return c.base
}

// rawBase is linkBase as text.
func (c *call) rawBase() string {
	var s string
	if err := json.Unmarshal([]byte(`"`+c.linkBase()+`"`), &s); err != nil {
		return c.api.base
	}
	return s
}

// reply sends what is in the buffer.
func (c *call) reply(status int) error {
	h := c.w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(c.buf))}
	c.status = status
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(c.buf) // a client that went away is nobody's error
	}
	return nil
}

// empty sends a status without a body; location may be "".
func (c *call) empty(status int, location string) error {
	if location != "" {
		c.w.Header().Set("Location", c.rawBase()+location)
	}
	c.status = status
	c.w.WriteHeader(status)
	return nil
}

// account logs and counts a request that was answered.
func (a *api) account(c *call, template string, d time.Duration) {
	if a.Observe != nil {
		a.Observe(Observation{Route: template, Method: knownMethod(c.r.Method), Status: c.status, Duration: d})
	}
	if !a.Log.Enabled(c.r.Context(), slog.LevelInfo) {
		return
	}
	attrs := make([]slog.Attr, 0, 9)
	attrs = append(attrs, slog.String("request_id", c.id), slog.String("method", c.r.Method),
		slog.String("path", c.r.URL.Path), slog.Int("status", c.status), slog.Duration("duration", d))
	if c.node != "" {
		attrs = append(attrs, slog.String("node", c.node))
	}
	if c.who.User != "" {
		attrs = append(attrs, slog.String("user", c.who.User))
	}
	if global := c.globalRequestID(); global != "" {
		attrs = append(attrs, slog.String("global_request_id", global))
	}
	a.Log.LogAttrs(c.r.Context(), slog.LevelInfo, "request", attrs...)
}

// globalRequestID is the id that another service gave the request, if it is one.
func (c *call) globalRequestID() string {
	id := c.r.Header.Get("X-Openstack-Request-Id")
	if rest, ok := strings.CutPrefix(id, "req-"); ok && baremetal.IsUUID(rest) {
		return id
	}
	return ""
}

func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}
