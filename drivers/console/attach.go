package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/term"
)

// dialTimeout bounds the way to a console.
const dialTimeout = 10 * time.Second

// AttachOptions are the settings of Attach; the zero value works.
type AttachOptions struct {
	// Name of the node, for the banner; empty means the URL's host.
	Name string
	// HTTPClient reaches web consoles; nil means http.DefaultClient. It must
	// have no Timeout, which would end the session.
	HTTPClient *http.Client
	// Quiet is how long the console must be silent after the end of the input
	// before Attach returns, when in is not a terminal; 0 means 1 s.
	Quiet time.Duration
}

// Attach joins in and out to the console at rawURL, as console_info has it:
// tcp://HOST:PORT or the page of a web console. It returns nil when the person
// leaves, when the input has ended and the console is quiet, or when the
// console closes; an error if the console cannot be reached, or ctx's error.
//
// If in is a terminal it is put into raw mode, and back when Attach returns;
// Ctrl-] or a line that begins with ~. leaves (~~ types one ~). Output to a
// terminal goes through [Inert]. Otherwise bytes pass unchanged.
//
// If in is neither a file nor at its end, one Read of it may still be pending
// when Attach returns.
func Attach(ctx context.Context, rawURL string, in io.Reader, out io.Writer, opt AttachOptions) error {
	conn, host, err := dial(ctx, rawURL, opt.HTTPClient)
	if err != nil {
		return err
	}
	s := &session{conn: conn, in: in, out: out, quiet: opt.Quiet, seen: make(chan struct{}, 1)}
	if s.quiet == 0 {
		s.quiet = time.Second
	}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.out = Inert(out)
	}
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		old, err := term.MakeRaw(int(f.Fd()))
		if err != nil {
			_ = conn.Close()
			return fmt.Errorf("putting the terminal into raw mode: %w", err)
		}
		// SGR 0: the node may have left colours on.
		defer func() { _, _ = io.WriteString(out, "\x1b[0m\r\n[left the console]\r\n") }()
		defer func() { _ = term.Restore(int(f.Fd()), old) }()
		name := opt.Name
		if name == "" {
			name = host
		}
		s.escape = &escape{lineStart: true}
		if _, err := fmt.Fprintf(out, "[console of %s; Ctrl-] leaves, and so does ~. at the start of a line]\r\n",
			Spec{Name: name}.displayName()); err != nil {
			return errors.Join(err, conn.Close())
		}
	}
	return s.run(ctx)
}

// dial connects to a console and names its host.
func dial(ctx context.Context, rawURL string, client *http.Client) (io.ReadWriteCloser, string, error) {
	dctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	u, err := url.Parse(rawURL)
	if err != nil {
		// The error would repeat the URL, and so its token.
		return nil, "", errors.New("the console's address is not a URL")
	}
	switch u.Scheme {
	case "tcp":
		var d net.Dialer
		conn, err := d.DialContext(dctx, "tcp", u.Host)
		if err != nil {
			return nil, "", fmt.Errorf("connecting to the console: %w", err)
		}
		return conn, u.Host, nil
	case "http", "https":
		conn, err := dialWeb(ctx, dctx, u, client)
		return conn, u.Host, err
	}
	return nil, "", fmt.Errorf("a console at a %q address cannot be attached to: want tcp, http or https", u.Scheme)
}

func dialWeb(ctx, dctx context.Context, page *url.URL, client *http.Client) (io.ReadWriteCloser, error) {
	secret := page.Fragment
	ws := page.JoinPath("ws")
	ws.Fragment, ws.RawFragment = "", ""
	//nolint:bodyclose // Dial has replaced the body by one that needs no closing.
	conn, resp, err := websocket.Dial(dctx, ws.String(), &websocket.DialOptions{
		HTTPClient:   client,
		HTTPHeader:   http.Header{"Authorization": {"Bearer " + secret}},
		Subprotocols: []string{subprotocol},
	})
	if resp != nil && (resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden) {
		return nil, errors.New("the console's address is not valid (any more): ask for it again")
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to the console: %w", err)
	}
	conn.SetReadLimit(1 << 20)
	return &webConn{ctx: ctx, conn: conn}, nil
}

// webConn makes a stream of the binary messages of a WebSocket.
type webConn struct {
	ctx  context.Context
	conn *websocket.Conn
	rest []byte
}

func (w *webConn) Read(p []byte) (int, error) {
	for len(w.rest) == 0 {
		kind, msg, err := w.conn.Read(w.ctx)
		if err != nil {
			return 0, err
		}
		// Text messages tell about the line, and so does the stream itself.
		if kind == websocket.MessageBinary {
			w.rest = msg
		}
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

func (w *webConn) Write(p []byte) (int, error) {
	for i := 0; i < len(p); i += maxMessage {
		if err := w.conn.Write(w.ctx, websocket.MessageBinary, p[i:min(len(p), i+maxMessage)]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func (w *webConn) Close() error { return w.conn.CloseNow() }
