//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// TestBasicAuth runs with users from a file of bcrypt entries.
func TestBasicAuth(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hash, err := bcrypt.GenerateFromPassword([]byte("swordfish"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(dir, "users")
	if err := os.WriteFile(users, fmt.Appendf(nil, "ann:%s\n", hash), 0o600); err != nil {
		t.Fatal(err)
	}
	config, _ := settings{dir: dir, api: fmt.Sprintf("auth = \"http_basic\"\nhtpasswd_file = %q", users)}.write(t)
	p := startProgram(t, "serve", "--config", config)
	as := func(user, password string) *cli {
		return &cli{t: t, env: map[string]string{"OS_AUTH_TYPE": "http_basic", "OS_ENDPOINT": p.ready.API, "OS_USERNAME": user, "OS_PASSWORD": password}}
	}
	ann := as("ann", "swordfish")
	ann.ok("node", "create", "--driver", "fake-hardware", "--name", "fake-1")
	if r := ann.program("node", "show", "fake-1"); r.code != 0 {
		t.Errorf("as ann: %v", r)
	}
	as("ann", "wrong").refused([]string{"401"}, "node", "list")
	as("bob", "swordfish").refused([]string{"401"}, "node", "list")
	newCLI(t, p.ready.API).refused([]string{"401"}, "node", "list")

	open := api{t: t, base: p.ready.API}
	for path, want := range map[string]int{"/": 200, "/v1": 200, "/healthcheck": 200, "/v1/nodes": 401} {
		if got := open.send(http.MethodGet, path, nil); got.status != want {
			t.Errorf("GET %s without a password: %d, want %d", path, got.status, want)
		}
	}
	own := func(env ...string) result { return run(t, append(env, "OS_ENDPOINT="+p.ready.API), binary(), "nodes") }
	if r := own("OS_USERNAME=ann", "OS_PASSWORD=swordfish"); r.code != 0 || !strings.Contains(r.stdout, "fake-1") {
		t.Errorf("our own client as ann: %v", r)
	}
	if r := own(); r.code != 1 || !strings.Contains(r.stderr, "OS_USERNAME") {
		t.Errorf("our own client as nobody: %v", r)
	}
	for _, log := range []string{p.stdout(), p.stderr()} {
		if strings.Contains(log, "swordfish") {
			t.Error("the password is in the log")
		}
	}
}
