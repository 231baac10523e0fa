package dhcpd

import (
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// bootMenu is option 43 for a Pi: PXE discovery control 3, a menu prompt with
// timeout 0, and one boot menu item. It is what dnsmasq sends for
// pxe-service=0,"Raspberry Pi Boot", and the firmware looks for that text.
func bootMenu(text string) []byte {
	m := []byte{
		6, 1, 3,
		10, 4, 0, 'P', 'X', 'E',
		9, byte(3 + len(text)), 0, 0, byte(len(text)),
	}
	m = append(m, text...)
	return append(m, 0xff)
}

// BootMenu is option 43 as a server sends it that cannot tell the models apart.
func BootMenu() []byte { return bootMenu(bootText) }

const (
	bootText = "Raspberry Pi Boot"
	// bootTextPi3 has the three spaces that the ROM of a Pi 3B wants, which
	// reckons the length wrongly; mended in the 3B+.
	bootTextPi3 = bootText + "   "
)

// Given is what a server tells the machines of its segment.
type Given struct {
	// Server is the address that the server is known by (option 54). Required.
	Server netip.Addr
	// Subnet is the network's prefix. Required in a full server.
	Subnet netip.Prefix
	// TFTP is where boot files are; the zero value means Server.
	TFTP netip.Addr
	// Router is the way to other networks; the zero value means Server.
	Router netip.Addr
	// DNS are the name servers; none by default.
	DNS []netip.Addr
	// Lease is how long an address is given for before the machine has to ask
	// again; 0 means 24 h. The address stays its own in any case.
	Lease time.Duration
}

const defaultLease = 24 * time.Hour

func (g *Given) complete() {
	if !g.TFTP.IsValid() {
		g.TFTP = g.Server
	}
	if !g.Router.IsValid() {
		g.Router = g.Server
	}
	if g.Lease <= 0 {
		g.Lease = defaultLease
	}
}

// maxEcho bounds what is sent back as it came, in bytes; no client sends more.
const maxEcho = 64

func ip(a netip.Addr) net.IP { return a.AsSlice() }

// reply makes an answer of a type, with what every answer has.
func (g *Given) reply(req *dhcpv4.DHCPv4, kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	// The library's own constructor also copies the relay's option, which is
	// not ours to answer.
	r := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: req.HWType, ClientHWAddr: req.ClientHWAddr, TransactionID: req.TransactionID,
		Flags: req.Flags, ClientIPAddr: net.IPv4zero, YourIPAddr: net.IPv4zero, ServerIPAddr: net.IPv4zero, GatewayIPAddr: net.IPv4zero,
		Options: make(dhcpv4.Options),
	}
	r.UpdateOption(dhcpv4.OptMessageType(kind))
	r.UpdateOption(dhcpv4.OptServerIdentifier(ip(g.Server)))
	if id := req.Options.Get(dhcpv4.OptionClientIdentifier); id != nil && len(id) <= maxEcho { // RFC 6842
		r.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientIdentifier, id))
	}
	return r
}

// address adds an address and how to use it.
func (g *Given) address(r *dhcpv4.DHCPv4, a netip.Addr, hostname string) {
	r.YourIPAddr = ip(a)
	r.UpdateOption(dhcpv4.OptIPAddressLeaseTime(g.Lease))
	g.network(r, hostname)
}

// network adds what a machine that has an address needs to use it.
func (g *Given) network(r *dhcpv4.DHCPv4, hostname string) {
	const bits = 32
	r.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(g.Subnet.Bits(), bits)))
	r.UpdateOption(dhcpv4.OptRouter(ip(g.Router)))
	if len(g.DNS) > 0 {
		var list []net.IP
		for _, a := range g.DNS {
			list = append(list, ip(a))
		}
		r.UpdateOption(dhcpv4.OptDNS(list...))
	}
	if hostname != "" {
		r.UpdateOption(dhcpv4.OptHostName(hostname))
	}
}

// boot adds what makes a Pi ask this server for its files. A Pi 4 or 5 takes
// option 66 if it is there, else siaddr; it must be an address in digits, as a
// Pi resolves no names.
func (g *Given) boot(r, req *dhcpv4.DHCPv4, a *Asker) {
	text := bootText
	if a.Model == ModelPi3 {
		text = bootTextPi3
	}
	r.ServerIPAddr = ip(g.TFTP)
	r.UpdateOption(dhcpv4.OptClassIdentifier(vendorPrefix))
	r.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionVendorSpecificInformation, bootMenu(text)))
	r.UpdateOption(dhcpv4.OptTFTPServerName(g.TFTP.String()))
	if id := req.Options.Get(dhcpv4.OptionClientMachineIdentifier); id != nil && len(id) <= maxEcho {
		r.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, id))
	}
}
