package keystone

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"caddyshack/ironicapi"
)

// tokenInfo is what Keystone says of a token.
type tokenInfo struct {
	ExpiresAt time.Time `json:"expires_at"`
	User      struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"user"`
	Project *struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"project"`
	System struct {
		All bool `json:"all"`
	} `json:"system"`
	Roles []struct {
		Name string `json:"name"`
	} `json:"roles"`
}

func (t *tokenInfo) roles() []string {
	names := make([]string, len(t.Roles))
	for i, r := range t.Roles {
		names[i] = r.Name
	}
	return names
}

// identity is what a token allows: system scope counts for everything, project
// scope for what belongs to the project, any other scope for nothing.
func (a *Authenticator) identity(t *tokenInfo) ironicapi.Identity {
	who := ironicapi.Identity{User: t.User.Name}
	roles := ironicapi.RolesOf(t.roles()...)
	switch {
	case t.System.All:
		who.System = roles
	case t.Project != nil:
		who.Project, who.InProject = t.Project.ID, roles
		if a.cfg.ElevateService && t.Project.Name == a.cfg.ServiceProject {
			who.System = roles & ironicapi.Service
		}
		if slices.Contains(a.cfg.AdminProjects, t.Project.Name) || slices.Contains(a.cfg.AdminProjects, t.Project.ID) {
			who.System = roles
		}
	}
	return who
}

// denial says why a request is refused: nobody is let in while Keystone cannot be asked.
func (a *Authenticator) denial(err error) *ironicapi.Denial {
	if errors.Is(err, errBadToken) {
		return a.unauthorized()
	}
	if !errors.Is(err, context.Canceled) {
		a.cfg.Log.Error("tokens cannot be checked", "err", err)
	}
	return &ironicapi.Denial{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"5"}},
		Body: []byte(`{"error": {"message": "The Identity service does not answer; try again later.", "code": 503, "title": "Service Unavailable"}}`)}
}

func (a *Authenticator) unauthorized() *ironicapi.Denial {
	return &ironicapi.Denial{Status: http.StatusUnauthorized,
		Header: http.Header{"Www-Authenticate": {`Keystone uri="` + a.cfg.WWWAuthenticateURI + `"`}},
		Body:   []byte(`{"error": {"message": "The request you have made requires authentication.", "code": 401, "title": "Unauthorized"}}`)}
}
