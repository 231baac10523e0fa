package bus_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"caddyshack/bus"
	"caddyshack/bus/bustest"
)

func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// recordMeter measures the TLS records that pass from the broker to a client.
func recordMeter(t *testing.T, backend string, longest *atomic.Int64) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		front, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = front.Close() }()
		back, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", backend)
		if err != nil {
			return
		}
		defer func() { _ = back.Close() }()
		go func() { _, _ = io.Copy(back, front) }()
		for {
			header := make([]byte, 5)
			if _, err := io.ReadFull(back, header); err != nil {
				return
			}
			body := make([]byte, binary.BigEndian.Uint16(header[3:]))
			if _, err := io.ReadFull(back, body); err != nil {
				return
			}
			const applicationData = 23
			if header[0] == applicationData && int64(len(body)) > longest.Load() {
				longest.Store(int64(len(body)))
			}
			if _, err := front.Write(append(header, body...)); err != nil {
				return
			}
		}
	}()
	return "ssl://" + l.Addr().String()
}

func TestTLSRecordsFitASmallReceiver(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	// TLS 1.2 as BearSSL speaks it: the handshake is not hidden in data records.
	b, err := bus.StartBroker(bus.BrokerConfig{
		Users: bustest.Users("bpu-1"), TLSListen: "127.0.0.1:0",
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS12},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var longest atomic.Int64
	heard := make(chan bus.Message, 8)
	c, err := bus.NewClient(bus.ClientConfig{
		Broker:   recordMeter(t, strings.TrimPrefix(b.TLSURL(), "ssl://"), &longest),
		ClientID: "bpu-1", User: "bpu-1", Password: bustest.Password("bpu-1"), TLS: &tls.Config{RootCAs: pool},
		Subscriptions: []string{topic("bpu-1", "cmd")},
		OnMessage:     func(m bus.Message) { heard <- m },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.WaitConnected(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("x", 20_000)
	bustest.Listen(t, b.URL(), bustest.ControllerUser).Send(t, topic("bpu-1", "cmd"), big, false)
	if m := wait(t, heard); string(m.Payload) != big {
		t.Fatalf("%d bytes came through TLS", len(m.Payload))
	}
	const overhead = 64 // nonce and tag, or IV, MAC and padding
	if n := longest.Load(); n == 0 || n > 512+overhead {
		t.Fatalf("longest TLS record %d bytes", n)
	}
}

// A handshake that no unit could take is refused at the start, not at a unit that never comes online.
func TestTLSRefusesALongChain(t *testing.T) {
	t.Parallel()
	cert, _ := certificate(t)
	for len(cert.Certificate) < 4 {
		cert.Certificate = append(cert.Certificate, cert.Certificate[0])
	}
	b, err := bus.StartBroker(bus.BrokerConfig{
		Users: bustest.Users(), TLSListen: "127.0.0.1:0", TLS: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	})
	if err == nil {
		b.Close()
		t.Fatal("it starts")
	}
	if !strings.Contains(err.Error(), "need no chain") {
		t.Error(err)
	}
}

func TestTLSNeedsACertificate(t *testing.T) {
	t.Parallel()
	b, err := bus.StartBroker(bus.BrokerConfig{Users: bustest.Users(), TLSListen: "127.0.0.1:0"})
	if err == nil {
		b.Close()
		t.Fatal("it starts")
	}
}

// With Control, all that is reached from elsewhere is bound under it, and
// messages pass as without.
func TestControlSeesEveryListener(t *testing.T) {
	t.Parallel()
	cert, _ := certificate(t)
	var mu sync.Mutex
	var asked []string
	b, err := bus.StartBroker(bus.BrokerConfig{
		Users: bustest.Users("bpu-1"), Listen: "127.0.0.1:0", TLSListen: "127.0.0.1:0", TLS: &tls.Config{Certificates: []tls.Certificate{cert}},
		Control: func(_, address string, _ syscall.RawConn) error {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, address)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	mu.Lock()
	if len(asked) != 2 {
		t.Errorf("asked about %q, want the plain listener and that for TLS", asked)
	}
	mu.Unlock()
	unit := bustest.Listen(t, b.URL(), "bpu-1", topic("bpu-1", "cmd"))
	big := strings.Repeat("x", 20_000)
	bustest.Listen(t, b.URL(), bustest.ControllerUser).Send(t, topic("bpu-1", "cmd"), big, false)
	if m := unit.Next(t); string(m.Payload) != big {
		t.Errorf("%d bytes came through", len(m.Payload))
	}

	forbidden := errors.New("not here")
	_, err = bus.StartBroker(bus.BrokerConfig{Users: bustest.Users(), Control: func(string, string, syscall.RawConn) error { return forbidden }})
	if !errors.Is(err, forbidden) {
		t.Errorf("a listener that may not be: %v", err)
	}
}
