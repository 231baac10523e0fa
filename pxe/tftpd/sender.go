package tftpd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// sender carries the blocks of one file to one client, in lock-step. It never
// waits: it is told of packets and of the time by a [loop], once it is added to
// one.
//
// It is our own, where pin/tftp's would do, for its cost: a boot of a chassis
// is half a million blocks. The library asks the kernel twice for each
// acknowledgement, waits for it through the runtime's poller, and sends from an
// unconnected IPv6 socket, which looks the route up for each block. A connected
// socket of the client's own kind and plain system calls need half the CPU.
type sender struct {
	fd    int
	size  int // of a block
	body  io.Reader
	pause time.Duration // between two tries
	limit time.Duration // how long a client may be silent

	packet      []byte    // sent, and not acknowledged yet
	buf         []byte    // of the packets with blocks
	block       uint16    // of the packet; 0 is the answer to the options
	last        bool      // no block follows
	first, sent time.Time // when the packet was sent for the first and the last time

	// unproven is how many bytes may go to a client that has not acknowledged
	// anything yet, beyond the first packet; 0 means any, as once it has.
	unproven int

	blocks, resent int64
	done           chan error // gets the end, once
}

const (
	opDATA = 3
	opACK  = 4
	opOACK = 6

	plainBlock = 512 // of a client that asks for no size (RFC 1350)
)

// errSilent: the client did not answer any more.
var errSilent = errors.New("no acknowledgement came")

// errAcknowledged: the client has it all.
var errAcknowledged = errors.New("the last block is acknowledged")

// end is an ERROR packet from the client, which ends a transfer.
type end struct {
	code    int
	message string
}

// Error implements error.
func (e *end) Error() string {
	return fmt.Sprintf("the client broke off: error %d %q", e.code, e.message)
}

// newSender opens a port of its own for the transfer. Answers leave from the
// address that the requests came to, if that is known.
func newSender(from netip.Addr, client netip.AddrPort, block int, body io.Reader, retransmit, giveUp time.Duration) (*sender, error) {
	family := unix.AF_INET
	var to unix.Sockaddr
	if client.Addr().Is4() {
		to = &unix.SockaddrInet4{Port: int(client.Port()), Addr: client.Addr().As4()}
	} else {
		zone, _ := strconv.ParseUint(client.Addr().Zone(), 10, 32) // 0 is none
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Port: int(client.Port()), Addr: client.Addr().As16(), ZoneId: uint32(zone)}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("no socket for the transfer: %w", err)
	}
	s := &sender{fd: fd, size: block, body: body, pause: retransmit, limit: giveUp, buf: make([]byte, 4+block), done: make(chan error, 1)}
	if from.Is4() && !from.IsUnspecified() && client.Addr().Is4() {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()})
	}
	if err == nil {
		err = unix.Connect(fd, to)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("no socket for the transfer: %w", err)
	}
	return s, nil
}

func (s *sender) close() { _ = unix.Close(s.fd) } // nothing is lost

// begin answers the options of a request (RFC 2347), or sends the first block
// if there are none to answer.
func (s *sender) begin(blksize int, tsize bool, size int64, now time.Time) error {
	if blksize == 0 && !tsize {
		return s.next(now)
	}
	p := binary.BigEndian.AppendUint16(nil, opOACK)
	if blksize != 0 {
		p = appendField(appendField(p, "blksize"), strconv.Itoa(blksize))
	}
	if tsize {
		p = appendField(appendField(p, "tsize"), strconv.FormatInt(size, 10))
	}
	s.packet = p
	return s.send(now)
}

// next sends the block after the one that was acknowledged.
func (s *sender) next(now time.Time) error {
	n, err := io.ReadFull(s.body, s.buf[4:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	s.block++
	s.last = n < s.size
	s.packet = s.buf[:4+n]
	binary.BigEndian.PutUint16(s.packet, opDATA)
	binary.BigEndian.PutUint16(s.packet[2:], s.block)
	return s.send(now)
}

// send sends the packet for the first time.
func (s *sender) send(now time.Time) error {
	s.first = now
	s.blocks++
	return s.write(now)
}

func (s *sender) write(now time.Time) error {
	s.sent = now
	if _, err := unix.Write(s.fd, s.packet); err != nil && !errors.Is(err, unix.EAGAIN) { // a full queue: as if lost on the way
		return s.failed(err)
	}
	return nil
}

// overdue sends the packet again if its acknowledgement takes too long.
func (s *sender) overdue(now time.Time) error {
	switch {
	case now.Sub(s.sent) < s.pause:
		return nil
	case now.Sub(s.first) >= s.limit:
		return errSilent
	case s.unproven != 0 && (int(s.resent)+2)*len(s.packet) > s.unproven:
		return nil
	}
	s.resent++
	return s.write(now)
}

// received reads one packet into reply and acts on it. Acknowledgements of
// other blocks are not answered: doing so would double all that follows.
func (s *sender) received(reply []byte, now time.Time) error {
	n, err := unix.Read(s.fd, reply)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return s.failed(err)
	case n < 4:
		return nil
	}
	switch binary.BigEndian.Uint16(reply) {
	case opACK:
		if binary.BigEndian.Uint16(reply[2:]) != s.block {
			return nil
		}
		s.unproven = 0
		if s.last {
			return errAcknowledged
		}
		return s.next(now)
	case opERROR:
		return &end{code: int(binary.BigEndian.Uint16(reply[2:])), message: firstField(reply[4:n])}
	}
	return nil
}

// giveUp tells the client that the file's rest will not come.
func (s *sender) giveUp(why error) {
	_, _ = unix.Write(s.fd, errorPacket(codeNotDefined, why.Error())) // a client that does not get it gives up by itself
}

// failed puts the kernel's errors into words.
func (s *sender) failed(err error) error {
	if errors.Is(err, unix.ECONNREFUSED) {
		return errors.New("the client has closed its port")
	}
	return err
}
