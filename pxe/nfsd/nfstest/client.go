// Package nfstest is a plain NFS version 3 client for tests and benchmarks.
// It sends what it is told to, also what no decent client would send.
package nfstest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"caddyshack/pxe/nfsd/xdr"
)

// Programs.
const (
	NFS   = 100003
	Mount = 100005
)

// Cred is an AUTH_SYS credential.
type Cred struct {
	UID, GID uint32
	Groups   []uint32
}

// Client is a connection to a server. Calls may be made concurrently.
type Client struct {
	// Cred is used by the methods that make calls.
	Cred Cred

	nc   net.Conn
	xid  atomic.Uint32
	wmu  sync.Mutex
	mu   sync.Mutex
	wait map[uint32]chan []byte
	err  error
}

// Dial connects to a server; local, if valid, is the address to come from.
func Dial(ctx context.Context, addr string, local netip.Addr) (*Client, error) {
	d := net.Dialer{}
	if local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
	}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &Client{nc: nc, wait: make(map[uint32]chan []byte)}
	c.xid.Store(binary.BigEndian.Uint32([]byte(nc.LocalAddr().String()[:4])) ^ uint32(nc.LocalAddr().(*net.TCPAddr).Port)<<12)
	go c.receive()
	return c, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.nc.Close() }

func (c *Client) receive() {
	for {
		b, err := readRecord(c.nc)
		c.mu.Lock()
		if err != nil {
			c.err = err
			for _, ch := range c.wait {
				close(ch)
			}
			c.wait = nil
			c.mu.Unlock()
			return
		}
		ch := c.wait[binary.BigEndian.Uint32(b)]
		delete(c.wait, binary.BigEndian.Uint32(b))
		c.mu.Unlock()
		if ch != nil {
			ch <- b
		}
	}
}

func readRecord(r io.Reader) ([]byte, error) {
	var b []byte
	for {
		var mark [4]byte
		if _, err := io.ReadFull(r, mark[:]); err != nil {
			return nil, err
		}
		v := binary.BigEndian.Uint32(mark[:])
		part := make([]byte, v&^(1<<31))
		if _, err := io.ReadFull(r, part); err != nil {
			return nil, err
		}
		if b = append(b, part...); v>>31 == 1 {
			if len(b) < 4 {
				return nil, errors.New("nfstest: short reply")
			}
			return b, nil
		}
	}
}

// RPCError is a reply other than success.
type RPCError struct {
	Denied bool
	Stat   uint32 // accept_stat, or auth_stat of a denied call
}

func (e *RPCError) Error() string {
	return fmt.Sprintf("nfstest: RPC denied=%v, status %d", e.Denied, e.Stat)
}

// NextXID returns a transaction number that was not used before.
func (c *Client) NextXID() uint32 { return c.xid.Add(1) }

// Header writes the header of a call.
func Header(xid, prog, vers, proc uint32, cred *Cred) *xdr.Encoder {
	e := xdr.NewEncoder(nil)
	for _, v := range []uint32{0, xid, 0, 2, prog, vers, proc} {
		e.Uint32(v)
	}
	if cred == nil {
		e.Uint32(0)
		e.Uint32(0)
	} else {
		a := xdr.NewEncoder(nil)
		a.Uint32(0)
		a.String("nfstest")
		a.Uint32(cred.UID)
		a.Uint32(cred.GID)
		a.Uint32(uint32(len(cred.Groups)))
		for _, g := range cred.Groups {
			a.Uint32(g)
		}
		e.Uint32(1)
		e.Opaque(a.Bytes())
	}
	e.Uint32(0)
	e.Uint32(0)
	return e
}

// Seal sets the record mark of a message that begins with Header.
func Seal(e *xdr.Encoder) []byte {
	e.Patch32(0, 1<<31|uint32(e.Len()-4))
	return e.Bytes()
}

// Send writes raw bytes to the connection.
func (c *Client) Send(b []byte) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	_, err := c.nc.Write(b)
	return err
}

// Exchange sends a sealed message with the given xid and returns the results
// of the reply.
func (c *Client) Exchange(ctx context.Context, xid uint32, msg []byte) (*xdr.Decoder, error) {
	ch := make(chan []byte, 1)
	c.mu.Lock()
	if c.wait == nil {
		err := c.err
		c.mu.Unlock()
		return nil, err
	}
	c.wait[xid] = ch
	c.mu.Unlock()
	if err := c.Send(msg); err != nil {
		return nil, err
	}
	var b []byte
	select {
	case b = <-ch:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if b == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		return nil, c.err
	}
	d := xdr.NewDecoder(b)
	d.Uint32()
	d.Uint32()
	if d.Uint32() == 1 {
		d.Uint32()
		return nil, &RPCError{Denied: true, Stat: d.Uint32()}
	}
	d.Uint32()
	d.Opaque(400)
	if stat := d.Uint32(); stat != 0 {
		return nil, &RPCError{Stat: stat}
	}
	return d, d.Err()
}

// Call makes a call; args writes its arguments.
func (c *Client) Call(ctx context.Context, prog, proc uint32, args func(*xdr.Encoder)) (*xdr.Decoder, error) {
	xid := c.NextXID()
	e := Header(xid, prog, 3, proc, &c.Cred)
	if args != nil {
		args(e)
	}
	return c.Exchange(ctx, xid, Seal(e))
}
