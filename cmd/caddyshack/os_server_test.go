package main

import (
	"archive/tar"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/internal/heldport"
)

// stallingImage is a web server with one archive, the first download of which
// stops in the middle.
type stallingImage struct {
	url, sum string
	half     chan struct{} // closed when the first download stands still
}

func newStallingImage(t *testing.T, archive []byte) *stallingImage {
	t.Helper()
	sum := sha256.Sum256(archive)
	s := &stallingImage{sum: hex.EncodeToString(sum[:]), half: make(chan struct{})}
	end := make(chan struct{})
	var first sync.Once
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stall := false
		if r.Method == http.MethodGet {
			first.Do(func() { stall = true })
		}
		if !stall {
			http.ServeContent(w, r, "root.tar", time.Time{}, bytes.NewReader(archive))
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(archive)))
		_, _ = w.Write(archive[:len(archive)/2])
		w.(http.Flusher).Flush()
		close(s.half)
		select {
		case <-r.Context().Done():
		case <-end:
		}
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(end) })
	s.url = srv.URL + "/root.tar"
	return s
}

// padded is the archive of an image, uncompressed, with enough in it that half
// of it takes a while.
func padded(t *testing.T, dir string) []byte {
	t.Helper()
	tiny := tinyImage(t, dir)
	in, err := os.Open(tiny.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	r := tar.NewReader(in)
	for {
		h, err := r.Next()
		if err == io.EOF { //nolint:errorlint // as documented
			break
		}
		if err == nil {
			err = w.WriteHeader(h)
		}
		if err == nil {
			_, err = io.Copy(w, r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	filler := make([]byte, 4<<20)
	if err := w.WriteHeader(&tar.Header{Name: "srv/filler", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(filler))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(filler); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// get reads a path of the process's API.
func (p *process) get(t *testing.T, path string) string {
	t.Helper()
	code, b, err := p.request(http.MethodGet, path, "")
	if err != nil || code != http.StatusOK {
		t.Fatalf("%s: %d %s %v", path, code, b, err)
	}
	return string(b)
}

// await asks until the answer holds the text.
func (p *process) await(t *testing.T, path, text string) {
	t.Helper()
	p.awaitFor(t, patient, path, text)
}

// awaitFor is await with another time.
func (p *process) awaitFor(t *testing.T, most time.Duration, path, text string) {
	t.Helper()
	deadline := time.Now().Add(most)
	for {
		got := p.get(t, path)
		if strings.Contains(got, text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s did not show %q within %v but\n%s", path, text, most, got)
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // polling another process
	}
}

// The operating-system server is a process of its own. It is killed while it
// fetches the image of a deploy: the deploy waits, says for what, and goes on
// when it is back. While it is away again, the boot files are still served, and
// an undeploy waits for it.
func TestOSServerIsLostAndReturns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	image := newStallingImage(t, padded(t, filepath.Join(dir, "image")))
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(strings.Repeat("x", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	offer, nfs := heldport.Address(t), heldport.Address(t)
	osConfig := fmt.Sprintf(`
state_dir = %q
roles = ["os-server"]
[boot]
address = "127.0.0.1"
nfs_listen = %q
tree = "unprivileged"
[os_server]
listen = %q
token_file = %q
[images]
allow_hosts = ["127.0.0.1"]
`, filepath.Join(dir, "os"), nfs, offer, token)
	shack := startServe(t, dir, "shack", fmt.Sprintf(`
state_dir = %q
roles = ["api", "conductor", "broker", "boot"]
[api]
listen = "127.0.0.1:0"
[broker]
listen = "127.0.0.1:0"
password = "secret"
units = [{id = "bpu-1", password = "unit"}]
[boot]
address = "127.0.0.1"
tftp_listen = "127.0.0.1:0"
phone_home_listen = "127.0.0.1:0"
[os_server]
url = %q
token_file = %q
[images]
default_image = %q
default_image_checksum = %q
`, filepath.Join(dir, "shack"), "http://"+offer, token, image.url, image.sum))
	racked := rack(t, shack, dir, 1)
	uuid := createCaddy(t, shack, racked.caddies[0])
	state := func(want baremetal.ProvisionState) {
		t.Helper()
		shack.await(t, "/v1/nodes/"+uuid, fmt.Sprintf(`"provision_state":%q`, want))
	}

	// It is not there yet: that is known, and the first deploy waits for it.
	shack.await(t, "/healthcheck", "operating-system server at http://"+offer+" does not answer")
	shack.await(t, "/metrics", "caddyshack_os_server_up 0")
	send(t, shack, "manage", uuid)
	state(baremetal.Manageable)
	send(t, shack, "provide", uuid)
	shack.await(t, "/v1/nodes/"+uuid, `"for":"the operating-system server does not answer"`)
	server := startServe(t, dir, "os", osConfig)
	state(baremetal.Available)
	shack.await(t, "/healthcheck", `"detail":[]`)

	// Killed while the image of a deploy is on its way.
	send(t, shack, "active", uuid)
	select {
	case <-image.half:
	case <-time.After(patient):
		t.Fatalf("the image was not asked for within %s", patient)
	}
	server.kill(t)
	shack.await(t, "/v1/nodes/"+uuid, `"for":"the operating-system server does not answer"`)
	shack.await(t, "/v1/nodes/"+uuid, "check that it runs and can be reached. The node goes on by itself when it is back.")
	shack.await(t, "/healthcheck", "lost since")
	shack.await(t, "/metrics", "caddyshack_os_server_up 0")
	server = startServe(t, dir, "os", osConfig)
	state(baremetal.Active)
	if text := shack.get(t, "/metrics"); !strings.Contains(text, "caddyshack_os_server_up 1") || !strings.Contains(text, "caddyshack_os_server_losses_total 2") {
		t.Errorf("after its second return the metrics tell %q", grepLines(text, "caddyshack_os_server"))
	}
	if got := osGet(t, offer, "/os/v1/health"); !strings.Contains(got, `"exports":1`) || !strings.Contains(got, `"nfs":"`+nfs+`"`) {
		t.Errorf("its health: %s", got)
	}
	if got := osGet(t, offer, "/os/v1/roots"); !strings.Contains(got, uuid) {
		t.Errorf("its roots: %s", got)
	}
	if got := osGet(t, offer, "/metrics"); !strings.Contains(got, "caddyshack_nfs_calls_total{node=\""+uuid) {
		t.Error("its metrics do not tell of the node")
	}

	// Killed once more: the boot files stay, and an undeploy waits.
	server.kill(t)
	if kept, err := os.ReadFile(filepath.Join(dir, "shack", "bootfiles", uuid, "tree.json")); err != nil || !bytes.Contains(kept, []byte("kernel8.img")) {
		t.Errorf("the kept boot files: %s, %v", kept, err)
	}
	send(t, shack, "deleted", uuid)
	shack.await(t, "/v1/nodes/"+uuid, `"for":"the operating-system server does not answer"`)
	startServe(t, dir, "os", osConfig)
	state(baremetal.Available)
	if got := osGet(t, offer, "/os/v1/roots"); strings.TrimSpace(got) != "[]" {
		t.Errorf("roots after the undeploy: %s", got)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "shack", "bootfiles")); err != nil || len(left) != 0 {
		t.Errorf("boot files after the undeploy: %v, %v", left, err)
	}
}

// certify makes a certificate of its own authority for loopback and returns the
// files of certificate and key.
func certify(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "os-server"}, IsCA: true, BasicConstraintsValid: true,
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// With TLS the two find each other if the certificate is believed, and name the
// reason if not.
func TestOSServerTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certify(t, dir)
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(strings.Repeat("x", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	offer := heldport.Address(t)
	startServe(t, dir, "os", fmt.Sprintf(`
state_dir = %q
roles = ["os-server"]
[boot]
address = "127.0.0.1"
nfs_listen = "127.0.0.1:0"
[os_server]
listen = %q
tls_cert = %q
tls_key = %q
token_file = %q
`, filepath.Join(dir, "os"), offer, cert, key, token))
	for name, tc := range map[string]struct{ ca, at, want string }{
		"believed":     {fmt.Sprintf("ca_file = %q\n", cert), "/metrics", "caddyshack_os_server_up 1"},
		"not believed": {"", "/healthcheck", "certificate signed by unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startServe(t, t.TempDir(), "shack", fmt.Sprintf(`
state_dir = %q
roles = ["api", "conductor", "broker", "boot"]
[api]
listen = "127.0.0.1:0"
[broker]
listen = "127.0.0.1:0"
password = "secret"
[boot]
address = "127.0.0.1"
tftp_listen = "127.0.0.1:0"
phone_home_listen = "127.0.0.1:0"
[os_server]
url = %q
token_file = %q
%s`, filepath.Join(t.TempDir(), "shack"), "https://"+offer, token, tc.ca))
			p.await(t, tc.at, tc.want)
		})
	}
}

func grepLines(text, word string) string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

// osGet reads from the operating-system server as another program would, and
// makes sure that the secret is asked for.
func osGet(t *testing.T, addr, path string) string {
	t.Helper()
	for _, secret := range []string{"", "Bearer wrong", "Bearer " + strings.Repeat("x", 32)} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", secret)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusOK && strings.HasPrefix(secret, "Bearer xx") {
			return string(b)
		}
		if resp.StatusCode != http.StatusUnauthorized {
			t.Fatalf("%s with %q: %s %s", path, secret, resp.Status, b)
		}
	}
	return ""
}
