package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"

	"caddyshack/internal/heldport"
)

// TestCommandsSayWhatToDo: whatever is wrong with the service or the way to it,
// a command's error says so in its own words, with the remedy.
func TestCommandsSayWhatToDo(t *testing.T) {
	t.Parallel()
	answer := func(status int, header, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if header != "" {
				w.Header().Set("WWW-Authenticate", header)
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
	}
	start := func(h http.Handler) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	fault := start(answer(409, "", `{"error_message": "{\"faultcode\": \"Client\", \"faultstring\": \"Node n is locked.\", \"debuginfo\": null}"}`))
	tls := httptest.NewUnstartedServer(answer(200, "", `{"nodes": []}`))
	tls.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	tls.StartTLS()
	t.Cleanup(tls.Close)
	const basic = `{"error": {"message": "Incorrect username or password", "code": 401}}`
	for name, test := range map[string]struct {
		api  api
		want string
	}{
		"what the service says": {api{Endpoint: fault}, "Node n is locked."},
		"no user":               {api{Endpoint: start(answer(401, `Basic realm="x"`, basic))}, "set OS_USERNAME and OS_PASSWORD"},
		"wrong user":            {api{Endpoint: start(answer(401, `Basic realm="x"`, basic)), Username: "ann", Password: "hunter2"}, `does not let "ann" in: check OS_USERNAME and OS_PASSWORD`},
		"half a user":           {api{Endpoint: fault, Username: "ann"}, "needs both OS_USERNAME and OS_PASSWORD"},
		"half another":          {api{Endpoint: fault, Password: "hunter2"}, "needs both OS_USERNAME and OS_PASSWORD"},
		"keystone":              {api{Endpoint: start(answer(401, `Keystone uri="http://k:5000"`, "{}"))}, "use the openstack client"},
		"too many failures":     {api{Endpoint: start(answer(429, "", `{"error": {"message": "Too many failed logins; try again later", "code": 429}}`)), Username: "ann", Password: "hunter2"}, "Too many failed logins"},
		"another web server":    {api{Endpoint: start(answer(404, "", "<html>not here</html>"))}, "answered 404: is that the address of caddyshack's API?"},
		"nobody":                {api{Endpoint: "http://" + heldport.Address(t)}, "is caddyshack running there?"},
		"not a URL":             {api{Endpoint: "127.0.0.1:6385"}, "is not a URL like http://127.0.0.1:6385"},
		"untrusted":             {api{Endpoint: tls.URL}, "OS_CACERT or --os-cacert"},
		"TLS to no TLS":         {api{Endpoint: strings.Replace(fault, "http:", "https:", 1)}, "speaks no TLS: use http://"},
		"no TLS to TLS":         {api{Endpoint: strings.Replace(tls.URL, "https:", "http:", 1)}, "speaks TLS: use https://"},
		"no such file":          {api{Endpoint: tls.URL, CACert: "/nonexistent"}, "check OS_CACERT or --os-cacert"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for command, err := range map[string]error{
				"nodes":    nodesCmd{api: test.api}.Run(t.Context()),
				"show":     showCmd{api: test.api, Node: "n"}.Run(t.Context()),
				"power":    powerCmd{api: test.api, Node: "n", Target: "on", Timeout: time.Minute}.Run(t.Context()),
				"deploy":   deployCmd{api: test.api, Node: "n", Timeout: time.Minute}.Run(t.Context()),
				"undeploy": undeployCmd{api: test.api, Node: "n", Timeout: time.Minute}.Run(t.Context()),
				"console":  consoleCmd{api: test.api, Node: "n"}.Run(t.Context()),
				"boot-log": bootLogCmd{api: test.api, Node: "n"}.Run(t.Context()),
			} {
				if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s: %v\nwant one line with %q", command, err, test.want)
				}
			}
		})
	}
}

// What people and machines write into a node must not command the terminal of who reads it.
func TestListsAreInert(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	const evil = "first\tline\nsecond \x1b]52;c;Y3VybA==\x07\x1b[2Jend"
	err := printNodes(&out, []nodes.Node{
		{Name: "n1", ProvisionState: "enroll", Description: evil},
		{Name: "n2", ProvisionState: "deploy failed", LastError: evil},
		{Name: "n3", Maintenance: true, MaintenanceReason: evil + strings.Repeat("x", 200)},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := out.String()
	if strings.ContainsAny(got, "\x1b\x07") || strings.Count(got, "\n") != 4 || strings.Count(got, "first line second ]52;c;") != 3 {
		t.Errorf("printed %q", got)
	}
}
