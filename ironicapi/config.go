package ironicapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
)

// Config is what the API needs.
type Config struct {
	Store     Store
	Conductor Conductor
	// Log gets one line per request and every internal error; nil = nothing is logged.
	Log *slog.Logger
	// PublicEndpoint is the URL under which clients reach the service
	// ("https://cloud.example/baremetal"); links and next are built from it. Its
	// path is also accepted in front of /v1, for proxies that do not strip it.
	// "" = the Host of each request. Forwarding headers are never believed.
	PublicEndpoint string
	// MaxLimit is the most items a list returns at once; 0 = 1000.
	MaxLimit int
	// Auth tells who is asking; nil = everybody may do everything (noauth).
	Auth Authenticator
	// Origins are the web sites ("https://ui.example") whose pages may use the API
	// from a browser; nil = none.
	Origins []string
	// NoAgents refuses the endpoints for deploy agents (lookup, heartbeat,
	// continue_inspection), which need no credentials: for an API that faces
	// networks where no agent is.
	NoAgents bool
	// Troubles tells what /healthcheck names besides: what is lost and does not
	// keep the API from working. nil = nothing.
	Troubles func() []string
	// Observe is told of every answered request, for metrics; nil = nobody.
	Observe func(Observation)
	// Stopping is closed when the service stops: streams of events end then.
	// nil = they end with their connections.
	Stopping <-chan struct{}
}

// Observation is one answered request. Route is the template of the path
// ("/v1/nodes/{node}"), or "unknown", and Method is one of HTTP's usual methods or
// "other", so that the number of different labels is bounded.
type Observation struct {
	Route    string
	Method   string
	Status   int
	Duration time.Duration
}

// api is the handler made by New.
type api struct {
	Config
	router *mux.Router
	base   string // of links, "" = from the request
	prefix string // path of the public endpoint without trailing slash
	pages  *pages
	calls  sync.Pool
	// streams counts the open streams of events.
	streams atomic.Int64
	// openapi is the description of the API.
	openapi func() ([]byte, error)
}

// New returns the handler of the whole API. The error says what is wrong with the configuration.
func New(cfg Config) (http.Handler, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxLimit == 0 {
		cfg.MaxLimit = 1000
	}
	if cfg.MaxLimit < 0 {
		return nil, fmt.Errorf("checking max_limit %d: it must be positive", cfg.MaxLimit)
	}
	a := &api{Config: cfg}
	if cfg.PublicEndpoint != "" {
		u, err := url.Parse(cfg.PublicEndpoint)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("checking public endpoint %q: it must be http(s)://HOST[:PORT][/PATH]", cfg.PublicEndpoint)
		}
		a.prefix = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/v1")
		u.Path = a.prefix
		a.base = u.String()
	}
	var err error
	if a.pages, err = newPages(cfg.Origins); err != nil {
		return nil, err
	}
	a.openapi = openapiOnce(a.base)
	a.calls.New = func() any { return &call{api: a} }
	if a.router, err = newRouter(routes()); err != nil {
		return nil, err
	}
	return a, nil
}

// Limits of a server for the API. Slow or silent clients are cut off by them.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 2 * time.Minute
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
)

// NewServer returns an HTTP server with the deadlines the API wants: a request
// must have arrived within 30 s (its header within 10 s), and its answer be
// taken within 2 min. Handlers that stream (consoles) lift the deadlines for
// themselves with http.ResponseController.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes}
}
