package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// dialTimeout bounds a connection to a server on this host.
const dialTimeout = 5 * time.Second

// relay carries TCP connections from a port of the host's loopback to a
// server, which sees them come from the Pi's address.
type relay struct {
	port     uint16
	listener net.Listener
	dialer   net.Dialer
	to       netip.AddrPort
	log      *slog.Logger

	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup
}

// startRelay listens until close, or until ctx ends.
func startRelay(ctx context.Context, from netip.Addr, to netip.AddrPort, log *slog.Logger) (*relay, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening the guest's relay to %s: %w", to, err)
	}
	r := &relay{
		listener: l, to: to, log: log, port: l.Addr().(*net.TCPAddr).AddrPort().Port(),
		dialer: net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: dialTimeout},
	}
	r.ctx, r.stop = context.WithCancel(ctx)
	r.work.Go(r.accept)
	return r, nil
}

// close ends all connections and waits until they have.
func (r *relay) close() {
	r.stop()
	_ = r.listener.Close()
	r.work.Wait()
}

func (r *relay) accept() {
	for {
		c, err := r.listener.Accept()
		switch {
		case r.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			if err == nil {
				_ = c.Close()
			}
			return
		case err != nil:
			r.log.Warn("a guest's relay cannot accept", "to", r.to, "err", err)
			return
		}
		r.work.Go(func() { r.carry(c.(*net.TCPConn)) })
	}
}

// carry connects the guest's end with the server. If the server is away the
// guest's end is reset, and its kernel tries again.
func (r *relay) carry(guest *net.TCPConn) {
	defer func() { _ = guest.Close() }()
	c, err := r.dialer.DialContext(r.ctx, "tcp4", r.to.String())
	if err != nil {
		_ = guest.SetLinger(0)
		if r.ctx.Err() == nil {
			r.log.Debug("a guest's relay does not reach the server", "to", r.to, "err", err)
		}
		return
	}
	server := c.(*net.TCPConn)
	defer func() { _ = server.Close() }()
	stop := context.AfterFunc(r.ctx, func() { _, _ = guest.Close(), server.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { pump(server, guest) })
	both.Go(func() { pump(guest, server) })
	both.Wait()
}

// pump copies until one end closes, and passes that on.
func pump(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		_, _ = to.Close(), from.Close() // broken: let both ends know
		return
	}
	_ = to.CloseWrite()
}
