package ironicapi

import (
	"fmt"
	"net/http"
	"slices"
)

// What web pages of the configured origins may send, and read of an answer.
const (
	corsMethods = "GET, PUT, POST, DELETE, PATCH"
	corsHeaders = "Accept, Authorization, Content-Type, OpenStack-API-Version, X-Auth-Token, X-OpenStack-Ironic-API-Version, X-OpenStack-Request-Id"
	corsExposed = "X-OpenStack-Ironic-API-Version, X-OpenStack-Ironic-API-Minimum-Version, X-OpenStack-Ironic-API-Maximum-Version, " +
		"OpenStack-Request-Id, X-OpenStack-Request-Id, Location, Retry-After"
	corsMaxAge = "3600" // seconds that a browser remembers the answer to its preflight
)

// pages knows which other sites' web pages may use the API. The others may
// send nothing that changes anything: a browser adds its user's credentials to
// what any page sends, and with noauth none are needed.
type pages struct {
	origins []string
	guard   *http.CrossOriginProtection
}

func newPages(origins []string) (*pages, error) {
	p := &pages{origins: origins, guard: http.NewCrossOriginProtection()}
	for _, o := range origins {
		if err := p.guard.AddTrustedOrigin(o); err != nil {
			return nil, fmt.Errorf("checking the origin %q: it must be http(s)://HOST[:PORT], without a path: %w", o, err)
		}
	}
	return p, nil
}

// pageAllowed lets web pages of the configured origins in; done tells that the
// request is answered: a preflight, or one that another site's page sent.
func (c *call) pageAllowed() (done bool) {
	p, origin := c.api.pages, c.r.Header.Get("Origin")
	h := c.w.Header()
	if len(p.origins) > 0 {
		h.Add("Vary", "Origin")
	}
	if origin != "" && slices.Contains(p.origins, origin) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", corsExposed)
		if c.r.Method == http.MethodOptions && c.r.Header.Get("Access-Control-Request-Method") != "" {
			h.Set("Access-Control-Allow-Methods", corsMethods)
			h.Set("Access-Control-Allow-Headers", corsHeaders)
			h.Set("Access-Control-Max-Age", corsMaxAge)
			_ = c.empty(http.StatusNoContent, "")
			return true
		}
	}
	if p.guard.Check(c.r) != nil {
		c.fault(http.StatusForbidden, "Access was denied: a web page of another site sent this. If it may, its origin must be among cors_origins of the service.")
		return true
	}
	return false
}
