package main

import (
	"log/slog"
	"net/url"
	"time"

	"caddyshack/ironicapi/keystone"
)

// settings are those of the file and, before them, those of the configuration itself.
func (k *KeystoneConfig) settings() (keystone.Config, error) {
	var c keystone.Config
	if k.OsloFile != "" {
		var err error
		if c, err = keystone.ReadINI(k.OsloFile); err != nil {
			return c, bad("api.keystone.oslo_file", "%v", err)
		}
	}
	for _, s := range []struct {
		to   *string
		from string
	}{
		{&c.AuthURL, k.AuthURL}, {&c.Username, k.Username}, {&c.Password, k.Password}, {&c.UserDomainName, k.UserDomainName},
		{&c.ProjectName, k.ProjectName}, {&c.ProjectDomainName, k.ProjectDomainName}, {&c.WWWAuthenticateURI, k.WWWAuthenticateURI},
		{&c.CAFile, k.CAFile}, {&c.ServiceProject, k.ServiceProject},
	} {
		if s.from != "" {
			*s.to = s.from
		}
	}
	if k.SystemScope != "" {
		c.SystemScope, c.ProjectName, c.ProjectID = true, k.ProjectName, ""
	}
	if k.TokenCacheTime.Duration != 0 {
		c.CacheTime = k.TokenCacheTime.Duration
	}
	c.Insecure = c.Insecure || k.Insecure
	c.ElevateService, c.AdminProjects = k.ElevateService, k.AdminProjects
	return c, nil
}

// check refuses what cannot work, in words of the configuration file.
func (k *KeystoneConfig) check() error {
	c, err := k.settings()
	if err != nil {
		return err
	}
	u, err := url.Parse(c.AuthURL)
	switch {
	case c.AuthURL == "":
		return bad("api.keystone.auth_url", "auth = \"keystone\" needs Keystone's address, for example \"http://controller:5000/v3\", or oslo_file with a section [%s]", keystone.Section)
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		return bad("api.keystone.auth_url", "%q is not a URL like \"http://controller:5000/v3\"", c.AuthURL)
	case c.Username == "" && c.UserID == "":
		return bad("api.keystone.username", "Keystone is asked with an account of this service; set username and password")
	case c.Password == "":
		return bad("api.keystone.password", "the account %q has no password here", c.Username)
	case k.SystemScope != "" && k.SystemScope != "all":
		return bad("api.keystone.system_scope", "%q is not known; the only scope is \"all\"", k.SystemScope)
	case c.SystemScope && c.ProjectName != "":
		return bad("api.keystone.system_scope", "the account can have a project or the system as its scope, not both")
	case !c.SystemScope && c.ProjectName == "" && c.ProjectID == "":
		return bad("api.keystone.project_name", "the account needs a scope: usually project_name = \"service\"")
	case k.TokenCacheTime.Duration > 24*time.Hour:
		return bad("api.keystone.token_cache_time", "%s is too long: a revoked token would work for as long", k.TokenCacheTime.Duration)
	}
	return nil
}

func (k *KeystoneConfig) authenticator(log *slog.Logger) (*keystone.Authenticator, error) {
	c, err := k.settings()
	if err != nil {
		return nil, err
	}
	c.Log = log
	return keystone.New(c)
}
