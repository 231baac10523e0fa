//go:build keystone

package keystone

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"
)

// password is everybody's.
const password = "only-here"

// identity is a running Keystone with an administrator's token.
type identity struct {
	t        *testing.T
	url      string
	token    string
	projects map[string]string // ids by name
	roles    map[string]string
}

func startKeystone(t *testing.T) *identity {
	t.Helper()
	folder, err := os.MkdirTemp("/dev/shm", "keystone-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binding does not block
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	listener, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close() // listener is a copy
	k := &identity{t: t, url: fmt.Sprintf("http://127.0.0.1:%d/v3", port), projects: map[string]string{}, roles: map[string]string{}}
	background(t, "keystone", []*os.File{listener}, "./keystone", folder, strconv.Itoa(port), password, "3")
	_ = listener.Close() // if Keystone ends, nobody listens
	eventually(t, 3*time.Minute, "keystone answers", func() bool {
		resp, err := http.Get(k.url) //nolint:noctx // loopback
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	k.token = k.login("admin", map[string]any{"system": map[string]any{"all": true}})
	var list struct{ Roles []struct{ ID, Name string } }
	k.call("GET", "/roles", nil, &list)
	for _, r := range list.Roles {
		k.roles[r.Name] = r.ID
	}
	return k
}

// call sends a request as the administrator.
func (k *identity) call(method, path string, body, into any) http.Header {
	k.t.Helper()
	return k.send(method, path, map[string]string{"X-Auth-Token": k.token}, body, into)
}

func (k *identity) send(method, path string, header map[string]string, body, into any) http.Header {
	k.t.Helper()
	text := []byte{}
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			k.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(k.t.Context(), method, k.url+path, bytes.NewReader(text))
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		k.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		k.t.Fatalf("keystone: %s %s: %s", method, path, resp.Status)
	}
	if into != nil {
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			k.t.Fatal(err)
		}
	}
	return resp.Header
}

// login returns a token; nil is no scope.
func (k *identity) login(user string, scope map[string]any) string {
	k.t.Helper()
	auth := map[string]any{"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{
		"user": map[string]any{"name": user, "domain": map[string]any{"id": "default"}, "password": password}}}}
	if scope != nil {
		auth["scope"] = scope
	} else {
		auth["scope"] = "unscoped"
	}
	return k.send("POST", "/auth/tokens", nil, map[string]any{"auth": auth}, nil).Get("X-Subject-Token")
}

func (k *identity) revoke(token string) {
	k.t.Helper()
	k.send("DELETE", "/auth/tokens", map[string]string{"X-Auth-Token": k.token, "X-Subject-Token": token}, nil, nil)
}

func (k *identity) addProject(name string) {
	k.t.Helper()
	var made struct{ Project struct{ ID string } }
	k.call("POST", "/projects", map[string]any{"project": map[string]any{"name": name, "domain_id": "default"}}, &made)
	k.projects[name] = made.Project.ID
}

func (k *identity) addRole(name string) {
	k.t.Helper()
	var made struct{ Role struct{ ID string } }
	k.call("POST", "/roles", map[string]any{"role": map[string]any{"name": name}}, &made)
	k.roles[name] = made.Role.ID
}

// addUser makes an account with a role in a project, or for the whole system.
func (k *identity) addUser(name, project, role string) {
	k.t.Helper()
	var made struct{ User struct{ ID string } }
	k.call("POST", "/users", map[string]any{"user": map[string]any{"name": name, "domain_id": "default", "password": password}}, &made)
	on := "/system"
	if project != "" {
		on = "/projects/" + k.projects[project]
	}
	k.call("PUT", on+"/users/"+made.User.ID+"/roles/"+k.roles[role], nil, nil)
}

// register puts the service into the catalog.
func (k *identity) register(url string) {
	k.t.Helper()
	var made struct{ Service struct{ ID string } }
	k.call("POST", "/services", map[string]any{"service": map[string]any{"type": "baremetal", "name": "caddyshack"}}, &made)
	k.call("POST", "/endpoints", map[string]any{"endpoint": map[string]any{
		"service_id": made.Service.ID, "interface": "public", "region_id": "RegionOne", "url": url}}, nil)
}
