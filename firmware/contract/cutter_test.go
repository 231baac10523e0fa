package contract

import (
	"context"
	"net"
	"sync"
	"testing"
)

// direction of bytes through a cutter.
type direction int

const (
	up   direction = iota // from the unit to the broker
	down                  // from the broker to the unit
)

// cutter stands between a unit and its broker. It passes bytes to the unit one by one, so that every packet comes in
// parts, and breaks a connection after as many bytes as it was told.
type cutter struct {
	listener net.Listener
	broker   string

	mu    sync.Mutex
	count int  // connections so far
	next  *cut // for the connection that comes next
	conns map[net.Conn]bool
}

// cut is one connection that is to break after some bytes of one direction.
type cut struct {
	at    direction
	left  int
	count int           // of connections when it came
	taken chan struct{} // closed when the connection has come
	done  chan struct{} // closed when it has broken
}

func (c *cut) came() bool   { return closed(c.taken) }
func (c *cut) broken() bool { return closed(c.done) }

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func newCutter(t testing.TB, broker string) *cutter {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, broker: broker, conns: map[net.Conn]bool{}}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() { c.serve(t.Context(), conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		c.breakAll()
		served.Wait()
	})
	return c
}

func (c *cutter) address() string { return c.listener.Addr().String() }

// cutNext breaks what is there and makes the next connection break after n bytes of a direction.
func (c *cutter) cutNext(at direction, n int) *cut {
	next := &cut{at: at, left: n, taken: make(chan struct{}), done: make(chan struct{})}
	c.mu.Lock()
	c.next = next
	c.mu.Unlock()
	c.breakAll()
	return next
}

// replaced tells whether another connection has come since one that broke.
func (c *cutter) replaced(broken *cut) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count > broken.count
}

func (c *cutter) breakAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close()
	}
}

// open keeps a connection for breakAll; the function it gives lets go of it.
func (c *cutter) open(conn net.Conn) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns[conn] = true
	return func() {
		_ = conn.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.conns, conn)
	}
}

func (c *cutter) serve(ctx context.Context, unit net.Conn) {
	defer c.open(unit)()
	c.mu.Lock()
	c.count++
	plan := c.next
	c.next = nil
	count := c.count
	c.mu.Unlock()
	if plan != nil {
		plan.count = count
		close(plan.taken)
	}
	broker, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.broker)
	if err != nil {
		return
	}
	defer c.open(broker)()
	both := func() { _, _ = unit.Close(), broker.Close() }
	var ways sync.WaitGroup
	ways.Go(func() { defer both(); pass(broker, unit, up, 4096, plan) })
	ways.Go(func() { defer both(); pass(unit, broker, down, 1, plan) })
	ways.Wait()
	if plan != nil && plan.left == 0 {
		close(plan.done)
	}
}

// pass moves bytes until an end closes or the plan is fulfilled. Only the direction that a plan is about touches it.
func pass(to, from net.Conn, way direction, chunk int, plan *cut) {
	planned := plan != nil && plan.at == way
	buffer := make([]byte, chunk)
	for !planned || plan.left > 0 {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if planned {
			n = min(n, plan.left)
			plan.left -= n
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
