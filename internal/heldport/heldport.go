// Package heldport gives tests addresses for programs that cannot choose a free
// port themselves, or that come back on the same one.
package heldport

import (
	"fmt"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Address is an address of 127.0.0.1, HOST:PORT, that is the test's until it
// ends. A program that is told of it can listen there, again and again; nobody
// gets it by chance, and while nothing listens connections are refused.
//
// A socket that is bound and does not listen holds it. Linux gives its port to
// nobody who lets it choose one, be it to listen or to connect, which would also
// let a connection to it be connected with itself. Who asks for the port gets it,
// with SO_REUSEADDR on both sockets (socket(7)), which servers set.
func Address(t testing.TB) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("making a socket: %v", err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		t.Fatalf("setting SO_REUSEADDR: %v", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatalf("binding to a port of 127.0.0.1: %v", err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatalf("reading the port: %v", err)
	}
	at, ok := bound.(*unix.SockaddrInet4)
	if !ok {
		t.Fatalf("bound to %T", bound)
	}
	return net.JoinHostPort(net.IP(at.Addr[:]).String(), fmt.Sprint(at.Port))
}
