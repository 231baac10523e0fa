package console

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// firstOpenWait is how long Start waits for the first attempt to open the
// line, so that what a client types right after Start is not lost.
const firstOpenWait = 2 * time.Second

// Service runs consoles in this process. Set the fields, call Listen, then
// Serve. Start works as soon as Listen has returned.
type Service struct {
	// Addr is where the web terminal listens; empty means 127.0.0.1:0.
	Addr string
	// TLS makes the web terminal speak https; nil means http.
	TLS *tls.Config
	// Pages are the files of the web terminal, console.html at their root;
	// PagesVersion changes whenever one of them does. Nil
	// means that there are raw consoles and the WebSocket only.
	Pages        fs.FS
	PagesVersion string
	// PublicURL is the base of the web terminal's URLs as people reach it,
	// for example behind a proxy. Empty means the address listened on. It
	// must be set when Addr or BindHost names all addresses.
	PublicURL string
	// BindHost is where raw TCP consoles listen; empty means 127.0.0.1. They
	// carry no password: a host beyond loopback is refused unless Insecure.
	BindHost string
	// PortMin and PortMax bound the ports of raw TCP consoles, both included;
	// 0 and 0 mean any free port.
	PortMin, PortMax int
	// Insecure allows raw TCP consoles beyond loopback.
	Insecure bool
	// StateDir is where each node's output is kept, in NODE_ID/console.log;
	// empty means that nothing is kept.
	StateDir string
	// LogSize is the size in bytes at which a kept log is rotated; 0 means
	// 1 MiB. Three older files are kept beside it.
	LogSize int64
	// RingSize is how many bytes of recent output are kept in memory for each
	// node; 0 means 256 KiB.
	RingSize int
	// RetryMin and RetryMax bound the wait before a lost line is opened
	// again; 0 means 250 ms and 10 s.
	RetryMin, RetryMax time.Duration
	// WriteTimeout is how long a viewer may take nothing before it is
	// dropped; 0 means 30 s.
	WriteTimeout time.Duration
	// OnPrompt is told of a node whose output has come to end with a login or
	// shell prompt, while its console runs; nil means nobody. It must not block.
	OnPrompt func(nodeID string)
	// Control is asked about each listener's socket before it is bound, as that of
	// net.ListenConfig; nil = nothing is asked.
	Control func(network, address string, c syscall.RawConn) error
	// Logger gets who watches what, never a token; nil discards.
	Logger *slog.Logger

	web  net.Listener
	base *url.URL

	mu       sync.Mutex
	consoles map[string]*console
	closed   bool
}

var _ Consoles = (*Service)(nil)

// noPages is a tree without files.
type noPages struct{}

func (noPages) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// Listen checks the settings and binds the web terminal's socket.
func (s *Service) Listen(ctx context.Context) error {
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	if s.Pages == nil {
		s.Pages = noPages{}
	}
	s.Addr = cmp.Or(s.Addr, "127.0.0.1:0")
	s.BindHost = cmp.Or(s.BindHost, "127.0.0.1")
	s.LogSize = cmp.Or(s.LogSize, 1<<20)
	s.RingSize = cmp.Or(s.RingSize, 256<<10)
	s.RetryMin = cmp.Or(s.RetryMin, 250*time.Millisecond)
	s.RetryMax = max(cmp.Or(s.RetryMax, 10*time.Second), s.RetryMin)
	s.WriteTimeout = cmp.Or(s.WriteTimeout, 30*time.Second)
	if err := s.checkSettings(); err != nil {
		return err
	}
	lc := net.ListenConfig{Control: s.Control}
	ln, err := lc.Listen(ctx, "tcp", s.Addr)
	if err != nil {
		return fmt.Errorf("binding the web console: %w", err)
	}
	if s.base == nil {
		scheme := "http"
		if s.TLS != nil {
			scheme = "https"
		}
		s.base = &url.URL{Scheme: scheme, Host: ln.Addr().String()}
	}
	if s.TLS != nil {
		ln = tls.NewListener(ln, s.TLS)
	}
	s.web = ln
	s.consoles = map[string]*console{}
	return nil
}

func (s *Service) checkSettings() error {
	if s.PortMin < 0 || s.PortMax > 65535 || s.PortMin > s.PortMax || (s.PortMin == 0) != (s.PortMax == 0) {
		return fmt.Errorf("console port range %d to %d: want two ports, the lower one first", s.PortMin, s.PortMax)
	}
	if !isLoopback(s.BindHost) && !s.Insecure {
		return fmt.Errorf("raw TCP consoles on %q: they have no password, so they stay on loopback unless insecure is set", s.BindHost)
	}
	if s.PublicURL != "" {
		u, err := url.Parse(s.PublicURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("public console URL %q: want http://HOST[:PORT][/PATH] or https://…", s.PublicURL)
		}
		u.Path = strings.TrimSuffix(u.Path, "/")
		s.base = u
		return nil
	}
	host, _, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return fmt.Errorf("web console address %q: want HOST:PORT: %w", s.Addr, err)
	}
	if isUnspecified(host) || isUnspecified(s.BindHost) {
		return errors.New("a console on all addresses needs a public console URL, to know which one to hand out")
	}
	return nil
}

func isUnspecified(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// BaseURL is the base of the web terminal's URLs. Call it after Listen.
func (s *Service) BaseURL() string { return s.base.String() }

// Serve answers browsers until ctx ends or Close is called, and then stops all
// consoles. It returns nil in both cases.
func (s *Service) Serve(ctx context.Context) error {
	srv := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.Logger.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	err := srv.Serve(s.web)
	// Close the idle connections that the listener handed out. Terminals are
	// hijacked and end with their console.
	_ = srv.Close()
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	_ = s.Close()
	if closed {
		return nil
	}
	return fmt.Errorf("serving the web console: %w", err)
}

// Close stops all consoles, drops their viewers and frees all sockets. It
// returns when everything has ended, and may be repeated.
func (s *Service) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.web != nil {
		_ = s.web.Close()
	}
	for _, c := range s.consoles {
		c.cancel()
	}
	for id, c := range s.consoles {
		c.stop()
		delete(s.consoles, id)
	}
	return nil
}

// Start implements [Consoles].
func (s *Service) Start(ctx context.Context, spec Spec) (Info, error) {
	if err := spec.check(); err != nil {
		return Info{}, fmt.Errorf("starting console: %w", err)
	}
	c, err := s.ensure(ctx, spec)
	if err != nil {
		return Info{}, fmt.Errorf("starting console of node %q: %w", spec.NodeID, err)
	}
	timer := time.NewTimer(firstOpenWait)
	defer timer.Stop()
	select {
	case <-c.line.tried:
	case <-timer.C:
	case <-ctx.Done():
	}
	return c.info, nil
}

// ensure returns the running console of spec, starting it if need be.
func (s *Service) ensure(ctx context.Context, spec Spec) (*console, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.web == nil {
		return nil, errors.New("the console service is not running")
	}
	for id, other := range s.consoles {
		if id != spec.NodeID && other.spec.Port == spec.Port {
			return nil, fmt.Errorf("serial port %q already serves the console of node %q", spec.Port, id)
		}
	}
	if old := s.consoles[spec.NodeID]; old != nil {
		if old.spec == spec {
			return old, nil
		}
		old.stop()
		delete(s.consoles, spec.NodeID)
	}
	c, err := s.newConsole(ctx, spec)
	if err != nil {
		return nil, err
	}
	s.consoles[spec.NodeID] = c
	return c, nil
}

// Stop implements [Consoles].
func (s *Service) Stop(_ context.Context, nodeID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.consoles[nodeID]; c != nil {
		c.stop()
		delete(s.consoles, nodeID)
	}
	return nil
}

// Get implements [Consoles].
func (s *Service) Get(_ context.Context, nodeID string) (Status, error) {
	c := s.find(nodeID)
	if c == nil {
		return Status{}, fmt.Errorf("console of node %q: %w", nodeID, ErrNotRunning)
	}
	return c.status(), nil
}

// List implements [Consoles].
func (s *Service) List(context.Context) ([]Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Status, 0, len(s.consoles))
	for _, c := range s.consoles {
		all = append(all, c.status())
	}
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.NodeID, b.NodeID) })
	return all, nil
}

func (s *Service) find(nodeID string) *console {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.consoles[nodeID]
}
