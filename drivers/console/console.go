package console

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// maxViewers bounds the viewers of one console, and so their memory.
const maxViewers = 64

var errTooManyViewers = errors.New("this console has too many viewers")

// console is one running console: a line, its viewers, and the way they come.
type console struct {
	spec         Spec
	info         Info
	name         string
	token        token // of the web page
	line         *line
	writeTimeout time.Duration
	log          *slog.Logger

	ctx      context.Context // ends when the console stops
	cancel   context.CancelFunc
	listener net.Listener // of raw TCP; nil otherwise

	wg      sync.WaitGroup // everything that runs for this console
	mu      sync.Mutex
	stopped bool
	viewers int
}

// newConsole binds what the console needs and sets it running.
func (s *Service) newConsole(ctx context.Context, spec Spec) (*console, error) {
	log := s.Logger.With("node", spec.NodeID)
	c := &console{
		spec:         spec,
		name:         spec.displayName(),
		line:         newLine(spec.Port, s.RingSize, s.RetryMin, s.RetryMax, log),
		writeTimeout: s.WriteTimeout,
		log:          log,
	}
	var kept *keptLog
	if s.StateDir != "" {
		var err error
		if kept, err = openKeptLog(s.StateDir, spec.NodeID, s.LogSize); err != nil {
			return nil, err
		}
	}
	if spec.Type == TypeSocat {
		ln, err := s.bindRaw(ctx, spec.BindPort)
		if err != nil {
			kept.close()
			return nil, err
		}
		c.listener = ln
		c.info = Info{Type: TypeSocat, URL: s.rawURL(ln)}
	} else {
		c.token = newToken()
		c.info = Info{Type: TypeShellinabox, URL: s.pageURL(spec.NodeID, c.token)}
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.wg.Go(func() { c.line.run(c.ctx) })
	if kept != nil {
		c.wg.Go(func() { c.keep(kept) })
	}
	if s.OnPrompt != nil {
		c.wg.Go(func() { c.watchPrompt(s.OnPrompt) })
	}
	if c.listener != nil {
		c.wg.Go(c.acceptRaw)
	}
	return c, nil
}

// stop ends the console and returns when nothing of it runs any more.
func (c *console) stop() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.cancel()
	if c.listener != nil {
		_ = c.listener.Close()
	}
	c.wg.Wait()
}

// enter counts a viewer in; the caller calls leave when it has gone.
func (c *console) enter() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopped:
		return ErrNotRunning
	case c.viewers >= maxViewers:
		return errTooManyViewers
	}
	c.viewers++
	c.wg.Add(1)
	return nil
}

func (c *console) leave() {
	c.mu.Lock()
	c.viewers--
	c.mu.Unlock()
	c.wg.Done()
}

func (c *console) status() Status {
	st := Status{NodeID: c.spec.NodeID, Name: c.name, Port: c.spec.Port, Info: c.info}
	st.Line, st.LineDetail = c.line.status()
	c.mu.Lock()
	defer c.mu.Unlock()
	st.Viewers = c.viewers
	return st
}

// keep writes the output into the kept log until the console stops. It reads
// the ring like any viewer, so a slow disk does not hold the line up.
func (c *console) keep(kept *keptLog) {
	defer kept.close()
	failed := false
	_ = c.line.follow(c.ctx, c.line.ring.head(), func(p []byte) error {
		if err := kept.write(p); err != nil && !failed {
			failed = true
			c.log.Error("console output is not kept", "error", err)
		}
		return nil
	})
}
