package tftpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pin/tftp/v3"
	"golang.org/x/time/rate"
)

// DefaultMaxBlock is the largest block that fits an Ethernet frame beside the
// headers of IPv4, UDP and TFTP, and the one that a Pi asks for.
const DefaultMaxBlock = 1468

// Config is what a [Server] is made of.
type Config struct {
	// Addr is the address to listen on, "host:port". Port 0 means any, port 69
	// is what a Pi asks. Answers leave from the address that the host's routes
	// choose: on a host with several addresses in the Pis' network, name the
	// first one.
	Addr string
	// Source decides what clients may read. Required.
	Source Source
	// OnEvent is told of each request. It is called from many goroutines and
	// must return at once. Nil means nobody listens.
	OnEvent func(Event)
	// Limits bound what clients can make the server do.
	Limits Limits
	// MaxBlock is the largest block size in bytes granted to a client that
	// asks for more. Zero means [DefaultMaxBlock].
	MaxBlock int
	// Retransmit is how long to wait for an acknowledgement before the block
	// is sent again. Zero and anything below one second mean one second: old
	// firmware loses count of blocks that come twice.
	Retransmit time.Duration
	// GiveUp is how long to go on with a client that does not answer. Zero
	// means 25 s, a little less than a Pi itself waits.
	GiveUp time.Duration
	// Log is where problems are reported. Nil means nowhere.
	Log *slog.Logger
}

const (
	minRetransmit = time.Second
	defaultGiveUp = 25 * time.Second
	// stopGrace is how long running transfers may finish after Serve's context
	// has ended.
	stopGrace = 2 * time.Second
	// noiseRate and noiseBurst bound the events and answers that strangers
	// can cause, per second.
	noiseRate  = 20
	noiseBurst = 40
)

// Server is a TFTP server. See [Listen].
type Server struct {
	cfg       Config
	log       *slog.Logger
	gate      *gate
	loop      *loop
	admission *admission
	quiet     *rate.Limiter
	left      atomic.Int64 // events left out since the last one that was not
	ctx       context.Context
	cancel    context.CancelFunc
}

// Listen opens the socket. Requests wait in it until Serve is called.
func Listen(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Source == nil {
		return nil, errors.New("starting TFTP: no source of files is given")
	}
	if cfg.MaxBlock == 0 {
		cfg.MaxBlock = DefaultMaxBlock
	}
	if cfg.MaxBlock <= 512 || cfg.MaxBlock > maxBlock {
		return nil, fmt.Errorf("starting TFTP: largest block %d is not between 513 and %d", cfg.MaxBlock, maxBlock)
	}
	cfg.Retransmit = max(cfg.Retransmit, minRetransmit)
	if cfg.GiveUp <= 0 {
		cfg.GiveUp = defaultGiveUp
	}
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, "udp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("starting TFTP: %w", err)
	}
	conn, ok := pc.(*net.UDPConn)
	if !ok {
		_ = pc.Close()
		return nil, fmt.Errorf("starting TFTP: %q is not a UDP address", cfg.Addr)
	}
	s := &Server{
		cfg:       cfg,
		log:       cfg.Log,
		admission: newAdmission(cfg.Limits),
		quiet:     rate.NewLimiter(noiseRate, noiseBurst),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.gate = newGate(s, conn)
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.loop = &loop{ctx: s.ctx}
	return s, nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() netip.AddrPort {
	a, _ := s.gate.conn.LocalAddr().(*net.UDPAddr)
	return netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port())
}

// Close gives back the socket of a server that is not served.
func (s *Server) Close() error {
	s.cancel()
	return s.gate.Close()
}

// Serve answers requests until the context ends, and then returns nil. It is
// called once. Transfers that are under way are broken off, and their clients
// told.
func (s *Server) Serve(ctx context.Context) error {
	lib := tftp.NewServer(s.read, nil)
	lib.SetHook(hook{s.gate})

	go s.reportProgress(s.ctx)
	served := make(chan error, 1)
	go func() { served <- lib.Serve(s.gate) }()
	select {
	case err := <-served:
		s.cancel()
		if err == nil {
			err = errors.New("the server stopped by itself")
		}
		return fmt.Errorf("serving TFTP: %w", err)
	case <-ctx.Done():
	}
	s.cancel()
	stopped := make(chan struct{})
	go func() {
		lib.Shutdown()
		close(stopped)
	}()
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-stopped:
	case <-grace.C:
	}
	return nil
}

func (s *Server) knows(client netip.Addr) bool {
	k, ok := s.cfg.Source.(Knower)
	return !ok || k.Knows(client)
}

func (s *Server) emit(ev Event) {
	if s.cfg.OnEvent != nil {
		s.cfg.OnEvent(ev)
	}
}

// noise reports an event of a kind that strangers can cause at will, unless
// there were too many. It tells whether it was reported.
func (s *Server) noise(ev Event) bool {
	if !s.quiet.AllowN(ev.Time, 1) {
		s.left.Add(1)
		return false
	}
	ev.Suppressed = s.left.Swap(0)
	s.log.Info("TFTP request not served", "client", ev.Client, "kind", ev.Kind,
		"id", ev.ID, "owner", ev.Owner, "name", ev.Name, "err", ev.Err, "suppressed", ev.Suppressed)
	s.emit(ev)
	return true
}

// hook is told by the library what it does not return as an error.
type hook struct{ gate *gate }

// OnSuccess implements tftp.Hook.
func (hook) OnSuccess(tftp.TransferStats) {}

// OnFailure implements tftp.Hook.
func (h hook) OnFailure(stats tftp.TransferStats, err error) {
	if stats.Filename == "" {
		h.gate.notStarted(err)
	}
}
