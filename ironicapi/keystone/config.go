package keystone

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
)

// Config says which Keystone is asked, and as whom.
type Config struct {
	// AuthURL is Keystone's address, with or without /v3.
	AuthURL string
	// Username (or UserID) and Password are the service's own account, which may
	// look at other people's tokens: it needs the role service, admin or reader.
	Username, UserID, Password       string
	UserDomainName, UserDomainID     string // "" = the domain with the id "default"
	ProjectName, ProjectID           string // scope of the account; none = SystemScope
	ProjectDomainName, ProjectDomain string // ProjectDomain is an id; "" = "default"
	// SystemScope asks for a token of the whole deployment instead of a project.
	SystemScope bool
	// WWWAuthenticateURI is where clients are sent for a token; "" = AuthURL.
	WWWAuthenticateURI string
	// CAFile holds the certificates that Keystone's is checked with; "" = the
	// system's. CertFile and KeyFile are a client certificate. Insecure checks nothing.
	CAFile, CertFile, KeyFile string
	Insecure                  bool
	// CacheTime is how long an answer about a token is believed; 0 = 5 min,
	// negative = not at all. A token that is revoked works on for as long.
	CacheTime time.Duration
	// Timeout is the longest a question to Keystone may take; 0 = 10 s.
	Timeout time.Duration
	// ServiceTokenRoles are the roles of which a service token needs one, so that
	// a user's token that has run out is accepted with it; nil = service.
	ServiceTokenRoles []string
	// ElevateService lets the role service in the project ServiceProject ("" =
	// "service") count for everything, as Nova's account needs without system scope.
	ElevateService bool
	ServiceProject string
	// AdminProjects are names or ids of projects whose roles count for
	// everything, as before there was system scope.
	AdminProjects []string
	// Log is told when Keystone does not answer; nil = nobody.
	Log *slog.Logger
}

// What a Config means that says nothing.
const (
	usualCacheTime = 5 * time.Minute
	usualTimeout   = 10 * time.Second
	usualProject   = "service"
	usualDomain    = "default"
)

// complete checks the settings and fills in the usual ones.
func (c *Config) complete() error {
	u, err := url.Parse(c.AuthURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("checking auth_url %q: it must be Keystone's address, like http://keystone:5000/v3", c.AuthURL)
	}
	switch {
	case c.Username == "" && c.UserID == "":
		return errors.New("checking username: Keystone is asked with an account of the service; set username and password")
	case c.Password == "":
		return errors.New("checking password: the service's account has none; set password")
	case c.SystemScope && (c.ProjectName != "" || c.ProjectID != ""):
		return errors.New("checking system_scope: the account can have a project or the system as its scope, not both")
	case !c.SystemScope && c.ProjectName == "" && c.ProjectID == "":
		return errors.New("checking project_name: the account needs a scope; set project_name (usually \"service\"), or system_scope")
	}
	if c.WWWAuthenticateURI == "" {
		c.WWWAuthenticateURI = c.AuthURL
	}
	if strings.ContainsAny(c.WWWAuthenticateURI, "\"\r\n") {
		return fmt.Errorf("checking www_authenticate_uri %q: it is not a URL", c.WWWAuthenticateURI)
	}
	if c.CacheTime == 0 {
		c.CacheTime = usualCacheTime
	}
	if c.Timeout <= 0 {
		c.Timeout = usualTimeout
	}
	if c.ServiceTokenRoles == nil {
		c.ServiceTokenRoles = []string{"service"}
	}
	if c.ServiceProject == "" {
		c.ServiceProject = usualProject
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// identityURL is the address of Keystone's v3 API, with a slash at the end.
func (c *Config) identityURL() string {
	base := strings.TrimRight(c.AuthURL, "/")
	base = strings.TrimSuffix(base, "/v3")
	return base + "/v3/"
}

// account is the service's own login, renewed by itself when its token runs out.
func (c *Config) account() gophercloud.AuthOptions {
	o := gophercloud.AuthOptions{IdentityEndpoint: c.identityURL(), Username: c.Username, UserID: c.UserID, Password: c.Password, AllowReauth: true}
	if c.UserID == "" {
		if o.DomainName = c.UserDomainName; c.UserDomainName == "" {
			o.DomainID = orUsual(c.UserDomainID, usualDomain)
		}
	} else {
		o.Username = ""
	}
	switch {
	case c.SystemScope:
		o.Scope = &gophercloud.AuthScope{System: true}
	case c.ProjectID != "":
		o.Scope = &gophercloud.AuthScope{ProjectID: c.ProjectID}
	default:
		o.Scope = &gophercloud.AuthScope{ProjectName: c.ProjectName, DomainName: c.ProjectDomainName}
		if c.ProjectDomainName == "" {
			o.Scope.DomainID = orUsual(c.ProjectDomain, usualDomain)
		}
	}
	return o
}

func orUsual(s, usual string) string {
	if s == "" {
		return usual
	}
	return s
}

// transport is how Keystone is reached.
func (c *Config) transport() (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.Insecure} //nolint:gosec // the setting says so
	if c.CAFile != "" {
		text, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading cafile: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("reading cafile %s: there is no certificate in PEM form in it", c.CAFile)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, orUsual(c.KeyFile, c.CertFile))
		if err != nil {
			return nil, fmt.Errorf("reading certfile and keyfile: %w", err)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
