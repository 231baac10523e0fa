package nfsd

import (
	"net/netip"
	"path"

	"caddyshack/pxe/nfsd/xdr"
)

// Numbers of the MOUNT protocol, version 3 (RFC 1813, appendix I).
const (
	mountProgram = 100005
	mountVersion = 3

	mountNull    = 0
	mountMnt     = 1
	mountDump    = 2
	mountUmnt    = 3
	mountUmntAll = 4
	mountExport  = 5

	mountOK       = 0
	mountErrAcces = 13

	maxMountPath = 1024
)

// mountCall answers one MOUNT call.
func (s *Server) mountCall(client netip.Addr, h *rpcHeader, d *xdr.Decoder, e *xdr.Encoder) uint32 {
	switch h.proc {
	case mountNull, mountUmntAll:
	case mountUmnt:
		d.Opaque(maxMountPath)
	case mountMnt:
		s.mnt(client, d.String(maxMountPath), e)
	case mountDump:
		e.Bool(false) // who has mounted what is nobody's business
	case mountExport:
		// A client sees what it may mount and nothing else.
		for _, x := range s.exportsOf(client) {
			e.Bool(true)
			e.String(x.Path)
			e.Bool(true)
			e.String(client.String())
			e.Bool(false)
		}
		e.Bool(false)
	default:
		return acceptProcUnavail
	}
	if d.Err() != nil {
		return acceptGarbageArgs
	}
	return acceptSuccess
}

func (s *Server) mnt(client netip.Addr, dir string, e *xdr.Encoder) {
	var found *export
	for _, x := range s.exportsOf(client) {
		if x.Path == path.Clean(dir) {
			found = x
		}
	}
	if found == nil || !found.enter() {
		s.counts.refusedMounts.Add(1)
		// One answer for all reasons: it tells nothing about others' exports.
		s.event(Event{Kind: EventMount, Client: client, Path: dir, Reason: s.refusal(client, dir)})
		e.Uint32(mountErrAcces)
		return
	}
	defer found.leave()
	found.reads.reset(s.Limits.firstReads())
	s.event(Event{Kind: EventMount, ExportID: found.ID, Client: client, Path: dir, OK: true})
	e.Uint32(mountOK)
	e.Opaque(found.root)
	e.Uint32(1) // number of flavors
	e.Uint32(authSys)
}

// refusal says, for the operator, why a mount was refused.
func (s *Server) refusal(client netip.Addr, dir string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, x := range s.exports {
		if x.Path == path.Clean(dir) {
			return "the export belongs to " + x.Client.String() + ", not to " + client.String()
		}
	}
	return "no such export"
}
