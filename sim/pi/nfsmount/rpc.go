// Package nfsmount is the NFSv3 client of the virtual Pi: as a Linux kernel
// does with its root, it mounts over TCP without a port mapper, speaks as
// root, and goes on trying when the server is away.
//
// Wire types are those of github.com/willscott/go-nfs-client. Its transport is
// not used: it cannot dial from a chosen address, which here is what tells one
// Pi from another, nor be stopped in the middle of a call, which is what
// cutting the power does.
package nfsmount

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"github.com/willscott/go-nfs-client/nfs/rpc"
	"github.com/willscott/go-nfs-client/nfs/xdr"
)

const (
	// maxReply bounds what is read into memory for one answer.
	maxReply    = 4 << 20
	callTimeout = 10 * time.Second
)

// rpcConn is one TCP connection for ONC RPC (RFC 5531), with one call at a
// time.
type rpcConn struct {
	conn net.Conn
	xid  uint32
	cred rpc.Auth
}

// transportError is a failure of the connection, as opposed to an answer.
type transportError struct{ err error }

func (e *transportError) Error() string { return e.err.Error() }
func (e *transportError) Unwrap() error { return e.err }

func dialRPC(ctx context.Context, local net.IP, server string, cred rpc.Auth) (*rpcConn, error) {
	conn, err := dial(ctx, local, server)
	if err != nil {
		return nil, &transportError{err}
	}
	return &rpcConn{conn: conn, cred: cred, xid: uint32(time.Now().UnixNano())}, nil
}

// The ports from which a Linux kernel mounts (xprt.c, RPC_DEF_MIN_RESVPORT and
// RPC_DEF_MAX_RESVPORT).
const firstPort, lastPort = 665, 1023

// dial connects as a kernel does, from a port that only root may use. On
// loopback the server does not ask for it, and ordinary users have none.
func dial(ctx context.Context, local net.IP, server string) (conn net.Conn, err error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: local}, Timeout: callTimeout}
	if local.IsLoopback() {
		return d.DialContext(ctx, "tcp", server)
	}
	const ports = lastPort - firstPort + 1
	start := rand.IntN(ports)
	for i := range ports {
		d.LocalAddr = &net.TCPAddr{IP: local, Port: firstPort + (start+i)%ports}
		conn, err = d.DialContext(ctx, "tcp", server)
		if !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			break // an earlier connection holds the port for a while otherwise
		}
	}
	return conn, err
}

type rpcCall struct {
	XID  uint32
	Type uint32 // 0 = call
	Head rpc.Header
}

// call makes one call and returns the reader of its results. When the context
// ends the connection is of no more use.
func (c *rpcConn) call(ctx context.Context, prog, vers, proc uint32, args any) (*bytes.Reader, error) {
	c.xid++
	var msg bytes.Buffer
	msg.Write(make([]byte, 4)) // the record mark
	head := rpcCall{XID: c.xid, Head: rpc.Header{Rpcvers: 2, Prog: prog, Vers: vers, Proc: proc, Cred: c.cred}}
	if err := xdr.Write(&msg, head); err != nil {
		return nil, fmt.Errorf("encoding a call: %w", err)
	}
	if args != nil {
		if err := xdr.Write(&msg, args); err != nil {
			return nil, fmt.Errorf("encoding a call: %w", err)
		}
	}
	binary.BigEndian.PutUint32(msg.Bytes(), 1<<31|uint32(msg.Len()-4))
	if err := c.conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return nil, &transportError{err}
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.conn.Write(msg.Bytes()); err != nil {
		return nil, lost(ctx, err)
	}
	reply, err := c.record()
	if err != nil {
		return nil, lost(ctx, err)
	}
	return reply, c.accepted(reply)
}

// lost tells a connection that failed from one that was given up.
func lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &transportError{err}
}

// record reads one record, which may come in fragments.
func (c *rpcConn) record() (*bytes.Reader, error) {
	var all []byte
	for {
		var mark [4]byte
		if _, err := io.ReadFull(c.conn, mark[:]); err != nil {
			return nil, err
		}
		m := binary.BigEndian.Uint32(mark[:])
		n := int(m &^ (1 << 31))
		if len(all)+n > maxReply {
			return nil, fmt.Errorf("the server's answer is longer than %d bytes", maxReply)
		}
		start := len(all)
		all = append(all, make([]byte, n)...)
		if _, err := io.ReadFull(c.conn, all[start:]); err != nil {
			return nil, err
		}
		if m>>31 == 1 {
			return bytes.NewReader(all), nil
		}
	}
}

// accepted reads the head of a reply.
func (c *rpcConn) accepted(r *bytes.Reader) error {
	var head struct{ XID, Type, Status uint32 }
	if err := xdr.Read(r, &head); err != nil {
		return &transportError{err}
	}
	if head.XID != c.xid || head.Type != 1 {
		return &transportError{errors.New("the server answered another call")}
	}
	if head.Status != 0 {
		return errors.New("the server refused the caller (RPC denied)")
	}
	var verf struct {
		Auth   rpc.Auth
		Status uint32
	}
	if err := xdr.Read(r, &verf); err != nil {
		return &transportError{err}
	}
	if verf.Status != 0 {
		return fmt.Errorf("the server does not carry out the call (RPC accept status %d)", verf.Status)
	}
	return nil
}
