//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestTLSAndReload serves the API over TLS, and takes a renewed certificate and
// a changed configuration at SIGHUP, but no bad one.
func TestTLSAndReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := serverCertificate(t, dir, "server")
	s := settings{dir: dir, api: fmt.Sprintf("tls_cert = %q\ntls_key = %q", certFile, keyFile)}
	config, _ := s.write(t)
	p := startProgram(t, "serve", "--config", config)
	if !strings.HasPrefix(p.ready.API, "https://") {
		t.Fatalf("ready at %q", p.ready.API)
	}
	nodes := func(ca string) result {
		return run(t, []string{"OS_ENDPOINT=" + p.ready.API, "OS_CACERT=" + ca}, binary(), "nodes")
	}
	if r := nodes(certFile); r.code != 0 {
		t.Errorf("our own client: %v", r)
	}
	if r := nodes(""); r.code != 1 || !strings.Contains(r.stderr, "certificate") {
		t.Errorf("our own client, which does not know the certificate: %v", r)
	}
	(&cli{t: t, env: map[string]string{"OS_AUTH_TYPE": "none", "OS_ENDPOINT": p.ready.API, "OS_CACERT": certFile}}).ok("node", "list")

	renewed, renewedKey := serverCertificate(t, dir, "renewed")
	for from, to := range map[string]string{renewed: certFile, renewedKey: keyFile} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	first := shown(t, p.ready.API)
	reload := func(says string) {
		t.Helper()
		p.signal(syscall.SIGHUP)
		eventually(t, settleTimeout, "the log says "+says, func() bool { return strings.Contains(p.stderr(), says) })
	}
	reload("the configuration was read")
	if second := shown(t, p.ready.API); second == first {
		t.Error("SIGHUP does not take the renewed certificate")
	}
	s.api += "\npublic_endpoint = \"https://pis.example.org\""
	s.write(t)
	reload("keys=api.public_endpoint")
	if err := os.WriteFile(config, []byte("state_dir = 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	reload("the new configuration is refused")
	if !strings.Contains(p.stderr(), config+":1: state_dir") {
		t.Errorf("the refusal does not name file, line and key:\n%s", tail(p.stderr()))
	}
	if err := os.WriteFile(certFile, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.write(t)
	reload("the new certificate is refused")
	if r := nodes(renewedCopy(t, p.ready.API, filepath.Join(dir, "seen.pem"))); r.code != 0 {
		t.Errorf("after a refused reload: %v", r)
	}
	p.stop(stopLimit)
}

// shown is the certificate that the server shows now.
func shown(t *testing.T, api string) string {
	t.Helper()
	c, err := tls.Dial("tcp", strings.TrimPrefix(api, "https://"), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec,noctx // it looks at the certificate only
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return string(c.ConnectionState().PeerCertificates[0].Raw)
}

// renewedCopy writes the certificate that the server shows to a file.
func renewedCopy(t *testing.T, api, path string) string {
	t.Helper()
	return writePEM(t, path, "CERTIFICATE", []byte(shown(t, api)))
}
