// Package nfsd is an NFS version 3 server for the root file systems of
// diskless nodes: one TCP port answers NFS and MOUNT, without rpcbind. Each
// node has one export, which only its address can mount, see or use.
//
//	s := &nfsd.Server{Addr: ":2049", StateDir: "/var/lib/caddyshack/nfs"}
//	err := s.AddExport(ctx, nfsd.Export{ID: uuid, Path: "/nodes/" + uuid, Client: addr, Dir: dir})
//	err = s.Listen(ctx)
//	err = s.Serve(ctx)
package nfsd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/nfsd/tree"
)

// Limits bound what clients can use; zero values mean the defaults.
type Limits struct {
	// Connections is the largest number of open connections; 0 means 2048.
	Connections int
	// PerClient is the same for one address with an export; 0 means 64.
	PerClient int
	// Strangers is the largest number of connections from all addresses
	// without an export together; 0 means 64.
	Strangers int
	// Calls is how many calls of one connection are worked on at once; 0
	// means 32.
	Calls int
	// Memory is how many bytes of large calls and replies may be under way;
	// 0 means 16 MiB. One client gets at most a quarter of it.
	Memory int64
	// FirstReads is how many EventFirstRead follow each mount; 0 means 256,
	// less than 0 means none.
	FirstReads int
	// Stall is how long a client may take to send the rest of a call or to
	// take a reply before its connection is closed; 0 means 60 s.
	Stall time.Duration
	// StrangerIdle is how long a connection without an export may be silent;
	// 0 means 10 s.
	StrangerIdle time.Duration
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func (l *Limits) firstReads() int { return or(l.FirstReads, 256) }

// Server is an NFS server. Set the exported fields before the first call.
type Server struct {
	// Addr is the TCP address to listen on; "" means ":2049".
	Addr string
	// Listener, if set, is used instead of Addr. Serve closes it.
	Listener net.Listener
	// StateDir is an existing folder for the key of the file handles, which
	// must outlive restarts. "" means that handles end with the process.
	StateDir string
	// OpenTree opens the folder of an export; nil means rootfs.Open, which
	// knows both kinds of trees.
	OpenTree func(dir string) (tree.Tree, error)
	// Limits bound what clients can use.
	Limits Limits
	// Admit, if set, tells whether a connection from remote may come in at
	// local; one that may not is closed.
	Admit func(local, remote netip.Addr) bool
	// Grace is how long after the start a handle of an export that is not
	// known (yet) is answered with "try again later" and not with "stale"; 0
	// means 60 s.
	Grace time.Duration
	// SlowCall is from what duration on a call is logged; 0 means 2 s.
	SlowCall time.Duration
	// Logger is for messages; nil means none.
	Logger *slog.Logger
	// OnEvent, if set, is told what clients do. It must not block.
	OnEvent func(Event)

	once      sync.Once
	logClosed sync.Once
	prepErr   error
	signer    *signer
	replyLog  *replyLog
	verifier  [8]byte // of unstable writes: differs in each life of the server
	graceEnd  time.Time
	listener  net.Listener
	budget    budget
	loud      *rate.Limiter // of log lines that strangers can cause
	counts    struct {
		refused, badCalls, badHandles, denied, replayed, refusedMounts, slow atomic.Uint64
	}

	adding  sync.Mutex
	mu      sync.RWMutex
	exports map[string]*export
	byTag   map[tag]*export
	removed map[tag]struct{} // since the start, for the time of Grace
	owners  map[netip.Addr]int
	clients map[netip.Addr]*client
	conns   map[*conn]struct{}
	closed  bool
	working sync.WaitGroup
}

// Refusals are all counted, but no more than these are logged: a burst, then one
// in a while.
const (
	loudBurst = 20
	loudEvery = 6 * time.Second
)

func (s *Server) log() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

func (s *Server) slowCall() time.Duration { return or(s.SlowCall, 2*time.Second) }

func (s *Server) openTree(dir string) (tree.Tree, error) {
	if s.OpenTree != nil {
		return s.OpenTree(dir)
	}
	r, err := rootfs.Open(dir)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// prepare makes what all methods need.
func (s *Server) prepare() error {
	s.once.Do(func() {
		s.exports = make(map[string]*export)
		s.byTag = make(map[tag]*export)
		s.removed = make(map[tag]struct{})
		s.owners = make(map[netip.Addr]int)
		s.clients = make(map[netip.Addr]*client)
		s.conns = make(map[*conn]struct{})
		s.graceEnd = time.Now().Add(or(s.Grace, time.Minute))
		s.loud = rate.NewLimiter(rate.Every(loudEvery), loudBurst)
		memory := or(s.Limits.Memory, 16<<20)
		s.budget.init(memory, max(memory/4, maxTransfer))
		if _, err := rand.Read(s.verifier[:]); err != nil {
			s.prepErr = err
			return
		}
		var key []byte
		if key, s.prepErr = loadKey(s.StateDir); s.prepErr != nil {
			return
		}
		if s.signer = newSigner(key); s.StateDir == "" {
			return
		}
		if err := s.loadReplies(); err != nil {
			s.log().Warn("NFS replies will not survive a restart", "error", err)
		}
	})
	return s.prepErr
}

// Listen opens the socket; clients wait in its backlog until Serve.
func (s *Server) Listen(ctx context.Context) error {
	if err := s.prepare(); err != nil {
		return fmt.Errorf("starting the NFS server: %w", err)
	}
	l := s.Listener
	if l == nil {
		var err error
		lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 60 * time.Second, Interval: 10 * time.Second, Count: 3}}
		if l, err = lc.Listen(ctx, "tcp", or(s.Addr, ":2049")); err != nil {
			return fmt.Errorf("starting the NFS server: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener = l
	return nil
}

// BoundAddr returns the address that Listen has bound, or nil.
func (s *Server) BoundAddr() net.Addr {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Serve answers clients until ctx ends, then closes all connections, finishes
// the calls that are running and closes all trees. It returns nil when it
// ended because of ctx.
func (s *Server) Serve(ctx context.Context) error {
	s.mu.RLock()
	l := s.listener
	s.mu.RUnlock()
	if l == nil {
		return errors.New("serving NFS: Listen has not been called")
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	err := s.accept(ctx, l)
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, s.Close())
}

func (s *Server) accept(ctx context.Context, l net.Listener) error {
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			s.admit(nc)
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serving NFS: %w", err)
		default:
			// Out of file descriptors, most likely: those in use go on.
			s.log().Error("accepting an NFS connection", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

// Close ends everything at once: the socket, all connections, and, after the
// calls that are running, all exports. Serve does it by itself.
func (s *Server) Close() error {
	if err := s.prepare(); err != nil {
		return err
	}
	s.mu.Lock()
	s.closed = true
	if s.listener != nil {
		_ = s.listener.Close()
	}
	for c := range s.conns {
		_ = c.nc.Close()
	}
	s.mu.Unlock()
	s.budget.close()
	s.working.Wait()
	var errs []error
	for _, e := range s.Exports() {
		// No connection is left, so no call can be running.
		if err := s.RemoveExport(context.Background(), e.ID); err != nil && !errors.Is(err, ErrNoExport) {
			errs = append(errs, err)
		}
	}
	s.logClosed.Do(func() { errs = append(errs, s.replyLog.close()) })
	return errors.Join(errs...)
}
