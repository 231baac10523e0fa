// Package serial is the serial line of a slot of the simulated chassis: what a
// USB-UART adapter would be on a real one. Whoever wants to see what the device
// prints connects over TCP or opens a pseudo terminal under a stable name, many
// at a time. A UART has no memory: who comes later has missed what was printed.
package serial

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Config is what a [Line] is made of.
type Config struct {
	// TCPAddr is where to listen for raw connections, "host:port"; port 0
	// means any. Empty: none.
	TCPAddr string
	// Link is the path at which a symbolic link to the pseudo terminal is kept
	// while the line is open; missing folders are made. Empty: no pseudo
	// terminal.
	Link string
	// MaxClients is how many TCP connections the line takes at a time. Zero
	// means 8.
	MaxClients int
	// Log is where problems are reported. Nil means nowhere.
	Log *slog.Logger
}

const (
	defaultMaxClients = 8
	// outBuffer is how many bytes a viewer may lag behind the device before it
	// loses some: 22 s of a real line at 115200 baud.
	outBuffer = 256 << 10
	// inBuffer is how many typed bytes wait for the device.
	inBuffer = 64 << 10
	chunk    = 4 << 10
)

// Line is a serial line. The device's end is Write, Read and Flush; they may
// be used from several goroutines.
type Line struct {
	cfg      Config
	log      *slog.Logger
	listener net.Listener
	pty      *terminal
	input    *queue

	mu      sync.Mutex
	viewers map[*queue]struct{}
}

// Open makes the line's sockets. Nothing is served before Serve is called, but
// connections may already be made.
func Open(ctx context.Context, cfg Config) (*Line, error) {
	if cfg.MaxClients <= 0 {
		cfg.MaxClients = defaultMaxClients
	}
	l := &Line{cfg: cfg, log: cfg.Log, input: newQueue(inBuffer, nil), viewers: make(map[*queue]struct{})}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if cfg.TCPAddr != "" {
		var lc net.ListenConfig
		listener, err := lc.Listen(ctx, "tcp", cfg.TCPAddr)
		if err != nil {
			return nil, fmt.Errorf("opening the serial line's TCP port: %w", err)
		}
		l.listener = listener
	}
	if cfg.Link != "" {
		t, err := openTerminal(cfg.Link)
		if err != nil {
			if l.listener != nil {
				_ = l.listener.Close() // the error at hand says more
			}
			return nil, fmt.Errorf("opening the serial line's terminal: %w", err)
		}
		l.pty = t
	}
	return l, nil
}

// TCPAddr is the address of the TCP port, "host:port", or empty.
func (l *Line) TCPAddr() string {
	if l.listener == nil {
		return ""
	}
	return l.listener.Addr().String()
}

// Device is the path under which the pseudo terminal is found, or empty.
func (l *Line) Device() string {
	if l.pty == nil {
		return ""
	}
	return l.pty.link
}

// Serve carries bytes until the context ends; then it closes all sockets,
// removes the link and returns nil. It is called once.
func (l *Line) Serve(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if l.listener != nil {
		stop := context.AfterFunc(ctx, func() { _ = l.listener.Close() })
		defer stop()
		group.Go(func() error { return l.accept(ctx, group) })
	}
	if l.pty != nil {
		stop := context.AfterFunc(ctx, func() { _ = l.pty.Close() })
		defer stop()
		// Watching before anything typed is read, so that its echo is not lost.
		out := l.watch(l.pty.inUse)
		defer l.unwatch(out)
		group.Go(func() error { l.readTerminal(ctx); return nil })
		group.Go(func() error { l.writeTerminal(ctx, out); return nil })
	}
	group.Go(func() error { <-ctx.Done(); return nil })
	return group.Wait()
}

// Close gives back the sockets of a line that is not served.
func (l *Line) Close() error {
	var errs []error
	if l.listener != nil {
		errs = append(errs, l.listener.Close())
	}
	if l.pty != nil {
		errs = append(errs, l.pty.Close())
	}
	return errors.Join(errs...)
}

// Write sends what the device prints to all who watch. It never waits: who
// does not keep up loses bytes, as on a real line. It never fails.
func (l *Line) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for v := range l.viewers {
		v.put(p)
	}
	return len(p), nil
}

// Read waits for typed bytes and returns some of them. It fails only when the
// context ends.
func (l *Line) Read(ctx context.Context, p []byte) (int, error) { return l.input.get(ctx, p) }

// Flush throws away what was typed and not yet read: a device that was off has
// not received it.
func (l *Line) Flush() { l.input.clear() }

// watch adds a viewer, who gets what is printed while open says so.
func (l *Line) watch(open func() bool) *queue {
	q := newQueue(outBuffer, open)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.viewers[q] = struct{}{}
	return q
}

func (l *Line) unwatch(q *queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.viewers, q)
}
