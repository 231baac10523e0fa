package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// BrokerConfig describes the embedded broker.
type BrokerConfig struct {
	// Listen is host:port for plain MQTT; port 0 = any, "" = 127.0.0.1:0.
	Listen string
	// TLSListen is host:port for MQTT over TLS; "" = none.
	TLSListen string
	// TLS is needed with TLSListen and must hold a certificate.
	TLS *tls.Config
	// Control is asked about each listener's socket before it is bound, as that of
	// net.ListenConfig; nil = nothing is asked. With it the server itself listens
	// on loopback, and plain connections are handed on as those over TLS are.
	Control func(network, address string, c syscall.RawConn) error
	// Users may connect; nobody else may.
	Users []User
	// StoreDir keeps retained messages over a restart. "" = a folder in memory
	// (or in the temporary folder) that is removed by Close; units and
	// controller publish all they retain anew when they connect.
	StoreDir string
	// Log gets the broker's warnings and errors; nil = discard.
	Log *slog.Logger
}

// Broker is an MQTT 3.1.1 broker inside this process.
type Broker struct {
	srv     *server.Server
	addr    string // where plain MQTT is served
	plain   *front // nil without Control
	tls     *front // nil without TLSListen
	log     *brokerLog
	scratch *scratch // removed by Close; nil = none
	once    sync.Once
}

// The largest packet the broker takes. Far above MaxPayload, so that a client
// that exceeds the contract is not thrown out for it, and far below what would hurt.
const maxBrokerPayload = 256 << 10

// brokerStart limits how long the broker may take until it serves.
const brokerStart = 15 * time.Second

// StartBroker returns when the broker has bound its addresses and serves.
func StartBroker(cfg BrokerConfig) (_ *Broker, err error) {
	if err := checkUsers(cfg.Users); err != nil {
		return nil, fmt.Errorf("starting the MQTT broker: %w", err)
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	host, port, err := splitListen(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("starting the MQTT broker: %w", err)
	}
	if cfg.Control != nil {
		host, port = "127.0.0.1", -1
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	b := &Broker{}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	if cfg.StoreDir == "" {
		if b.scratch, err = newScratch(); err != nil {
			return nil, fmt.Errorf("starting the MQTT broker: %w", err)
		}
		cfg.StoreDir = b.scratch.dir
	}
	opts := &server.Options{
		ServerName: "caddyshack", DontListen: true, NoSigs: true,
		MaxPayload: maxBrokerPayload,
		JetStream:  true, StoreDir: cfg.StoreDir, JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 256 << 20,
		Users: natsUsers(cfg.Users),
		MQTT:  server.MQTTOpts{Host: host, Port: port},
	}
	if b.srv, err = server.NewServer(opts); err != nil {
		return nil, fmt.Errorf("starting the MQTT broker: %w", err)
	}
	b.log = &brokerLog{log: cfg.Log, fatal: make(chan error, 1)}
	b.srv.SetLoggerV2(b.log, false, false, false)
	ready := make(chan bool, 1)
	go func() {
		b.srv.Start()
		ready <- b.srv.ReadyForConnections(brokerStart)
	}()
	select {
	case err = <-b.log.fatal:
	case ok := <-ready:
		if !ok {
			err = fmt.Errorf("not ready within %v", brokerStart)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("starting the MQTT broker on %s: %w", cfg.Listen, err)
	}
	b.addr = net.JoinHostPort(host, strconv.Itoa(opts.MQTT.Port))
	if err = b.startFronts(&cfg); err != nil {
		return nil, err
	}
	return b, nil
}

// startFronts binds the listeners that stand before the server's own.
func (b *Broker) startFronts(cfg *BrokerConfig) (err error) {
	backend := b.addr
	if cfg.Control != nil {
		if b.plain, err = startFront(cfg.Listen, cfg.Control, nil, backend, cfg.Log); err != nil {
			return fmt.Errorf("starting the MQTT broker on %s: %w", cfg.Listen, err)
		}
		b.addr = b.plain.listener.Addr().String()
	}
	if cfg.TLSListen == "" {
		return nil
	}
	if err = checkCertificates(cfg.TLS); err == nil {
		b.tls, err = startFront(cfg.TLSListen, cfg.Control, cfg.TLS, backend, cfg.Log)
	}
	if err != nil {
		return fmt.Errorf("starting the MQTT broker on %s: %w", cfg.TLSListen, err)
	}
	return nil
}

// URL is the plain address as clients take it: tcp://host:port.
func (b *Broker) URL() string { return "tcp://" + b.addr }

// TLSURL is the address for TLS, ssl://host:port; "" without TLSListen.
func (b *Broker) TLSURL() string {
	if b.tls == nil {
		return ""
	}
	return "ssl://" + b.tls.listener.Addr().String()
}

// Close stops the broker and waits until it is gone.
func (b *Broker) Close() {
	b.once.Do(func() {
		for _, f := range []*front{b.plain, b.tls} {
			if f != nil {
				f.close()
			}
		}
		if b.srv != nil {
			b.log.closing.Store(true)
			b.srv.Shutdown()
			b.srv.WaitForShutdown()
		}
		if b.scratch != nil {
			b.scratch.remove()
		}
	})
}

// splitListen returns the port as the server takes it: -1 = any.
func splitListen(s string) (string, int, error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, fmt.Errorf("listen address %q: want host:port: %w", s, err)
	}
	port, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("listen address %q: want a port from 0 to 65535", s)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	if port == 0 {
		return host, -1, nil
	}
	return host, int(port), nil
}

// brokerLog passes the server's log on. The server reports a listener that
// cannot be bound as fatal and goes on, so the first such message is the error.
type brokerLog struct {
	log     *slog.Logger
	fatal   chan error
	closing atomic.Bool // what fails now fails because of that
}

func (l *brokerLog) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Errorf(format, v...):
	default:
	}
}

func (l *brokerLog) print(level slog.Level, format string, v ...any) {
	ctx := context.Background()
	if l.closing.Load() {
		level = slog.LevelDebug
	}
	if l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "mqtt broker", "message", fmt.Sprintf(format, v...))
	}
}

func (l *brokerLog) Noticef(format string, v ...any) { l.print(slog.LevelDebug, format, v...) }

// Warnf leaves out the advice to hash passwords: they live in this process's memory only.
func (l *brokerLog) Warnf(format string, v ...any) {
	if !strings.HasPrefix(format, "Plaintext passwords detected") {
		l.print(slog.LevelWarn, format, v...)
	}
}

func (l *brokerLog) Errorf(format string, v ...any) { l.print(slog.LevelWarn, format, v...) }
func (l *brokerLog) Debugf(string, ...any)          {}
func (l *brokerLog) Tracef(string, ...any)          {}

var errNoCertificate = errors.New("TLS is asked for without a certificate")
