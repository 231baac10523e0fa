// Package flood is test kit: it sends packets under made-up sender addresses,
// at a rate that is kept by the clock.
package flood

import (
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
)

// Flood sends packets until it is ended.
type Flood struct {
	// Begin is when it began.
	Begin time.Time

	sent  atomic.Int64
	stop  chan struct{}
	ended chan error
}

// Start begins to send perSecond packets a second to one address. What the
// sender was kept from in time is made good for. conn is an IPv4 socket bound to
// no address; packet makes the nth packet and tells its sender, which must be an
// address of this machine unless the socket is transparent (IP_TRANSPARENT).
func Start(conn net.PacketConn, to net.Addr, perSecond int, packet func(n int64) (payload []byte, from net.IP)) *Flood {
	f := &Flood{Begin: time.Now(), stop: make(chan struct{}), ended: make(chan error, 1)}
	go func() { f.ended <- f.run(ipv4.NewPacketConn(conn), to, float64(perSecond), packet) }()
	return f
}

func (f *Flood) run(conn *ipv4.PacketConn, to net.Addr, perSecond float64, packet func(n int64) ([]byte, net.IP)) error {
	const batch = 64 // packets in a system call
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-f.stop:
			return nil
		case <-tick.C:
		}
		for due := int64(time.Since(f.Begin).Seconds() * perSecond); f.sent.Load() < due; {
			var list []ipv4.Message
			for n := f.sent.Load(); n < due && len(list) < batch; n++ {
				payload, from := packet(n)
				list = append(list, ipv4.Message{Addr: to, Buffers: [][]byte{payload}, OOB: (&ipv4.ControlMessage{Src: from}).Marshal()})
			}
			n, err := conn.WriteBatch(list, 0)
			if err != nil {
				return err
			}
			f.sent.Add(int64(n))
		}
	}
}

// Sent is how many packets were sent so far.
func (f *Flood) Sent() int64 { return f.sent.Load() }

// End ends the flood, once, and returns how many packets it sent in a second.
// The error is why it had broken off before.
func (f *Flood) End() (perSecond int, err error) {
	perSecond = int(float64(f.sent.Load()) / time.Since(f.Begin).Seconds())
	close(f.stop)
	return perSecond, <-f.ended
}
