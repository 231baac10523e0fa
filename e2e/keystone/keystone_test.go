//go:build keystone

// Package keystone tests the program as part of an OpenStack cloud: Debian's
// Keystone says who asks, and the openstack client finds the service in its
// catalog. Debian packages: keystone, uwsgi-core, uwsgi-plugin-python3,
// python3-openstackclient, python3-ironicclient.
package keystone

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cloud is Keystone, the program, and people with accounts.
type cloud struct {
	*identity
	api     string // https
	caFile  string
	folder  string // with clouds.yaml
	program string
}

// The people: name, project ("" = system scope) and role.
var people = []struct{ name, project, role string }{
	{"root", "", "admin"}, {"auditor", "", "reader"},
	{"own-member", "own", "member"}, {"own-admin", "own", "admin"},
	{"let-member", "let", "member"}, {"let-admin", "let", "admin"},
	{"stranger", "xxx", "admin"}, {"nova", "service", "service"},
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	k := startKeystone(t)
	c := &cloud{identity: k, folder: t.TempDir(), program: binary(t)}
	for _, name := range []string{"service", "own", "let", "xxx"} {
		k.addProject(name)
	}
	k.addRole("service")
	k.addUser("caddyshack", "service", "service") // the service's own account needs no more
	var clouds strings.Builder
	clouds.WriteString("clouds:\n")
	cert, key := certificate(t, c.folder)
	c.caFile = cert
	for _, p := range people {
		k.addUser(p.name, p.project, p.role)
		scope := "system_scope: all"
		if p.project != "" {
			scope = fmt.Sprintf("project_name: %s, project_domain_id: default", p.project)
		}
		fmt.Fprintf(&clouds, "  %s: {auth: {auth_url: %q, username: %s, password: %s, user_domain_id: default, %s}, cacert: %q, region_name: RegionOne}\n",
			p.name, k.url, p.name, password, scope, cert)
	}
	write(t, filepath.Join(c.folder, "clouds.yaml"), clouds.String())
	c.api = c.serve(t, cert, key, "")
	k.register(c.api)
	return c
}

// serve starts the program; its account at Keystone is in a file in OpenStack's own form.
func (c *cloud) serve(t *testing.T, cert, key, more string) string {
	t.Helper()
	folder := t.TempDir()
	oslo := filepath.Join(folder, "caddyshack.conf")
	write(t, oslo, fmt.Sprintf(`[keystone_authtoken]
auth_type = password
auth_url = %s
username = caddyshack
password = %s
user_domain_name = Default
project_name = service
project_domain_name = Default
www_authenticate_uri = %s
memcached_servers = localhost:11211
cafile =
`, strings.TrimSuffix(c.url, "/v3"), password, c.url))
	config := filepath.Join(folder, "caddyshack.toml")
	write(t, config, fmt.Sprintf(`state_dir = %q
[api]
listen = "127.0.0.1:0"
auth = "keystone"
tls_cert = %q
tls_key = %q
[api.keystone]
oslo_file = %q
token_cache_time = "1s"
%s
[broker]
listen = "127.0.0.1:0"
password = "x"
[boot]
address = "127.0.0.1"
tftp_listen = "127.0.0.1:0"
phone_home_listen = "127.0.0.1:0"
nfs_listen = "127.0.0.1:0"
[console]
listen = "127.0.0.1:0"
`, filepath.Join(folder, "state"), cert, key, oslo, more))
	ready := filepath.Join(folder, "ready")
	background(t, "caddyshack", nil, c.program, "serve", "--config", config, "--ready-file", ready)
	var said struct{ API string }
	eventually(t, 2*time.Minute, "caddyshack is ready", func() bool {
		text, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(text, &said) == nil
	})
	return said.API
}

// openstack runs the real client as one of the people.
func (c *cloud) openstack(t *testing.T, who string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openstack", append([]string{"--os-cloud", who, "baremetal"}, args...)...)
	cmd.Dir = c.folder
	cmd.Env = append(os.Environ(), "OS_CLIENT_CONFIG_FILE="+filepath.Join(c.folder, "clouds.yaml"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestKeystone(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	t.Run("client", func(t *testing.T) { testClient(t, c) })
	t.Run("tokens", func(t *testing.T) { testTokens(t, c) })
}

func testClient(t *testing.T, c *cloud) {
	t.Parallel()
	must := func(who string, args string, want ...string) string {
		t.Helper()
		out, err := c.openstack(t, who, strings.Fields(args)...)
		if err != nil {
			t.Errorf("%s: %s: %v\n%s", who, args, err, out)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%s: %s: %q is not in\n%s", who, args, w, out)
			}
		}
		return out
	}
	refused := func(who, want, args string) {
		t.Helper()
		if out, err := c.openstack(t, who, strings.Fields(args)...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %s: %v, want %q in\n%s", who, args, err, want, out)
		}
	}
	// this client sets an owner only on a node that is there
	must("root", "node create --driver fake-hardware --name lent --driver-info address=10.9.8.7 --driver-info password=hunter2", "enroll")
	must("root", "node set lent --owner "+c.projects["own"]+" --lessee "+c.projects["let"])
	must("root", "node create --driver fake-hardware --name foreign")
	must("root", "node set foreign --owner "+c.projects["xxx"])

	t.Run("people", func(t *testing.T) {
		for name, test := range map[string]func(){
			"auditor": func() {
				must("auditor", "node list -f value -c Name", "lent", "foreign")
				refused("auditor", "Access was denied", "node power on lent")
			},
			"owner": func() {
				if out := must("own-member", "node list -f value -c Name", "lent"); strings.Contains(out, "foreign") {
					t.Errorf("the owner sees other projects' nodes:\n%s", out)
				}
				must("own-member", "node show lent -f json -c driver_info", "10.9.8.7", "******")
				refused("own-member", "Node foreign could not be found", "node show foreign")
				refused("own-member", "Access was denied", "node set lent --owner "+c.projects["xxx"])
				must("own-admin", "node create --driver fake-hardware --name mine -f value -c owner", c.projects["own"])
			},
			"lessee": func() {
				if out := must("let-member", "node show lent -f json", "Redacted - requires baremetal:node:get:driver_info"); strings.Contains(out, "10.9.8.7") {
					t.Errorf("the lessee sees the infrastructure:\n%s", out)
				}
				refused("let-member", "Access was denied to the following resource: baremetal:node:update:driver_info", "node set lent --driver-info a=b")
				refused("let-member", "Access was denied", "node console show lent")
				refused("let-member", "Access was denied", "node manage lent")
				must("let-admin", "node manage lent --wait 60")
				must("let-member", "node power on lent")
			},
			"stranger": func() {
				refused("stranger", "could not be found", "node show lent")
				refused("stranger", "could not be found", "node power off lent")
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test()
			})
		}
	})
	if out := must("nova", "node list -f value -c Name"); strings.TrimSpace(out) != "" {
		t.Errorf("a service without elevated rights sees:\n%s", out)
	}
}

func testTokens(t *testing.T, c *cloud) {
	t.Parallel()
	elevated := c.serve(t, c.caFile, filepath.Join(c.folder, "key.pem"), "rbac_service_role_elevated_access = true")
	client := c.https(t)
	ask := func(base, path, token string) (int, http.Header) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("X-Auth-Token", token)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode, resp.Header
	}
	get := func(base, path, token string) int {
		t.Helper()
		status, _ := ask(base, path, token)
		return status
	}
	for _, token := range []string{"", "gAAAAABnonsense"} {
		status, header := ask(c.api, "/v1/nodes", token)
		if want := fmt.Sprintf("Keystone uri=%q", c.url); status != http.StatusUnauthorized || header.Get("WWW-Authenticate") != want {
			t.Errorf("token %q: %d %q, want 401 %q", token, status, header.Get("WWW-Authenticate"), want)
		}
	}
	if status := get(c.api, "/v1", ""); status != 200 {
		t.Errorf("the versions without a token: %d", status)
	}
	unscoped := c.login("own-member", nil)
	if status := get(c.api, "/v1/nodes", unscoped); status != 403 {
		t.Errorf("a token without scope: %d, want 403", status)
	}
	nova := c.login("nova", map[string]any{"project": map[string]any{"id": c.projects["service"]}})
	if status := get(c.api, "/v1/drivers", nova); status != 403 {
		t.Errorf("a service without elevated rights: %d, want 403", status)
	}
	if status := get(elevated, "/v1/drivers", nova); status != 200 {
		t.Errorf("a service with elevated rights: %d, want 200", status)
	}

	member := c.login("own-member", map[string]any{"project": map[string]any{"id": c.projects["own"]}})
	if status := get(c.api, "/v1/nodes", member); status != 200 {
		t.Fatalf("a good token: %d", status)
	}
	c.revoke(member)
	eventually(t, time.Minute, "the revoked token is refused", func() bool { return get(c.api, "/v1/nodes", member) == http.StatusUnauthorized })
}
