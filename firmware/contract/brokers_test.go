package contract

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caddyshack/bus"
	"caddyshack/bus/bustest"
)

// endpoint is a broker as a unit and a controller reach it.
type endpoint struct {
	controller string // URL
	unit       string // host:port
	key        string // of the broker, for TLS; "" = plain
}

func plain(url string) endpoint {
	return endpoint{controller: url, unit: strings.TrimPrefix(url, "tcp://")}
}

// identity is a broker's TLS identity.
type identity struct {
	certificate, key []byte // PEM
	tls              tls.Certificate
	public           string // the unit's form: uncompressed point in hex
}

func newIdentity(t testing.TB) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	id := identity{
		certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		public:      hex.EncodeToString(point),
	}
	if id.tls, err = tls.X509KeyPair(id.certificate, id.key); err != nil {
		t.Fatal(err)
	}
	return id
}

// embeddedTLS starts the embedded broker with its TLS listener.
func embeddedTLS(t testing.TB, id identity, units ...string) endpoint {
	t.Helper()
	b, err := bus.StartBroker(bus.BrokerConfig{
		Users: bustest.Users(units...), TLSListen: "127.0.0.1:0", Log: bustest.Log(t),
		TLS: &tls.Config{Certificates: []tls.Certificate{id.tls}, MinVersion: tls.VersionTLS12},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	_, at, _ := strings.Cut(b.TLSURL(), "://")
	return endpoint{controller: b.URL(), unit: at, key: id.public}
}

// mosquitto runs a mosquitto that can be stopped and started on the same ports.
type mosquitto struct {
	endpoint
	conf   string
	cmd    *exec.Cmd
	exited chan struct{}
}

func newMosquitto(t testing.TB, id identity, units ...string) *mosquitto {
	t.Helper()
	dir := t.TempDir()
	ports := freePorts(t, 2)
	m := &mosquitto{conf: filepath.Join(dir, "conf")}
	m.controller = fmt.Sprintf("tcp://127.0.0.1:%d", ports[0])
	m.unit, m.key = fmt.Sprintf("127.0.0.1:%d", ports[1]), id.public
	files := map[string]string{
		"acl": "user " + bustest.ControllerUser + "\ntopic readwrite " + bus.Root + "/#\npattern readwrite " + bus.Root + "/bpu/%u/#\n",
		"conf": fmt.Sprintf("user root\nset_tcp_nodelay true\npersistence false\nallow_anonymous false\nacl_file %[1]s/acl\npassword_file %[1]s/passwords\n"+
			"listener %[2]d 127.0.0.1\nlistener %[3]d 127.0.0.1\ncertfile %[1]s/cert\nkeyfile %[1]s/key\n", dir, ports[0], ports[1]),
		"cert": string(id.certificate), "key": string(id.key), "passwords": "",
	}
	for _, u := range units {
		files["acl"] += "user " + u + "\ntopic read " + bus.ControllerStatusTopic + "\n"
	}
	for _, u := range bustest.Users(units...) {
		files["passwords"] += u.Name + ":" + u.Password + "\n"
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "mosquitto_passwd", "-U", filepath.Join(dir, "passwords")).CombinedOutput(); err != nil {
		t.Fatalf("hashing passwords (Debian package mosquitto): %v: %s", err, out)
	}
	m.start(t)
	t.Cleanup(m.stop)
	return m
}

func (m *mosquitto) start(t testing.TB) {
	t.Helper()
	m.cmd = exec.CommandContext(context.Background(), "mosquitto", "-c", m.conf)
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, exited := m.cmd, make(chan struct{})
	m.exited = exited
	go func() { _ = cmd.Wait(); close(exited) }()
	ctx, cancel := context.WithTimeout(context.Background(), bustest.Patience)
	defer cancel()
	for _, at := range []string{strings.TrimPrefix(m.controller, "tcp://"), m.unit} {
		for {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
			if err == nil {
				_ = conn.Close()
				break
			}
			select {
			case <-exited:
				t.Fatal("mosquitto has ended")
			case <-ctx.Done():
				t.Fatal(ctx.Err())
			case <-time.After(2 * time.Millisecond):
			}
		}
	}
}

func (m *mosquitto) stop() {
	_ = m.cmd.Process.Kill()
	<-m.exited
}

func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}
