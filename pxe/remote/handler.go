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
	"caddyshack/pxe/bootlog"
	"caddyshack/pxe/configdrive"
)

// maxBody bounds a request in bytes; the largest holds a config drive.
const maxBody = configdrive.MaxTransport + 64<<10

// Handler serves s to callers that know the secret, which must not be empty.
func Handler(s Service, secret string) (http.Handler, error) {
	if secret == "" {
		return nil, errors.New("offering the boot service: the secret is empty")
	}
	mux := http.NewServeMux()
	handle(mux, prefix+"check-image", func(ctx context.Context, in pxe.ImageSource) (nothing, error) {
		return nothing{}, s.CheckImage(ctx, in)
	})
	handle(mux, prefix+"check-config-drive", func(ctx context.Context, in json.RawMessage) (nothing, error) {
		return nothing{}, s.CheckConfigDrive(ctx, in)
	})
	handle(mux, prefix+"fetch-image", s.FetchImage)
	handle(mux, prefix+"create-root", func(ctx context.Context, in pxe.RootRequest) (nothing, error) {
		return nothing{}, s.CreateRoot(ctx, in)
	})
	handle(mux, prefix+"publish", func(ctx context.Context, in pxe.PublishRequest) (nothing, error) {
		return nothing{}, s.Publish(ctx, in)
	})
	handle(mux, prefix+"remove", func(ctx context.Context, in node) (nothing, error) { return nothing{}, s.Remove(ctx, in.NodeID) })
	handle(mux, prefix+"remove-rescue", func(ctx context.Context, in node) (nothing, error) {
		return nothing{}, s.RemoveRescue(ctx, in.NodeID)
	})
	handle(mux, prefix+"expect-boot", func(ctx context.Context, in node) (nothing, error) {
		return nothing{}, s.ExpectBoot(ctx, in.NodeID)
	})
	handle(mux, prefix+"boot-status", func(ctx context.Context, in node) (pxe.BootStatus, error) {
		return s.BootStatus(ctx, in.NodeID)
	})
	handle(mux, prefix+"power-on", func(ctx context.Context, in node) (nothing, error) { return nothing{}, s.PowerOn(ctx, in.NodeID) })
	handle(mux, prefix+"seen", func(ctx context.Context, in seen) (nothing, error) {
		return nothing{}, s.Seen(ctx, in.NodeID, in.Sign)
	})
	handle(mux, prefix+"settled", func(ctx context.Context, _ nothing) ([]pxe.SettledBoot, error) { return s.Settled(ctx) })
	handle(mux, prefix+"boots", func(ctx context.Context, in node) ([]bootlog.Boot, error) { return s.Boots(ctx, in.NodeID) })
	mux.HandleFunc("POST "+prefix+"follow-boot", func(w http.ResponseWriter, r *http.Request) {
		in, ok := argument[node](w, r)
		if !ok {
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.WriteHeader(http.StatusOK)
		out, flush := json.NewEncoder(w), http.NewResponseController(w)
		_ = flush.Flush() // a caller that went away is noticed when there is something to tell
		_ = s.FollowBoot(r.Context(), in.NodeID, func(u bootlog.Update) error {
			if err := out.Encode(u); err != nil {
				return err
			}
			return flush.Flush()
		})
	})
	handle(mux, prefix+"reserve-address", s.ReserveAddress)
	handle(mux, prefix+"sync-machines", s.SyncMachines)
	handle(mux, prefix+"notices", func(ctx context.Context, in mark) ([]pxe.Notice, error) { return s.Notices(ctx, in.After) })
	handle(mux, prefix+"sightings", func(ctx context.Context, in mark) ([]pxe.Sighting, error) { return s.Sightings(ctx, in.Since) })
	return Guard(mux, secret), nil
}

// Guard lets only callers that know the secret reach h.
func Guard(h http.Handler, secret string) http.Handler {
	want := sha256.Sum256([]byte("Bearer " + secret))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
			reply(w, http.StatusUnauthorized, failure{Kind: baremetal.Unauthorized.String(), Message: "the secret is wrong; check that token_file holds the same on both sides"})
			return
		}
		h.ServeHTTP(w, r)
	})
}

// handle adds one call: its argument and its result are JSON.
func handle[In, Out any](mux *http.ServeMux, path string, call func(context.Context, In) (Out, error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		in, ok := argument[In](w, r)
		if !ok {
			return
		}
		out, err := call(r.Context(), in)
		if err != nil {
			fail(w, err)
			return
		}
		reply(w, http.StatusOK, out)
	})
}

// fail answers with an error.
func fail(w http.ResponseWriter, err error) {
	f := failure{Kind: baremetal.KindOf(err).String(), Message: err.Error()}
	var lost *pxe.LostError
	if errors.As(err, &lost) {
		f.Lost = lost.Part
	}
	reply(w, http.StatusUnprocessableEntity, f)
}

// argument reads the argument of a call; without one the caller was told why.
func argument[In any](w http.ResponseWriter, r *http.Request) (in In, ok bool) {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		reply(w, http.StatusBadRequest, failure{Kind: baremetal.Invalid.String(), Message: "reading the call: " + err.Error()})
		return in, false
	}
	return in, true
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a caller that went away cannot be told
}
