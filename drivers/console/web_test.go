package console

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// dialPage opens the terminal of a web console as our client does.
func dialPage(t *testing.T, rawURL string) io.ReadWriteCloser {
	t.Helper()
	conn, _, err := dial(testContext(t), rawURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Its context bounds the reads.
	conn.(*webConn).ctx = testContext(t)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func parse(t *testing.T, rawURL string) *url.URL {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestWebTerminal(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	s := newService(t, nil)
	info := start(t, s, Spec{Port: m.port(), Type: TypeShellinabox})
	far := m.conn()
	write(t, far, "booted before\r\n")
	eventually(t, "the line is read", func() bool { return s.find(nodeID).line.ring.tail() > 0 })
	a := dialPage(t, info.URL)
	if got := expect(t, a, "\n"); got != "booted before\r\n" {
		t.Errorf("the recent output: %q", got)
	}
	b := dialPage(t, info.URL)
	expect(t, b, "booted before")
	write(t, a, "id\n")
	expect(t, far, "id\n")
	write(t, far, "uid=0(root)")
	expect(t, a, "uid=0(root)")
	expect(t, b, "uid=0(root)")
}

func TestWebViewerLearnsAboutTheLine(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	s := newService(t, nil)
	info := start(t, s, Spec{Port: m.port(), Type: TypeShellinabox})
	far := m.conn()
	conn := dialPage(t, info.URL).(*webConn).conn
	ctx := testContext(t)
	next := func() (li lineInfo) {
		t.Helper()
		for {
			kind, msg, err := conn.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if kind == websocket.MessageText {
				if err := json.Unmarshal(msg, &li); err != nil {
					t.Fatal(err)
				}
				return li
			}
		}
	}
	if got := next(); got.Line != LineUp {
		t.Errorf("first: %+v", got)
	}
	addr := m.ln.Addr().String()
	_ = m.ln.Close()
	_ = far.Close()
	if got := next(); got.Line != LineDown || got.Detail == "" {
		t.Errorf("after the loss: %+v", got)
	}
	m.listen(addr)
	for next().Line != LineUp {
	}
}

// handshake asks for the terminal with the given headers, as an attacker's page
// or a stale link would.
func handshake(t *testing.T, page *url.URL, header http.Header, protocols ...string) int {
	t.Helper()
	ws := page.JoinPath("ws")
	ws.Fragment = ""
	//nolint:bodyclose // Dial has replaced the body by one that needs no closing.
	conn, resp, err := websocket.Dial(testContext(t), ws.String(), &websocket.DialOptions{HTTPHeader: header, Subprotocols: protocols})
	if err == nil {
		_ = conn.CloseNow()
	}
	if resp == nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

func TestWhoMayOpenATerminal(t *testing.T) {
	t.Parallel()
	m, n := newMachine(t), newMachine(t)
	s := newService(t, func(s *Service) { s.PublicURL = "" })
	page := parse(t, start(t, s, Spec{Port: m.port(), Type: TypeShellinabox}).URL)
	other := parse(t, start(t, s, Spec{NodeID: "other", Port: n.port(), Type: TypeShellinabox}).URL)
	token := page.Fragment
	if len(token) != 43 || token == other.Fragment {
		t.Fatalf("tokens of length %d", len(token))
	}
	unknown := s.base.JoinPath("console", "no-such-node", "/")
	own := http.Header{"Origin": {"http://" + page.Host}}
	foreign := http.Header{"Origin": {"http://evil.example"}}
	bearer := func(tok string) http.Header { return http.Header{"Authorization": {"Bearer " + tok}} }
	withToken := []string{subprotocol, tokenSubprotocol + token}
	wrong := "x" + token[1:]
	if wrong == token {
		wrong = "y" + token[1:]
	}
	for name, c := range map[string]struct {
		page      *url.URL
		header    http.Header
		protocols []string
		want      int
	}{
		"the page":             {page, own, withToken, 101},
		"the client":           {page, bearer(token), nil, 101},
		"no token":             {page, own, []string{subprotocol}, 401},
		"empty token":          {page, own, []string{subprotocol, tokenSubprotocol}, 401},
		"wrong token":          {page, own, []string{subprotocol, tokenSubprotocol + wrong}, 401},
		"cut token":            {page, bearer(token[:42]), nil, 401},
		"longer token":         {page, bearer(token + "x"), nil, 401},
		"another node's token": {page, bearer(other.Fragment), nil, 401},
		"unknown node":         {unknown, bearer(token), nil, 401},
		"foreign origin":       {page, foreign, withToken, 403},
		"null origin":          {page, http.Header{"Origin": {"null"}}, withToken, 403},
		"other port":           {page, http.Header{"Origin": {"http://127.0.0.1:1"}}, withToken, 403},
		"origin as suffix":     {page, http.Header{"Origin": {"http://" + page.Host + ".evil.example"}}, withToken, 403},
		"origin as user":       {page, http.Header{"Origin": {"http://" + page.Host + "@evil.example"}}, withToken, 403},
		"two origins":          {page, http.Header{"Origin": {"http://" + page.Host, "http://evil.example"}}, withToken, 403},
		"cross-site, unnamed":  {page, http.Header{"Sec-Fetch-Site": {"cross-site"}}, withToken, 403},
	} {
		if got := handshake(t, c.page, c.header, c.protocols...); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if err := s.Stop(t.Context(), nodeID); err != nil {
		t.Fatal(err)
	}
	if got := handshake(t, page, own, withToken...); got != 401 {
		t.Errorf("after disabling: %d, want 401", got)
	}
	// A raw console has no page, whatever token is offered.
	start(t, s, Spec{Port: m.port(), Type: TypeSocat})
	if got := handshake(t, page, bearer(""), withToken...); got != 401 {
		t.Errorf("raw console: %d, want 401", got)
	}
}

func TestPublicOriginIsOurOwn(t *testing.T) {
	t.Parallel()
	s := newService(t, func(s *Service) { s.PublicURL = "https://pis.example.org/consoles" })
	tok := parse(t, start(t, s, Spec{Port: "/dev/null", Type: TypeShellinabox}).URL).Fragment
	local := parse(t, "http://"+s.web.Addr().String()+"/console/"+nodeID+"/")
	header := http.Header{"Origin": {"https://pis.example.org"}}
	if got := handshake(t, local, header, subprotocol, tokenSubprotocol+tok); got != 101 {
		t.Errorf("through a proxy: %d, want 101", got)
	}
}

type answered struct {
	status int
	header http.Header
	body   string
}

func get(t *testing.T, rawURL string, header http.Header) answered {
	t.Helper()
	req, err := http.NewRequestWithContext(testContext(t), http.MethodGet, rawURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{resp.StatusCode, resp.Header, string(body)}
}

func TestPages(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	evil := `<script>alert("x")</script>`
	info := start(t, s, Spec{Name: evil, Port: "/dev/null", Type: TypeShellinabox})
	page := parse(t, info.URL)
	bearer := http.Header{"Authorization": {"Bearer " + page.Fragment}}
	for path, c := range map[string]struct {
		header http.Header
		want   int
		kind   string
	}{
		"/console/" + nodeID + "/":     {nil, 200, "text/html; charset=utf-8"},
		"/console/" + nodeID + "/info": {bearer, 200, "application/json"},
		"/console/other/info":          {bearer, 401, "text/plain; charset=utf-8"},
		"/assets/console.js":           {nil, 200, "text/javascript; charset=utf-8"},
		"/assets/xterm.mjs":            {nil, 200, "text/javascript; charset=utf-8"},
		"/assets/xterm.css":            {nil, 200, "text/css; charset=utf-8"},
		"/assets/icon.svg":             {nil, 200, "image/svg+xml"},
		"/assets/licenses/xterm.txt":   {nil, 200, "text/plain; charset=utf-8"},
		"/assets/":                     {nil, 404, ""},
		"/assets/licenses/":            {nil, 404, ""},
		"/":                            {nil, 404, ""},
	} {
		got := get(t, s.BaseURL()+path, c.header)
		if got.status != c.want || c.kind != "" && got.header.Get("Content-Type") != c.kind {
			t.Errorf("%s: %d %s", path, got.status, got.header.Get("Content-Type"))
		}
		csp := got.header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "script-src 'self';") ||
			got.header.Get("Referrer-Policy") != "no-referrer" || got.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", path, got.header)
		}
		if strings.Contains(got.body, evil) || strings.Contains(got.body, page.Fragment) {
			t.Errorf("%s: has the name unescaped or the token", path)
		}
	}
	first := get(t, s.BaseURL()+"/assets/xterm.mjs", nil)
	again := get(t, s.BaseURL()+"/assets/xterm.mjs", http.Header{"If-None-Match": {first.header.Get("ETag")}})
	if again.status != http.StatusNotModified {
		t.Errorf("an unchanged script was sent again: %d", again.status)
	}
}

func TestTokensAreNotLogged(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	s := newService(t, func(s *Service) { s.Logger = textLogger(&log) })
	info := start(t, s, Spec{Port: "/dev/no-such-device", Type: TypeShellinabox})
	page := parse(t, info.URL)
	conn := dialPage(t, info.URL)
	handshake(t, page, http.Header{"Authorization": {"Bearer " + page.Fragment + "x"}})
	waitViewers(t, s, 1)
	_ = conn.Close()
	waitViewers(t, s, 0)
	_, err := s.Start(context.Background(), Spec{NodeID: "other", Port: "/dev/no-such-device", Type: TypeShellinabox})
	if err == nil {
		t.Error("two consoles on one line")
	}
	s.Logger.Info("a token by itself", "token", token(page.Fragment))
	if text := log.String(); !strings.Contains(text, "viewer came") || strings.Contains(text, page.Fragment) {
		t.Errorf("the log: %s", text)
	}
}
