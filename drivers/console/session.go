package console

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// session is one run of Attach.
type session struct {
	conn   io.ReadWriteCloser
	in     io.Reader
	out    io.Writer
	quiet  time.Duration
	escape *escape       // nil if in is not a terminal
	seen   chan struct{} // output came
}

var errLeft = errors.New("left by the escape sequence")

// half is one direction of a session; err is set when done closes.
type half struct {
	done chan struct{}
	err  error
}

func begin(copyAll func() error) *half {
	h := &half{done: make(chan struct{})}
	go func() {
		defer close(h.done)
		h.err = copyAll()
	}()
	return h
}

// run copies both ways until one of Attach's ends is reached.
func (s *session) run(parent context.Context) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = s.conn.Close() })
	defer stop()
	out := begin(s.copyOut)
	in := begin(func() error { return s.copyIn(ctx) })

	var err error
	select {
	case <-ctx.Done():
	case <-out.done:
		err = out.err
	case <-in.done:
		if err = in.err; err == nil {
			err = s.waitQuiet(ctx, out)
		}
	}
	cancel()
	_ = s.conn.Close()
	<-out.done
	if _, ok := s.in.(*os.File); ok {
		<-in.done // others cannot be woken
	}
	switch {
	case parent.Err() != nil:
		return parent.Err()
	case errors.Is(err, errLeft):
		return nil
	}
	return err
}

// waitQuiet returns when no output has come for a while, or no more can come.
func (s *session) waitQuiet(ctx context.Context, out *half) error {
	timer := time.NewTimer(s.quiet)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-out.done:
			return out.err
		case <-s.seen:
			timer.Reset(s.quiet)
		case <-timer.C:
			return nil
		}
	}
}

// copyOut shows what the console says. The end of the console is no error;
// failing to show it is.
func (s *session) copyOut() error {
	buf := make([]byte, 16<<10)
	for {
		n, err := s.conn.Read(buf)
		if n > 0 {
			if _, err := s.out.Write(buf[:n]); err != nil {
				return err
			}
			select {
			case s.seen <- struct{}{}:
			default:
			}
		}
		if err != nil {
			return nil //nolint:nilerr // However the console ended, it ended.
		}
	}
}

// copyIn sends what is typed. It returns nil at the end of the input.
func (s *session) copyIn(ctx context.Context) error {
	wake, waker, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = wake.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = waker.Close() })
	defer func() {
		if stop() {
			_ = waker.Close()
		}
	}()
	buf := make([]byte, 4<<10)
	for {
		if f, ok := s.in.(*os.File); ok {
			if err := waitReadable(ctx, f, wake); err != nil {
				return err
			}
		}
		n, err := s.in.Read(buf)
		p, leave := buf[:n], false
		if s.escape != nil {
			p, leave = s.escape.scan(p)
		}
		if len(p) > 0 {
			if _, err := s.conn.Write(p); err != nil {
				return err
			}
		}
		switch {
		case leave:
			return errLeft
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// waitReadable returns when f can be read without waiting, or wake is closed
// because ctx ended: a Read of a terminal cannot be interrupted otherwise, and
// would swallow the first key that is meant for whatever comes after.
func waitReadable(ctx context.Context, f, wake *os.File) error {
	fds := []unix.PollFd{
		{Fd: int32(f.Fd()), Events: unix.POLLIN},
		{Fd: int32(wake.Fd()), Events: unix.POLLIN},
	}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case fds[0].Revents != 0:
			return nil
		}
	}
}

// escape finds the sequences that leave: Ctrl-] anywhere, ~. at the start of a
// line.
type escape struct {
	lineStart bool
	tilde     bool // a ~ at the start of a line is held back
}

// scan returns what of p is to be sent, and whether p says to leave.
func (e *escape) scan(p []byte) (send []byte, leave bool) {
	send = make([]byte, 0, len(p)+1)
	for _, b := range p {
		switch {
		case b == 0x1d:
			return send, true
		case e.tilde && b == '.':
			return send, true
		case e.tilde:
			e.tilde = false
			send = append(send, '~')
			if b == '~' {
				e.lineStart = false
				continue
			}
		case e.lineStart && b == '~':
			e.tilde = true
			continue
		}
		send = append(send, b)
		e.lineStart = b == '\r' || b == '\n'
	}
	return send, false
}
