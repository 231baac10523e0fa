//go:build qemu

package demo_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// TestBootsInQEMU boots the image's kernel with its root over NFS, uses its
// shell and its ssh server, and switches it off. Debian package: qemu-system-arm.
func TestBootsInQEMU(t *testing.T) {
	t.Parallel()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	object, err := json.Marshal(map[string]any{"meta_data": map[string]any{"public_keys": map[string]any{"mine": string(ssh.MarshalAuthorizedKey(signer.PublicKey()))}}})
	if err != nil {
		t.Fatal(err)
	}
	g := bootGuest(t, object)
	console, port, began := g.console, g.port, g.began
	typeIn := g.typeIn
	const prompt = "root@caddy-1:~# "
	console.expect(t, prompt)
	t.Logf("prompt after %s", time.Since(began))

	typeIn("uname -m; cat /etc/hostname; mount | grep nfs | wc -l\r")
	if out := console.expect(t, "\n"+prompt); !strings.Contains(out, "aarch64") || !strings.Contains(out, "caddy-1\r\n      1") {
		t.Errorf("commands printed %q", out)
	}
	// ^C ends a command, not the shell.
	typeIn("echo now sleeping; sleep 1000\r")
	console.expect(t, "\nnow sleeping")
	typeIn("\x03")
	console.expect(t, prompt)
	// A file written by the node is there after sync, and orphans are reaped.
	typeIn("sh -c 'env sleep 0.1 &'; echo written > /root/file; sync; cat /root/file; sleep 0.5; ps | grep -v ' \\['\r")
	out := console.expect(t, "\n"+prompt)
	if !strings.Contains(out, "\nwritten\r") || strings.Contains(out, " Z ") || !strings.Contains(out, "sshd") {
		t.Errorf("commands printed %q", out)
	}

	client, err := ssh.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 60 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	b, err := session.CombinedOutput("hostname; whoami; ip addr show eth0 | grep 10.0.2; exit 3")
	var status *ssh.ExitError
	if !errors.As(err, &status) || status.ExitStatus() != 3 || !strings.HasPrefix(string(b), "caddy-1\nroot\n") || !strings.Contains(string(b), "10.0.2.15") {
		t.Errorf("over ssh: %q, %v", b, err)
	}
	_ = client.Close()

	typeIn("poweroff\r")
	select {
	case err := <-g.ended:
		if err != nil {
			t.Errorf("QEMU ended with %v", err)
		}
	case <-time.After(60 * time.Second):
		t.Error("poweroff does not switch off")
	}
	t.Logf("switched off after %s", time.Since(began))
}
