package keystone

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"caddyshack/ironicapi"
)

// twin is a Keystone that knows some tokens.
type twin struct {
	*httptest.Server
	mu      sync.Mutex
	tokens  map[string]string // token: JSON of what it is
	asked   map[string]int
	logins  int
	own     string // the service's token that is accepted
	refuses int    // status of every answer, 0 = none
}

func newTwin(t *testing.T) *twin {
	t.Helper()
	k := &twin{tokens: map[string]string{}, asked: map[string]int{}}
	k.Server = httptest.NewServer(http.HandlerFunc(k.serve))
	t.Cleanup(k.Close)
	return k
}

func (k *twin) serve(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.refuses != 0:
		w.WriteHeader(k.refuses)
	case r.Method == http.MethodPost && r.URL.Path == "/v3/auth/tokens":
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body)
		if !strings.Contains(body.String(), `"password":"pw"`) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		k.logins++
		k.own = fmt.Sprintf("own-%d", k.logins)
		w.Header().Set("X-Subject-Token", k.own)
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"token":{"expires_at":"2100-01-01T00:00:00.000000Z","catalog":[]}}`))
	case r.Header.Get("X-Auth-Token") != k.own:
		w.WriteHeader(http.StatusUnauthorized)
	default:
		token := r.Header.Get("X-Subject-Token")
		k.asked[token]++
		text, ok := k.tokens[token]
		if !ok || strings.Contains(text, `"1999-`) && r.URL.Query().Get("allow_expired") != "1" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(`{"token":` + text + `}`))
	}
}

// token makes one; scope is JSON like `"system":{"all":true}`.
func (k *twin) token(name, scope, expires string, roles ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []map[string]string
	for _, r := range roles {
		list = append(list, map[string]string{"id": "x", "name": r})
	}
	text, _ := json.Marshal(list)
	k.tokens[name] = fmt.Sprintf(`{"user":{"id":"u1","name":"ann","domain":{"id":"default"}},%s,"roles":%s,"expires_at":"%s-01-01T00:00:00.000000Z"}`, scope, text, expires)
}

func (k *twin) times(token string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked[token]
}

func (k *twin) change(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

func (k *twin) authenticator(t *testing.T, change ...func(*Config)) *Authenticator {
	t.Helper()
	cfg := Config{AuthURL: k.URL, Username: "caddyshack", Password: "pw", ProjectName: "service"}
	for _, c := range change {
		c(&cfg)
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func ask(t *testing.T, a *Authenticator, header ...string) (ironicapi.Identity, *ironicapi.Denial) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/nodes", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return a.Authenticate(r)
}

const project = `"project":{"id":"p1","name":"%s","domain":{"id":"default"}}`

func TestScopes(t *testing.T) {
	t.Parallel()
	k := newTwin(t)
	k.token("system", `"system":{"all":true}`, "2100", "admin", "whatever")
	k.token("project", fmt.Sprintf(project, "demo"), "2100", "member")
	k.token("nova", fmt.Sprintf(project, "service"), "2100", "admin", "service")
	k.token("domain", `"domain":{"id":"default"}`, "2100", "admin")
	plain := k.authenticator(t)
	elevated := k.authenticator(t, func(c *Config) { c.ElevateService = true })
	trusted := k.authenticator(t, func(c *Config) { c.AdminProjects = []string{"demo"} })
	for _, tc := range []struct {
		name, token string
		a           *Authenticator
		want        ironicapi.Identity
	}{
		{"system", "system", plain, ironicapi.Identity{User: "ann", System: ironicapi.RolesOf("admin")}},
		{"project", "project", plain, ironicapi.Identity{User: "ann", Project: "p1", InProject: ironicapi.RolesOf("member")}},
		{"service", "nova", plain, ironicapi.Identity{User: "ann", Project: "p1", InProject: ironicapi.RolesOf("admin", "service")}},
		{"service, elevated", "nova", elevated, ironicapi.Identity{User: "ann", Project: "p1", InProject: ironicapi.RolesOf("admin", "service"), System: ironicapi.Service}},
		{"other project, elevated", "project", elevated, ironicapi.Identity{User: "ann", Project: "p1", InProject: ironicapi.RolesOf("member")}},
		{"trusted project", "project", trusted, ironicapi.Identity{User: "ann", Project: "p1", InProject: ironicapi.RolesOf("member"), System: ironicapi.RolesOf("member")}},
		{"domain", "domain", plain, ironicapi.Identity{User: "ann"}},
	} {
		got, denial := ask(t, tc.a, "X-Auth-Token", tc.token)
		if denial != nil || cmp.Diff(tc.want, got) != "" {
			t.Errorf("%s: %v %s", tc.name, denial, cmp.Diff(tc.want, got))
		}
	}
}

func TestBadTokens(t *testing.T) {
	t.Parallel()
	k := newTwin(t)
	k.token("old", fmt.Sprintf(project, "demo"), "1999", "member")
	a := k.authenticator(t, func(c *Config) { c.WWWAuthenticateURI = "https://public:5000" })
	for _, header := range [][]string{nil, {"X-Auth-Token", "unknown"}, {"X-Auth-Token", "old"}, {"X-Auth-Token", strings.Repeat("x", 9000)},
		{"X-Auth-Token", "old", "X-Service-Token", "unknown"}} {
		_, denial := ask(t, a, header...)
		if denial == nil || denial.Status != 401 || denial.Header.Get("WWW-Authenticate") != `Keystone uri="https://public:5000"` || !json.Valid(denial.Body) {
			t.Errorf("%.40v: %+v", header, denial)
		}
	}
	if n := k.times("unknown"); n != 1 {
		t.Errorf("Keystone was asked %d times about a token it does not know, want once", n)
	}
}

func TestCache(t *testing.T) {
	t.Parallel()
	k := newTwin(t)
	k.token("a", fmt.Sprintf(project, "demo"), "2100", "member")
	a := k.authenticator(t)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, denial := ask(t, a, "X-Auth-Token", "a"); denial != nil {
				t.Errorf("%+v", denial)
			}
		})
	}
	wg.Wait()
	if n := k.times("a"); n != 1 {
		t.Errorf("50 requests at once made %d questions, want 1", n)
	}
	none := k.authenticator(t, func(c *Config) { c.CacheTime = -1 })
	for range 3 {
		if _, denial := ask(t, none, "X-Auth-Token", "a"); denial != nil {
			t.Errorf("%+v", denial)
		}
	}
	if n := k.times("a"); n != 4 {
		t.Errorf("without a cache: %d questions, want 3 more", n-1)
	}
}

// A remembered answer does not outlive the token, and the memory is bounded.
func TestForgetting(t *testing.T) {
	t.Parallel()
	var c cache
	if err := c.init(); err != nil {
		t.Fatal(err)
	}
	c.put(c.key("gone", false), &tokenInfo{}, -time.Second)
	if _, ok := c.get(c.key("gone", false)); ok {
		t.Error("a token that has run out is remembered")
	}
	c.put(c.key("good", false), &tokenInfo{}, time.Hour)
	for i := range maxRemembered + 100 {
		c.put(c.key(fmt.Sprint(i), false), nil, time.Hour)
	}
	if _, ok := c.get(c.key("good", false)); !ok || len(c.said) > maxRemembered {
		t.Errorf("good token kept: %t, %d remembered", ok, len(c.said))
	}
	if _, ok := c.get(c.key("good", true)); ok {
		t.Error("an answer is used for another question")
	}
}

// A service that passes a user's request on may do so with a token that has run out meanwhile.
func TestServiceToken(t *testing.T) {
	t.Parallel()
	k := newTwin(t)
	k.token("late", fmt.Sprintf(project, "demo"), "1999", "member")
	k.token("svc", fmt.Sprintf(project, "service"), "2100", "service")
	k.token("user", fmt.Sprintf(project, "demo"), "2100", "member")
	a := k.authenticator(t)
	if who, denial := ask(t, a, "X-Auth-Token", "late", "X-Service-Token", "svc"); denial != nil || who.InProject != ironicapi.RolesOf("member") {
		t.Errorf("with a service token: %+v %+v", who, denial)
	}
	if _, denial := ask(t, a, "X-Auth-Token", "late"); denial == nil {
		t.Error("a token that has run out is accepted alone")
	}
	if _, denial := ask(t, a, "X-Auth-Token", "late", "X-Service-Token", "user"); denial == nil {
		t.Error("anybody's token is taken for a service's")
	}
}

func TestKeystoneIsAway(t *testing.T) {
	t.Parallel()
	k := newTwin(t)
	k.token("a", fmt.Sprintf(project, "demo"), "2100", "member")
	var log bytes.Buffer
	a := k.authenticator(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)); c.CacheTime = -1 })
	if _, denial := ask(t, a, "X-Auth-Token", "a"); denial != nil {
		t.Fatalf("%+v", denial)
	}
	k.change(func() { k.own = "revoked" })
	if _, denial := ask(t, a, "X-Auth-Token", "a"); denial != nil || k.logins != 2 {
		t.Errorf("after the service's own token was revoked: %+v, %d logins", denial, k.logins)
	}
	k.change(func() { k.refuses = 500 })
	if _, denial := ask(t, a, "X-Auth-Token", "a"); denial == nil || denial.Status != 503 || denial.Header.Get("Retry-After") == "" {
		t.Errorf("while Keystone fails: %+v", denial)
	}
	if !strings.Contains(log.String(), "tokens cannot be checked") || strings.Contains(log.String(), "pw") {
		t.Errorf("log: %s", log.String())
	}
	wrong := k.authenticator(t, func(c *Config) { c.Password = "wrong" })
	k.change(func() { k.refuses = 0 })
	if _, denial := ask(t, wrong, "X-Auth-Token", "a"); denial == nil || denial.Status != 503 {
		t.Errorf("with a wrong password of its own: %+v", denial)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cfg  Config
		want string
	}{
		"no url":      {Config{}, "auth_url"},
		"no user":     {Config{AuthURL: "http://k"}, "username"},
		"no password": {Config{AuthURL: "http://k", Username: "u"}, "password"},
		"no scope":    {Config{AuthURL: "http://k", Username: "u", Password: "p"}, "project_name"},
		"two scopes":  {Config{AuthURL: "http://k", Username: "u", Password: "p", ProjectName: "s", SystemScope: true}, "system_scope"},
		"no CA":       {Config{AuthURL: "http://k", Username: "u", Password: "p", ProjectName: "s", CAFile: "/nowhere"}, "cafile"},
	} {
		if _, err := New(tc.cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
