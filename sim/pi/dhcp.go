package pi

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// DHCP says how a virtual Pi gets its address.
type DHCP struct {
	// Interface is a network interface of the Pi's own, with its MAC. It asks
	// there by broadcast and gives the interface the address that it gets,
	// which needs root.
	Interface string
	// Namespace is the file of the network namespace that the interface is in;
	// "" means that of this process.
	Namespace string
	// Server is asked instead if there is no Interface: a server on loopback.
	Server netip.AddrPort
	// TFTPPort is where the TFTP server listens, which DHCP does not tell; 0 = 69.
	TFTPPort uint16
	// Early makes a Pi 4 of one with an EEPROM of its first months, which leaves
	// out option 60 when it takes an address.
	Early bool
	// Interval is the pause between two tries; 0 means the model's own.
	Interval time.Duration
}

// errGaveUp: the ROM of a Pi 3 does not try again until power is cut.
var errGaveUp = errors.New("no DHCP answer with a boot server: gave up until power is cut")

const (
	// dhcpTimeout bounds the whole exchange, as DHCP_TIMEOUT does.
	dhcpTimeout = 45 * time.Second
	// romTries is how often a Pi 3 asks.
	romTries = 5
	// romXID is the transaction id of every request of a Pi 3.
	romXID = 0x26f30339
	// bootText is what the firmware looks for in option 43.
	bootText = "Raspberry Pi Boot"

	kernelInterval = 2 * time.Second
	// kernelTries is after how many tries the kernel says that it goes on.
	kernelTries = 6
)

// lease is what the Pi has got by DHCP, or was configured with.
type lease struct {
	address netip.Addr
	mask    net.IPMask
	server  netip.Addr // that gave the address
	tftp    netip.AddrPort
}

// talk is an exchange with DHCP servers.
type talk struct {
	conn dhcpConn
	mac  net.HardwareAddr
	xid  dhcpv4.TransactionID
	buf  []byte
}

func (b *booting) talk(ctx context.Context, fixedXID bool) (*talk, func(), error) {
	p := b.pi
	conn, err := openDHCP(p.cfg.DHCP)
	if err != nil {
		return nil, nil, fmt.Errorf("asking DHCP: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	t := &talk{conn: conn, buf: make([]byte, 4096)}
	t.mac, _ = net.ParseMAC(p.cfg.MAC) // New has
	if t.xid, err = dhcpv4.GenerateTransactionID(); err != nil {
		return nil, nil, err
	}
	if fixedXID {
		binary.BigEndian.PutUint32(t.xid[:], romXID)
	}
	return t, func() { stop(); _ = conn.Close() }, nil
}

// ask makes a request.
func (t *talk) ask(kind dhcpv4.MessageType, fill ...dhcpv4.Modifier) []byte {
	r := &dhcpv4.DHCPv4{OpCode: dhcpv4.OpcodeBootRequest, HWType: 1, TransactionID: t.xid, ClientHWAddr: t.mac, Options: make(dhcpv4.Options),
		ClientIPAddr: net.IPv4zero, YourIPAddr: net.IPv4zero, ServerIPAddr: net.IPv4zero, GatewayIPAddr: net.IPv4zero}
	r.UpdateOption(dhcpv4.OptMessageType(kind))
	for _, f := range fill {
		f(r)
	}
	return r.ToBytes()
}

// next waits for an answer to this Pi until a time; nil means that there is none.
func (t *talk) next(ctx context.Context, until time.Time) (*dhcpv4.DHCPv4, error) {
	for {
		if err := t.conn.SetReadDeadline(until); err != nil {
			return nil, err
		}
		if ctx.Err() != nil { // it may have ended just before the deadline was set
			return nil, ctx.Err()
		}
		n, _, err := t.conn.ReadFrom(t.buf)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, nil
		case err != nil:
			return nil, err
		case n < 240:
			continue
		}
		r, err := dhcpv4.FromBytes(t.buf[:n])
		if err == nil && r.OpCode == dhcpv4.OpcodeBootReply && r.TransactionID == t.xid && bytes.Equal(r.ClientHWAddr, t.mac) {
			return r, nil
		}
	}
}

// machineID is option 97.
func (p *Pi) machineID() []byte {
	id := []byte{0}
	serial := binary.LittleEndian.AppendUint32(nil, p.serial)
	switch p.cfg.Model {
	case Pi3:
		return append(id, bytes.Repeat([]byte{0x44}, 16)...)
	case Pi3Plus:
		return append(id, bytes.Repeat(serial, 4)...)
	}
	mac, _ := net.ParseMAC(p.cfg.MAC) // New has
	id = append(id, p.board.fourCC...)
	id = binary.LittleEndian.AppendUint32(id, p.board.revision)
	id = append(id, mac[2:]...)
	return append(id, serial...)
}

// firmwareOptions are those of the boot stages.
func (p *Pi) firmwareOptions(r *dhcpv4.DHCPv4) {
	wanted := []byte{1, 3, 43, 60, 66, 67, 128, 129, 130, 131, 132, 133, 134, 135}
	if p.cfg.Model == Pi3 {
		wanted = wanted[2:]
	}
	r.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionParameterRequestList, wanted))
	r.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientSystemArchitectureType, []byte{0, 0}))
	r.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientNetworkInterfaceIdentifier, []byte{1, 2, 1}))
	r.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, p.machineID()))
	if p.cfg.DHCP.Early && r.MessageType() == dhcpv4.MessageTypeRequest {
		return
	}
	r.UpdateOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00000:UNDI:002001"))
}

// bootServer reads where an answer says that the boot files are. A Pi 4 and 5
// take option 66 by itself; a Pi 3 wants the menu of option 43 in any case.
func (p *Pi) bootServer(r *dhcpv4.DHCPv4) netip.Addr {
	name, err := netip.ParseAddr(string(bytes.TrimRight(r.Options.Get(dhcpv4.OptionTFTPServerName), "\x00")))
	menu := bytes.Contains(r.Options.Get(dhcpv4.OptionVendorSpecificInformation), []byte(bootText)) &&
		bytes.HasPrefix(r.Options.Get(dhcpv4.OptionClassIdentifier), []byte("PXEClient"))
	switch {
	case !menu && p.board.rom:
		return netip.Addr{}
	case err == nil:
		return name
	case !menu:
		return netip.Addr{}
	}
	if a := addrOf(r.ServerIPAddr); a.IsValid() {
		return a
	}
	return addrOf(r.ServerIdentifier())
}

func addrOf(b net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(b)
	if a = a.Unmap(); !ok || !a.Is4() || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// acquire is the firmware's DHCP: it wants an address and a boot server, which
// may come from two servers.
func (b *booting) acquire(ctx context.Context) error {
	p := b.pi
	if p.cfg.DHCP == nil {
		return nil
	}
	if err := p.cfg.DHCP.setAddress(lease{}); err != nil {
		return err
	}
	t, done, err := b.talk(ctx, p.board.rom)
	if err != nil {
		return err
	}
	defer done()
	interval, end := p.board.dhcpInterval, time.Now().Add(dhcpTimeout)
	if p.cfg.DHCP.Interval != 0 {
		interval = p.cfg.DHCP.Interval
	}
	for try := 1; ; try++ {
		b.out.printf("DHCP: asking, try %d", try)
		ok, err := b.exchange(ctx, t, time.Now().Add(interval))
		switch {
		case err != nil:
			return err
		case ok:
			if err := p.cfg.DHCP.setAddress(b.lease); err != nil {
				return err
			}
			b.out.printf("DHCP: address %s from %s", b.lease.address, b.lease.server)
			p.emit(StageAddress, b.lease.address.String())
			return nil
		case p.board.rom && try == romTries:
			return errGaveUp
		case !p.board.rom && time.Now().After(end):
			return errors.New("no DHCP answer with an address and a boot server")
		}
	}
}

// exchange is one try. It tells whether the Pi has all it wants.
func (b *booting) exchange(ctx context.Context, t *talk, until time.Time) (bool, error) {
	p := b.pi
	if err := t.conn.send(t.ask(dhcpv4.MessageTypeDiscover, p.firmwareOptions)); err != nil {
		return false, err
	}
	var got lease
	for !got.address.IsValid() || !got.tftp.IsValid() {
		r, err := t.next(ctx, until)
		if r == nil {
			return false, err
		}
		if r.MessageType() != dhcpv4.MessageTypeOffer {
			continue
		}
		got.read(p, r)
	}
	if p.cfg.Model == Pi3 { // it takes the address without a word
		b.lease = got
		return true, nil
	}
	want := dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(got.address.AsSlice()))
	server := dhcpv4.WithOption(dhcpv4.OptServerIdentifier(got.server.AsSlice()))
	if err := t.conn.send(t.ask(dhcpv4.MessageTypeRequest, p.firmwareOptions, want, server)); err != nil {
		return false, err
	}
	for {
		r, err := t.next(ctx, until)
		if r == nil {
			return false, err
		}
		switch r.MessageType() {
		case dhcpv4.MessageTypeNak:
			return false, nil
		case dhcpv4.MessageTypeAck:
			got.address = netip.Addr{}
			got.read(p, r)
			b.lease = got
			return got.address.IsValid(), nil
		}
	}
}

// read takes over what an answer adds to what is known.
func (l *lease) read(p *Pi, r *dhcpv4.DHCPv4) {
	if a := addrOf(r.YourIPAddr); a.IsValid() && !l.address.IsValid() {
		l.address, l.mask, l.server = a, r.SubnetMask(), addrOf(r.ServerIdentifier())
	}
	if a := p.bootServer(r); a.IsValid() {
		port := p.cfg.DHCP.TFTPPort
		if port == 0 {
			const tftp = 69
			port = tftp
		}
		l.tftp = netip.AddrPortFrom(a, port)
	}
}

// kernelAddress is ip=dhcp: the kernel asks anew, as any other system. Without
// an answer it asks for ever, as its root is on the network.
func (b *booting) kernelAddress(ctx context.Context) error {
	p := b.pi
	if p.cfg.DHCP == nil {
		return nil
	}
	t, done, err := b.talk(ctx, false)
	if err != nil {
		return err
	}
	defer done()
	interval := kernelInterval
	if p.cfg.DHCP.Interval != 0 {
		interval = p.cfg.DHCP.Interval
	}
	for try := 1; ; try++ {
		l, err := b.kernelExchange(ctx, t, time.Now().Add(interval))
		if err != nil {
			return err
		}
		if l.address.IsValid() {
			l.tftp = b.lease.tftp
			b.lease = l
			return p.cfg.DHCP.setAddress(l)
		}
		if try%kernelTries == 0 {
			b.out.kernel("IP-Config: Retrying forever (NFS root)...")
		}
	}
}

func (b *booting) kernelExchange(ctx context.Context, t *talk, until time.Time) (lease, error) {
	wanted := dhcpv4.WithGeneric(dhcpv4.OptionParameterRequestList, []byte{1, 3, 6, 12, 15, 17, 26, 40, 42})
	if err := t.conn.send(t.ask(dhcpv4.MessageTypeDiscover, wanted)); err != nil {
		return lease{}, err
	}
	for {
		r, err := t.next(ctx, until)
		if r == nil {
			return lease{}, err
		}
		a := addrOf(r.YourIPAddr)
		switch {
		case r.MessageType() == dhcpv4.MessageTypeOffer && a.IsValid():
			want := dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(r.YourIPAddr))
			server := dhcpv4.WithOption(dhcpv4.OptServerIdentifier(r.ServerIdentifier()))
			if err := t.conn.send(t.ask(dhcpv4.MessageTypeRequest, wanted, want, server)); err != nil {
				return lease{}, err
			}
		case r.MessageType() == dhcpv4.MessageTypeAck && a.IsValid():
			return lease{address: a, mask: r.SubnetMask(), server: addrOf(r.ServerIdentifier())}, nil
		}
	}
}
