//go:build e2e

package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"caddyshack/pxe/nfsd/nfstest"
)

// rootFile reads a file of a node's root over NFS, from the node's own address.
func (s *site) rootFile(t *testing.T, name, file string) string {
	t.Helper()
	id := s.api.node(name).UUID
	var ports struct {
		Ports []struct {
			Extra struct {
				Address string `json:"ip_address"`
			} `json:"extra"`
		} `json:"ports"`
	}
	if err := json.Unmarshal(s.api.json(http.MethodGet, "/v1/ports?detail=true&node="+id, nil, 200), &ports); err != nil || len(ports.Ports) == 0 {
		t.Fatalf("the ports of %s: %v", name, err)
	}
	c, err := nfstest.Dial(t.Context(), s.program.ready.NFS, netip.MustParseAddr(ports.Ports[0].Extra.Address))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // read only
	h, err := c.Mount(t.Context(), "/nodes/"+id)
	for _, part := range strings.Split(file, "/") {
		if err == nil {
			h, _, err = c.Lookup(t.Context(), h, part)
		}
	}
	if errors.Is(err, nfstest.NoEnt) {
		return "(none)"
	}
	var data []byte
	if err == nil {
		data, _, err = c.Read(t.Context(), h, 0, 64<<10)
	}
	if err != nil {
		t.Fatalf("reading %s of %s: %v", file, name, err)
	}
	return string(data)
}

// keyPair makes a key with Debian's ssh-keygen; the private half is a file.
func keyPair(t *testing.T) (private, public string) {
	t.Helper()
	private = filepath.Join(t.TempDir(), "id")
	if b, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", private).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen (Debian package openssh-client): %v\n%s", err, b)
	}
	return private, strings.TrimSpace(readFile(t, private+".pub"))
}

// driveFolder is what people give to --config-drive.
func driveFolder(t *testing.T, hostname, key, script string) string {
	t.Helper()
	folder := t.TempDir()
	latest := filepath.Join(folder, "openstack", "latest")
	meta := `{"hostname": "` + hostname + `", "public_keys": {"a": "` + key + `"}}`
	if err := errors.Join(os.MkdirAll(latest, 0o755), os.WriteFile(filepath.Join(latest, "meta_data.json"), []byte(meta), 0o600),
		os.WriteFile(filepath.Join(latest, "user_data"), []byte(script), 0o600)); err != nil {
		t.Fatal(err)
	}
	return folder
}

// novaDrive is base64 of a compressed image, as Nova sends it, packed by the
// OpenStack SDK.
func novaDrive(t *testing.T, key string) string {
	t.Helper()
	const program = `import sys, json
from openstack.baremetal import configdrive
print(configdrive.build({"uuid": "83679162-1378-4288-a2d4-70e13ec132aa", "hostname": "web-3.novalocal", "name": "web 3",
    "public_keys": {"mykey": sys.argv[1] + "\n"}, "admin_pass": "s3cret", "launch_index": 0}, user_data="#!/bin/sh\necho nova\n"))`
	out, err := exec.CommandContext(t.Context(), python, "-c", program, key).Output()
	if err != nil {
		t.Fatalf("the SDK packs a config drive (Debian packages python3-openstacksdk, genisoimage): %v", err)
	}
	return strings.TrimSpace(string(out))
}

// TestConfigDrives hands over a config drive in every form that clients use, and
// looks at what the node finds in its root.
func TestConfigDrives(t *testing.T) {
	t.Parallel()
	s := startDemo(t)
	_, key := keyPair(t)
	folder := driveFolder(t, "web-1.example", key, "#!/bin/sh\necho folder\n")
	object := map[string]any{"meta_data": map[string]any{"hostname": "compute-4", "public_keys": map[string]any{"0": key}}, "user_data": "#!/bin/sh\necho metalsmith\n", "network_data": map[string]any{}}
	for _, n := range []string{"caddy-1", "caddy-2", "caddy-3", "caddy-4"} {
		s.available(n)
	}
	s.ok("node", "deploy", "caddy-1", "--config-drive", folder, "--wait")
	s.ok("node", "deploy", "caddy-2", "--config-drive", `{"meta_data": {"hostname": "web-2", "public_keys": ["`+key+`"]}, "user_data": "#!/bin/sh\necho json\n"}`, "--wait")
	s.api.json(http.MethodPut, "/v1/nodes/caddy-3/states/provision", map[string]any{"target": "active", "configdrive": novaDrive(t, key)}, 202)
	s.api.json(http.MethodPut, "/v1/nodes/caddy-4/states/provision", map[string]any{"target": "active", "configdrive": object}, 202)
	for name, want := range map[string]struct{ host, script string }{
		"caddy-1": {"web-1.example", "folder"}, "caddy-2": {"web-2", "json"}, "caddy-3": {"web-3.novalocal", "nova"}, "caddy-4": {"compute-4", "metalsmith"},
	} {
		if n := s.awaitDeployed(name); n.Provision != "active" {
			t.Fatalf("the deploy of %s failed: %s", name, text(n.LastError))
		}
		for file, want := range map[string]string{
			"etc/hostname":                              want.host + "\n",
			"root/.ssh/authorized_keys":                 key + "\n",
			"var/lib/caddyshack/first-boot.d/user-data": "#!/bin/sh\necho " + want.script + "\n",
		} {
			if got := s.rootFile(t, name, file); got != want {
				t.Errorf("%s: %s is %q, want %q", name, file, got, want)
			}
		}
		if key1 := s.rootFile(t, name, "etc/ssh/ssh_host_ed25519_key"); !strings.HasPrefix(key1, "-----BEGIN OPENSSH PRIVATE KEY-----") {
			t.Errorf("%s: the host key is %q", name, key1)
		}
	}
	if a, b := s.rootFile(t, "caddy-1", "etc/ssh/ssh_host_ed25519_key"), s.rootFile(t, "caddy-2", "etc/ssh/ssh_host_ed25519_key"); a == b {
		t.Error("two nodes share their ssh host key")
	}

	// Rebuilding takes another drive, or keeps the one that is there.
	s.ok("node", "rebuild", "caddy-2", "--config-drive", `{"meta_data": {"hostname": "again-2"}}`, "--wait")
	if got := s.rootFile(t, "caddy-2", "etc/hostname"); got != "again-2\n" {
		t.Errorf("after a rebuild with a drive: %q", got)
	}
	if got := s.rootFile(t, "caddy-2", "root/.ssh/authorized_keys"); got != "(none)" {
		t.Errorf("after a rebuild with a drive without keys: %q", got)
	}
	s.ok("node", "rebuild", "caddy-1", "--wait")
	if got := s.rootFile(t, "caddy-1", "etc/hostname"); got != "web-1.example\n" {
		t.Errorf("after a rebuild without a drive: %q", got)
	}
}

// TestHostileDeploys are attacks 3 and 9: config drives and kernel parameters
// that are refused with the request.
func TestHostileDeploys(t *testing.T) {
	t.Parallel()
	s := startDemo(t)
	s.available("caddy-1")
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := z.Write(make([]byte, 65<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		drive any
		info  map[string]any
		says  string
	}{
		"bomb":       {base64.StdEncoding.EncodeToString(bomb.Bytes()), nil, "exceeds the limit"},
		"no image":   {base64.StdEncoding.EncodeToString([]byte("hello")), nil, "not an ISO 9660 image"},
		"local URL":  {"http://169.254.169.254/openstack", nil, "private or local address"},
		"bad name":   {map[string]any{"meta_data": map[string]any{"hostname": "a b"}}, nil, "cannot be a host name"},
		"bad key":    {map[string]any{"meta_data": map[string]any{"public_keys": []string{"x"}}}, nil, "public key"},
		"newline":    {nil, map[string]any{"kernel_append_params": "quiet\ninit=/bin/sh"}, "one line"},
		"quotes":     {nil, map[string]any{"kernel_append_params": "\"; reboot"}, "quotes"},
		"too long":   {nil, map[string]any{"kernel_append_params": strings.Repeat("x", 5<<10)}, "at most"},
		"other root": {nil, map[string]any{"kernel_append_params": "root=/dev/mmcblk0p2"}, "leave it out"},
		"no text":    {nil, map[string]any{"kernel_append_params": 5}, "must be a text"},
	} {
		if tc.info == nil {
			tc.info = map[string]any{}
		}
		s.api.patch("caddy-1", "/instance_info", tc.info)
		body, err := json.Marshal(map[string]any{"target": "active", "configdrive": tc.drive})
		if err != nil {
			t.Fatal(err)
		}
		if a := s.api.send(http.MethodPut, "/v1/nodes/caddy-1/states/provision", body); a.status != 400 || !strings.Contains(a.fault(), tc.says) {
			t.Errorf("%s: %d %q", name, a.status, a.fault())
		}
	}
	s.api.patch("caddy-1", "/instance_info", map[string]any{"kernel_append_params": "loglevel=3"})
	s.deploy("caddy-1")
}

// publicKey is the public half of a new key.
func publicKey(t *testing.T) string {
	t.Helper()
	_, public := keyPair(t)
	return public
}
