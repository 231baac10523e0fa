package tftpd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Packet types and error codes of RFC 1350 and RFC 2347.
const (
	opRRQ   = 1
	opWRQ   = 2
	opERROR = 5

	codeNotDefined  = 0
	codeNotFound    = 1
	codeAccess      = 2
	codeIllegal     = 4
	codeNegotiation = 8
)

const (
	// maxRequest is the longest request packet (RFC 2347).
	maxRequest = 512
	// maxOptions is how many options a request may carry. A Pi sends two.
	maxOptions = 8
	// minBlock and maxBlock are the sizes that RFC 2348 allows to ask for.
	minBlock = 8
	maxBlock = 65464
)

// request is a read request that has passed all checks of form.
type request struct {
	name    string // as asked for
	blksize int    // 0 = option absent
	tsize   bool   // the size was asked for
}

// refusal is why a request is answered with an ERROR packet. A zero code with
// silent set means that the packet deserves no answer.
type refusal struct {
	code   uint16
	reason string
	name   string
	silent bool
}

// parseRequest reads the first packet of a transfer.
func parseRequest(p []byte) (request, *refusal) {
	var rq request
	if len(p) < 2 {
		return rq, &refusal{silent: true, reason: "short packet"}
	}
	switch op := binary.BigEndian.Uint16(p); op {
	case opRRQ:
	case opWRQ:
		return rq, &refusal{code: codeAccess, reason: "this server is read-only", name: firstField(p[2:])}
	default:
		// Late packets of an ended transfer, or noise. An ERROR in answer to
		// one could start an endless exchange.
		return rq, &refusal{silent: true, reason: fmt.Sprintf("packet type %d outside a transfer", op)}
	}
	if len(p) > maxRequest {
		return rq, &refusal{code: codeAccess, reason: "request is too long"}
	}
	if p[len(p)-1] != 0 {
		return rq, &refusal{code: codeIllegal, reason: "request does not end in a zero byte"}
	}
	fields := bytes.Split(p[2:len(p)-1], []byte{0})
	if len(fields) < 2 || len(fields)%2 != 0 {
		return rq, &refusal{code: codeIllegal, reason: "request lacks a name, a mode or an option's value"}
	}
	rq.name = string(fields[0])
	if len(rq.name) > MaxName {
		return rq, &refusal{code: codeAccess, reason: errNameLong.Error(), name: rq.name[:MaxName]}
	}
	// A Pi asks in octet mode only; netascii would change sizes, mail is
	// obsolete and would be a write.
	if !strings.EqualFold(string(fields[1]), "octet") {
		return rq, &refusal{code: codeAccess, reason: "only octet mode is served", name: rq.name}
	}
	if bad := rq.options(fields[2:]); bad != nil {
		bad.name = rq.name
		return rq, bad
	}
	return rq, nil
}

// options reads name and value pairs. Options that are not served (timeout,
// windowsize and unknown ones) are ignored, as RFC 2347 has it.
func (rq *request) options(fields [][]byte) *refusal {
	if len(fields)/2 > maxOptions {
		return &refusal{code: codeNegotiation, reason: "too many options"}
	}
	for i := 0; i < len(fields); i += 2 {
		name, value := strings.ToLower(string(fields[i])), string(fields[i+1])
		switch name {
		case "blksize":
			n, err := strconv.Atoi(value)
			if err != nil || n < minBlock || n > maxBlock || rq.blksize != 0 {
				return &refusal{code: codeNegotiation, reason: fmt.Sprintf("blksize %.20q is not acceptable", value)}
			}
			rq.blksize = n
		case "tsize":
			if _, err := strconv.ParseUint(value, 10, 64); err != nil || rq.tsize {
				return &refusal{code: codeNegotiation, reason: fmt.Sprintf("tsize %.20q is not acceptable", value)}
			}
			rq.tsize = true
		}
	}
	return nil
}

// append writes the request in its simplest form under another file name.
func (rq request) append(p []byte, name string) []byte {
	p = binary.BigEndian.AppendUint16(p, opRRQ)
	p = appendField(p, name)
	p = appendField(p, "octet")
	if rq.blksize != 0 {
		p = appendField(p, "blksize")
		p = appendField(p, strconv.Itoa(rq.blksize))
	}
	if rq.tsize {
		p = appendField(p, "tsize")
		p = appendField(p, "0")
	}
	return p
}

func appendField(p []byte, s string) []byte { return append(append(p, s...), 0) }

// firstField returns what stands before the first zero byte, cut to MaxName.
func firstField(p []byte) string {
	p, _, _ = bytes.Cut(p, []byte{0})
	return string(p[:min(len(p), MaxName)])
}

// errorPacket makes an ERROR packet.
func errorPacket(code uint16, message string) []byte {
	p := binary.BigEndian.AppendUint16(nil, opERROR)
	p = binary.BigEndian.AppendUint16(p, code)
	return appendField(p, message)
}
