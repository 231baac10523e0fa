package nfsd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits of the record layer (RFC 5531, section 11).
const (
	maxRecord         = maxTransfer + 4<<10 // a WRITE of the largest size
	maxStrangerRecord = 4 << 10             // a MNT needs less than 2 KiB
	maxFragments      = 1024
	lastFragment      = 1 << 31
	readAhead         = 4 << 10
)

var errRecord = errors.New("record over the limit")

// client is what is kept of one address, while it has an export or a
// connection.
type client struct {
	addr    netip.Addr
	replies replies
	conns   int   // guarded by Server.mu
	held    int64 // guarded by budget.mu
}

// conn is one connection.
type conn struct {
	s      *Server
	nc     net.Conn
	in     *bufio.Reader // takes a small call in one system call
	client *client
	slots  chan struct{} // calls under way
	wmu    sync.Mutex
}

// isDeniable reports whether a call refused with err gets a reply.
func isDeniable(err error) bool { return errors.Is(err, errAuth) || errors.Is(err, errRPCVersion) }

// errTooWeak is a call without AUTH_SYS where it is needed.
var errTooWeak = errors.New("AUTH_SYS is needed")

// admit starts to serve a new connection, or closes it.
func (s *Server) admit(nc net.Conn) {
	addr := plainAddr(nc.RemoteAddr())
	admitted := s.Admit == nil || s.Admit(plainAddr(nc.LocalAddr()), addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.hasExport(addr)
	if s.closed || !admitted || !addr.IsValid() || !s.room(addr, known) {
		s.counts.refused.Add(1)
		_ = nc.Close()
		return
	}
	cl := s.clients[addr]
	if cl == nil {
		cl = &client{addr: addr}
		s.clients[addr] = cl
	}
	cl.conns++
	c := &conn{s: s, nc: nc, in: bufio.NewReaderSize(nc, readAhead), client: cl, slots: make(chan struct{}, or(s.Limits.Calls, 32))}
	s.conns[c] = struct{}{}
	s.working.Go(c.serve)
}

// room says whether one more connection from addr fits. The caller holds mu.
func (s *Server) room(addr netip.Addr, known bool) bool {
	if len(s.conns) >= or(s.Limits.Connections, 2048) {
		return false
	}
	if known {
		cl := s.clients[addr]
		return cl == nil || cl.conns < or(s.Limits.PerClient, 64)
	}
	strangers := 0
	for a, cl := range s.clients {
		if !s.hasExport(a) {
			strangers += cl.conns
		}
	}
	return strangers < or(s.Limits.Strangers, 64)
}

// hasExport says whether addr may mount anything. The caller holds mu.
func (s *Server) hasExport(addr netip.Addr) bool { return s.owners[addr] > 0 }

func plainAddr(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// forget drops a closed connection and what is not needed of its client any
// more. Replies are kept while the client has an export: it will be back.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if c.client.conns--; c.client.conns == 0 && !s.hasExport(c.client.addr) {
		delete(s.clients, c.client.addr)
	}
}

// serve reads calls until the connection ends. Calls run side by side; their
// replies go out in the order in which they are done.
func (c *conn) serve() {
	defer c.s.forget(c)
	defer func() { _ = c.nc.Close() }()
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		record, held, err := c.readRecord()
		if err != nil {
			if errors.Is(err, errRecord) {
				c.s.counts.badCalls.Add(1)
				c.s.log().Warn("closing an NFS connection", "client", c.client.addr, "error", err)
			}
			return
		}
		c.slots <- struct{}{}
		calls.Go(func() {
			defer func() { <-c.slots }()
			c.handle(record, held)
		})
	}
}

// handle answers one record and gives back what it held.
func (c *conn) handle(record []byte, held int64) {
	reply, replyHeld := c.s.answer(c.client, record)
	putBuffer(record)
	c.s.budget.give(c.client, held)
	defer c.s.budget.give(c.client, replyHeld)
	if reply == nil {
		_ = c.nc.Close()
		return
	}
	defer putBuffer(reply)
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if err := c.write(reply); err != nil {
		_ = c.nc.Close() // ends serve; the client comes back and asks again
	}
}

// writeStep is how much of a reply must leave within Limits.Stall, in bytes.
const writeStep = 128 << 10

func (c *conn) write(b []byte) error {
	for len(b) > 0 {
		if err := c.nc.SetWriteDeadline(time.Now().Add(c.stall())); err != nil {
			return err
		}
		n, err := c.nc.Write(b[:min(len(b), writeStep)])
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (c *conn) stall() time.Duration { return or(c.s.Limits.Stall, time.Minute) }

// limits returns how large a record may be and how long the connection may be
// silent, by whether its address has an export at present.
func (c *conn) limits() (size int, idle time.Duration) {
	c.s.mu.RLock()
	defer c.s.mu.RUnlock()
	if c.s.hasExport(c.client.addr) {
		return maxRecord, 0
	}
	return maxStrangerRecord, or(c.s.Limits.StrangerIdle, 10*time.Second)
}

// readRecord reads one call into a pooled buffer; held is what it takes from
// the budget.
func (c *conn) readRecord() (record []byte, held int64, err error) {
	limit, idle := c.limits()
	deadline := time.Time{}
	if idle > 0 {
		deadline = time.Now().Add(idle)
	}
	if err := c.nc.SetReadDeadline(deadline); err != nil {
		return nil, 0, err
	}
	var b []byte
	defer func() {
		if err != nil {
			if b != nil {
				putBuffer(b)
			}
			c.s.budget.give(c.client, held)
			held = 0
		}
	}()
	for range maxFragments {
		var mark [4]byte
		if _, err := io.ReadFull(c.in, mark[:]); err != nil {
			return nil, held, err
		}
		if b == nil { // the first bytes are there: the rest must follow
			if err := c.nc.SetReadDeadline(time.Now().Add(c.stall())); err != nil {
				return nil, held, err
			}
			if limit < maxRecord { // it may have got its export while idle
				limit, _ = c.limits()
			}
		}
		v := binary.BigEndian.Uint32(mark[:])
		n := int(v &^ lastFragment)
		if n > limit-len(b) {
			return nil, held, errRecord
		}
		if b, held, err = c.grow(b, n, held); err != nil {
			return nil, held, err
		}
		if _, err = io.ReadFull(c.in, b[len(b)-n:]); err != nil {
			return nil, held, err
		}
		if v&lastFragment != 0 {
			return b, held, nil
		}
	}
	return nil, held, errRecord
}

// grow makes room for n bytes more, taking them from the budget once the
// record is no longer small.
func (c *conn) grow(b []byte, n int, held int64) ([]byte, int64, error) {
	want := len(b) + n
	if want > smallBuffer {
		// All at once for the usual single fragment; a client that sends
		// many fragments pays for the largest record at the first that
		// makes it large, lest two such records wait for each other.
		need := int64(want)
		if len(b) > 0 {
			need = maxRecord
		}
		if held == 0 {
			if !c.s.budget.take(c.client, need) {
				return b, held, net.ErrClosed
			}
			held = need
			// The client is not to blame for the wait.
			if err := c.nc.SetReadDeadline(time.Now().Add(c.stall())); err != nil {
				return b, held, err
			}
		} else if need > held {
			return b, held, errRecord
		}
	}
	switch {
	case b == nil:
		b = getBuffer(want)
	case cap(b) < want:
		bigger := append(getBuffer(maxRecord), b...)
		putBuffer(b)
		b = bigger
	}
	return b[:want], held, nil
}
