package pxe

import (
	"context"
	"net/netip"

	"caddyshack/pxe/tftpd"
)

// Networks are the networks in which this machine has an address of its own
// beside the usual one, each with its length (10.20.0.1/24): the machines in
// one are served at that address, and nobody else is.
type Networks []netip.Prefix

// Admits tells whether a request of remote that came in at local may be served.
func (n Networks) Admits(local, remote netip.Addr) bool {
	local, remote = local.Unmap(), remote.Unmap()
	for _, p := range n {
		if p.Addr() == local || p.Contains(remote) {
			return p.Addr() == local && p.Contains(remote)
		}
	}
	return true
}

// Scope is a source of boot files as seen at one local address: requests that
// may not come in there are denied.
type Scope struct {
	Source interface {
		tftpd.Source
		tftpd.Knower
	}
	Networks Networks
	Local    netip.Addr
}

// Open implements tftpd.Source.
func (s Scope) Open(ctx context.Context, client netip.Addr, name string) (*tftpd.File, error) {
	if !s.Networks.Admits(s.Local, client) {
		return nil, &tftpd.LookupError{Name: name, Err: tftpd.ErrDenied}
	}
	return s.Source.Open(ctx, client, name)
}

// Knows implements tftpd.Knower.
func (s Scope) Knows(client netip.Addr) bool {
	return s.Networks.Admits(s.Local, client) && s.Source.Knows(client)
}
