package console

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
)

const (
	// subprotocol is what the page and this service speak over a WebSocket:
	// binary messages are terminal bytes, text messages to the page are JSON.
	subprotocol = "caddyshack.console.v1"
	// tokenSubprotocol precedes the token in the list of subprotocols: a
	// browser can send it no other way in the handshake but in the URL, which
	// ends up in logs.
	tokenSubprotocol = "caddyshack.token."
	// maxMessage bounds one message from a viewer; the page sends pasted text
	// in smaller pieces.
	maxMessage = 64 << 10
	// pingEvery finds viewers that vanished without a word.
	pingEvery = 30 * time.Second
)

// contentSecurityPolicy allows only what the page is made of. Inline styles
// are needed by the terminal, which sizes its cells with a style element; there
// are no inline scripts.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
	"connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pageURL is where the web page of a node is, token included.
func (s *Service) pageURL(nodeID string, t token) string {
	u := s.base.JoinPath("console", nodeID, "/")
	u.Fragment = string(t)
	return u.String()
}

func (s *Service) handler() http.Handler {
	mux := http.NewServeMux()
	files := http.StripPrefix("/assets/", http.FileServerFS(assets{s.Pages}))
	etag := `"` + s.PagesVersion + `"`
	mux.HandleFunc("GET /assets/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", etag)
		files.ServeHTTP(w, r)
	})
	// The page is the same for every node, known or not, and holds nothing
	// worth protecting.
	mux.HandleFunc("GET /console/{node}/{$}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, s.Pages, "console.html")
	})
	mux.HandleFunc("GET /console/{node}/info", s.serveInfo)
	mux.HandleFunc("GET /console/{node}/ws", s.serveWebSocket)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		mux.ServeHTTP(w, r)
	})
}

// assets hides folders, whose listing http.FileServer would show.
type assets struct{ fs.FS }

func (a assets) Open(name string) (fs.File, error) {
	f, err := a.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || st.IsDir() {
		return nil, errors.Join(fs.ErrNotExist, f.Close())
	}
	return f, nil
}

// authorize finds the console that the request may use, or answers and returns
// nil. An unknown node looks like a wrong token.
func (s *Service) authorize(w http.ResponseWriter, r *http.Request) *console {
	if !s.ownOrigin(r) {
		s.Logger.Warn("console request from a foreign origin refused", "viewer", r.RemoteAddr, "origin", r.Header.Get("Origin"))
		http.Error(w, "this page may not use the console", http.StatusForbidden)
		return nil
	}
	c := s.find(r.PathValue("node"))
	if c == nil || !c.token.matches(givenToken(r)) {
		s.Logger.Warn("console request without a valid token refused", "viewer", r.RemoteAddr)
		w.Header().Set("WWW-Authenticate", `Bearer realm="caddyshack console"`)
		http.Error(w, "this console link is not valid (any more): ask for a new one", http.StatusUnauthorized)
		return nil
	}
	return c
}

func givenToken(r *http.Request) string {
	if t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return t
	}
	for _, list := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(list, ",") {
			if t, ok := strings.CutPrefix(strings.TrimSpace(p), tokenSubprotocol); ok {
				return t
			}
		}
	}
	return ""
}

// ownOrigin tells whether the request comes from our page: a browser names the
// origin, and it must be the host that the request went to or the public one.
// Other clients name none.
func (s *Service) ownOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return r.Header.Get("Sec-Fetch-Site") != "cross-site"
	}
	u, err := url.Parse(origins[0])
	if err != nil || len(origins) > 1 || u.Host == "" {
		return false
	}
	return strings.EqualFold(u.Host, r.Host) || strings.EqualFold(u.Host, s.base.Host)
}

// pageInfo is what the page learns before it opens the terminal.
type pageInfo struct {
	Name string `json:"name"`
}

func (s *Service) serveInfo(w http.ResponseWriter, r *http.Request) {
	c := s.authorize(w, r)
	if c == nil {
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(pageInfo{Name: c.name})
}

// lineInfo is the text message that tells a viewer about the serial line.
type lineInfo struct {
	Line   string `json:"line"`
	Detail string `json:"detail,omitempty"`
}

func (s *Service) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	c := s.authorize(w, r)
	if c == nil {
		return
	}
	if err := c.enter(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer c.leave()
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: []string{subprotocol},
		// authorize has checked the origin, and knows the public host too.
		InsecureSkipVerify: true,
	})
	if err != nil {
		return // Accept has answered.
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxMessage)
	log := c.log.With("viewer", r.RemoteAddr, "kind", TypeShellinabox)
	log.Info("console viewer came")
	err = c.serveViewer(conn)
	log.Info("console viewer left", "reason", err)
}

// serveViewer joins a WebSocket to the line: first the recent output, then what
// comes.
func (c *console) serveViewer(conn *websocket.Conn) error {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	var said *lineInfo
	from := c.line.ring.head()
	read := make(chan error, 1)
	go func() {
		defer cancel()
		read <- c.readViewer(ctx, conn)
	}()
	pings := make(chan struct{})
	go func() {
		defer close(pings)
		defer cancel()
		c.pingViewer(ctx, conn)
	}()
	err := c.line.follow(ctx, from, func(p []byte) error {
		wctx, done := context.WithTimeout(ctx, c.writeTimeout)
		defer done()
		var now lineInfo
		now.Line, now.Detail = c.line.status()
		if said == nil || *said != now {
			said = &now
			text, err := json.Marshal(now)
			if err != nil {
				return err
			}
			if err := conn.Write(wctx, websocket.MessageText, text); err != nil {
				return err
			}
		}
		if len(p) == 0 {
			return nil
		}
		return conn.Write(wctx, websocket.MessageBinary, p)
	})
	cancel()
	<-pings
	if rerr := <-read; rerr != nil && c.ctx.Err() == nil {
		err = rerr
	}
	return err
}

func (c *console) readViewer(ctx context.Context, conn *websocket.Conn) error {
	for {
		kind, p, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if kind != websocket.MessageBinary {
			return errors.New("a viewer sent text where bytes were due")
		}
		if err := c.line.send(ctx, p); err != nil {
			return err
		}
	}
}

func (c *console) pingViewer(ctx context.Context, conn *websocket.Conn) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		pctx, done := context.WithTimeout(ctx, c.writeTimeout)
		err := conn.Ping(pctx)
		done()
		if err != nil {
			return
		}
	}
}
