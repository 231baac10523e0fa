package tftpd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// sender carries the blocks of one file to one client, in lock-step.
//
// It is our own, where pin/tftp's would do, for its cost: a boot of a chassis
// is half a million blocks. The library asks the kernel twice for each
// acknowledgement, waits for it through the runtime's poller, and sends from an
// unconnected IPv6 socket, which looks the route up for each block. A connected
// socket of the client's own kind and plain blocking calls need half the CPU.
type sender struct {
	fd     int
	size   int // of a block
	packet []byte
	reply  []byte
	pause  time.Duration // between two tries
	limit  time.Duration // how long a client may be silent

	blocks, resent int64
}

const (
	opDATA = 3
	opACK  = 4
	opOACK = 6

	plainBlock = 512 // of a client that asks for no size (RFC 1350)
)

// errSilent: the client did not answer any more.
var errSilent = errors.New("no acknowledgement came")

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
func newSender(from netip.Addr, client netip.AddrPort, block int, retransmit, giveUp time.Duration) (*sender, error) {
	family := unix.AF_INET
	var to unix.Sockaddr
	if client.Addr().Is4() {
		to = &unix.SockaddrInet4{Port: int(client.Port()), Addr: client.Addr().As4()}
	} else {
		zone, _ := strconv.ParseUint(client.Addr().Zone(), 10, 32) // 0 is none
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Port: int(client.Port()), Addr: client.Addr().As16(), ZoneId: uint32(zone)}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("no socket for the transfer: %w", err)
	}
	s := &sender{fd: fd, size: block, packet: make([]byte, 4+block), reply: make([]byte, maxRequest), pause: retransmit, limit: giveUp}
	wait := unix.NsecToTimeval(retransmit.Nanoseconds())
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait)
	if err == nil && from.Is4() && !from.IsUnspecified() && client.Addr().Is4() {
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

// options answers the options of a request (RFC 2347).
func (s *sender) options(ctx context.Context, blksize int, tsize bool, size int64) error {
	if blksize == 0 && !tsize {
		return nil
	}
	p := binary.BigEndian.AppendUint16(nil, opOACK)
	if blksize != 0 {
		p = appendField(appendField(p, "blksize"), strconv.Itoa(blksize))
	}
	if tsize {
		p = appendField(appendField(p, "tsize"), strconv.FormatInt(size, 10))
	}
	return s.exchange(ctx, p, 0)
}

// send sends what the reader has, to its end.
func (s *sender) send(ctx context.Context, r io.Reader) error {
	for block := uint16(1); ; block++ {
		n, err := io.ReadFull(r, s.packet[4:])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		binary.BigEndian.PutUint16(s.packet, opDATA)
		binary.BigEndian.PutUint16(s.packet[2:], block)
		if err := s.exchange(ctx, s.packet[:4+n], block); err != nil || n < s.size {
			return err
		}
	}
}

// exchange sends a packet until it is acknowledged. Acknowledgements of other
// blocks are not answered: doing so would double all that follows.
func (s *sender) exchange(ctx context.Context, packet []byte, block uint16) error {
	var since time.Time
	for {
		if _, err := unix.Write(s.fd, packet); err != nil {
			return s.failed(err)
		}
		if since.IsZero() {
			s.blocks++
		} else {
			s.resent++
		}
		err := s.acknowledged(ctx, block)
		if !errors.Is(err, unix.EAGAIN) {
			return err
		}
		if since.IsZero() { // the clock is looked at only when there is reason to
			since = time.Now().Add(-s.pause)
		} else if time.Since(since) >= s.limit {
			return errSilent
		}
	}
}

// acknowledged waits for the acknowledgement of a block; EAGAIN means that the
// time to send the block again has come.
func (s *sender) acknowledged(ctx context.Context, block uint16) error {
	var useless time.Time // when the first packet came that is no answer
	for {
		n, err := unix.Read(s.fd, s.reply)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, unix.EAGAIN):
			return err
		case err != nil:
			return s.failed(err)
		case n < 4:
			continue
		}
		switch binary.BigEndian.Uint16(s.reply) {
		case opACK:
			if binary.BigEndian.Uint16(s.reply[2:]) == block {
				return nil
			}
		case opERROR:
			return &end{code: int(binary.BigEndian.Uint16(s.reply[2:])), message: firstField(s.reply[4:n])}
		}
		if useless.IsZero() {
			useless = time.Now()
		} else if time.Since(useless) >= s.pause { // such packets must not hold the transfer up
			return unix.EAGAIN
		}
	}
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
