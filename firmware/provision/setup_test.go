package provision_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"caddyshack/bus"
	"caddyshack/bus/bustest"
	"caddyshack/firmware/bpusim"
	"caddyshack/firmware/provision"
)

// plugIn starts a fresh unit whose serial port is a pseudo terminal, and returns the other end.
func plugIn(t *testing.T) (*os.File, *bpusim.Unit) {
	t.Helper()
	cable, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	unit, err := bpusim.Start(bpusim.Config{Program: program, Args: []string{"--serial", tty.Name()}, Log: bustest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unit.Close)
	return cable, unit
}

func brokerIdentity(t *testing.T, key any, public any) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, cert
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ctx(t *testing.T) context.Context {
	c, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return c
}

// A unit out of the box: serial port, settings with two keys (the second is the broker's), connected over TLS,
// and still so after a loss of power.
func TestSetup(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	own, cert := brokerIdentity(t, key, &key.PublicKey)
	b, err := bus.StartBroker(bus.BrokerConfig{
		Users: bustest.Users("bpu-7"), TLSListen: "127.0.0.1:0", TLS: &tls.Config{Certificates: []tls.Certificate{own}}, Log: bustest.Log(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	point, err := provision.BrokerKey(cert)
	if err != nil {
		t.Fatal(err)
	}
	retired, err := newKey(t).PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	cable, unit := plugIn(t)
	conn := provision.NewConn(cable)
	t.Cleanup(func() { _ = conn.Close() })
	host, port, _ := strings.Cut(b.TLSURL()[strings.Index(b.TLSURL(), "//")+2:], ":")
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	index := 2
	var said []string
	id, err := conn.Setup(ctx(t), provision.Settings{
		ID: "bpu-7", SSID: "a net", WiFiPassword: `with "quotes" \ and é`, Host: host, Port: n, Password: bustest.Password("bpu-7"),
		Keys: [][]byte{retired, point}, Policy: "last", Index: &index,
	}, func(line string) { said = append(said, line) })
	if err != nil {
		t.Fatal(err)
	}
	if id.ID != "bpu-7" || id.Version != 10000 || len(id.MAC) != 12 || len(said) != 2 {
		t.Errorf("set up %+v, said %q", id, said)
	}
	if _, err := unit.Do(ctx(t), "power_loss 100"); err != nil {
		t.Fatal(err)
	}
	l := bustest.Listen(t, b.URL(), bustest.ControllerUser, bus.Root+"/bpu/bpu-7/info")
	for deadline := time.Now().Add(30 * time.Second); ; {
		info, err := bus.DecodeInfo(l.Next(t).Payload)
		if err != nil {
			t.Fatal(err)
		}
		if info.Boot == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the unit does not come back")
		}
	}
}

func TestSetupErrors(t *testing.T) {
	t.Parallel()
	cable, _ := plugIn(t)
	conn := provision.NewConn(cable)
	t.Cleanup(func() { _ = conn.Close() })
	for name, s := range map[string]provision.Settings{
		"no key":       {Host: "h", ID: "bpu-1"},
		"wrong id":     {ID: "BPU", Host: "h", Plain: true},
		"wrong policy": {Policy: "sometimes", Host: "h", Plain: true},
		"short key":    {Host: "h", Keys: [][]byte{{4, 1}}},
	} {
		if _, err := conn.Setup(ctx(t), s, nil); !errors.Is(err, provision.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := conn.Setup(ctx(t), provision.Settings{Keys: make([][]byte, 3)}, nil); err == nil {
		t.Error("three keys were taken")
	}
	short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := conn.Setup(short, provision.Settings{Host: "127.0.0.1", Port: 1, Plain: true}, nil)
	if !errors.Is(err, provision.ErrNotConnected) {
		t.Errorf("an unreachable broker: %v", err)
	}
}

// Something answers that is no unit; or nothing does; or the cable is pulled.
func TestGreetErrors(t *testing.T) {
	t.Parallel()
	for name, talk := range map[string]string{"silent": "", "a modem": "OK\r\nRING\r\n@garbage\r\n@{\"n\":99,\"ok\":true}\r\n"} {
		cable, tty, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		conn := provision.NewConn(cable)
		if _, err := tty.WriteString(talk); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := conn.Greet(short); err == nil {
			t.Errorf("%s: was greeted", name)
		}
		cancel()
		_ = tty.Close()
		_ = conn.Close()
		if _, err := conn.Greet(ctx(t)); err == nil {
			t.Errorf("%s, pulled: was greeted", name)
		}
	}
	if _, err := provision.Open("/dev/does-not-exist"); err == nil {
		t.Error("a port that is not there was opened")
	}
}

func TestBrokerKeyRefusesOthers(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, cert := brokerIdentity(t, key, &key.PublicKey)
	if _, err := provision.BrokerKey(cert); err == nil {
		t.Error("an RSA key was taken")
	}
}
