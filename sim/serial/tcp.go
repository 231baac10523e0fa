package serial

import (
	"context"
	"errors"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
)

// stuck is how long a viewer may take no bytes before it is disconnected.
const stuck = 30 * time.Second

func (l *Line) accept(ctx context.Context, group *errgroup.Group) error {
	places := make(chan struct{}, l.cfg.MaxClients)
	for {
		conn, err := l.listener.Accept()
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			if err == nil {
				_ = conn.Close()
			}
			return nil
		}
		if err != nil {
			l.log.Warn("accepting on the serial line's TCP port", "err", err)
			wait(ctx, 100*time.Millisecond) // out of descriptors, most likely
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			l.log.Warn("serial line has its full number of viewers", "refused", conn.RemoteAddr())
			_ = conn.Close()
			continue
		}
		// Watching from here on, so that nothing printed after the connection
		// was taken is missed.
		out := l.watch(nil)
		group.Go(func() error {
			l.serveConn(ctx, conn, out)
			<-places
			return nil
		})
	}
}

// serveConn carries bytes both ways until one side ends.
func (l *Line) serveConn(ctx context.Context, conn net.Conn, out *queue) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer l.unwatch(out)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		buf := make([]byte, chunk)
		for {
			n, err := conn.Read(buf)
			l.input.put(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	buf := make([]byte, chunk)
	for {
		n, err := out.get(ctx, buf)
		if err != nil {
			break
		}
		if err := conn.SetWriteDeadline(time.Now().Add(stuck)); err != nil {
			break
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			break
		}
	}
	cancel()
	<-done
}
