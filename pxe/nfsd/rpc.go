package nfsd

import (
	"errors"
	"fmt"

	"caddyshack/pxe/nfsd/posix"
	"caddyshack/pxe/nfsd/xdr"
)

// Numbers of ONC RPC version 2 (RFC 5531).
const (
	rpcCall    = 0
	rpcReply   = 1
	rpcVersion = 2

	msgAccepted = 0
	msgDenied   = 1

	acceptSuccess      = 0
	acceptProgUnavail  = 1
	acceptProgMismatch = 2
	acceptProcUnavail  = 3
	acceptGarbageArgs  = 4
	acceptSystemErr    = 5

	rejectRPCMismatch = 0
	rejectAuthError   = 1

	authNone = 0
	authSys  = 1

	authBadCred = 1
	authTooWeak = 5
)

// Limits of AUTH_SYS (RFC 5531, appendix A).
const (
	maxAuthBody    = 400
	maxMachineName = 255
	maxGroups      = 16
)

var (
	errNotCall = errors.New("not an RPC call")
	// errAuth is a credential that cannot be read.
	errAuth = errors.New("bad credential")
	// errRPCVersion is a call of another RPC version than 2.
	errRPCVersion = errors.New("RPC version is not 2")
)

// rpcHeader is the beginning of a call.
type rpcHeader struct {
	xid, prog, vers, proc uint32
	flavor                uint32
	cred                  posix.Cred // with authSys
}

// parseCall reads the header of a call and leaves d at its arguments. After
// errAuth and errRPCVersion the xid is known and a denial can be sent; after
// other errors the connection is no good.
func parseCall(d *xdr.Decoder) (rpcHeader, error) {
	h := rpcHeader{xid: d.Uint32()}
	if kind := d.Uint32(); d.Err() != nil || kind != rpcCall {
		return h, errNotCall
	}
	if v := d.Uint32(); d.Err() == nil && v != rpcVersion {
		return h, errRPCVersion
	}
	h.prog, h.vers, h.proc = d.Uint32(), d.Uint32(), d.Uint32()
	h.flavor = d.Uint32()
	body := d.Opaque(maxAuthBody)
	d.Uint32() // flavor of the verifier, which AUTH_SYS leaves empty
	d.Opaque(maxAuthBody)
	if d.Err() != nil {
		return h, fmt.Errorf("%w: %w", errNotCall, d.Err())
	}
	if h.flavor == authSys {
		var err error
		if h.cred, err = parseAuthSys(body); err != nil {
			return h, errAuth
		}
	}
	return h, nil
}

func parseAuthSys(body []byte) (posix.Cred, error) {
	d := xdr.NewDecoder(body)
	d.Uint32() // stamp
	d.Opaque(maxMachineName)
	c := posix.Cred{UID: d.Uint32(), GID: d.Uint32()}
	n := d.Uint32()
	if d.Err() == nil && n > maxGroups {
		d.Fail(&xdr.LengthError{Length: n, Limit: maxGroups})
	}
	if d.Err() == nil && n > 0 {
		c.Groups = make([]uint32, n)
		for i := range c.Groups {
			c.Groups[i] = d.Uint32()
		}
	}
	return c, d.Err()
}

// replyStart is the number of bytes before the results of an accepted call:
// record mark and reply header.
const replyStart = 4 + 24

// beginReply writes the header of an accepted call, after room for the record
// mark.
func beginReply(e *xdr.Encoder, xid, stat uint32) {
	e.Uint32(0) // record mark, set by finishReply
	e.Uint32(xid)
	e.Uint32(rpcReply)
	e.Uint32(msgAccepted)
	e.Uint32(authNone)
	e.Uint32(0)
	e.Uint32(stat)
}

// finishReply sets the record mark: one last fragment.
func finishReply(e *xdr.Encoder) []byte {
	e.Patch32(0, 1<<31|uint32(e.Len()-4))
	return e.Bytes()
}

// denied writes the reply to a call whose header was refused with err.
func denied(e *xdr.Encoder, xid uint32, err error) []byte {
	e.Uint32(0)
	e.Uint32(xid)
	e.Uint32(rpcReply)
	e.Uint32(msgDenied)
	switch {
	case errors.Is(err, errRPCVersion):
		e.Uint32(rejectRPCMismatch)
		e.Uint32(rpcVersion)
		e.Uint32(rpcVersion)
	case errors.Is(err, errAuth):
		e.Uint32(rejectAuthError)
		e.Uint32(authBadCred)
	default:
		e.Uint32(rejectAuthError)
		e.Uint32(authTooWeak)
	}
	return finishReply(e)
}
