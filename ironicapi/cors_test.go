package ironicapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"caddyshack/ironicapi"
)

// TestPagesOfOtherSites: only pages of configured origins may use the API from
// a browser; those of others change nothing, even where no credentials are needed.
func TestPagesOfOtherSites(t *testing.T) {
	t.Parallel()
	const ui = "https://ui.example:8443"
	type headers map[string]string
	preflight := headers{"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-openstack-ironic-api-version"}
	evil, trusted := "https://evil.example", []string{ui}
	for name, test := range map[string]struct {
		trusted        []string
		method, origin string
		more           headers
		status         int
		allowed        string // Access-Control-Allow-Origin
	}{
		"no browser":               {nil, "POST", "", nil, 201, ""},
		"no browser, configured":   {trusted, "POST", "", nil, 201, ""},
		"own page":                 {nil, "POST", "http://api.test", nil, 201, ""},
		"own page, newer browser":  {nil, "POST", "http://api.test", headers{"Sec-Fetch-Site": "same-origin"}, 201, ""},
		"typed in":                 {nil, "POST", "", headers{"Sec-Fetch-Site": "none"}, 201, ""},
		"other site":               {nil, "POST", evil, nil, 403, ""},
		"other site, configured":   {trusted, "POST", evil, headers{"Sec-Fetch-Site": "cross-site"}, 403, ""},
		"other site, sandboxed":    {trusted, "POST", "null", nil, 403, ""},
		"other site, reading":      {trusted, "GET", evil, nil, 200, ""},
		"other site, preflight":    {trusted, "OPTIONS", evil, preflight, 405, ""},
		"an origin's beginning":    {trusted, "POST", "https://ui.example", nil, 403, ""},
		"an origin's continuation": {trusted, "POST", ui + ".evil.example", nil, 403, ""},
		"trusted":                  {trusted, "POST", ui, headers{"Sec-Fetch-Site": "cross-site"}, 201, ui},
		"trusted, reading":         {trusted, "GET", ui, nil, 200, ui},
		"trusted, preflight":       {trusted, "OPTIONS", ui, preflight, 204, ui},
		"trusted, plain OPTIONS":   {trusted, "OPTIONS", ui, nil, 405, ui},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *ironicapi.Config) { c.Origins = test.trusted })
			req := httptest.NewRequestWithContext(t.Context(), test.method, "http://api.test/v1/nodes", strings.NewReader(`{"driver":"fake-hardware"}`))
			if test.origin != "" {
				req.Header.Set("Origin", test.origin)
			}
			for k, v := range test.more {
				req.Header.Set(k, v)
			}
			a := r.send(req)
			if a.status != test.status || a.header.Get("Access-Control-Allow-Origin") != test.allowed {
				t.Errorf("got %d, allowed %q, want %d, %q: %s", a.status, a.header.Get("Access-Control-Allow-Origin"), test.status, test.allowed, a.text)
			}
			if a.status == 403 && !strings.Contains(a.fault(), "cors_origins") {
				t.Errorf("refused without saying what to do: %s", a.text)
			}
			if test.allowed != "" && !strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "X-OpenStack-Ironic-API-Maximum-Version") {
				t.Errorf("the range of versions is not exposed: %v", a.header)
			}
			if test.trusted != nil && a.header.Get("Vary") != "Origin" {
				t.Errorf("Vary is %q", a.header.Get("Vary"))
			}
			if a.status == 204 {
				for _, want := range []string{"GET", "PUT", "POST", "DELETE", "PATCH"} {
					if !strings.Contains(a.header.Get("Access-Control-Allow-Methods"), want) {
						t.Errorf("methods %q without %s", a.header.Get("Access-Control-Allow-Methods"), want)
					}
				}
			}
			if listed := r.must(http.StatusOK, "GET", "/v1/nodes", nil).text; strings.Contains(listed, "uuid") != (a.status == 201) {
				t.Errorf("afterwards there is %s", listed)
			}
		})
	}
	// A preflight carries no credentials.
	r := newRig(t, func(c *ironicapi.Config) { c.Origins, c.Auth = trusted, nobody{} })
	req := httptest.NewRequestWithContext(t.Context(), "OPTIONS", "http://api.test/v1/nodes", nil)
	req.Header.Set("Origin", ui)
	for k, v := range preflight {
		req.Header.Set(k, v)
	}
	if a := r.send(req); a.status != 204 {
		t.Errorf("a preflight without credentials: %d %s", a.status, a.text)
	}
}

// nobody lets nobody in.
type nobody struct{}

func (nobody) Authenticate(*http.Request) (ironicapi.Identity, *ironicapi.Denial) {
	return ironicapi.Identity{}, &ironicapi.Denial{Status: http.StatusUnauthorized, Body: []byte("{}")}
}
