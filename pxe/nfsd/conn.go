package nfsd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
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

	bounded atomic.Bool // there may be a read deadline

	wmu    sync.Mutex
	writes time.Time // the write deadline; guarded by wmu
}

// isDeniable reports whether a call refused with err gets a reply.
func isDeniable(err error) bool { return errors.Is(err, errAuth) || errors.Is(err, errRPCVersion) }

// errTooWeak is a call without AUTH_SYS where it is needed.
var errTooWeak = errors.New("AUTH_SYS is needed")

// admit starts to serve a new connection, or closes it.
func (s *Server) admit(nc net.Conn) {
	addr := plainAddr(nc.RemoteAddr())
	admitted := s.Admit == nil || s.Admit(plainAddr(nc.LocalAddr()), addr)
	if !isOfKernel(nc.RemoteAddr()) {
		admitted = false
		if s.loud.Allow() {
			s.log().Warn("refusing an NFS connection from a port that any program may use; a node mounts without the option noresvport", "client", nc.RemoteAddr())
		}
	}
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

// reservedPorts are those below, which only root may use on its machine.
const reservedPorts = 1024

// isOfKernel tells whether a connection comes from the kernel or from root on a
// machine, to judge by its port: any other user there could tell us to be root
// (AUTH_SYS), and so become it. From this machine itself come simulated Pis,
// which ordinary users run.
func isOfKernel(remote net.Addr) bool {
	ap, err := netip.ParseAddrPort(remote.String())
	return err == nil && (ap.Port() < reservedPorts || ap.Addr().Unmap().IsLoopback())
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
// replies go out in the order in which they are done. A brief call that is alone
// is made without a goroutine of its own, which would cost several times as much
// as the call; but not if one of the latest of its kind was not brief after all,
// since the disk had to be waited for.
func (c *conn) serve() {
	defer c.s.forget(c)
	defer func() { _ = c.nc.Close() }()
	var calls sync.WaitGroup
	defer calls.Wait()
	var wary [nfsProcs]int
	for {
		record, held, err := c.readRecord()
		if err != nil {
			if errors.Is(err, errRecord) {
				c.s.counts.badCalls.Add(1)
				if c.s.loud.Allow() {
					c.s.log().Warn("closing an NFS connection", "client", c.client.addr, "error", err)
				}
			}
			return
		}
		proc := briefProc(record)
		switch {
		case proc < 0 || len(c.slots) > 0 || c.in.Buffered() > 0:
		case wary[proc] > 0:
			wary[proc]--
		default:
			start := time.Now()
			c.handle(record, held)
			if time.Since(start) > brief {
				wary[proc] = waryCalls
			}
			continue
		}
		c.slots <- struct{}{}
		calls.Go(func() {
			defer func() { <-c.slots }()
			c.handle(record, held)
		})
	}
}

// brief is how long a brief call may take; waryCalls is for how many of them
// one that took longer is remembered.
const (
	brief     = time.Millisecond
	waryCalls = 16
)

// briefProc returns the procedure of a call that is brief as a rule, or -1.
func briefProc(record []byte) int {
	const progAt, procAt = 12, 20
	if len(record) < procAt+4 || binary.BigEndian.Uint32(record[progAt:]) != nfsProgram {
		return -1
	}
	if proc := binary.BigEndian.Uint32(record[procAt:]); proc < nfsProcs && procTable[proc].brief {
		return int(proc)
	}
	return -1
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
		// Always at least stall ahead, but not set anew for every reply.
		if now := time.Now(); c.writes.Sub(now) < c.stall() {
			c.writes = now.Add(c.stall() + c.stall()/4)
			if err := c.nc.SetWriteDeadline(c.writes); err != nil {
				return err
			}
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
// silent, by whether its address has an export at present. The caller holds
// Server.mu.
func (c *conn) limits() (size int, idle time.Duration) {
	if c.s.hasExport(c.client.addr) {
		return maxRecord, 0
	}
	return maxStrangerRecord, c.s.strangerIdle()
}

// largest is limits without the silence.
func (c *conn) largest() int {
	c.s.mu.RLock()
	defer c.s.mu.RUnlock()
	size, _ := c.limits()
	return size
}

func (s *Server) strangerIdle() time.Duration { return or(s.Limits.StrangerIdle, 10*time.Second) }

// idle sets how long the connection may be silent and returns how large a
// record may be.
func (c *conn) idle() (size int, err error) {
	c.s.mu.RLock()
	defer c.s.mu.RUnlock()
	size, idle := c.limits()
	return size, c.readWithin(idle)
}

// readWithin bounds the time until more has come; 0 means that there is no
// bound.
func (c *conn) readWithin(d time.Duration) error {
	deadline := time.Time{}
	if d > 0 {
		deadline = time.Now().Add(d)
	} else if !c.bounded.Load() {
		return nil
	}
	c.bounded.Store(d > 0)
	return c.nc.SetReadDeadline(deadline)
}

// estrange bounds the silence of the connections of an address that has lost
// its export: now they count as those of a stranger. The caller holds mu, so
// that no connection is about to wait without a bound.
func (s *Server) estrange(addr netip.Addr) {
	deadline := time.Now().Add(s.strangerIdle())
	for c := range s.conns {
		if c.client.addr == addr {
			c.bounded.Store(true)
			_ = c.nc.SetReadDeadline(deadline) // fails if it is closed
		}
	}
}

// readRecord reads one call into a pooled buffer; held is what it takes from
// the budget.
func (c *conn) readRecord() (record []byte, held int64, err error) {
	limit, err := c.idle()
	if err != nil {
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
		v := binary.BigEndian.Uint32(mark[:])
		n := int(v &^ lastFragment)
		if b == nil { // the first bytes are there: the rest must follow
			if v&lastFragment == 0 || n > c.in.Buffered() {
				if err := c.readWithin(c.stall()); err != nil {
					return nil, held, err
				}
			}
			if limit < maxRecord { // it may have got its export while idle
				limit = c.largest()
			}
		}
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
			if err := c.readWithin(c.stall()); err != nil {
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
