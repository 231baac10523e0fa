package pi

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"golang.org/x/sys/unix"

	"caddyshack/sim/netns"
)

// dhcpConn is the socket on which a Pi asks for its address.
type dhcpConn struct {
	net.PacketConn
	to net.Addr
}

func (c dhcpConn) send(p []byte) error {
	_, err := c.WriteTo(p, c.to)
	return err
}

// openDHCP opens it: a raw one on the Pi's interface, which has no address
// yet, or an ordinary one to a server on loopback.
func openDHCP(d *DHCP) (dhcpConn, error) {
	if d.Interface == "" {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		return dhcpConn{conn, net.UDPAddrFromAddrPort(d.Server)}, err
	}
	c := dhcpConn{to: &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ServerPort}}
	err := inside(d, func() (err error) {
		c.PacketConn, err = nclient4.NewRawUDPConn(d.Interface, dhcpv4.ClientPort)
		return err
	})
	return c, err
}

// inside calls f where sockets are opened in the Pi's network namespace.
func inside(d *DHCP, f func() error) error {
	if d == nil || d.Namespace == "" {
		return f()
	}
	return netns.Do(d.Namespace, f)
}

// setAddress gives the Pi's interface its address; none takes it away.
func (d *DHCP) setAddress(l lease) error {
	if d.Interface == "" {
		return nil
	}
	err := inside(d, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd) //nolint:errcheck // it was only a handle
		if !l.address.IsValid() {
			l.address = netip.IPv4Unspecified()
		}
		if err := setInterface(fd, d.Interface, unix.SIOCSIFADDR, l.address.AsSlice()); err != nil || l.address.IsUnspecified() {
			return err
		}
		return setInterface(fd, d.Interface, unix.SIOCSIFNETMASK, net.IP(l.mask))
	})
	if errors.Is(err, unix.EADDRNOTAVAIL) { // there was none to take away
		return nil
	}
	if err != nil {
		return fmt.Errorf("giving %s the address %s: %w", d.Interface, l.address, err)
	}
	return nil
}

func setInterface(fd int, name string, request uint, a []byte) error {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := r.SetInet4Addr(a); err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, request, r)
}
