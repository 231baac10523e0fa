package keystone

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func readText(t *testing.T, text string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "caddyshack.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return ReadINI(path)
}

// What a development cloud's scripts write.
func TestReadINI(t *testing.T) {
	t.Parallel()
	got, err := readText(t, `
[DEFAULT]
debug = True

[keystone_authtoken]
# a comment
memcached_servers = localhost:11211
cafile =
project_domain_name = Default
project_name = service
user_domain_name = Default
password = s3=cr:et
username = caddyshack
auth_url = http://10.0.0.1/identity
interface = public
auth_type = password
www_authenticate_uri: http://10.0.0.1/identity
token_cache_time = 60
service_token_roles = service,
    admin
insecure = True
`)
	want := Config{AuthURL: "http://10.0.0.1/identity", Username: "caddyshack", Password: "s3=cr:et", UserDomainName: "Default",
		ProjectName: "service", ProjectDomainName: "Default", WWWAuthenticateURI: "http://10.0.0.1/identity",
		CacheTime: time.Minute, ServiceTokenRoles: []string{"service", "admin"}, Insecure: true}
	if err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("%v %s", err, cmp.Diff(want, got))
	}
	got, err = readText(t, "[keystone_authtoken]\nauth_section = login\ntoken_cache_time = -1\n[login]\nauth-url = http://k\nsystem_scope = all\n")
	if err != nil || got.AuthURL != "http://k" || !got.SystemScope || got.CacheTime >= 0 {
		t.Errorf("%v %+v", err, got)
	}
}

func TestReadINIErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"[other]\na = b\n":                                          "conf:1: there is no section [keystone_authtoken]",
		"[keystone_authtoken\n":                                     "conf:1: \"[keystone_authtoken\" is not a section",
		"[keystone_authtoken]\nhunter2\n":                           "conf:2: a line is neither",
		"[keystone_authtoken]\nauth_type = v3oidc\n":                "conf:2: auth_type: \"v3oidc\" is not supported",
		"[keystone_authtoken]\nauth_section = x\n":                  "conf:2: auth_section: there is no section [x]",
		"[keystone_authtoken]\n\ntoken_cache_time = soon\n":         "conf:3: token_cache_time:",
		"[keystone_authtoken]\ninsecure = maybe\n":                  "conf:2: insecure:",
		"[keystone_authtoken]\nauth_url = x\nsystem_scope = some\n": "conf:3: system_scope:",
	} {
		if _, err := readText(t, text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := ReadINI("/nowhere/x.conf"); err == nil || !strings.Contains(err.Error(), "/nowhere/x.conf") {
		t.Errorf("missing file: %v", err)
	}
}
