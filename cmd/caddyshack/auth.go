package main

import "caddyshack/ironicapi"

// authenticator makes what the configuration asks for; nil is noauth.
func (d *daemon) authenticator() (ironicapi.Authenticator, error) {
	if d.cfg.API.Auth != "http_basic" {
		return nil, nil
	}
	return ironicapi.NewBasicAuth(d.cfg.API.HtpasswdFile)
}
