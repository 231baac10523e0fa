package nfsd

import (
	"encoding/binary"
	"runtime/debug"
	"time"

	"caddyshack/pxe/nfsd/xdr"
)

// answer handles one call and returns the whole reply with its record mark,
// or nil if the record is not worth a reply and the connection not worth
// keeping. The reply lies in a buffer of the pool; the caller puts it back and
// releases held bytes of the budget.
func (s *Server) answer(c *client, record []byte) (reply []byte, held int64) {
	d := xdr.NewDecoder(record)
	h, err := parseCall(d)
	e := xdr.NewEncoder(getBuffer(smallBuffer))
	if err != nil {
		s.counts.badCalls.Add(1)
		if !isDeniable(err) {
			putBuffer(e.Bytes())
			return nil, 0
		}
		return denied(e, h.xid, err), 0
	}
	switch h.prog {
	case nfsProgram:
		return s.answerNFS(c, &h, record, d, e)
	case mountProgram:
		if h.vers != mountVersion {
			return mismatch(e, h.xid, mountVersion), 0
		}
		beginReply(e, h.xid, acceptSuccess)
		if stat := s.mountCall(c.addr, &h, d, e); stat != acceptSuccess {
			s.counts.badCalls.Add(1)
			return failed(e, h.xid, stat), 0
		}
		return finishReply(e), 0
	default:
		// Linux asks for NFSACL; that it is not there is all it wants to know.
		return failed(e, h.xid, acceptProgUnavail), 0
	}
}

// failed replaces what e holds by a reply with the given accept_stat.
func failed(e *xdr.Encoder, xid, stat uint32) []byte {
	e.Truncate(0)
	beginReply(e, xid, stat)
	return finishReply(e)
}

func mismatch(e *xdr.Encoder, xid, version uint32) []byte {
	e.Truncate(0)
	beginReply(e, xid, acceptProgMismatch)
	e.Uint32(version)
	e.Uint32(version)
	return finishReply(e)
}

func (s *Server) answerNFS(c *client, h *rpcHeader, record []byte, d *xdr.Decoder, e *xdr.Encoder) ([]byte, int64) {
	switch {
	case h.vers != nfsVersion:
		return mismatch(e, h.xid, nfsVersion), 0
	case h.proc == 0:
		return failed(e, h.xid, acceptSuccess), 0
	case h.proc >= nfsProcs:
		s.counts.badCalls.Add(1)
		return failed(e, h.xid, acceptProcUnavail), 0
	case h.flavor != authSys:
		return denied(e, h.xid, errTooWeak), 0
	}
	return s.runNFS(c, h, record, d, e)
}

// runNFS runs an NFS procedure on the export that its first handle names. That
// the caller may use the export is checked before anything else, also before a
// call that was made already is answered again.
func (s *Server) runNFS(c *client, h *rpcHeader, record []byte, d *xdr.Decoder, e *xdr.Encoder) ([]byte, int64) {
	p := &procTable[h.proc]
	handle := d.Opaque(maxHandle)
	if d.Err() != nil {
		s.counts.badCalls.Add(1)
		return failed(e, h.xid, acceptGarbageArgs), 0
	}
	beginReply(e, h.xid, acceptSuccess)
	e.Uint32(0) // status, set below
	x, id, st := s.exportFor(c.addr, handle)
	if st != nfsOK {
		s.refuse(st)
		putVoid(e, p.void)
		e.Patch32(replyStart, st)
		return finishReply(e), 0
	}
	defer x.leave()
	r := &request{s: s, x: x, id: id, cred: &h.cred, d: d, e: e, c: c}
	if !p.once {
		return s.call(r, h)
	}
	key := keyOf(h, record)
	entry, old := c.replies.begin(key)
	if entry == nil {
		s.counts.replayed.Add(1)
		return append(e.Bytes()[:0], old...), 0
	}
	place := s.replyLog.begin(c.addr, key)
	r.interrupted = entry.interrupted
	reply, held := s.call(r, h)
	// "Try again later" means just that.
	keep := len(reply) < replyStart+4 || binary.BigEndian.Uint32(reply[replyStart:]) != nfsErrJukebox
	place.end(reply, keep)
	c.replies.end(key, entry, reply, keep)
	return reply, held
}

// call makes a call whose export is known, and counts it.
func (s *Server) call(r *request, h *rpcHeader) ([]byte, int64) {
	start := time.Now()
	p, x := &procTable[h.proc], r.x
	st, ok := s.run(p, r)
	if !ok {
		return failed(r.e, h.xid, acceptSystemErr), r.held
	}
	if r.d.Err() != nil {
		s.counts.badCalls.Add(1)
		return failed(r.e, h.xid, acceptGarbageArgs), r.held
	}
	if st != nfsOK && r.e.Len() == replyStart+4 {
		putVoid(r.e, p.void)
	}
	r.e.Patch32(replyStart, st)
	took := time.Since(start)
	x.stats.count(h.proc, st, took)
	if took >= s.slowCall() {
		s.counts.slow.Add(1)
		s.log().Warn("slow NFS call", "export", x.ID, "client", r.c.addr, "procedure", p.name, "took", took, "status", st)
	}
	return finishReply(r.e), r.held
}

// run runs a procedure; a bug in it costs one call and not the program that
// all other nodes live on.
func (s *Server) run(p *procedure, r *request) (st uint32, ok bool) {
	defer func() {
		if v := recover(); v != nil {
			s.log().Error("NFS procedure failed", "procedure", p.name, "export", r.x.ID, "panic", v, "stack", string(debug.Stack()))
			ok = false
		}
	}()
	return p.run(r), true
}

func (s *Server) refuse(st uint32) {
	switch st {
	case nfsErrBadHandle:
		s.counts.badHandles.Add(1)
	case nfsErrStale:
		s.counts.denied.Add(1)
	}
}

// putVoid writes a failure body that tells nothing.
func putVoid(e *xdr.Encoder, words int) {
	for range words {
		e.Bool(false)
	}
}

// holdReply makes room for a reply of n bytes and takes them from the budget,
// with what else the call needs while it is under way.
func (r *request) holdReply(n, more int64) bool {
	if n <= smallBuffer {
		return true
	}
	if !r.s.budget.take(r.c, n+more) {
		return false
	}
	r.held = n + more
	// The encoder's small buffer is exchanged for one that holds the reply.
	old := r.e.Bytes()
	*r.e = *xdr.NewEncoder(append(getBuffer(int(n)+largeSlack), old...))
	putBuffer(old)
	return true
}
