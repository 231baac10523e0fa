package bus

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

// maxRecord is the longest TLS record sent. A unit's TLS library has a receive
// buffer of this size, and crypto/tls knows no fragment length negotiation; one
// Write of at most this size is one record.
const maxRecord = 512

// maxCertificates is the longest handshake message with the certificates. It is
// one record whatever its size, and a unit's buffer takes 1024 bytes.
const maxCertificates = 1024

// relayed is the longest piece that is handed on elsewhere, in bytes.
const relayed = 4096

// control is what net.ListenConfig asks about a socket before it is bound.
type control = func(network, address string, c syscall.RawConn) error

const (
	tlsHandshake = 15 * time.Second // an ESP8266 needs several seconds
	frontDial    = 5 * time.Second
	// A connection without a byte in either direction for this long is dead: it
	// is several times the contract's keepalive.
	frontIdle  = 5 * time.Minute
	frontFlush = 10 * time.Second
)

// front takes connections, over TLS or plain, and hands their content to the
// server's own listener.
type front struct {
	listener net.Listener
	backend  string
	log      *slog.Logger
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup
}

// control is asked about the socket before it is bound; cfg nil = no TLS.
func startFront(listen string, control control, cfg *tls.Config, backend string, log *slog.Logger) (*front, error) {
	ctx, cancel := context.WithCancel(context.Background())
	l, err := (&net.ListenConfig{Control: control}).Listen(ctx, "tcp", listen)
	if err != nil {
		cancel()
		return nil, err
	}
	f := &front{listener: l, backend: backend, log: log, ctx: ctx, cancel: cancel}
	f.work.Go(func() { f.accept(cfg) })
	return f, nil
}

// checkCertificates refuses what no unit could take.
func checkCertificates(cfg *tls.Config) error {
	if cfg == nil || (len(cfg.Certificates) == 0 && cfg.GetCertificate == nil) {
		return errNoCertificate
	}
	for _, c := range cfg.Certificates {
		size := 4 + 3 // header, length of the list
		for _, one := range c.Certificate {
			size += 3 + len(one)
		}
		if size > maxCertificates {
			return fmt.Errorf("the certificate and its chain take %d bytes in a handshake and units have room for %d: "+
				"use an ECDSA certificate alone, as units pin its key and need no chain", size, maxCertificates)
		}
	}
	return nil
}

func (f *front) close() {
	f.cancel()
	_ = f.listener.Close()
	f.work.Wait()
}

func (f *front) accept(cfg *tls.Config) {
	for {
		conn, err := f.listener.Accept()
		if f.ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return
		}
		if err != nil {
			// Out of file descriptors, most likely: others may end soon.
			f.log.Warn("accepting an MQTT connection", "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-f.ctx.Done():
			}
			continue
		}
		f.work.Go(func() { f.serve(conn, cfg) })
	}
}

func (f *front) serve(client net.Conn, cfg *tls.Config) {
	defer func() { _ = client.Close() }()
	most := relayed
	if cfg != nil {
		over := tls.Server(client, cfg)
		hs, cancel := context.WithTimeout(f.ctx, tlsHandshake)
		err := over.HandshakeContext(hs)
		cancel()
		if err != nil {
			f.log.Debug("MQTT over TLS: handshake", "peer", client.RemoteAddr(), "error", err)
			return
		}
		client, most = over, maxRecord
	}
	back, err := (&net.Dialer{Timeout: frontDial}).DialContext(f.ctx, "tcp", f.backend)
	if err != nil {
		f.log.Warn("reaching the MQTT broker behind its listener", "error", err)
		return
	}
	defer func() { _ = back.Close() }()
	// Either side's end, or the front's, ends both.
	shut := func() { _, _ = client.Close(), back.Close() }
	stop := context.AfterFunc(f.ctx, shut)
	defer stop()
	var up sync.WaitGroup
	up.Go(func() { defer shut(); relay(back, client, relayed) })
	relay(client, back, most)
	shut()
	up.Wait()
}

// relay copies in pieces of at most size bytes.
func relay(to, from net.Conn, size int) {
	buf := make([]byte, size)
	for {
		_ = from.SetReadDeadline(time.Now().Add(frontIdle))
		n, err := from.Read(buf)
		if n > 0 {
			_ = to.SetWriteDeadline(time.Now().Add(frontFlush))
			if _, werr := io.Writer(to).Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
