package ironicapi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"caddyshack/baremetal"
	"caddyshack/ironicapi"
)

// TestDeepNesting: the body is refused before it is parsed. It counts the
// goroutines of the process, so it runs alone.
func TestDeepNesting(t *testing.T) {
	r := newRig(t)
	id := r.node(nil)
	deep := strings.Repeat("[", 60_000)
	nested := func(levels int) string {
		return `{"driver":"fake-hardware","extra":` + strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels) + "}"
	}
	before := runtime.NumGoroutine()
	for body, want := range map[string]int{deep: 400, `{"extra":` + deep: 400, nested(25): 400, nested(24): 201} {
		if a := r.at(82, "POST", "/v1/nodes", body); a.status != want {
			t.Errorf("%.20s…: got %d %s, want %d", body, a.status, a.text, want)
		}
	}
	if a := r.at(82, "PATCH", "/v1/nodes/"+id, deep); a.status != 400 || !strings.Contains(a.fault(), "nests deeper than 25") {
		t.Errorf("patch: %d %s", a.status, a.text)
	}
	if after := runtime.NumGoroutine(); after > before+20 {
		t.Errorf("%d goroutines grew to %d", before, after)
	}
}

// endless is a body that never ends by itself.
type endless struct{ sent int64 }

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	e.sent += int64(len(b))
	return len(b), nil
}

func TestLargeBodies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.node(nil)
	for path, limit := range map[string]int64{"/v1/nodes/" + id: 1 << 20, "/v1/nodes/" + id + "/states/provision": 64 << 20} {
		method := http.MethodPatch
		if limit > 1<<20 {
			method = http.MethodPut
		}
		body := &endless{}
		req := httptest.NewRequestWithContext(t.Context(), method, path, body) // unknown length, as with chunks
		if a := r.send(req); a.status != 413 {
			t.Errorf("%s in chunks: got %d %s", path, a.status, a.text)
		}
		if body.sent > 2*limit+1<<20 {
			t.Errorf("%s: %d bytes were read", path, body.sent)
		}
		req = httptest.NewRequestWithContext(t.Context(), method, path, &endless{})
		req.ContentLength = 200 << 20
		if a := r.send(req); a.status != 413 {
			t.Errorf("%s announced: got %d", path, a.status)
		}
	}
}

// TestSlowClients: the server's own deadlines end a request that drips in, and others go on.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := ironicapi.NewServer(r.handler)
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.ReadTimeout > 30*time.Second || s.WriteTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes > 1<<16 {
		t.Fatalf("deadlines: %+v", s)
	}
	// Long enough for the other client, on a slow machine too.
	s.ReadHeaderTimeout, s.ReadTimeout = 5*time.Second, 5*time.Second
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed by the server
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	for name, head := range map[string]string{
		"header": "GET /v1/nodes HTTP/1.1\r\nHost: x\r\nX-",
		"body":   "POST /v1/nodes HTTP/1.1\r\nHost: x\r\nX-OpenStack-Ironic-API-Version: 1.82\r\nContent-Length: 1000\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d net.Dialer
			conn, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close() //nolint:errcheck // the server closed it
			if _, err := io.WriteString(conn, head); err != nil {
				t.Fatal(err)
			}
			resp, err := http.Get("http://" + l.Addr().String() + "/v1") //nolint:noctx // others are served meanwhile
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("another client was not served: %v", err)
			} else {
				_ = resp.Body.Close()
			}
			if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(conn); err != nil {
				t.Errorf("the server did not hang up: %v", err)
			}
		})
	}
}

func TestSecretsAreMasked(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := newRig(t, func(c *ironicapi.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	const secret = "hunter2hunter2"
	a := r.must(201, "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "driver_info": map[string]any{
		"ipmi_password": secret, "snmp_auth_key": secret, "API_Token": secret, "slot": 1,
		"nested": map[string]any{"list": []any{map[string]any{"client_secret": secret}}}},
		"instance_info": map[string]any{"image_url": secret, "configdrive": secret, "image_pull_secret": secret, "image_source": "x"}})
	id, _ := a.body["uuid"].(string)
	r.backend.Edit(id, func(n *node) { n.DriverInternalInfo = `{"agent_secret_token":"` + secret + `","x":1}` })
	replies := []answer{a,
		r.must(200, "GET", "/v1/nodes/"+id, nil),
		r.must(200, "GET", "/v1/nodes/detail", nil),
		r.must(200, "GET", "/v1/nodes?fields=driver_info,instance_info,driver_internal_info", nil),
		r.must(200, "PATCH", "/v1/nodes/"+id, op("add", "/driver_info/other_password", secret)),
		// copies and tests must not tell what the mask hides
		r.must(200, "PATCH", "/v1/nodes/"+id, []any{map[string]any{"op": "copy", "from": "/driver_info/ipmi_password", "path": "/extra/x"}}),
		r.at(82, "PATCH", "/v1/nodes/"+id, op("test", "/driver_info/ipmi_password", secret)),
		r.at(82, "PATCH", "/v1/nodes/"+id, []any{map[string]any{"op": "move", "from": "/driver_info/ipmi_password", "path": "/driver_info/moved_password"}}),
		r.at(82, "PATCH", "/v1/nodes/"+id, op("add", "/driver_info/"+secret+"/x", secret)),
	}
	for i, a := range replies[:8] {
		if strings.Contains(a.text, secret) {
			t.Errorf("reply %d shows a secret: %s", i, a.text)
		}
	}
	if replies[6].status != 400 || replies[7].status != 400 {
		t.Errorf("test and move of a secret answered %d, %d", replies[6].status, replies[7].status)
	}
	if strings.Contains(log.String(), secret) {
		t.Errorf("the log shows a secret: %s", log.String())
	}
	if info := replies[1].body["driver_info"].(map[string]any); info["ipmi_password"] != "******" || info["slot"] != 1.0 {
		t.Errorf("driver_info: %v", info)
	}

	// what was read comes back with a change, as clients do it
	info := r.must(200, "GET", "/v1/nodes/"+id, nil).body["driver_info"].(map[string]any)
	info["slot"] = 2
	r.must(200, "PATCH", "/v1/nodes/"+id, op("replace", "/driver_info", info))
	n, err := r.backend.Node(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	list, _ := n.DriverInfo.Get("nested").(map[string]any)["list"].([]any)
	if n.DriverInfo.Str("ipmi_password") != secret || n.DriverInfo.Str("slot") != "2" || list[0].(map[string]any)["client_secret"] != secret {
		t.Errorf("stored: %s", n.DriverInfo)
	}
	if a := r.at(82, "PATCH", "/v1/nodes/"+id, op("add", "/driver_info/new_password", "******")); a.status != 400 {
		t.Errorf("a mask without a secret: %d %s", a.status, a.text)
	}
	r.must(200, "PATCH", "/v1/nodes/"+id, op("replace", "/driver_info/ipmi_password", "other"))
	if n, _ = r.backend.Node(t.Context(), id); n.DriverInfo.Str("ipmi_password") != "other" {
		t.Errorf("the new password is not stored: %s", n.DriverInfo)
	}
}

func TestOddNames(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node(map[string]any{"name": "Caddy"})
	for _, name := range []any{"a\x00b", "a\u202eb", "a/b", strings.Repeat("a", 256), "a b", "", "ä", instance, "maintenance", 5} {
		if a := r.at(82, "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": name}); a.status != 400 {
			t.Errorf("name %q: got %d %s", name, a.status, a.text)
		}
	}
	for _, name := range []string{"__proto__", "caddy", strings.Repeat("a", 255)} {
		r.node(map[string]any{"name": name})
		if a := r.must(200, "GET", "/v1/nodes/"+name, nil); a.body["name"] != name {
			t.Errorf("name %q: %s", name, a.text)
		}
	}
	if a := r.must(200, "GET", "/v1/nodes/Caddy", nil); a.body["name"] != "Caddy" {
		t.Errorf("names are told apart by case: %s", a.text)
	}
	for _, body := range []string{`{"driver":"fake-hardware","description":"a\u0000b"}`, "{\"driver\":\"fake-hardware\",\"description\":\"\xff\"}"} {
		if a := r.at(82, "POST", "/v1/nodes", body); a.status != 400 {
			t.Errorf("%q: got %d %s", body, a.status, a.text)
		}
	}
	for _, query := range []string{"owner=%00", "owner=%ff", "marker=%00", "%zz=1"} {
		if a := r.at(82, "GET", "/v1/nodes?"+query, nil); a.status != 400 {
			t.Errorf("%s: got %d", query, a.status)
		}
	}
	odd := map[string]any{"__proto__": 1, "\u202e": "\u202e", "": ""}
	if a := r.must(201, "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "extra": odd}); a.body["extra"].(map[string]any)["__proto__"] != 1.0 {
		t.Errorf("extra: %s", a.text)
	}
}

func TestHostilePatches(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.node(map[string]any{"extra": map[string]any{"a": []any{1, 2}, "s": strings.Repeat("x", 1000)}})
	many := make([]any, 10_000)
	for i := range many {
		many[i] = op("add", "/extra/b", i)[0]
	}
	double := make([]any, 0, 100)
	for i := range 100 {
		double = append(double, map[string]any{"op": "copy", "from": "/extra", "path": fmt.Sprintf("/extra/c%d", i)})
	}
	for name, ops := range map[string][]any{
		"up":              op("add", "/../uuid", "x"),
		"read-only":       op("replace", "/uuid", instance),
		"mandatory":       op("remove", "/driver", nil),
		"null mandatory":  op("replace", "/driver", nil),
		"failing test":    append(op("add", "/extra/b", 1), op("test", "/extra/b", 2)...),
		"many":            many,
		"doubling copies": double,
		"changed type":    op("replace", "/properties", "x"),
		"into a string":   op("add", "/extra/s/x", 1),
		"index":           op("add", "/extra/a/01", 1),
		"far index":       op("add", "/extra/a/3", 1),
		"whole":           op("replace", "", map[string]any{}),
		"slash":           op("replace", "/", 1),
		"no slash":        op("replace", "extra", 1),
		"bad escape":      op("add", "/extra/~2", 1),
		"unknown op":      op("frobnicate", "/extra/a", 1),
		"into itself":     {map[string]any{"op": "move", "from": "/extra/a", "path": "/extra/a/b"}},
		"not an object":   {1, "x"},
		"deep":            op("add", "/extra"+strings.Repeat("/a", 60), 1),
		"second fails":    append(op("add", "/extra/b", 1), op("remove", "/extra/nope", nil)...),
	} {
		if a := r.at(82, "PATCH", "/v1/nodes/"+id, ops); a.status != 400 {
			t.Errorf("%s: got %d %.300s", name, a.status, a.text)
		}
	}
	if a := r.must(200, "GET", "/v1/nodes/"+id, nil); a.body["updated_at"] != nil {
		t.Errorf("a refused patch changed something: %s", a.text)
	}
	a := r.must(200, "PATCH", "/v1/nodes/"+id, []any{
		map[string]any{"op": "test", "path": "/extra/a/0", "value": 1},
		map[string]any{"op": "move", "from": "/extra/a", "path": "/properties/a"},
		map[string]any{"op": "add", "path": "/properties/a/-", "value": 3},
		map[string]any{"op": "copy", "from": "/properties/a/2", "path": "/extra/a~1b"},
	})
	if got := fmt.Sprint(a.body["properties"], a.body["extra"].(map[string]any)["a/b"]); got != "map[a:[1 2 3]] 3" {
		t.Errorf("move, copy, test: %s", got)
	}
}

const hash4 = "$2y$04$"

// passwords writes a file of users; the hashes are of cost 4 to be quick.
func passwords(t *testing.T, lines ...string) string {
	t.Helper()
	path := t.TempDir() + "/htpasswd"
	writeFile(t, path, strings.Join(lines, "\n"))
	return path
}

func TestBasicAuth(t *testing.T) {
	t.Parallel()
	path := passwords(t, "# staff", "", "admin:"+bcryptOf(t, "pa:ss"))
	auth, err := ironicapi.NewBasicAuth(path)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ironicapi.SetClock(auth, func() time.Time { return now }) // who has to wait waits, however slow the rest is
	r := newRig(t, func(c *ironicapi.Config) { c.Auth = auth })
	try := func(path, user, password, from string) answer {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		req.RemoteAddr = from + ":1000"
		if user != "" {
			req.SetBasicAuth(user, password)
		}
		return r.send(req)
	}
	for _, open := range []string{"/", "/v1", "/healthcheck"} {
		if a := try(open, "", "", "10.0.0.1"); a.status != 200 {
			t.Errorf("%s without credentials: %d", open, a.status)
		}
	}
	if a := try("/v1/nodes", "", "", "10.0.0.1"); a.status != 401 || a.header.Get("WWW-Authenticate") != `Basic realm="Baremetal API"` {
		t.Errorf("without credentials: %d %v", a.status, a.header)
	}
	if a := try("/v1/nosuch", "", "", "10.0.0.1"); a.status != 401 {
		t.Errorf("an unknown path without credentials: %d", a.status)
	}
	for range 3 {
		if a := try("/v1/nodes", "admin", "pa:ss", "10.0.0.1"); a.status != 200 {
			t.Errorf("with credentials: %d %s", a.status, a.text)
		}
	}
	for _, wrong := range [][2]string{{"admin", "x"}, {"nobody", "pa:ss"}, {"admin", "pa:ss\x00x"}, {"admin", ""}} {
		if a := try("/v1/nodes", wrong[0], wrong[1], "10.0.0.2"); a.status != 401 || a.text != `{"error": {"message": "Incorrect username or password", "code": 401}}` {
			t.Errorf("%q: %d %s", wrong, a.status, a.text)
		}
	}
	// after a few failures the address has to wait; those who are known already do not notice
	if a := try("/v1/nodes", "admin", "x", "10.0.0.2"); a.status != 401 {
		t.Errorf("fifth failure: %d", a.status)
	}
	if a := try("/v1/nodes", "admin", "y", "10.0.0.2"); a.status != 429 || a.header.Get("Retry-After") == "" {
		t.Errorf("sixth try: %d %v", a.status, a.header)
	}
	if a := try("/v1/nodes", "admin", "pa:ss", "10.0.0.2"); a.status != 200 {
		t.Errorf("a remembered password of a waiting address: %d", a.status)
	}

	// brute force from one address by many at once costs few checks
	var wg sync.WaitGroup
	var mu sync.Mutex
	count := map[int]int{}
	for i := range 200 {
		wg.Go(func() {
			req := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/v1/nodes", nil)
			req.RemoteAddr = "[2001:db8::" + fmt.Sprintf("%x", i) + "]:1000" // one /64
			req.SetBasicAuth("admin", fmt.Sprint(i))
			w := httptest.NewRecorder()
			r.handler.ServeHTTP(w, req)
			mu.Lock()
			count[w.Code]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if count[401] > 10 || count[429] < 190 {
		t.Errorf("brute force: %v", count)
	}

	// a reload takes new users and forgets remembered passwords; a bad file changes nothing
	writeFile(t, path, "other:plain")
	if err := auth.Reload(); err == nil {
		t.Error("a bad file was taken")
	}
	if a := try("/v1/nodes", "admin", "pa:ss", "10.0.0.3"); a.status != 200 {
		t.Errorf("after a bad reload: %d", a.status)
	}
	writeFile(t, path, "other:"+bcryptOf(t, "x"))
	if err := auth.Reload(); err != nil {
		t.Fatal(err)
	}
	if a := try("/v1/nodes", "admin", "pa:ss", "10.0.0.3"); a.status != 401 {
		t.Errorf("a removed user: %d", a.status)
	}
}

func TestPasswordFiles(t *testing.T) {
	t.Parallel()
	good := bcryptOf(t, "x")
	for text, want := range map[string]string{
		"":                                    "there is no user in it",
		"admin":                               "line 1: it must be NAME:HASH",
		"admin:secret":                        `line 1: the password of user "admin" is not a bcrypt hash; set it with htpasswd -B`,
		"admin:$apr1$abc$def":                 "is not a bcrypt hash",
		"admin:{SHA}W6ph5Mm5Pz8GgiULbPgzG37m": "is not a bcrypt hash",
		"a:" + good + "\nb:$2y$31$" + strings.TrimPrefix(good, hash4): "line 2: the password hash of user \"b\" has cost 31",
		"a:" + good + "\na:" + good:                                   `line 2: the user "a" is there twice`,
	} {
		if _, err := ironicapi.NewBasicAuth(passwords(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	if _, err := ironicapi.NewBasicAuth(t.TempDir() + "/none"); err == nil || !strings.Contains(err.Error(), "/none USER` makes one") {
		t.Errorf("a missing file: %v", err)
	}
}

func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"cloud.test", "ftp://x", "http://", "http://x?y", ":"} {
		if _, err := ironicapi.New(ironicapi.Config{PublicEndpoint: endpoint}); err == nil {
			t.Errorf("endpoint %q was taken", endpoint)
		}
	}
	for _, origin := range []string{"*", "ui.example", "https://ui.example/x"} {
		if _, err := ironicapi.New(ironicapi.Config{Origins: []string{origin}}); err == nil {
			t.Errorf("origin %q was taken", origin)
		}
	}
	if _, err := ironicapi.New(ironicapi.Config{MaxLimit: -1}); err == nil {
		t.Error("a negative limit was taken")
	}
}

// TestAgentsGetNothing: a lookup tells nothing about nodes, and no heartbeat is believed.
func TestAgentsGetNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.node(nil)
	r.must(201, "POST", "/v1/ports", map[string]any{"node_uuid": id, "address": "aa:bb:cc:dd:ee:01"})
	known := r.must(404, "GET", "/v1/lookup?addresses=aa:bb:cc:dd:ee:01&node_uuid="+id, nil)
	unknown := r.must(404, "GET", "/v1/lookup?addresses=aa:bb:cc:dd:ee:02&node_uuid="+baremetal.NewUUID(), nil)
	if known.text != unknown.text {
		t.Errorf("known and unknown nodes are told apart:\n%s\n%s", known.text, unknown.text)
	}
	r.must(400, "POST", "/v1/heartbeat/"+id, map[string]any{"callback_url": "http://169.254.169.254/"})
	r.must(401, "POST", "/v1/heartbeat/"+id, map[string]any{"callback_url": "http://169.254.169.254/", "agent_token": "guess"})
}
