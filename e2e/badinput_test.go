//go:build e2e

package e2e

import (
	"archive/tar"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadRequests sends what the service must refuse with words.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *site) {
		s.refused([]string{"Node nobody could not be found", "404"}, "node", "power", "on", "nobody")
		s.refused([]string{"No valid host was found", "wrongdriver"}, "node", "create", "--driver", "wrongdriver")
		s.refused([]string{`The requested action "provide" can not be performed on node`, `"enroll"`}, "node", "provide", "caddy-1")
		s.refused([]string{`"active"`, `"enroll"`}, "node", "deploy", "caddy-1")
		s.refused([]string{"shiny"}, "node", "set", "caddy-1", "--deploy-interface", "shiny")
		for _, c := range []struct {
			name, method, path, body string
			status                   int
			says                     string
		}{
			{"no JSON", http.MethodPost, "/v1/nodes", `{"driver": `, 400, "JSON"},
			{"JSON of the wrong kind", http.MethodPost, "/v1/nodes", `["driver"]`, 400, ""},
			{"wrong type", http.MethodPost, "/v1/nodes", `{"driver": 7}`, 400, "7 is not of type"},
			{"unknown field", http.MethodPost, "/v1/nodes", `{"driver": "caddy", "colour": "red"}`, 400, "colour"},
			{"no driver", http.MethodPost, "/v1/nodes", `{"name": "x"}`, 400, "driver"},
			{"unknown query", http.MethodGet, "/v1/nodes?colour=red", "", 400, "colour"},
			{"unknown power state", http.MethodPut, "/v1/nodes/caddy-1/states/power", `{"target": "half"}`, 400, "half"},
			{"unknown verb", http.MethodPut, "/v1/nodes/caddy-1/states/provision", `{"target": "explode"}`, 400, "explode"},
			{"unknown path", http.MethodGet, "/v1/nonsense", "", 404, ""},
			{"wrong method", http.MethodPatch, "/v1/drivers", "[]", 405, ""},
			{"a patch that is none", http.MethodPatch, "/v1/nodes/caddy-1", `{"name": "x"}`, 400, ""},
			{"a patch of what is read only", http.MethodPatch, "/v1/nodes/caddy-1", `[{"op":"replace","path":"/power_state","value":"power on"}]`, 400, "power_state"},
			{"allocation of nothing", http.MethodPost, "/v1/allocations", `{"name": "x"}`, 400, "resource_class"},
		} {
			got := s.api.send(c.method, c.path, []byte(c.body))
			if got.status != c.status || !strings.Contains(got.fault(), c.says) || (got.fault() == "" && c.status != http.StatusMethodNotAllowed) {
				t.Errorf("%s: %d %q, want %d and %q\n%s", c.name, got.status, got.fault(), c.status, c.says, got.body)
			}
		}
		if n := s.api.node("caddy-1"); n.LastError != nil || n.Provision != "enroll" {
			t.Errorf("requests that were refused left last_error %q, state %s", text(n.LastError), n.Provision)
		}
	})
}

// TestBadDeploys deploys what cannot work. Each failure is told where people
// look, and a good deploy works afterwards.
func TestBadDeploys(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *site) {
		for _, n := range []string{"caddy-1", "caddy-12", "caddy-13"} {
			s.available(n)
		}
		s.refused([]string{"network switch"}, "node", "deploy", "caddy-12")
		s.refused([]string{"Odroid"}, "node", "deploy", "caddy-13")
		drive := filepath.Join(t.TempDir(), "drive")
		if err := os.WriteFile(drive, []byte("aGVsbG8="), 0o600); err != nil {
			t.Fatal(err)
		}
		s.refused([]string{"not an ISO 9660 image"}, "node", "deploy", "caddy-1", "--config-drive", drive)
		for _, n := range []string{"caddy-12", "caddy-13"} {
			s.api.power(n, "power on")
			s.awaitPower("power on", n)
		}
		refusedAtOnce(t, s)
		failedLater(t, s)
		s.api.patch("caddy-1", "/instance_info", map[string]any{})
		s.deploy("caddy-1")
	})
}

// refusedAtOnce holds images that are refused with the request.
func refusedAtOnce(t *testing.T, s *site) {
	t.Helper()
	if err := os.Symlink("/etc/passwd", filepath.Join(s.images, "link")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		info map[string]any
		says string
	}{
		{"absent file", map[string]any{"image_source": "file://" + s.images + "/nothing.tar"}, "does not exist"},
		{"foreign folder", map[string]any{"image_source": "file:///usr/share/x.tar"}, "is not in an allowed folder"},
		{"system folder", map[string]any{"image_source": "file:///etc/passwd"}, "system folder"},
		{"link out", map[string]any{"image_source": "file://" + s.images + "/link"}, "leads to a system folder"},
		{"no checksum", map[string]any{"image_source": "http://93.184.215.14/root.tar"}, "needs a checksum"},
		{"private address", map[string]any{"image_source": "http://192.168.7.7/root.tar", "image_checksum": strings.Repeat("0", 64)}, "is a private or local address"},
		{"scheme", map[string]any{"image_source": "ftp://example.org/root.tar"}, "is not supported"},
		{"no URL", map[string]any{"image_source": "root.tar"}, "has no scheme"},
		{"unknown builtin", map[string]any{"image_source": "builtin:nothing"}, "there is no builtin image"},
	} {
		s.api.patch("caddy-1", "/instance_info", c.info)
		if said := s.refused(nil, "node", "deploy", "caddy-1"); !strings.Contains(said, c.says) {
			t.Errorf("%s: want %q, the client shows %q", c.name, c.says, said)
		}
		if n := s.api.node("caddy-1"); n.Provision != "available" {
			t.Fatalf("%s: the node is %q after a refused deploy", c.name, n.Provision)
		}
	}
}

// failedLater holds images that are found bad while they are deployed.
func failedLater(t *testing.T, s *site) {
	t.Helper()
	good := smallRoot()
	with := func(name string, e ...entry) string {
		return writeArchive(t, s.images, name+".tar.gz", append(e, good...))
	}
	notAnArchive := filepath.Join(s.images, "text.tar.gz")
	if err := os.WriteFile(notAnArchive, []byte(strings.Repeat("no archive\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(s.images, "outside")
	for _, c := range []struct {
		name, url, checksum string
		says                []string
	}{
		{"wrong checksum", with("checksum"), strings.Repeat("0", 64), []string{"wrong checksum"}},
		{"parent names", with("parent", entry{name: "../../../../../../../.." + outside, content: "x"}), "", []string{"leaves the root"}},
		{"absolute names", with("absolute", entry{name: outside, content: "x"}), "", []string{"absolute"}},
		{"hard link to outside", with("hardlink", entry{name: "etc/shadow", kind: tar.TypeLink, link: "../../../../../../../etc/shadow"}), "", []string{"hard link", "leaves the root"}},
		{"hard link to nothing", with("hardlink2", entry{name: "etc/shadow", kind: tar.TypeLink, link: "etc/nothing"}), "", []string{"etc/nothing"}},
		{"write through a link", with("symlink", entry{name: "out", kind: tar.TypeSymlink, link: s.images}, entry{name: "out/outside", content: "x"}), "", []string{"symbolic link", "out"}},
		{"bomb", with("bomb", entry{name: "zeros", zeros: 400 << 20}), "", []string{"times"}},
		{"no archive", "file://" + notAnArchive, "", []string{"archive"}},
		{"no kernel", writeArchive(t, s.images, "nokernel.tar.gz", good[4:]), "", []string{"no kernel"}},
	} {
		info := map[string]any{"image_source": c.url}
		if c.checksum != "" {
			info["image_checksum"] = c.checksum
		}
		s.api.patch("caddy-1", "/instance_info", info)
		if r := s.try("node", "deploy", "caddy-1"); r.code != 0 {
			t.Errorf("%s: %v", c.name, r)
			continue
		}
		n := s.awaitDeployed("caddy-1")
		if n.Provision != "deploy failed" {
			t.Fatalf("%s: the deploy ended in %q", c.name, n.Provision)
		}
		for _, want := range c.says {
			if !strings.Contains(text(n.LastError), want) {
				t.Errorf("%s: last_error must say %q: %s", c.name, want, text(n.LastError))
			}
		}
		if h := strings.Join(s.api.history("caddy-1"), "\n"); !strings.Contains(h, c.says[0]) {
			t.Errorf("%s: the history must say %q:\n%s", c.name, c.says[0], h)
		}
		if _, err := os.Lstat(outside); err == nil {
			t.Fatalf("%s: a file was written outside of the root", c.name)
		}
	}
	s.api.patch("caddy-1", "/instance_info", map[string]any{"image_source": writeArchive(t, s.images, "good.tar.gz", good)})
	s.deploy("caddy-1")
	s.api.provision("caddy-1", "deleted")
	s.awaitState("caddy-1", "available")
}
