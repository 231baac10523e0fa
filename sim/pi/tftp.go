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
	"strconv"
	"time"
)

const (
	// tftpTimeout is the pause before a packet is repeated, and tftpTries how
	// often it is sent in all.
	tftpTimeout = 2 * time.Second
	tftpTries   = 5
	// fileTimeout bounds a whole file, as TFTP_FILE_TIMEOUT does.
	fileTimeout = 30 * time.Second
)

// errMissing: the server has no such file.
var errMissing = errors.New("not found")

// tftpClient asks for files as a Pi's firmware does: in lock-step, from a new
// port for each request.
type tftpClient struct {
	local  netip.Addr
	server netip.AddrPort
	// blksize is the block size asked for; 0 means that no options are sent,
	// as by the boot ROM of a Pi 3.
	blksize int
	net     *DHCP // whose interface it is, or nil
}

// exists asks whether a file is there, and ends the transfer at once.
func (c *tftpClient) exists(ctx context.Context, name string) (bool, error) {
	t, err := c.open(ctx, name)
	if errors.Is(err, errMissing) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer t.close()
	terminate := append([]byte{0, 5, 0, 0}, "Early terminate\x00"...)
	if _, err := t.conn.WriteToUDPAddrPort(terminate, t.tid); err != nil {
		return false, fmt.Errorf("ending the probe of %q: %w", name, err)
	}
	return true, nil
}

// fetch gets a whole file. Its bytes are passed to each, if that is not nil.
func (c *tftpClient) fetch(ctx context.Context, name string, each func([]byte)) (int64, error) {
	t, err := c.open(ctx, name)
	if err != nil {
		return 0, err
	}
	defer t.close()
	var got int64
	for {
		if t.oack {
			t.oack = false
			if err := t.ack(0); err != nil {
				return got, err
			}
		} else {
			data := t.packet[4:]
			got += int64(len(data))
			if each != nil {
				each(data)
			}
			if err := t.ack(t.block); err != nil {
				return got, err
			}
			if len(data) < t.size {
				break
			}
		}
		if err := t.next(ctx); err != nil {
			return got, fmt.Errorf("%q at %d of %d bytes: %w", name, got, t.total, err)
		}
	}
	if t.total >= 0 && got != t.total {
		return got, fmt.Errorf("%q: got %d bytes, the server had said %d", name, got, t.total)
	}
	return got, nil
}

// download is one running transfer.
type download struct {
	conn   *net.UDPConn
	stop   func() bool
	server netip.Addr
	tid    netip.AddrPort
	end    time.Time
	buf    []byte
	packet []byte // the last one received
	oack   bool   // it is the answer to the options
	block  uint16 // its number otherwise
	size   int    // of a full block
	total  int64  // -1 = not told
	sent   []byte // to be repeated when no answer comes
	sentTo netip.AddrPort
}

// open sends the request and waits for the first answer.
func (c *tftpClient) open(ctx context.Context, name string) (*download, error) {
	var conn *net.UDPConn
	err := inside(c.net, func() (err error) {
		conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: c.local.AsSlice()})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("asking for %q: %w", name, err)
	}
	t := &download{
		conn: conn, server: c.server.Addr(), end: time.Now().Add(fileTimeout),
		buf: make([]byte, 4+max(c.blksize, 512)), size: 512, total: -1,
	}
	t.stop = context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	p := []byte{0, 1}
	fields := []string{name, "octet"}
	if c.blksize != 0 {
		fields = append(fields, "tsize", "0", "blksize", strconv.Itoa(c.blksize))
	}
	for _, f := range fields {
		p = append(append(p, f...), 0)
	}
	t.sent, t.sentTo = p, c.server
	if _, err = conn.WriteToUDPAddrPort(p, c.server); err == nil {
		err = t.next(ctx)
	}
	if err != nil {
		t.close()
		return nil, fmt.Errorf("asking for %q: %w", name, err)
	}
	return t, nil
}

func (t *download) close() {
	t.stop()
	_ = t.conn.Close() // nothing is left to be sent
}

func (t *download) ack(block uint16) error {
	t.sent, t.sentTo = binary.BigEndian.AppendUint16([]byte{0, 4}, block), t.tid
	_, err := t.conn.WriteToUDPAddrPort(t.sent, t.sentTo)
	return err
}

// again repeats what was sent last: the server has not got it.
func (t *download) again() error {
	_, err := t.conn.WriteToUDPAddrPort(t.sent, t.sentTo)
	return err
}

// next waits for the next block, repeating what was sent last if need be.
func (t *download) next(ctx context.Context) error {
	want := t.block + 1
	for tries := 1; ; {
		if err := t.conn.SetReadDeadline(time.Now().Add(tftpTimeout)); err != nil {
			return err
		}
		if ctx.Err() != nil { // it may have ended just before the deadline was set
			return ctx.Err()
		}
		n, from, err := t.conn.ReadFromUDPAddrPort(t.buf)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if tries++; tries > tftpTries || time.Now().After(t.end) {
				return errors.New("the TFTP server does not answer")
			}
			if err := t.again(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if from.Addr() != t.server || t.tid.IsValid() && from != t.tid || n < 4 {
			continue
		}
		done, err := t.accept(t.buf[:n], want)
		if err != nil {
			return err
		}
		if done {
			t.tid = from
			return nil
		}
	}
}

// accept looks at one packet, and tells whether it is the one waited for.
func (t *download) accept(p []byte, want uint16) (bool, error) {
	switch binary.BigEndian.Uint16(p) {
	case 3:
		block := binary.BigEndian.Uint16(p[2:])
		if block == want-1 && t.tid.IsValid() {
			return false, t.again()
		}
		if block != want {
			return false, nil
		}
		t.packet, t.block = p, want
		return true, nil
	case 5:
		code := binary.BigEndian.Uint16(p[2:])
		if code == 1 {
			return false, errMissing
		}
		return false, fmt.Errorf("TFTP error %d %q", code, bytes.TrimRight(p[4:], "\x00"))
	case 6:
		if t.tid.IsValid() {
			return false, t.again()
		}
		fields := bytes.Split(p[2:], []byte{0})
		for i := 0; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseInt(string(fields[i+1]), 10, 64)
			switch name := string(fields[i]); {
			case err != nil || v < 0:
				return false, fmt.Errorf("TFTP option %q has the value %q", name, fields[i+1])
			case name == "tsize":
				t.total = v
			case name == "blksize":
				if v < 8 || int(v) > len(t.buf)-4 {
					return false, fmt.Errorf("the TFTP server answers a block size of %d", v)
				}
				t.size = int(v)
			}
		}
		t.oack = true
		return true, nil
	}
	return false, nil
}
