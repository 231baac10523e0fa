package nfsd

import (
	"net"
	"net/netip"
	"testing"

	"caddyshack/pxe/nfsd/nfstest"
	"caddyshack/pxe/nfsd/rootfs"
)

// elsewhere makes connections look as if they came from another machine.
type elsewhere struct {
	net.Listener
	ports chan netip.AddrPort
}

func (l elsewhere) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return elsewhereConn{c, net.TCPAddrFromAddrPort(<-l.ports)}, nil
}

type elsewhereConn struct {
	net.Conn
	remote net.Addr
}

func (c elsewhereConn) RemoteAddr() net.Addr { return c.remote }

// On a node, only the kernel and root may use the node's root: whoever else is
// there could tell the server to be root.
func TestPortsOfUsers(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	far := elsewhere{l, make(chan netip.AddrPort, 1)}
	node := netip.MustParseAddr("192.0.2.1")
	s := start(t, &Server{Listener: far}, Export{ID: "n", Path: "/n", Dir: newRoot(t, rootfs.Sidecar), Client: node})
	for port, allowed := range map[uint16]bool{1: true, 1023: true, 1024: false, 40000: false} {
		refused := s.counts.refused.Load()
		far.ports <- netip.AddrPortFrom(node, port)
		c, err := nfstest.Dial(testContext(t), s.addr, loopback(1, 1))
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Mount(testContext(t), "/n")
		if (err == nil) != allowed {
			t.Errorf("from port %d: %v, allowed: %v", port, err, allowed)
		}
		if !allowed && s.counts.refused.Load() != refused+1 {
			t.Errorf("from port %d: not counted", port)
		}
		_ = c.Close()
	}
}
