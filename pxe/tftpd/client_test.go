package tftpd_test

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
	"testing"
	"time"

	"caddyshack/pxe/tftpd"
)

// raw is a TFTP client that shows every packet to its test.
type raw struct {
	tb     testing.TB
	conn   *net.UDPConn
	server netip.AddrPort
	tid    netip.AddrPort // where the last packet came from
	buf    []byte
}

func newRaw(tb testing.TB, local string, server netip.AddrPort) *raw {
	tb.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(local)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return &raw{tb: tb, conn: conn, server: server, buf: make([]byte, 65536)}
}

func rrq(name, mode string, opts ...string) []byte {
	p := []byte{0, 1}
	for _, f := range append([]string{name, mode}, opts...) {
		p = append(append(p, f...), 0)
	}
	return p
}

func (r *raw) sendTo(to netip.AddrPort, p []byte) {
	r.tb.Helper()
	if _, err := r.conn.WriteToUDPAddrPort(p, to); err != nil {
		r.tb.Fatal(err)
	}
}

func (r *raw) ack(block uint16) {
	r.tb.Helper()
	r.sendTo(r.tid, binary.BigEndian.AppendUint16([]byte{0, 4}, block))
}

// recv waits for one packet; nil means that none came in time.
func (r *raw) recv(wait time.Duration) []byte {
	r.tb.Helper()
	if err := r.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		r.tb.Fatal(err)
	}
	n, from, err := r.conn.ReadFromUDPAddrPort(r.buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		r.tb.Fatal(err)
	}
	r.tid = from
	return r.buf[:n]
}

func (r *raw) mustRecv() []byte {
	r.tb.Helper()
	p := r.recv(10 * time.Second)
	if p == nil {
		r.tb.Fatal("no answer within 10 s")
	}
	return p
}

// ask sends a request and returns the first answer.
func (r *raw) ask(p []byte) []byte {
	r.tb.Helper()
	r.sendTo(r.server, p)
	return r.mustRecv()
}

// tftpError is an ERROR packet.
type tftpError struct {
	code uint16
	text string
}

func (e tftpError) Error() string { return fmt.Sprintf("error %d %s", e.code, e.text) }

func asError(p []byte) (tftpError, bool) {
	if len(p) < 5 || binary.BigEndian.Uint16(p) != 5 {
		return tftpError{}, false
	}
	return tftpError{binary.BigEndian.Uint16(p[2:]), string(bytes.TrimRight(p[4:], "\x00"))}, true
}

// oack reads an OACK into a map.
func oack(tb testing.TB, p []byte) map[string]string {
	tb.Helper()
	if len(p) < 2 || binary.BigEndian.Uint16(p) != 6 {
		tb.Fatalf("got % x, want an OACK", p[:min(len(p), 32)])
	}
	f := bytes.Split(p[2:], []byte{0})
	m := map[string]string{}
	for i := 0; i+1 < len(f); i += 2 {
		m[string(f[i])] = string(f[i+1])
	}
	return m
}

// get fetches a whole file, lock-step, and returns it with the tsize told.
func (r *raw) get(name string, blksize int) ([]byte, int64, error) {
	r.tb.Helper()
	opts := []string{"tsize", "0"}
	block := 512
	if blksize != 0 {
		block = blksize
		opts = append(opts, "blksize", strconv.Itoa(blksize))
	}
	p := r.ask(rrq(name, "octet", opts...))
	if e, ok := asError(p); ok {
		return nil, 0, e
	}
	size := int64(-1)
	if binary.BigEndian.Uint16(p) == 6 {
		m := oack(r.tb, p)
		if v, ok := m["tsize"]; ok {
			size, _ = strconv.ParseInt(v, 10, 64)
		}
		if blksize != 0 && m["blksize"] != strconv.Itoa(blksize) {
			r.tb.Errorf("blksize answered %q, asked %d", m["blksize"], blksize)
		}
		r.ack(0)
		p = r.mustRecv()
	}
	var out bytes.Buffer
	for want := uint16(1); ; want++ {
		if e, ok := asError(p); ok {
			return out.Bytes(), size, e
		}
		op, n := binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:])
		for op == 3 && n == want-1 && want > 1 { // sent again, as our acknowledgement took a second
			p = r.mustRecv()
			op, n = binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:])
		}
		if op != 3 || n != want {
			r.tb.Fatalf("got packet type %d block %d, want DATA %d", op, n, want)
		}
		last := len(p)-4 < block
		out.Write(p[4:])
		r.ack(want)
		if last {
			return out.Bytes(), size, nil
		}
		p = r.mustRecv()
	}
}

// fixture is a running server with what it reports.
type fixture struct {
	*tftpd.Server
	trees  *tftpd.Trees
	events chan tftpd.Event
}

func start(tb testing.TB, dir string, change func(*tftpd.Config)) *fixture {
	tb.Helper()
	trees, err := tftpd.NewTrees(dir)
	if err != nil {
		tb.Fatal(err)
	}
	f := &fixture{trees: trees, events: make(chan tftpd.Event, 4096)}
	cfg := tftpd.Config{Addr: "127.0.0.1:0", Source: trees, OnEvent: func(e tftpd.Event) {
		select {
		case f.events <- e:
		default:
		}
	}}
	if change != nil {
		change(&cfg)
	}
	f.Server, err = tftpd.Listen(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Serve(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("Serve: %v", err)
		}
		_ = trees.Close()
	})
	return f
}

func (f *fixture) put(tb testing.TB, tree tftpd.Tree) {
	tb.Helper()
	if err := f.trees.Put(tree); err != nil {
		tb.Fatal(err)
	}
}

// event waits for the next event of a kind.
func (f *fixture) event(tb testing.TB, kind tftpd.Kind) tftpd.Event {
	tb.Helper()
	deadline := time.After(40 * time.Second)
	for {
		select {
		case e := <-f.events:
			if e.Kind == kind {
				return e
			}
		case <-deadline:
			tb.Fatalf("no event %q", kind)
		}
	}
}
