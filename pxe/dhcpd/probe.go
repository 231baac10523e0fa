package dhcpd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// Other is a DHCP server that answers on a segment. It is plain data.
type Other struct {
	Address netip.Addr `json:"address"`
	MAC     string     `json:"mac,omitempty"`
}

func (o Other) String() string {
	if o.MAC == "" {
		return o.Address.String()
	}
	return fmt.Sprintf("%s (MAC %s)", o.Address, o.MAC)
}

// OtherServerError says that a full server was not started because others
// answer on its segment.
type OtherServerError struct {
	Interface string
	Servers   []Other
}

// Error implements error.
func (e *OtherServerError) Error() string {
	return fmt.Sprintf("starting DHCP on %s: another DHCP server answers there: %s; two servers would give a Pi two addresses: "+
		"set dhcp.mode = \"proxy\" to work beside it, switch it off, or set dhcp.force = true if it leaves the Pis alone", e.Interface, join(e.Servers))
}

func join(list []Other) string {
	var s []string
	for _, o := range list {
		s = append(s, o.String())
	}
	return strings.Join(s, ", ")
}

// macConn remembers which machine the last packet came from.
type macConn struct {
	net.PacketConn
	last net.HardwareAddr
}

// ReadFrom implements net.PacketConn.
func (c *macConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.PacketConn.ReadFrom(p)
	if a, ok := from.(*packet.Addr); ok && err == nil {
		c.last = a.HardwareAddr
	}
	return n, from, err
}

// Probe asks for an address on an interface as any machine does, and returns
// the servers that offer one within the wait. No address is taken. It needs
// CAP_NET_RAW.
func Probe(ctx context.Context, ifname string, wait time.Duration) ([]Other, error) {
	list, err := probe(ctx, ifname, wait)
	if err != nil {
		return nil, fmt.Errorf("looking for other DHCP servers on %s: %w", ifname, err)
	}
	return list, nil
}

func probe(ctx context.Context, ifname string, wait time.Duration) ([]Other, error) {
	ifc, err := net.InterfaceByName(ifname)
	if err != nil {
		return nil, err
	}
	// A raw socket: a DHCP client of this machine may have the client's port.
	raw, err := packet.Listen(ifc, packet.Datagram, unix.ETH_P_IP, nil)
	if err != nil {
		return nil, err
	}
	named := &macConn{PacketConn: raw}
	conn := nclient4.NewBroadcastUDPConn(named, &net.UDPAddr{Port: dhcpv4.ClientPort})
	defer func() { _ = conn.Close() }()
	ask, err := dhcpv4.NewDiscovery(ifc.HardwareAddr, dhcpv4.WithBroadcast(true))
	if err != nil {
		return nil, err
	}
	end := time.Now().Add(wait)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var found []Other
	buf := make([]byte, maxPacket)
	const tries = 3 // a packet may be lost, and a switch port may just be coming up
	for try := range tries {
		if _, err := conn.WriteTo(ask.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ServerPort}); err != nil {
			return nil, err
		}
		if err := conn.SetReadDeadline(end.Add(-wait * time.Duration(tries-1-try) / tries)); err != nil {
			return nil, err
		}
		for {
			n, _, err := conn.ReadFrom(buf)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, err
			}
			if o, ok := offerOf(buf[:n], ask); ok {
				o.MAC = named.last.String()
				if !slices.ContainsFunc(found, func(f Other) bool { return f.Address == o.Address }) {
					found = append(found, o)
				}
			}
		}
	}
	return found, nil
}

// offerOf reads which server offers something in answer to a request. An offer
// without an address is that of a boot server.
func offerOf(p []byte, ask *dhcpv4.DHCPv4) (Other, bool) {
	if len(p) < minPacket {
		return Other{}, false
	}
	r, err := dhcpv4.FromBytes(p)
	if err != nil || r.OpCode != dhcpv4.OpcodeBootReply || r.TransactionID != ask.TransactionID || r.MessageType() != dhcpv4.MessageTypeOffer {
		return Other{}, false
	}
	if _, ok := address(r.YourIPAddr); !ok {
		return Other{}, false
	}
	server, ok := address(r.ServerIdentifier())
	return Other{Address: server}, ok
}

// refuseBeside fails if another server answers.
func (s *Server) refuseBeside(ctx context.Context) error {
	others, err := s.others(ctx)
	if err != nil {
		return fmt.Errorf("%w; dhcp.force = true starts without looking", err)
	}
	if len(others) > 0 {
		return &OtherServerError{Interface: s.cfg.Interface, Servers: others}
	}
	return nil
}

func (s *Server) others(ctx context.Context) ([]Other, error) {
	list, err := Probe(ctx, s.cfg.Interface, s.cfg.ProbeWait)
	return slices.DeleteFunc(list, func(o Other) bool { return o.Address == s.cfg.Given.Server }), err
}

// watch looks for other servers now and then.
func (s *Server) watch(ctx context.Context) {
	tick := time.NewTicker(s.cfg.ProbeEvery)
	defer tick.Stop()
	if s.cfg.Mode == Proxy || s.cfg.Force {
		s.look(ctx) // nobody has looked yet
	}
	for {
		select {
		case <-tick.C:
			s.look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) look(ctx context.Context) {
	others, err := s.others(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Warn("DHCP", "err", err)
		}
		return
	}
	now := time.Now()
	if s.cfg.Mode == Full {
		for _, o := range others {
			s.name(o.Address, o.MAC, Event{Time: now})
		}
		return
	}
	if len(others) > 1 {
		for _, o := range others {
			s.name(o.Address, o.MAC, Event{Time: now})
		}
	}
	s.mu.Lock()
	news := s.alone != (len(others) == 0)
	s.alone = len(others) == 0
	s.mu.Unlock()
	if news && len(others) == 0 {
		s.emit(Event{Time: now, Kind: Alone, Detail: fmt.Sprintf("no DHCP server answers on %s, so the Pis get no address: switch one on, or set dhcp.mode = \"server\"", s.cfg.Interface)})
	}
}

// nameAgain is how long a foreign server stays unmentioned once it was named.
const nameAgain = time.Hour

// name reports a foreign server. If e is about a machine it has taken an
// address from there, which is told of each machine.
func (s *Server) name(server netip.Addr, mac string, e Event) {
	s.mu.Lock()
	last, again := s.foreign[server]
	if again && e.Time.Sub(last) < nameAgain && e.ID == "" {
		s.mu.Unlock()
		return
	}
	const most = 64 // servers in made-up requests
	if len(s.foreign) < most || again {
		s.foreign[server] = e.Time
	}
	s.mu.Unlock()
	e.Kind, e.Server, e.ServerMAC = Foreign, server, mac
	o := Other{Address: server, MAC: mac}
	e.Detail = fmt.Sprintf("another DHCP server answers on %s: %s; switch it off, keep it from the Pis' network, or set dhcp.mode = \"proxy\" here", cmp.Or(s.cfg.Interface, "this network"), o)
	if s.cfg.Mode == Proxy {
		e.Detail = fmt.Sprintf("more than one DHCP server answers on %s, among them %s: Pis may get other addresses each time; leave one of them on", s.cfg.Interface, o)
	}
	if e.MAC != "" {
		e.Detail = fmt.Sprintf("it took its address from another DHCP server, %s, and not the one reserved for it: switch that server off, or set dhcp.mode = \"proxy\" here", o)
	}
	s.emit(e)
}
