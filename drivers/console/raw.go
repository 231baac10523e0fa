package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"
)

// rawLinger is how long a TCP viewer that sends no more still gets output, so
// that `printf 'uptime\n' | nc HOST PORT` shows the answer.
const rawLinger = time.Second

// bindRaw binds the port of a raw TCP console: the one asked for, or else the
// first free one of the range.
func (s *Service) bindRaw(ctx context.Context, port int) (net.Listener, error) {
	first, last := port, port
	if port == 0 {
		first, last = s.PortMin, s.PortMax
	}
	lc := net.ListenConfig{Control: s.Control}
	for p := first; p <= last; p++ {
		ln, err := lc.Listen(ctx, "tcp", net.JoinHostPort(s.BindHost, strconv.Itoa(p)))
		if err == nil {
			return ln, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) || first == last {
			return nil, fmt.Errorf("binding a TCP console: %w", err)
		}
	}
	return nil, fmt.Errorf("no free port between %d and %d for a TCP console: widen the range or disable a console", first, last)
}

// rawURL is the address that people use; one that names all addresses becomes
// the public host.
func (s *Service) rawURL(ln net.Listener) string {
	host := s.BindHost
	if isUnspecified(host) {
		host = s.base.Hostname()
	}
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		port = "0"
	}
	return "tcp://" + net.JoinHostPort(host, port)
}

// acceptRaw serves TCP viewers until the listener closes.
func (c *console) acceptRaw() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			if c.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of file descriptors, most likely.
			c.log.Error("accepting a console viewer", "error", err)
			select {
			case <-c.ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		from := c.line.ring.tail()
		if err := c.enter(); err != nil {
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = fmt.Fprintf(conn, "[caddyshack: %s]\r\n", err)
			_ = conn.Close()
			continue
		}
		go func() {
			defer c.leave()
			c.serveRaw(conn, from)
		}()
	}
}

// serveRaw joins one TCP viewer to the line, from offset from on.
func (c *console) serveRaw(conn net.Conn, from int64) {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	// Closing the connection ends both directions.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	log := c.log.With("viewer", conn.RemoteAddr().String(), "kind", TypeSocat)
	log.Info("console viewer came")

	read := make(chan struct{})
	go func() {
		defer close(read)
		c.readRaw(ctx, conn)
		select {
		case <-ctx.Done():
		case <-time.After(rawLinger):
			cancel()
		}
	}()
	err := c.line.follow(ctx, from, func(p []byte) error {
		if len(p) == 0 {
			return nil
		}
		if err := conn.SetWriteDeadline(time.Now().Add(c.writeTimeout)); err != nil {
			return err
		}
		_, err := conn.Write(p)
		return err
	})
	cancel()
	_ = conn.Close()
	<-read
	log.Info("console viewer left", "reason", err)
}

func (c *console) readRaw(ctx context.Context, r io.Reader) {
	for {
		buf := make([]byte, 2<<10)
		n, err := r.Read(buf)
		if n > 0 && c.line.send(ctx, buf[:n]) != nil {
			return
		}
		if err != nil {
			return
		}
	}
}
