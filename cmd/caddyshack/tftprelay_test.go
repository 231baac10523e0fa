//go:build faults

package main

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// badWire is what lies between the virtual Pis and the TFTP server. Each
// request gets a port of its own on both sides; towards the server it keeps
// the address of its Pi.
type badWire struct {
	t      *testing.T
	server netip.AddrPort
	front  *net.UDPConn

	mu   sync.Mutex
	lose func(data int) bool // tells whether a packet is lost; data is the number of the block in a DATA packet, 0 for others
}

func newBadWire(t *testing.T, server netip.AddrPort) *badWire {
	t.Helper()
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	w := &badWire{t: t, server: server, front: front}
	w.good()
	go w.serve(t.Context())
	t.Cleanup(func() { _ = front.Close() })
	return w
}

func (w *badWire) addr() netip.AddrPort {
	a, _ := w.front.LocalAddr().(*net.UDPAddr)
	return a.AddrPort()
}

func (w *badWire) set(lose func(data int) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lose = lose
}

func (w *badWire) good() { w.set(func(int) bool { return false }) }
func (w *badWire) dead() { w.set(func(int) bool { return true }) }

// loses makes it lose a share of all packets.
func (w *badWire) loses(share float64) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same packets in each run
	w.set(func(int) bool { return r.Float64() < share })
}

// stallsAfter lets so many blocks of each file through.
func (w *badWire) stallsAfter(blocks int) {
	w.set(func(data int) bool { return data > blocks })
}

func (w *badWire) lost(data int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lose(data)
}

func (w *badWire) serve(ctx context.Context) {
	buf := make([]byte, 2048)
	for {
		n, client, err := w.front.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if w.lost(0) {
			continue
		}
		side, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return
		}
		back, err := net.ListenUDP("udp4", &net.UDPAddr{IP: client.Addr().AsSlice()})
		if err != nil {
			_ = side.Close()
			return
		}
		context.AfterFunc(ctx, func() { _ = side.Close(); _ = back.Close() })
		go w.transfer(side, back, client)
		_, _ = back.WriteToUDPAddrPort(buf[:n], w.server)
	}
}

// transfer passes packets on, until none comes for a while.
func (w *badWire) transfer(side, back *net.UDPConn, client netip.AddrPort) {
	const idle = 40 * time.Second
	tid := make(chan netip.AddrPort, 1)
	go func() { // from the server
		buf := make([]byte, 2048)
		for {
			_ = back.SetReadDeadline(time.Now().Add(idle))
			n, from, err := back.ReadFromUDPAddrPort(buf)
			if err != nil {
				_ = side.Close()
				return
			}
			select {
			case tid <- from:
			default:
			}
			number := 0
			if n > 3 && buf[1] == 3 { // by its number, as the server may send it again
				number = int(binary.BigEndian.Uint16(buf[2:]))
			}
			if !w.lost(number) {
				_, _ = side.WriteToUDPAddrPort(buf[:n], client)
			}
		}
	}()
	var to netip.AddrPort
	buf := make([]byte, 2048)
	for {
		_ = side.SetReadDeadline(time.Now().Add(idle))
		n, _, err := side.ReadFromUDPAddrPort(buf)
		if err != nil {
			_ = back.Close()
			return
		}
		if !to.IsValid() {
			to = <-tid // it has answered before the Pi could send here
		}
		if !w.lost(0) {
			_, _ = back.WriteToUDPAddrPort(buf[:n], to)
		}
	}
}
