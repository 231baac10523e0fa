package tftpd

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// gate is the socket on which requests come, as the TFTP library sees it: each
// read yields one request that has passed all checks, under a made-up file
// name that leads back to what is known of it.
type gate struct {
	s    *Server
	conn *net.UDPConn
	buf  []byte

	mu   sync.Mutex
	next uint64
	open map[string]*transfer
	// last is the transfer that was handed over most recently. The library
	// starts it, or reports an error, before it reads again.
	last *transfer
}

func newGate(s *Server, conn *net.UDPConn) *gate {
	// One byte more than a request may have, so that longer ones are noticed.
	return &gate{s: s, conn: conn, buf: make([]byte, maxRequest+1), open: make(map[string]*transfer)}
}

// ReadFrom implements net.PacketConn.
func (g *gate) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := g.conn.ReadFromUDPAddrPort(g.buf)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				g.s.log.Warn("reading TFTP requests", "err", err)
				time.Sleep(10 * time.Millisecond) // an error that stays must not take a whole core
			}
			return 0, nil, err
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if t := g.admit(g.buf[:n], from); t != nil {
			return copy(p, t.rq.append(nil, t.key)), t.peer, nil
		}
	}
}

// admit checks a packet and registers the transfer it asks for. It returns nil
// if there is none.
func (g *gate) admit(p []byte, from netip.AddrPort) *transfer {
	now := time.Now()
	rq, bad := parseRequest(p)
	if bad != nil {
		if !bad.silent {
			g.refuse(from, bad, now)
		}
		return nil
	}
	name, err := CleanName(rq.name)
	if err != nil {
		g.refuse(from, &refusal{code: codeAccess, reason: err.Error(), name: rq.name}, now)
		return nil
	}
	known := g.s.knows(from.Addr())
	if reason := g.s.admission.enter(from.Addr(), known, now); reason != "" {
		// Without an answer the client asks again a little later, and a forged
		// sender address is not bothered.
		g.s.noise(Event{Time: now, Kind: Refused, Client: from, Name: name, Err: reason})
		return nil
	}
	t := &transfer{
		client: from, known: known, name: name, rq: rq, asked: len(p), start: now,
		peer: net.UDPAddrFromAddrPort(from),
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next++
	t.key = strconv.FormatUint(g.next, 36)
	g.open[t.key] = t
	g.last = t
	return t
}

func (g *gate) refuse(to netip.AddrPort, why *refusal, now time.Time) {
	if !g.s.noise(Event{Time: now, Kind: Refused, Client: to, Name: why.name, Err: why.reason}) {
		return
	}
	// A client that does not get it asks again, so a failed send is no loss.
	_, _ = g.conn.WriteToUDPAddrPort(errorPacket(why.code, why.reason), to)
}

// transfer returns what was admitted under a made-up name.
func (g *gate) transfer(key string) *transfer {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open[key]
}

// running lists the admitted transfers.
func (g *gate) running() []*transfer {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Values(g.open))
}

// release forgets a transfer and gives back its place.
func (g *gate) release(t *transfer) {
	g.mu.Lock()
	_, ok := g.open[t.key]
	delete(g.open, t.key)
	g.mu.Unlock()
	if ok {
		g.s.admission.leave(t.client.Addr(), t.known)
	}
}

// notStarted gives back the place of the transfer handed over last, for which
// the library found no socket.
func (g *gate) notStarted(err error) {
	g.mu.Lock()
	t := g.last
	g.last = nil
	g.mu.Unlock()
	if t == nil || errors.Is(err, net.ErrClosed) {
		return
	}
	g.release(t)
	g.s.emit(Event{Time: time.Now(), Kind: Failed, Client: t.client, Name: t.name, Err: "no socket for the transfer: " + err.Error()})
}

// Close implements net.PacketConn.
func (g *gate) Close() error { return g.conn.Close() }

// LocalAddr implements net.PacketConn.
func (g *gate) LocalAddr() net.Addr { return g.conn.LocalAddr() }

// WriteTo implements net.PacketConn.
func (g *gate) WriteTo(p []byte, addr net.Addr) (int, error) { return g.conn.WriteTo(p, addr) }

// SetDeadline implements net.PacketConn.
func (g *gate) SetDeadline(t time.Time) error { return g.conn.SetDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (g *gate) SetReadDeadline(t time.Time) error { return g.conn.SetReadDeadline(t) }

// SetWriteDeadline implements net.PacketConn.
func (g *gate) SetWriteDeadline(t time.Time) error { return g.conn.SetWriteDeadline(t) }
