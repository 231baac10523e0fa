//go:build qemu

package demo_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// newKey makes a key pair with Debian's ssh-keygen.
func newKey(t *testing.T) (private, public string) {
	t.Helper()
	private = filepath.Join(t.TempDir(), "id_ed25519")
	if b, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "somebody", "-f", private).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen (Debian package openssh-client): %v\n%s", err, b)
	}
	b, err := os.ReadFile(private + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return private, strings.TrimSpace(string(b))
}

// pack makes a config drive out of a folder by the code of the openstack client
// (`openstack baremetal node deploy --config-drive FOLDER`).
func pack(t *testing.T, files map[string]any) json.RawMessage {
	t.Helper()
	dir := t.TempDir()
	for name, v := range files {
		data, isText := v.(string)
		if !isText {
			b, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			data = string(b)
		}
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(data), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	const program = "import sys, json; from ironicclient.common import utils; d = utils.make_configdrive(sys.argv[1]); " +
		"print(json.dumps(d if isinstance(d, str) else d.decode()))"
	out, err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", program, dir).Output()
	if err != nil {
		t.Fatalf("packing a config drive (Debian packages python3-ironicclient, genisoimage): %v", err)
	}
	return out
}

// novaDrive is what Nova hands over: an image with its own host name, keys by
// name, and files to put in place.
func novaDrive(t *testing.T, key string) json.RawMessage {
	t.Helper()
	return pack(t, map[string]any{
		"openstack/latest/meta_data.json": map[string]any{
			"uuid": "83679162-1378-4288-a2d4-70e13ec132aa", "hostname": "web-7.novalocal", "name": "web 7", "launch_index": 0,
			"availability_zone": "nova", "admin_pass": "s3cret", "random_seed": "AAAA", "project_id": "p",
			"public_keys": map[string]any{"mykey": key + "\n"},
			"keys":        []any{map[string]any{"name": "mykey", "type": "ssh", "data": key + "\n"}},
			"files":       []any{map[string]any{"path": "/etc/motd", "content_path": "/content/0000"}},
		},
		"openstack/latest/user_data":         "#!/bin/sh\nhostname > /root/first-boot\n",
		"openstack/latest/network_data.json": map[string]any{"links": []any{}, "networks": []any{}, "services": []any{}},
		"openstack/latest/vendor_data.json":  map[string]any{},
		"openstack/content/0000":             "welcome to web-7\n",
	})
}

// metalsmithDrive is the object that metalsmith sends.
func metalsmithDrive(t *testing.T, key string) json.RawMessage {
	t.Helper()
	users, err := json.Marshal(map[string]any{"users": []any{"default", map[string]any{"name": "root", "ssh_authorized_keys": []any{key}}}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{
		"meta_data": map[string]any{"uuid": node, "name": "compute-0", "hostname": "compute-0", "launch_index": 0, "availability_zone": "",
			"files": []any{}, "meta": map[string]any{}, "public_keys": map[string]any{}},
		"user_data": "#cloud-config\n" + string(users), "network_data": map[string]any{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSSHIntoTheBootedImage: Debian's ssh client gets in with the key of the
// config drive, and meets the name, the files and the first-boot script of it.
func TestSSHIntoTheBootedImage(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		drive    func(*testing.T, string) json.RawMessage
		hostname string
		command  string
		prints   string
	}{
		"nova image":        {novaDrive, "web-7.novalocal", "cat /etc/motd; cat /root/first-boot", "welcome to web-7\nweb-7.novalocal\n"},
		"metalsmith object": {metalsmithDrive, "compute-0", "whoami", "root\n"},
	} {
		t.Run(name, func(t *testing.T) {
			private, public := newKey(t)
			g := bootGuest(t, tc.drive(t, public))
			short, _, _ := strings.Cut(tc.hostname, ".")
			g.console.expect(t, "root@"+short+":~# ")
			got := g.ssh(t, private, "hostname; "+tc.command)
			if want := tc.hostname + "\n" + tc.prints; got != want {
				t.Errorf("over ssh: %q, want %q", got, want)
			}
			t.Logf("in after %s", time.Since(g.began))
			stranger, _ := newKey(t)
			if out, err := g.trySSH(t, stranger, "true"); err == nil || !strings.Contains(out, "Permission denied") {
				t.Errorf("another key: %v %q", err, out)
			}
		})
	}
}

// ssh runs a command in the guest by Debian's client. The server may come up
// after the prompt.
func (g *guest) ssh(t *testing.T, key, command string) string {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		out, err := g.trySSH(t, key, command)
		if err == nil {
			return out
		}
		if time.Now().After(deadline) {
			t.Fatalf("ssh: %v\n%s", err, out)
		}
	}
}

func (g *guest) trySSH(t *testing.T, key, command string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ssh", "-F", "none", "-i", key, "-p", strconv.Itoa(g.port), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=50", "root@127.0.0.1", command)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
