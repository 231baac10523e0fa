package remote

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"

	"caddyshack/baremetal"
	"caddyshack/pxe"
)

// maxBody bounds a request in bytes; the largest is an image source.
const maxBody = 64 << 10

// Handler serves s to callers that know the secret, which must not be empty.
func Handler(s Service, secret string) (http.Handler, error) {
	if secret == "" {
		return nil, errors.New("offering the boot service: the secret is empty")
	}
	mux := http.NewServeMux()
	handle(mux, "check-image", func(ctx context.Context, in pxe.ImageSource) (nothing, error) {
		return nothing{}, s.CheckImage(ctx, in)
	})
	handle(mux, "fetch-image", s.FetchImage)
	handle(mux, "create-root", func(ctx context.Context, in pxe.RootRequest) (nothing, error) {
		return nothing{}, s.CreateRoot(ctx, in)
	})
	handle(mux, "publish", func(ctx context.Context, in pxe.PublishRequest) (nothing, error) {
		return nothing{}, s.Publish(ctx, in)
	})
	handle(mux, "remove", func(ctx context.Context, in node) (nothing, error) { return nothing{}, s.Remove(ctx, in.NodeID) })
	handle(mux, "expect-boot", func(ctx context.Context, in node) (nothing, error) {
		return nothing{}, s.ExpectBoot(ctx, in.NodeID)
	})
	handle(mux, "boot-status", func(ctx context.Context, in node) (pxe.BootStatus, error) {
		return s.BootStatus(ctx, in.NodeID)
	})
	return Guard(mux, secret), nil
}

// Guard lets only callers that know the secret reach h.
func Guard(h http.Handler, secret string) http.Handler {
	want := sha256.Sum256([]byte("Bearer " + secret))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
			reply(w, http.StatusUnauthorized, failure{baremetal.Unauthorized.String(), "the boot service's secret is wrong; check boot.token_file on both sides"})
			return
		}
		h.ServeHTTP(w, r)
	})
}

// handle adds one call: its argument and its result are JSON.
func handle[In, Out any](mux *http.ServeMux, name string, call func(context.Context, In) (Out, error)) {
	mux.HandleFunc("POST "+prefix+name, func(w http.ResponseWriter, r *http.Request) {
		var in In
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&in); err != nil {
			reply(w, http.StatusBadRequest, failure{baremetal.Invalid.String(), "reading the call: " + err.Error()})
			return
		}
		out, err := call(r.Context(), in)
		if err != nil {
			reply(w, http.StatusUnprocessableEntity, failure{baremetal.KindOf(err).String(), err.Error()})
			return
		}
		reply(w, http.StatusOK, out)
	})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a caller that went away cannot be told
}
