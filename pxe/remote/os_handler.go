package remote

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"caddyshack/pxe"
)

// OSHandler serves s to callers that know the secret, which must not be empty.
// Calls that change something are POSTs with JSON, one path each; what there is
// is read with GET:
//
//	GET /os/v1/health
//	GET /os/v1/roots
//	GET /os/v1/events?instance=I&after=N   waits for one, up to 20 s
//	GET /os/v1/boot/NODE                   what the node boots from
//	GET /os/v1/boot/NODE/FILE
func OSHandler(s pxe.OSServer, secret string) (http.Handler, error) {
	if secret == "" {
		return nil, errors.New("offering the operating-system server: the secret is empty")
	}
	mux := http.NewServeMux()
	handle(mux, osPrefix+"check-image", func(ctx context.Context, in pxe.ImageSource) (nothing, error) {
		return nothing{}, s.CheckImage(ctx, in)
	})
	handle(mux, osPrefix+"check-config-drive", func(ctx context.Context, in json.RawMessage) (nothing, error) {
		return nothing{}, s.CheckConfigDrive(ctx, in)
	})
	handle(mux, osPrefix+"fetch-image", s.FetchImage)
	handle(mux, osPrefix+"create-root", func(ctx context.Context, in pxe.RootRequest) (nothing, error) {
		return nothing{}, s.CreateRoot(ctx, in)
	})
	handle(mux, osPrefix+"export", func(ctx context.Context, in pxe.PublishRequest) (nothing, error) {
		return nothing{}, s.Export(ctx, in)
	})
	handle(mux, osPrefix+"remove", func(ctx context.Context, in node) (nothing, error) { return nothing{}, s.Remove(ctx, in.NodeID) })
	handle(mux, osPrefix+"remove-rescue", func(ctx context.Context, in node) (nothing, error) {
		return nothing{}, s.RemoveRescue(ctx, in.NodeID)
	})
	handle(mux, osPrefix+"expect-mount", func(ctx context.Context, in node) (nothing, error) {
		return nothing{}, s.ExpectMount(ctx, in.NodeID)
	})
	handle(mux, osPrefix+"mount-status", func(ctx context.Context, in node) (pxe.MountStatus, error) {
		return s.MountStatus(ctx, in.NodeID)
	})
	show(mux, "health", func(r *http.Request) (any, error) { return s.Health(r.Context()) })
	show(mux, "roots", func(r *http.Request) (any, error) { return s.List(r.Context()) })
	show(mux, "events", func(r *http.Request) (any, error) {
		seq, _ := strconv.ParseUint(r.FormValue("after"), 10, 64) // what is no number is the beginning
		return s.Events(r.Context(), pxe.Cursor{Instance: r.FormValue("instance"), Seq: seq})
	})
	show(mux, "boot/{node}", func(r *http.Request) (any, error) { return s.BootTree(r.Context(), r.PathValue("node")) })
	mux.HandleFunc("GET "+osPrefix+"boot/{node}/{file...}", func(w http.ResponseWriter, r *http.Request) {
		f, err := s.OpenBootFile(r.Context(), r.PathValue("node"), r.PathValue("file"))
		if err != nil {
			fail(w, err)
			return
		}
		defer f.Close()
		w.Header().Set("Content-Type", "application/octet-stream")
		if _, err := io.Copy(w, f); err != nil {
			panic(http.ErrAbortHandler) // the caller must not take it for the end
		}
	})
	return Guard(mux, secret), nil
}

// show adds what is read with GET.
func show(mux *http.ServeMux, path string, read func(*http.Request) (any, error)) {
	mux.HandleFunc("GET "+osPrefix+path, func(w http.ResponseWriter, r *http.Request) {
		out, err := read(r)
		if err != nil {
			fail(w, err)
			return
		}
		reply(w, http.StatusOK, out)
	})
}
