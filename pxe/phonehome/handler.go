package phonehome

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// Path is what the token is appended to.
const Path = "/phone-home/"

// URL is what a system with that token asks for; base is http://HOST:PORT.
func URL(base, token string) string { return base + Path + token }

// maxBody bounds in bytes what a system may tell about itself: cloud-init
// posts its host keys. It is read and not used.
const maxBody = 64 << 10

// Handler answers systems that are up: home is told of each, and may refuse
// with an error, after which the system tries again. A token that nobody has
// is answered 404.
func Handler(t *Tokens, home func(ctx context.Context, nodeID string) error, log *slog.Logger) http.Handler {
	answer := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody)) // so that the connection can be used again
		id, ok := t.Node(r.PathValue("token"))
		if !ok {
			http.Error(w, "there is no root with this token: it belongs to an earlier deploy", http.StatusNotFound)
			return
		}
		if err := home(r.Context(), id); err != nil {
			log.Error("a system that is up could not be noted", "node", id, "err", err)
			http.Error(w, "it could not be noted that this system is up; try again", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n") // a client that went away needs no answer
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Path+"{token}", answer)
	mux.HandleFunc("GET "+Path+"{token}", answer)
	return mux
}

// Server is the HTTP server for a Handler, with deadlines that keep a system
// that hangs from holding anything.
func Server(h http.Handler) *http.Server {
	const deadline = 10 * time.Second
	return &http.Server{Handler: h, ReadTimeout: deadline, WriteTimeout: deadline, IdleTimeout: deadline, MaxHeaderBytes: 8 << 10}
}
