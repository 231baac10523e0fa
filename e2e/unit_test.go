//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	bin "encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"caddyshack/firmware/bpusim"
	"caddyshack/internal/heldport"
)

// TestUnitCommands sets up a unit out of the box over its serial port, against
// the TLS listener of `caddyshack serve`, and updates its firmware.
func TestUnitCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := serverCertificate(t, dir, "broker")
	otherCert, _ := serverCertificate(t, dir, "other")
	tlsAddr := heldport.Address(t)
	config, _ := settings{dir: dir, broker: fmt.Sprintf(`listen = "127.0.0.1:0"
tls_listen = %q
tls_cert = %q
tls_key = %q
password = %q
[[broker.units]]
id = "bpu-9"
password = %q
`, tlsAddr, certFile, keyFile, controllerPassword, unitPassword)}.write(t)
	p := startProgram(t, "serve", "--config", config)
	signer, signerFile := updateKey(t, dir)
	cable := newUnit(t, signer)
	host, port, err := net.SplitHostPort(tlsAddr)
	if err != nil {
		t.Fatal(err)
	}
	setup := func(password, cert string, more ...string) result {
		return run(t, []string{"CADDYSHACK_UNIT_PASSWORD=" + password, "CADDYSHACK_WIFI_PASSWORD=waves"}, append([]string{binary(),
			"unit", "setup", cable, "--id", "bpu-9", "--ssid", "shack", "--host", host, "--broker-port", port, "--broker-cert", cert}, more...)...)
	}
	for name, r := range map[string]result{
		"wrong password":  setup("guessed", certFile, "--timeout", "8s"),
		"wrong key":       setup(unitPassword, otherCert, "--timeout", "8s"),
		"no certificate":  setup(unitPassword, keyFile),
		"no such port":    run(t, nil, binary(), "unit", "setup", "/dev/none", "--ssid", "x", "--host", host, "--plain", "--wifi-password", "x", "--password", "x"),
		"nothing to pin":  run(t, nil, binary(), "unit", "setup", cable, "--ssid", "x", "--host", host),
		"no such version": run(t, nil, binary(), "unit", "update", certFile, "--version", "1", "--key", signerFile, "--units", "bpu-9", "--listen", "127.0.0.1:0"),
	} {
		if r.code == 0 || strings.TrimSpace(r.stderr) == "" || strings.Contains(r.stderr, "panic") {
			t.Errorf("%s: %v", name, r)
		}
	}
	if r := setup(unitPassword, certFile, "--policy", "last", "--index", "2"); r.code != 0 || !strings.Contains(r.stdout, "unit bpu-9 (MAC ") {
		t.Fatalf("unit setup: %v", r)
	}

	image := filepath.Join(dir, "firmware.bin")
	if err := os.WriteFile(image, firmwareImage(10100), 0o600); err != nil {
		t.Fatal(err)
	}
	update := func(version string, more ...string) result {
		return run(t, []string{"CADDYSHACK_BROKER_PASSWORD=" + controllerPassword}, append([]string{binary(), "unit", "update", image, "--version", version,
			"--key", signerFile, "--broker", p.ready.MQTT, "--units", "bpu-9", "--listen", "127.0.0.1:0", "--patience", "4m"}, more...)...)
	}
	if r := update("1.1.0"); r.code != 0 || !strings.Contains(r.stdout, "bpu-9  done") {
		t.Fatalf("unit update: %v", r)
	}
	if r := update("1.0.5"); r.code == 0 || !strings.Contains(r.stderr, "older than what runs") {
		t.Errorf("an older version without --force: %v", r)
	}
}

// newUnit plugs a unit in that knows nothing yet, and returns the serial port
// at which it is found. Its clock runs as fast as it can.
func newUnit(t *testing.T, signer *rsa.PrivateKey) string {
	t.Helper()
	program := filepath.Join("..", "firmware", "build", "bpu-sim")
	near, far := serialPort(t), serialPort(t)
	go func() { _, _ = io.Copy(near.master, far.master) }()
	go func() { _, _ = io.Copy(far.master, near.master) }()
	sim, err := bpusim.Start(bpusim.Config{Program: program, Args: []string{
		"--serial", far.path, "--update-key", hex.EncodeToString(signer.N.Bytes()), "--clock", "manual"}})
	if err != nil {
		t.Fatal(err)
	}
	done, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			step, cancel := context.WithTimeout(context.Background(), time.Minute)
			_, err := sim.Do(step, "advance 100")
			cancel()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done; sim.Close() })
	return near.path
}

type serial struct {
	master *os.File
	path   string
}

// serialPort is a pseudo terminal that changes no byte.
func serialPort(t *testing.T) serial {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close(); _ = tty.Close() })
	if _, err := term.MakeRaw(int(tty.Fd())); err != nil {
		t.Fatal(err)
	}
	return serial{master, tty.Name()}
}

// firmwareImage is a program as the simulated flash knows it (firmware/simhw/parts.h).
func firmwareImage(version uint32) []byte {
	body := make([]byte, 20000)
	_, _ = rand.Read(body) // never fails
	const magic, head = 0x1ea9e900, 16
	var image []byte
	for _, word := range []uint32{magic, version, uint32(head + len(body)), crc32.ChecksumIEEE(body)} {
		image = bin.LittleEndian.AppendUint32(image, word)
	}
	return append(image, body...)
}

// updateKey makes a key that signs updates.
func updateKey(t *testing.T, dir string) (*rsa.PrivateKey, string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key, writePEM(t, filepath.Join(dir, "update.key"), "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
}

// serverCertificate makes a certificate for 127.0.0.1, whose key units can pin.
func serverCertificate(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, filepath.Join(dir, name+".pem"), "CERTIFICATE", der), writePEM(t, filepath.Join(dir, name+".key"), "PRIVATE KEY", secret)
}

func writePEM(t *testing.T, path, kind string, der []byte) string {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
