package remote_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"caddyshack/baremetal"
	"caddyshack/pxe"
	"caddyshack/pxe/bootlog"
	"caddyshack/pxe/remote"
	"caddyshack/pxe/roots"
)

// osTwin notes what arrives and answers what it is told.
type osTwin struct {
	got    any
	err    error
	events pxe.Events
	roots  []roots.Root
	health pxe.Health
	tree   pxe.BootTree
	file   io.Reader
}

func (t *osTwin) CheckImage(_ context.Context, i pxe.ImageSource) error { t.got = i; return t.err }
func (t *osTwin) CheckConfigDrive(_ context.Context, d json.RawMessage) error {
	t.got = d
	return t.err
}
func (t *osTwin) FetchImage(_ context.Context, i pxe.ImageSource) (pxe.Fetched, error) {
	t.got = i
	return pxe.Fetched{Progress: "half"}, t.err
}
func (t *osTwin) CreateRoot(_ context.Context, r pxe.RootRequest) error { t.got = r; return t.err }
func (t *osTwin) Export(_ context.Context, p pxe.PublishRequest) error  { t.got = p; return t.err }
func (t *osTwin) Remove(_ context.Context, id string) error             { t.got = id; return t.err }
func (t *osTwin) RemoveRescue(_ context.Context, id string) error {
	t.got = "rescue " + id
	return t.err
}
func (t *osTwin) ExpectMount(_ context.Context, id string) error { t.got = id; return t.err }
func (t *osTwin) MountStatus(_ context.Context, id string) (pxe.MountStatus, error) {
	t.got = id
	return pxe.MountStatus{Mounted: true, At: time.Unix(5, 7).UTC()}, t.err
}
func (t *osTwin) List(context.Context) ([]roots.Root, error) { return t.roots, t.err }
func (t *osTwin) Health(context.Context) (pxe.Health, error) { return t.health, t.err }
func (t *osTwin) Events(_ context.Context, c pxe.Cursor) (pxe.Events, error) {
	t.got = c
	return t.events, t.err
}
func (t *osTwin) BootTree(_ context.Context, id string) (pxe.BootTree, error) {
	t.got = id
	return t.tree, t.err
}
func (t *osTwin) OpenBootFile(_ context.Context, id, name string) (io.ReadCloser, error) {
	t.got = id + " " + name
	if t.err != nil {
		return nil, t.err
	}
	return io.NopCloser(t.file), nil
}

func dialOS(t *testing.T, s pxe.OSServer, secret string) *remote.OSClient {
	t.Helper()
	h, err := remote.OSHandler(s, "right")
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return &remote.OSClient{URL: srv.URL + "/", Secret: secret, HTTP: srv.Client()}
}

// Every call and every field survives the way over JSON.
func TestOSRoundTrip(t *testing.T) {
	t.Parallel()
	at := time.Unix(5, 7).UTC()
	img := pxe.ImageSource{URL: "http://x/y.tar", ChecksumAlgo: "sha256", Checksum: "ab"}
	drive := json.RawMessage(`{"meta_data":{"a":"b"}}`)
	root := pxe.RootRequest{NodeID: "n", Generation: "g", Hostname: "h", Image: img, MAC: "m", ConfigDrive: drive, PhoneHome: "p", Rescue: &roots.Rescue{PasswordHash: "h"}}
	pub := pxe.PublishRequest{NodeID: "n", Client: netip.MustParseAddr("127.77.1.2"), MAC: "m", Serial: "s", Model: "pi4", KernelParams: "quiet"}
	cursor := pxe.Cursor{Instance: "a b&c", Seq: 1 << 60}
	s := &osTwin{
		events: pxe.Events{Cursor: cursor, List: []bootlog.Event{{ID: "n", Time: at, Stage: bootlog.StageMount, Outcome: bootlog.Denied, Detail: "why"}}},
		roots:  []roots.Root{{NodeID: "n", Bytes: 7, Created: at, Published: &roots.BootSpec{NodeID: "n", Client: pub.Client, NFSPort: 2049}}},
		health: pxe.Health{Instance: "i", Started: at, NFSServer: "embedded", NFS: netip.MustParseAddrPort("10.0.0.1:2049"), Roots: 2, Exports: 1, TotalBytes: 9, FreeBytes: 8},
		tree: pxe.BootTree{NodeID: "n", Client: pub.Client, Prefixes: []string{"p"}, Files: map[string]pxe.BootFile{
			"config.txt": {Data: []byte{0, 255}, Size: 2}, "kernel8.img": {Stored: true, Size: 1 << 40, ModTime: at}}},
	}
	c := dialOS(t, s, "right")
	ctx := t.Context()
	for name, tc := range map[string]struct {
		call func() (any, error)
		got  any
		out  any
	}{
		"check":  {func() (any, error) { return nil, c.CheckImage(ctx, img) }, img, nil},
		"drive":  {func() (any, error) { return nil, c.CheckConfigDrive(ctx, drive) }, drive, nil},
		"fetch":  {func() (any, error) { return c.FetchImage(ctx, img) }, img, pxe.Fetched{Progress: "half"}},
		"create": {func() (any, error) { return nil, c.CreateRoot(ctx, root) }, root, nil},
		"export": {func() (any, error) { return nil, c.Export(ctx, pub) }, pub, nil},
		"remove": {func() (any, error) { return nil, c.Remove(ctx, "n") }, "n", nil},
		"rescue": {func() (any, error) { return nil, c.RemoveRescue(ctx, "n") }, "rescue n", nil},
		"expect": {func() (any, error) { return nil, c.ExpectMount(ctx, "n") }, "n", nil},
		"status": {func() (any, error) { return c.MountStatus(ctx, "n") }, "n", pxe.MountStatus{Mounted: true, At: at}},
		"list":   {func() (any, error) { return c.List(ctx) }, nil, s.roots},
		"health": {func() (any, error) { return c.Health(ctx) }, nil, s.health},
		"events": {func() (any, error) { return c.Events(ctx, cursor) }, cursor, s.events},
		"tree":   {func() (any, error) { return c.BootTree(ctx, "n") }, "n", s.tree},
	} {
		t.Run(name, func(t *testing.T) {
			s.got = nil
			out, err := tc.call()
			if err != nil {
				t.Fatal(err)
			}
			opts := cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})}
			if d := cmp.Diff(tc.got, s.got, opts); d != "" {
				t.Errorf("argument: %s", d)
			}
			if d := cmp.Diff(tc.out, out, opts); d != "" {
				t.Errorf("result: %s", d)
			}
		})
	}
	s.file = strings.NewReader("contents")
	f, err := c.OpenBootFile(ctx, "n", "over lays/a%2fb#?.dtb")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || string(b) != "contents" || s.got != "n over lays/a%2fb#?.dtb" {
		t.Errorf("file %q of %q, %v", b, s.got, err)
	}
}

// Errors keep their kind, a lost part its name, over any number of links.
func TestOSErrors(t *testing.T) {
	t.Parallel()
	s := &osTwin{err: baremetal.Errorf(baremetal.NotFound, "what to do")}
	c := dialOS(t, s, "right")
	_, fileErr := c.OpenBootFile(t.Context(), "n", "x")
	_, listErr := c.List(t.Context())
	for _, err := range []error{fileErr, listErr, c.Remove(t.Context(), "n")} {
		if !baremetal.IsKind(err, baremetal.NotFound) || err.Error() != "what to do" {
			t.Errorf("got %v: %v", baremetal.KindOf(err), err)
		}
	}
	s.err, s.got = nil, nil
	if err := dialOS(t, s, "wrong").Remove(t.Context(), "n"); !baremetal.IsKind(err, baremetal.Unauthorized) || s.got != nil {
		t.Errorf("with a wrong secret: %v, and the call arrived as %v", err, s.got)
	}
	if _, err := remote.OSHandler(s, ""); err == nil {
		t.Error("an empty secret was accepted")
	}
	nobody := &remote.OSClient{URL: "http://127.0.0.1:1", Secret: "x"}
	between := dial(t, &twin{err: nobody.Remove(t.Context(), "n")}, "right")
	for _, err := range []error{nobody.Remove(t.Context(), "n"), between.Remove(t.Context(), "n")} {
		var lost *pxe.LostError
		if !errors.As(err, &lost) || lost.Part != "operating-system server" || !baremetal.IsKind(err, baremetal.Unavailable) {
			t.Errorf("nobody there: %#v", err)
		}
	}
}

// A server that ends in the middle of an answer is lost, wherever that is.
func TestOSBreaksOff(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"before": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"within": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"`)
			panic(http.ErrAbortHandler)
		},
		"a proxy's error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewUnstartedServer(handler)
			srv.Start()
			t.Cleanup(srv.Close)
			c := &remote.OSClient{URL: srv.URL, Secret: "x", HTTP: &http.Client{Transport: remote.NewTransport()}}
			_, listErr := c.List(t.Context())
			var fileErr error
			f, err := c.OpenBootFile(t.Context(), "n", "x")
			if fileErr = err; err == nil {
				_, fileErr = io.ReadAll(f)
				f.Close()
			}
			for _, err := range []error{listErr, fileErr, c.Remove(t.Context(), "n")} {
				var lost *pxe.LostError
				if !errors.As(err, &lost) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}

// A boot file that the server cannot read to its end does not look whole.
func TestOSFileBreaks(t *testing.T) {
	t.Parallel()
	s := &osTwin{file: io.MultiReader(strings.NewReader("half"), badReader{})}
	f, err := dialOS(t, s, "right").OpenBootFile(t.Context(), "n", "x")
	if err != nil {
		return // the error came before the first byte
	}
	defer f.Close()
	if b, err := io.ReadAll(f); err == nil {
		t.Errorf("%q looks whole", b)
	}
}

type badReader struct{}

func (badReader) Read([]byte) (int, error) { return 0, net.ErrClosed }
