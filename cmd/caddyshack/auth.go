package main

import "caddyshack/ironicapi"

// authenticator makes what the configuration asks for; nil is noauth.
func (d *daemon) authenticator() (ironicapi.Authenticator, error) {
	switch d.cfg.API.Auth {
	case "http_basic":
		return ironicapi.NewBasicAuth(d.cfg.API.HtpasswdFile)
	case "keystone":
		return d.cfg.API.Keystone.authenticator(d.log.With("part", "keystone"))
	}
	return nil, nil
}
