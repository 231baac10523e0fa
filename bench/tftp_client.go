package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const tftpPort = 69

// awaitTFTP asks until the server answers.
func awaitTFTP(ctx context.Context) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		c, err := newTFTPClient(0, 512)
		if err != nil {
			return err
		}
		c.until = time.Now() // the first block is enough
		c.patience(200 * time.Millisecond)
		err = c.fetch()
		c.close()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("no answer within 10 s: %w", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// load lets the clients fetch for a while and adds up what they saw.
func (r *tftpResult) load(rate int) error {
	clients := make([]*tftpClient, r.Clients)
	for n := range clients {
		c, err := newTFTPClient(n, r.Block)
		if err != nil {
			return err
		}
		defer c.close()
		c.rate = rate
		clients[n] = c
	}
	begin := time.Now()
	errs := make([]error, len(clients))
	var all sync.WaitGroup
	for n, c := range clients {
		c.begin, c.until = begin, begin.Add(tftpEach)
		all.Go(func() {
			for errs[n] == nil && time.Now().Before(c.until) {
				errs[n] = c.fetch()
			}
		})
	}
	all.Wait()
	r.Took = time.Since(begin)
	var turns samples
	for _, c := range clients {
		r.Bytes += c.bytes
		r.Resent += c.again
		turns = append(turns, c.turns...)
	}
	r.P50, r.P99 = turns.at(0.5), turns.at(0.99)
	return errors.Join(errs...)
}

// tftpClient fetches in lock-step with blocking system calls, as cheap as can be.
type tftpClient struct {
	fd    int
	n     int
	block int
	rate  int // bytes a second at most, 0 = any

	begin, until time.Time
	bytes        int64
	again        int
	turns        samples
	buf, control []byte
}

func newTFTPClient(n, block int) (*tftpClient, error) {
	c := &tftpClient{fd: -1, n: n, block: block, buf: make([]byte, 4+max(block, 512)), control: make([]byte, unix.CmsgSpace(timespecSize))}
	return c, c.socket()
}

// socket opens a port of its own, as each transfer of a Pi has.
func (c *tftpClient) socket() error {
	c.close()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	c.fd = fd
	c.patience(3 * time.Second)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return err
	}
	return unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte(net.ParseIP(tftpAddress(c.n)).To4())})
}

func (c *tftpClient) patience(d time.Duration) {
	tv := unix.NsecToTimeval(d.Nanoseconds())
	_ = unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv) // it is a socket
}

func (c *tftpClient) close() {
	if c.fd >= 0 {
		_ = unix.Close(c.fd)
		c.fd = -1
	}
}

// fetch gets the file, or as much of it as there is time for.
func (c *tftpClient) fetch() error {
	if err := c.socket(); err != nil {
		return err
	}
	rq := []byte("\x00\x01" + tftpSerial(c.n) + "/kernel8.img\x00octet\x00tsize\x000\x00blksize\x00" + strconv.Itoa(c.block) + "\x00")
	if err := unix.Sendto(c.fd, rq, 0, &unix.SockaddrInet4{Port: tftpPort, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	ack := []byte{0, 4, 0, 0}
	want, sent := uint16(0), time.Time{}
	for {
		n, got, _, from, err := unix.Recvmsg(c.fd, c.buf, c.control, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("waiting for block %d: %w", want, err)
		}
		now := time.Now()
		switch op := binary.BigEndian.Uint16(c.buf); {
		case op == 6 && want == 0:
			if err := unix.Connect(c.fd, from); err != nil { // sending is cheaper from here on
				return err
			}
		case op == 3 && binary.BigEndian.Uint16(c.buf[2:]) == want:
			c.bytes += int64(n - 4)
			if !sent.IsZero() {
				arrived, err := timestamp(c.control[:got])
				if err != nil {
					return err
				}
				c.turns = append(c.turns, arrived.Sub(sent))
			}
			copy(ack[2:], c.buf[2:4])
		case op == 3:
			c.again++
			continue
		default:
			return fmt.Errorf("got the packet %q", c.buf[:min(n, 60)])
		}
		last := want > 0 && n < 4+c.block || want == 0 && c.buf[1] == 3
		if !now.Before(c.until) && !last {
			_, _ = unix.Write(c.fd, []byte("\x00\x05\x00\x00that is enough\x00")) // a server that misses it gives up by itself
			return nil
		}
		c.pace()
		sent = time.Now().Round(0) // on the clock of the time stamps
		if _, err := unix.Write(c.fd, ack); err != nil {
			return err
		}
		want++
		if last {
			return nil
		}
	}
}

// timespecSize is that of the time stamp of a packet, with 64 bits.
const timespecSize = int(unsafe.Sizeof(unix.Timespec{}))

// timestamp is when the kernel got a packet (SO_TIMESTAMPNS, socket(7)). Until
// its program runs again, more time may pass on a machine that thirteen clients
// and the server have to share; that is not the server's.
func timestamp(control []byte) (time.Time, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Time{}, err
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= timespecSize {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:]))), nil //nolint:gosec // a clock after 1970
		}
	}
	return time.Time{}, errors.New("a packet came without its time")
}

// pace waits while the client is ahead of its rate.
func (c *tftpClient) pace() {
	if c.rate == 0 {
		return
	}
	due := c.begin.Add(time.Duration(float64(c.bytes) / float64(c.rate) * float64(time.Second)))
	if wait := time.Until(due); wait > 0 {
		time.Sleep(wait)
	}
}
