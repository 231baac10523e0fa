//go:build switches

package ovs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers/switches"
	"caddyshack/drivers/switches/ovs"
)

// authority signs certificates without host names, as Open vSwitch's tools do.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	_, a.file, a.key, a.cert = a.issue("authority", nil)
	return a
}

// issue makes a key and its certificate; by itself without a parent.
func (a *authority) issue(name string, parent *x509.Certificate) (keyFile, certFile string, key *ecdsa.PrivateKey, cert *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: parent == nil, BasicConstraintsValid: true}
	signer := a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	write := func(file, kind string, der []byte) string {
		path := filepath.Join(a.dir, file)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			a.t.Fatal(err)
		}
		return path
	}
	return write(name+".key", "PRIVATE KEY", private), write(name+".pem", "CERTIFICATE", der), key, cert
}

// Over TLS both sides show certificates, and each refuses one of an authority
// that it does not know.
func TestTLS(t *testing.T) {
	t.Parallel()
	r := start(t)
	const port = 6640 // of a namespace of its own
	ours, others := newAuthority(t), newAuthority(t)
	serverKey, serverCert, _, _ := ours.issue("server", ours.cert)
	key, cert, _, _ := ours.issue("controller", ours.cert)
	otherKey, otherCert, _, _ := others.issue("controller", others.cert)
	r.ServeTLS(port, serverKey, serverCert, ours.file)
	r.Vsctl("set", "Open_vSwitch", ".", "other_config:max-revalidator=50") // ms; it is what has to be waited for
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go relay(l, func() (c net.Conn, err error) {
		err = r.NS.Do(func() error {
			c, err = net.DialTCP("tcp4", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
			return err
		})
		return c, err
	})
	right := ovs.Config{Address: "ssl:" + l.Addr().String(), Bridge: "br0", Certificate: cert, PrivateKey: key, CACertificate: ours.file}
	r.conf = right
	r.connect(t)
	if _, err := r.sw.Apply(t.Context(), switches.Only("c1", switches.Access(10))); err != nil {
		t.Fatal(err)
	}
	if got := r.port("c1"); got != "access,10,[],false" {
		t.Errorf("c1 is %s", got)
	}
	for name, test := range map[string]struct {
		change func(*ovs.Config)
		want   []string
	}{
		"a database that we do not trust": {func(c *ovs.Config) { c.CACertificate = others.file }, []string{"is not one of the authority in ca_certificate", others.file}},
		"a database that does not trust us": {func(c *ovs.Config) { c.Certificate, c.PrivateKey = otherCert, otherKey },
			[]string{"does not answer", "does it trust the authority of certificate", otherCert}},
		"a key that is not the certificate's": {func(c *ovs.Config) { c.PrivateKey = otherKey }, []string{"reading certificate and private_key", "private key does not match"}},
		"no certificate in the file":          {func(c *ovs.Config) { c.CACertificate = key }, []string{"holds no certificate"}},
		"a file that is not there":            {func(c *ovs.Config) { c.CACertificate += "x" }, []string{"reading ca_certificate", "no such file"}},
		"without TLS":                         {func(c *ovs.Config) { c.Address = "tcp:" + l.Addr().String() }, []string{"does not answer"}},
	} {
		r.conf = right
		test.change(&r.conf)
		r.connect(t)
		_, err := r.sw.Read(t.Context())
		if !baremetal.IsKind(err, baremetal.Unavailable) {
			t.Errorf("%s: got %v, want Unavailable", name, err)
			continue
		}
		for _, words := range test.want {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%s: got %v, want %q in it", name, err, words)
			}
		}
	}
}
