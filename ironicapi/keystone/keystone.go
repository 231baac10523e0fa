package keystone

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"golang.org/x/sync/singleflight"

	"caddyshack/ironicapi"
)

// Bounds on what strangers can make this do.
const (
	longestToken  = 8 << 10 // bytes; Fernet tokens have about 200
	asksAtOnce    = 16      // questions to Keystone under way
	badFor        = 30 * time.Second
	maxRemembered = 10_000 // tokens
	loginAgain    = 2 * time.Second
)

// Authenticator checks the tokens of requests. It is made by New and implements
// ironicapi.Authenticator.
type Authenticator struct {
	cfg    Config
	slots  chan struct{}
	asking singleflight.Group
	known  cache

	mu     sync.Mutex                 // held during a login
	client *gophercloud.ServiceClient // logged in; nil before the first question
	failed error                      // of the last login
	tried  time.Time                  // when that was
	http   http.Client
}

var _ ironicapi.Authenticator = (*Authenticator)(nil)

// New checks the settings. Keystone is not asked before the first request, so
// that the service starts while Keystone is down.
func New(cfg Config) (*Authenticator, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	t, err := cfg.transport()
	if err != nil {
		return nil, err
	}
	a := &Authenticator{cfg: cfg, slots: make(chan struct{}, asksAtOnce), http: http.Client{Transport: t, Timeout: cfg.Timeout}}
	return a, a.known.init()
}

// Authenticate implements ironicapi.Authenticator.
func (a *Authenticator) Authenticate(r *http.Request) (ironicapi.Identity, *ironicapi.Denial) {
	token := r.Header.Get("X-Auth-Token")
	if token == "" {
		return ironicapi.Identity{}, a.unauthorized()
	}
	late := false // whether the user's token may have run out
	if service := r.Header.Get("X-Service-Token"); service != "" {
		info, err := a.look(r.Context(), service, false)
		if err != nil {
			return ironicapi.Identity{}, a.denial(err)
		}
		late = slices.ContainsFunc(info.roles(), func(role string) bool { return slices.Contains(a.cfg.ServiceTokenRoles, role) })
	}
	info, err := a.look(r.Context(), token, late)
	if err != nil {
		return ironicapi.Identity{}, a.denial(err)
	}
	return a.identity(info), nil
}

// errBadToken is a token that Keystone does not know, or no more.
var errBadToken = errors.New("the token is not valid")

// look returns what Keystone says of a token.
func (a *Authenticator) look(ctx context.Context, token string, late bool) (*tokenInfo, error) {
	if len(token) > longestToken {
		return nil, errBadToken
	}
	key := a.known.key(token, late)
	if info, ok := a.known.get(key); ok {
		return valid(info)
	}
	// Others that bring the same token wait for the same answer, so it must not
	// end with the request of the first.
	result := a.asking.DoChan(string(key[:]), func() (any, error) {
		if info, ok := a.known.get(key); ok { // answered since we looked above
			return valid(info)
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.Timeout)
		defer cancel()
		select {
		case a.slots <- struct{}{}:
			defer func() { <-a.slots }()
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for other questions to Keystone: %w", ctx.Err())
		}
		info, err := a.ask(ctx, token, late)
		switch {
		case err == nil:
			a.known.put(key, info, a.goodFor(info, late))
		case errors.Is(err, errBadToken):
			a.known.put(key, nil, min(badFor, max(a.cfg.CacheTime, 0)))
		}
		return info, err
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*tokenInfo), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// valid is what is remembered of a token; nil is a bad one.
func valid(info *tokenInfo) (*tokenInfo, error) {
	if info == nil {
		return nil, errBadToken
	}
	return info, nil
}

// goodFor is how long an answer is remembered.
func (a *Authenticator) goodFor(info *tokenInfo, late bool) time.Duration {
	if late {
		return a.cfg.CacheTime
	}
	return min(a.cfg.CacheTime, time.Until(info.ExpiresAt))
}

// ask asks Keystone, once more with a fresh login if the service's own token was refused.
func (a *Authenticator) ask(ctx context.Context, token string, late bool) (*tokenInfo, error) {
	client, err := a.login(ctx)
	if err != nil {
		return nil, err
	}
	var body struct {
		Token tokenInfo `json:"token"`
	}
	url := client.ServiceURL("auth", "tokens") + "?nocatalog"
	if late {
		url += "&allow_expired=1"
	}
	resp, err := client.Get(ctx, url, &body, &gophercloud.RequestOpts{MoreHeaders: map[string]string{"X-Subject-Token": token}, OkCodes: []int{200, 203}})
	if resp != nil {
		_ = resp.Body.Close()
	}
	switch {
	case gophercloud.ResponseCodeIs(err, http.StatusNotFound):
		return nil, errBadToken
	case err != nil:
		a.forget(client)
		return nil, fmt.Errorf("asking Keystone at %s about a token: %w", a.cfg.AuthURL, err)
	case !late && !body.Token.ExpiresAt.After(time.Now()):
		return nil, errBadToken
	}
	return &body.Token, nil
}

// login returns the client that is logged in with the service's account.
func (a *Authenticator) login(ctx context.Context) (*gophercloud.ServiceClient, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.client != nil {
		return a.client, nil
	}
	if a.failed != nil && time.Since(a.tried) < loginAgain { // those who waited meanwhile share the failure
		return nil, a.failed
	}
	a.client, a.failed = a.freshLogin(ctx)
	a.tried = time.Now()
	return a.client, a.failed
}

func (a *Authenticator) freshLogin(ctx context.Context) (*gophercloud.ServiceClient, error) {
	provider, err := openstack.NewClient(a.cfg.identityURL())
	if err != nil {
		return nil, fmt.Errorf("reading auth_url %q: %w", a.cfg.AuthURL, err)
	}
	provider.HTTPClient = a.http
	provider.UseTokenLock()
	account := a.cfg.account()
	if err := openstack.AuthenticateV3(ctx, provider, &account, gophercloud.EndpointOpts{}); err != nil {
		return nil, fmt.Errorf("logging in to Keystone at %s as %q: %w", a.cfg.AuthURL, orUsual(a.cfg.Username, a.cfg.UserID), err)
	}
	return &gophercloud.ServiceClient{ProviderClient: provider, Endpoint: a.cfg.identityURL(), Type: "identity"}, nil
}

// forget drops a login that did not work, so that the next question makes a new one.
func (a *Authenticator) forget(client *gophercloud.ServiceClient) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.client == client {
		a.client = nil
	}
}
