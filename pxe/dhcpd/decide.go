package dhcpd

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// minPacket is the length of a DHCP packet without options, in bytes.
const minPacket = 240

// decode reads a request, of a form that can be answered.
func decode(p []byte) (*dhcpv4.DHCPv4, error) {
	if len(p) < minPacket {
		return nil, errors.New("the packet is too short")
	}
	req, err := dhcpv4.FromBytes(p)
	switch {
	case err != nil:
		return nil, err
	case req.OpCode != dhcpv4.OpcodeBootRequest || req.HWType != iana.HWTypeEthernet:
		return nil, errors.New("the packet is no request of an Ethernet machine")
	case len(req.ClientHWAddr) != 6 || req.ClientHWAddr[0]&1 != 0 || req.ClientHWAddr.String() == "00:00:00:00:00:00":
		return nil, errors.New("the packet has no MAC of one machine")
	case !req.GatewayIPAddr.IsUnspecified():
		return nil, errors.New("the packet comes from a relay, and no other network is served")
	}
	return req, nil
}

// How long a machine's firmware is remembered: a request without option 60 is
// still its own (early Pi 4), and a second serial number is another machine's.
const (
	bootMemory   = time.Minute
	serialMemory = 10 * time.Minute
)

// decide makes the answer to a request; nil means none. It reports what it
// sees.
func (s *Server) decide(req *dhcpv4.DHCPv4, now time.Time) *dhcpv4.DHCPv4 {
	a := Identify(req)
	m, known := s.cfg.Machines.ByMAC(a.MAC)
	e := Event{Time: now, MAC: a.MAC, Serial: a.Serial, Model: a.Model, AltSerial: a.AltSerial, Revision: a.Revision, ID: m.ID, Boot: a.Boot, Address: m.Address}
	if !known {
		return s.stranger(req, &a, e)
	}
	s.remember(req, &a, &e, now)
	if !s.sameMachine(&a, &m, e) {
		return nil
	}
	switch req.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return s.offer(req, &a, &m.Machine, e)
	case dhcpv4.MessageTypeRequest:
		return s.ack(req, &a, &m.Machine, e)
	case dhcpv4.MessageTypeInform:
		if s.cfg.Mode == Full {
			r := s.cfg.Given.reply(req, dhcpv4.MessageTypeAck)
			r.ClientIPAddr = req.ClientIPAddr
			s.cfg.Given.network(r, m.Name)
			return r
		}
	case dhcpv4.MessageTypeDecline:
		if s.cfg.Mode == Full {
			e.Kind = InUse
			e.Detail = fmt.Sprintf("it found that another machine uses %s, its address: find that machine and give it another address; the reservation stays", m.Address)
			s.emit(e)
		}
	}
	return nil
}

// remember keeps what the firmware of a machine asked last, and finds that a
// request without option 60 is still the firmware's.
func (s *Server) remember(req *dhcpv4.DHCPv4, a *Asker, e *Event, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.booting[a.MAC]
	switch {
	case a.Boot:
		b.xid, b.at, b.model = req.TransactionID, now, a.Model
	case req.MessageType() == dhcpv4.MessageTypeDiscover:
		b.at = time.Time{} // a kernel asks now
	case req.TransactionID == b.xid && !b.at.IsZero() && now.Sub(b.at) < bootMemory:
		a.Boot, e.Boot, a.Model = true, true, cmp.Or(a.Model, b.model)
	}
	s.booting[a.MAC] = b
}

// sameMachine tells whether the asker may be the registered machine with its
// MAC, and reports what speaks against it.
func (s *Server) sameMachine(a *Asker, m *Reservation, e Event) bool {
	if a.Serial == "" {
		return true
	}
	if !a.is(m.Serial) {
		if owner, ok := s.owner(a, m.MAC); ok {
			e.Kind, e.Other = Conflict, owner.ID
			e.Detail = fmt.Sprintf("it asks with the MAC of %s and the serial number of %s (%s): it gets no address; if the two Pis were exchanged, correct their nodes' ports, else find out who pretends",
				label(&m.Machine), label(&owner.Machine), owner.Serial)
			s.emit(e)
			return false
		}
		if before := s.lately(a, e.Time); before != "" {
			return s.twins(a, before, e)
		}
		e.Kind = WrongSerial
		e.Detail = fmt.Sprintf("it says that its serial number is %s, and %s is registered: correct driver_info.serial_number, or put the right Pi in", a.Serial, m.Serial)
		s.emit(e)
		return true
	}
	before := s.lately(a, e.Time)
	s.mu.Lock()
	b := s.booting[a.MAC]
	b.serial, b.serialAt = a.Serial, e.Time
	s.booting[a.MAC] = b
	s.mu.Unlock()
	if before != "" && m.Serial == "" {
		return s.twins(a, before, e)
	}
	return true
}

// lately returns another serial number that a machine with the asker's MAC has
// told a short while ago, "" if there is none.
func (s *Server) lately(a *Asker, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.booting[a.MAC]
	if b.serial == "" || a.is(b.serial) || now.Sub(b.serialAt) >= serialMemory {
		return ""
	}
	return b.serial
}

func (s *Server) twins(a *Asker, before string, e Event) bool {
	e.Kind = Conflict
	e.Detail = fmt.Sprintf("two Pis ask with the MAC %s, with the serial numbers %s and %s: set driver_info.serial_number to that of the right one, and give the other its own MAC", a.MAC, before, a.Serial)
	s.emit(e)
	return false
}

// owner finds the registered machine, other than the one with a MAC, that has
// the asker's serial number.
func (s *Server) owner(a *Asker, mac string) (Reservation, bool) {
	for _, serial := range []string{a.Serial, a.AltSerial} {
		if m, ok := s.cfg.Machines.BySerial(serial); ok && m.MAC != mac {
			return m, true
		}
	}
	return Reservation{}, false
}

func label(m *Machine) string { return cmp.Or(m.Name, m.ID) }

// offer answers a DISCOVER of a registered machine, or of a guest.
func (s *Server) offer(req *dhcpv4.DHCPv4, a *Asker, m *Machine, e Event) *dhcpv4.DHCPv4 {
	if s.cfg.Mode == Proxy {
		return s.tell(req, a, e)
	}
	if !m.Address.IsValid() {
		return nil
	}
	r := s.cfg.Given.reply(req, dhcpv4.MessageTypeOffer)
	s.fill(r, req, a, m)
	e.Kind = Offered
	s.emit(e)
	return r
}

// tell is a proxy's answer: no address, only where to boot from. The Pi puts
// it together with the offer of the other server, and no third step follows.
func (s *Server) tell(req *dhcpv4.DHCPv4, a *Asker, e Event) *dhcpv4.DHCPv4 {
	if !a.Boot {
		return nil
	}
	r := s.cfg.Given.reply(req, dhcpv4.MessageTypeOffer)
	s.cfg.Given.boot(r, req, a)
	e.Kind, e.Address = Offered, netip.Addr{}
	s.emit(e)
	return r
}

// fill puts in the address, and for firmware where its files are. A system
// gets its name instead: to it the boot options mean nothing, or something else.
func (s *Server) fill(r, req *dhcpv4.DHCPv4, a *Asker, m *Machine) {
	if a.Boot {
		s.cfg.Given.address(r, m.Address, "")
		s.cfg.Given.boot(r, req, a)
		return
	}
	s.cfg.Given.address(r, m.Address, m.Name)
}

// ack answers a REQUEST.
func (s *Server) ack(req *dhcpv4.DHCPv4, a *Asker, m *Machine, e Event) *dhcpv4.DHCPv4 {
	if server, ok := address(req.ServerIdentifier()); ok && server != s.cfg.Given.Server {
		if s.cfg.Mode == Full {
			s.name(server, "", e)
		}
		return nil
	}
	if s.cfg.Mode == Proxy || !m.Address.IsValid() {
		return nil
	}
	wish, ok := address(req.RequestedIPAddress())
	if !ok {
		wish, ok = address(req.ClientIPAddr)
	}
	if !ok || wish == m.Address {
		r := s.cfg.Given.reply(req, dhcpv4.MessageTypeAck)
		r.ClientIPAddr = req.ClientIPAddr
		s.fill(r, req, a, m)
		e.Kind = Acked
		s.emit(e)
		return r
	}
	e.Kind = Refused
	e.Detail = fmt.Sprintf("it asked to go on with %s, and %s is reserved for it: it asks anew by itself", wish, m.Address)
	s.emit(e)
	r := s.cfg.Given.reply(req, dhcpv4.MessageTypeNak)
	r.SetBroadcast() // its address may be one of another network
	return r
}

func address(b net.IP) (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(b)
	a = a.Unmap()
	return a, ok && a.Is4() && !a.IsUnspecified()
}

// stranger answers a machine that is not registered: the firmware of a Pi may
// get an address for a while, so that it can be looked at; nobody else is ours.
func (s *Server) stranger(req *dhcpv4.DHCPv4, a *Asker, e Event) *dhcpv4.DHCPv4 {
	if !s.strangers.AllowN(e.Time, 1) {
		return nil
	}
	given, guest := s.cfg.Machines.GuestOf(a.MAC, e.Time)
	kind := req.MessageType()
	if kind == dhcpv4.MessageTypeDecline && guest && s.cfg.Mode == Full {
		s.cfg.Machines.Avoid(given, e.Time)
		return nil
	}
	if guest && kind == dhcpv4.MessageTypeRequest && s.cfg.Mode == Full {
		e.Address = given
		// Early Pi 4s leave out option 60 here; a guest is always firmware.
		a.Boot, e.Boot = true, true
		return s.ack(req, a, &Machine{MAC: a.MAC, Address: given}, e)
	}
	if !a.Boot || !a.Pi || kind != dhcpv4.MessageTypeDiscover {
		return nil
	}
	if owner, ok := s.owner(a, a.MAC); ok {
		e.Kind, e.Other = Conflict, owner.ID
		e.Detail = fmt.Sprintf("a machine that is not registered asks with the serial number %s of %s, and the MAC %s: it gets no address; if it is that Pi, correct the address of its port (it says %s), else find out who pretends",
			owner.Serial, label(&owner.Machine), a.MAC, owner.MAC)
		s.emit(e)
		return nil
	}
	if s.cfg.Mode == Proxy {
		e.Kind = Stranger
		return s.tell(req, a, e)
	}
	given, ok := s.cfg.Machines.Guest(a.MAC, e.Time)
	if !ok {
		e.Kind = NoRoom
		e.Detail = "an unknown Pi asks and gets no address: as many unknown Pis as dhcp.guests allows have one already, or dhcp.range is used up; register it, or wait"
		s.emit(e)
		return nil
	}
	e.Address = given
	return s.offer(req, a, &Machine{MAC: a.MAC, Address: given}, e)
}
