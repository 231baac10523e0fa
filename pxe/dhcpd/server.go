package dhcpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/net/ipv4"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// Mode is what a server does.
type Mode string

// The modes.
const (
	// Full gives addresses and says where the boot files are.
	Full Mode = "server"
	// Proxy only says where the boot files are; another server gives addresses.
	Proxy Mode = "proxy"
)

// Machines tells a server who is who; [*Table] does. It is asked for each
// request and must answer at once.
type Machines interface {
	ByMAC(mac string) (Reservation, bool)
	BySerial(serial string) (Reservation, bool)
	Guest(mac string, now time.Time) (netip.Addr, bool)
	GuestOf(mac string, now time.Time) (netip.Addr, bool)
	Avoid(a netip.Addr, now time.Time)
}

// Config is what a [Server] is made of. One server serves one interface; there
// may be several in a process, each with its own addresses and machines.
type Config struct {
	// Interface is the network interface that is served, and no other. Empty
	// means that Listen is an address of its own and answers go to where the
	// requests come from: for virtual machines without a network of their own.
	Interface string
	// Listen is "host:port"; empty means port 67.
	Listen string
	// Mode is Full or Proxy. Required.
	Mode Mode
	// Given is what machines are told.
	Given Given
	// Machines are those that are served. Required.
	Machines Machines
	// Force starts a full server even where another server answers.
	Force bool
	// ProbeWait is how long to wait for the answers of other servers; 0 means
	// 3 s. ProbeEvery is the time between two probes while serving; 0 means 5
	// min. Without Interface there are no probes.
	ProbeWait, ProbeEvery time.Duration
	// OnEvent is told what happens. It must return at once. Nil means nobody
	// listens.
	OnEvent func(Event)
	// Log is where problems are reported. Nil means nowhere.
	Log *slog.Logger
}

const (
	defaultProbeWait  = 3 * time.Second
	defaultProbeEvery = 5 * time.Minute
	// Requests of unknown Pis that are looked at per second, and events that
	// are reported of machines that are known and of others.
	strangerRate, strangerBurst = 20, 40
	eventRate, eventBurst       = 50, 200
	noiseRate, noiseBurst       = 5, 20
	// receiveBuffer holds a burst of requests in bytes, of which those of
	// machines that are known must not be lost.
	receiveBuffer = 1 << 20
)

// Server answers DHCP requests. See [Listen].
type Server struct {
	cfg  Config
	log  *slog.Logger
	conn net.PacketConn
	wire *ipv4.PacketConn

	strangers, events, noise *rate.Limiter
	left                     atomic.Int64 // events left out since the last one that was not

	mu      sync.Mutex
	booting map[string]boots
	foreign map[netip.Addr]time.Time // when each was named last
	alone   bool
}

// boots is what is remembered of a machine's firmware.
type boots struct {
	xid    dhcpv4.TransactionID
	at     time.Time
	model  string
	serial string
	// serialAt is when the serial number was told.
	serialAt time.Time
}

// Listen opens the socket. A full server refuses to start, with an
// [*OtherServerError], where another server answers, unless it is forced to.
func Listen(ctx context.Context, cfg Config) (*Server, error) {
	s, err := newServer(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.bind(ctx); err != nil {
		return nil, err
	}
	if cfg.Interface != "" && cfg.Mode == Full && !cfg.Force {
		if err := s.refuseBeside(ctx); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

func newServer(cfg Config) (*Server, error) {
	cfg.Given.complete()
	if cfg.ProbeWait <= 0 {
		cfg.ProbeWait = defaultProbeWait
	}
	if cfg.ProbeEvery <= 0 {
		cfg.ProbeEvery = defaultProbeEvery
	}
	switch {
	case cfg.Mode != Full && cfg.Mode != Proxy:
		return nil, fmt.Errorf("starting DHCP: mode %q is not known", cfg.Mode)
	case cfg.Machines == nil:
		return nil, errors.New("starting DHCP: no machines are given")
	case !cfg.Given.Server.Is4():
		return nil, errors.New("starting DHCP: the server has no IPv4 address")
	case cfg.Mode == Full && !cfg.Given.Subnet.Contains(cfg.Given.Server):
		return nil, fmt.Errorf("starting DHCP: the server's address %s is not in the network %s that it serves", cfg.Given.Server, cfg.Given.Subnet)
	}
	s := &Server{
		cfg: cfg, log: cfg.Log, booting: make(map[string]boots), foreign: make(map[netip.Addr]time.Time),
		strangers: rate.NewLimiter(strangerRate, strangerBurst), events: rate.NewLimiter(eventRate, eventBurst),
		noise: rate.NewLimiter(noiseRate, noiseBurst),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

func (s *Server) bind(ctx context.Context) error {
	listen := s.cfg.Listen
	if listen == "" {
		listen = fmt.Sprintf(":%d", dhcpv4.ServerPort)
	}
	// Without SO_REUSEADDR, so that another server on this machine is noticed.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) {
			if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err == nil && s.cfg.Interface != "" {
				err = unix.BindToDevice(int(fd), s.cfg.Interface)
			}
		})
		return errors.Join(cerr, err)
	}}
	conn, err := lc.ListenPacket(ctx, "udp4", listen)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("starting DHCP on %s: another program of this machine has the port (`ss -ulpn sport = :67` names it): %w; stop it, or use dhcp.mode = \"dnsmasq\" if it is dnsmasq", s.where(), err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("starting DHCP on %s: %w; run as root or with CAP_NET_BIND_SERVICE and CAP_NET_RAW", s.where(), err)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("starting DHCP: there is no interface %q: correct dhcp.interface (`ip link` lists them)", s.cfg.Interface)
	case err != nil:
		return fmt.Errorf("starting DHCP on %s: %w", s.where(), err)
	}
	s.conn, s.wire = conn, ipv4.NewPacketConn(conn)
	if u, ok := conn.(*net.UDPConn); ok {
		_ = u.SetReadBuffer(receiveBuffer) // the system's limit may be lower, and does as well
	}
	return nil
}

func (s *Server) where() string {
	if s.cfg.Interface != "" {
		return s.cfg.Interface
	}
	return s.cfg.Listen
}

// Addr is the address that the server listens on.
func (s *Server) Addr() netip.AddrPort {
	a, _ := s.conn.LocalAddr().(*net.UDPAddr)
	return netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port())
}

// Close gives back the socket of a server that is not served.
func (s *Server) Close() error {
	if err := s.conn.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Serve answers requests until the context ends, and then returns nil. It is
// called once.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.Close() })
	defer stop()
	g, gctx := errgroup.WithContext(ctx)
	if s.cfg.Interface != "" {
		g.Go(func() error { s.watch(gctx); return nil })
	}
	g.Go(func() error { return s.read(gctx) })
	err := g.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// maxPacket is more than any request has.
const maxPacket = 4096

func (s *Server) read(ctx context.Context) error {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was asked to stop
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serving DHCP on %s: %w", s.where(), err)
		case err != nil: // the interface went down, and may come again
			s.log.Warn("reading DHCP requests", "on", s.where(), "err", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			continue
		}
		s.handle(buf[:n], from)
	}
}

// handle answers one packet, if it deserves an answer.
func (s *Server) handle(p []byte, from net.Addr) {
	req, err := decode(p)
	if err != nil {
		return // noise; whoever sent it has got nothing to hear either
	}
	answer := s.decide(req, time.Now())
	if answer == nil {
		return
	}
	if err := s.send(answer, from); err != nil {
		s.log.Warn("sending a DHCP answer", "on", s.where(), "to", answer.ClientHWAddr, "err", err)
	}
}

// send broadcasts to machines that have no address yet. Pis take that as well
// as unicast, which would need a raw socket.
func (s *Server) send(r *dhcpv4.DHCPv4, from net.Addr) error {
	if s.cfg.Interface == "" {
		_, err := s.conn.WriteTo(r.ToBytes(), from)
		return err
	}
	to := &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ClientPort}
	if !r.ClientIPAddr.IsUnspecified() && r.MessageType() != dhcpv4.MessageTypeNak {
		to.IP = r.ClientIPAddr
	}
	// The interface may have several addresses: answers come from the one that
	// the server is known by.
	_, err := s.wire.WriteTo(r.ToBytes(), &ipv4.ControlMessage{Src: ip(s.cfg.Given.Server)}, to)
	return err
}

// emit reports an event, unless there are too many.
func (s *Server) emit(e Event) {
	limit := s.events
	if e.ID == "" {
		limit = s.noise
	}
	if !limit.AllowN(e.Time, 1) {
		s.left.Add(1)
		return
	}
	e.Interface, e.Suppressed = s.cfg.Interface, s.left.Swap(0)
	level := slog.LevelInfo
	switch e.Kind {
	case Conflict, WrongSerial, InUse, NoRoom, Foreign, Alone:
		level = slog.LevelWarn
	}
	s.log.Log(context.Background(), level, "DHCP", "kind", e.Kind, "mac", e.MAC, "id", e.ID, "address", e.Address, "boot", e.Boot,
		"serial", e.Serial, "model", e.Model, "detail", e.Detail, "suppressed", e.Suppressed)
	if s.cfg.OnEvent != nil {
		s.cfg.OnEvent(e)
	}
}
