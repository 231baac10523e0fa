package ironicapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"
)

// route is one row of the table of routes.
type route struct {
	method string // "*" = any of anyMethods
	path   string // template, with /v1
	since  int    // minor version that brought it
	before int    // status before that version; 0 = 404
	query  []param
	body   bodySize
	public bool // answers without credentials
	handle func(*call) error
	doc    string // one line for the API description
}

// bodySize is the most a request body may hold; 0 = no body is read.
type bodySize int64

const (
	noBody         bodySize = 0
	usualBody      bodySize = 1 << 20
	inspectionBody bodySize = 16 << 20
	provisionBody  bodySize = 64 << 20
)

// endpoint is a path with its methods: what the router finds.
type endpoint struct {
	path    string
	methods map[string]*route
	allow   string // the Allow header
	public  bool
}

// ServeHTTP makes an endpoint something the router can hold; it is never called,
// since the API looks the endpoint up and serves it itself.
func (*endpoint) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusInternalServerError)
}

var anyMethods = []string{http.MethodDelete, http.MethodGet, http.MethodPatch, http.MethodPost, http.MethodPut}

// newRouter builds the router from the table. Routes are grouped by their first
// segment and their number of segments, so that a request is matched against a
// handful of patterns and not against all.
func newRouter(table []route) (*mux.Router, error) {
	type group struct {
		root     string
		segments int
	}
	root := mux.NewRouter().SkipClean(true)
	groups := map[group]*mux.Router{}
	endpoints := map[string]*endpoint{}
	for i := range table {
		rt := &table[i]
		ep := endpoints[rt.path]
		if ep == nil {
			ep = &endpoint{path: rt.path, methods: map[string]*route{}}
			endpoints[rt.path] = ep
			key := group{firstSegment(rt.path), strings.Count(rt.path, "/")}
			sub := groups[key]
			if sub == nil {
				sub = root.MatcherFunc(func(r *http.Request, _ *mux.RouteMatch) bool {
					return strings.Count(r.URL.Path, "/") == key.segments && firstSegment(r.URL.Path) == key.root
				}).Subrouter()
				groups[key] = sub
			}
			if err := sub.Handle(rt.path, ep).GetError(); err != nil {
				return nil, fmt.Errorf("building route %q: %w", rt.path, err)
			}
		}
		methods := []string{rt.method}
		if rt.method == "*" {
			methods = anyMethods
		}
		for _, m := range methods {
			if ep.methods[m] != nil {
				return nil, fmt.Errorf("building route %s %q: it is in the table twice", m, rt.path)
			}
			ep.methods[m] = rt
		}
		ep.public = ep.public || rt.public
	}
	for _, ep := range endpoints {
		var names []string
		for m := range ep.methods {
			names = append(names, m)
		}
		slices.Sort(names)
		ep.allow = strings.Join(names, ", ")
	}
	return root, nil
}

// firstSegment returns what follows /v1/ up to the next slash.
func firstSegment(path string) string {
	rest, ok := strings.CutPrefix(path, "/v1/")
	if !ok {
		return ""
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		rest = rest[:i]
	}
	return rest
}

// cleanPath brings the spellings of a path that clients use into the one of the
// table: without the prefix of the public endpoint, without a trailing slash,
// with /v1 in front of a resource.
func (a *api) cleanPath(path string) string {
	if a.prefix != "" {
		if rest, ok := strings.CutPrefix(path, a.prefix); ok && (rest == "" || rest[0] == '/') {
			path = rest
		}
	}
	path = strings.TrimRight(path, "/")
	switch {
	case path == "":
		return "/"
	case path == "/v1", strings.HasPrefix(path, "/v1/"), path == "/healthcheck", path == openapiPath:
		return path
	}
	return "/v1" + path
}
