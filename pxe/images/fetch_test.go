package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// web serves data and counts requests. handle, if set, comes first and returns
// true if it has answered.
type web struct {
	*httptest.Server
	requests atomic.Int32
}

func newWeb(t testing.TB, data []byte, handle func(n int32, w http.ResponseWriter, r *http.Request) bool) *web {
	t.Helper()
	s := &web{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := s.requests.Add(1)
		if handle == nil || !handle(n, w, r) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// image is an archive of some size that does not compress.
func image(t testing.TB, seed string) []byte {
	t.Helper()
	return archive(t, file("etc/os-release", "ID="+seed), file("data", strings.Repeat(seed+" data\n", 40_000)))
}

func source(url string, data []byte) Source {
	return Source{URL: url, Checksum: Checksum{Value: sha(data)}}
}

// content checks that img is data.
func content(t testing.TB, img Image, data []byte) {
	t.Helper()
	got, err := os.ReadFile(img.Path)
	if err != nil || !bytes.Equal(got, data) || img.Size != int64(len(data)) || img.Digest != "sha256:"+sha(data) {
		t.Errorf("image %+v holds %d bytes, %v", img, len(got), err)
	}
}

func TestFetchHTTP(t *testing.T) {
	t.Parallel()
	data := image(t, "http")
	srv, s := newWeb(t, data, nil), open(t, "", nil)
	for range 3 {
		img, err := s.Fetch(t.Context(), source(srv.URL, data), nil)
		if err != nil {
			t.Fatal(err)
		}
		content(t, img, data)
	}
	if n := srv.requests.Load(); n != 1 {
		t.Errorf("%d requests for one image", n)
	}
	leftovers(t, s)
}

func TestFetchSHA512AndProgress(t *testing.T) {
	t.Parallel()
	data := image(t, "512")
	srv, s := newWeb(t, data, nil), open(t, "", nil)
	h := newHash("sha512")
	h.Write(data)
	var last Progress
	img, err := s.Fetch(t.Context(), Source{srv.URL, Checksum{"sha512", fmt.Sprintf("%x", h.Sum(nil))}}, func(p Progress) { last = p })
	if err != nil || !strings.HasPrefix(img.Digest, "sha512:") {
		t.Errorf("%+v, %v", img, err)
	}
	if last.Text != "downloading" || last.Total != int64(len(data)) {
		t.Errorf("progress %+v", last)
	}
}

func TestFetchFile(t *testing.T) {
	t.Parallel()
	dir, data := t.TempDir(), image(t, "file")
	path := write(t, filepath.Join(dir, "image.tar"), data)
	s := open(t, dir, nil)
	img, err := s.Fetch(t.Context(), Source{URL: "file://" + path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	content(t, img, data)
	if again, err := s.Fetch(t.Context(), source("file://"+path, data), nil); err != nil || again != img {
		t.Errorf("again: %+v, %v", again, err)
	}
	// Another content under the same name is another image.
	data = image(t, "changed")
	write(t, path, data)
	img, err = s.Fetch(t.Context(), Source{URL: "file://" + path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	content(t, img, data)
	_, err = s.Fetch(t.Context(), Source{URL: "file://" + path, Checksum: Checksum{Value: someSum}}, nil)
	if !errors.Is(err, ErrChecksum) {
		t.Errorf("wrong checksum of a file: %v", err)
	}
	leftovers(t, s)
}

// A link that is swapped after the check leads nowhere.
func TestFetchFileSwappedForALink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "image.tar"), image(t, "swap"))
	s := open(t, dir, nil)
	p, err := s.parse(Source{URL: "file://" + path})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.copyFile(t.Context(), p, func(Progress) {}); err == nil {
		t.Error("a file outside the allowed folder was read")
	}
	leftovers(t, s)
}

func TestFetchWrongChecksumIsDiscarded(t *testing.T) {
	t.Parallel()
	data := image(t, "wrong")
	srv, s := newWeb(t, data, nil), open(t, "", nil)
	src := Source{URL: srv.URL + "/x?signature=secret", Checksum: Checksum{Value: someSum}}
	_, err := s.Fetch(t.Context(), src, nil)
	if !errors.Is(err, ErrChecksum) || !strings.Contains(err.Error(), sha(data)) || strings.Contains(err.Error(), "secret") {
		t.Errorf("error is %v", err)
	}
	leftovers(t, s)
	if _, ok := s.cached(digest{"sha256", someSum}); ok {
		t.Error("the wrong content is in the cache")
	}
}

func TestFetchForeignFormatIsDiscarded(t *testing.T) {
	t.Parallel()
	data := append([]byte("QFI\xfb"), make([]byte, 70_000)...)
	srv, s := newWeb(t, data, nil), open(t, "", nil)
	_, err := s.Fetch(t.Context(), source(srv.URL+"/disk.raw", data), nil)
	if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "qcow2") {
		t.Errorf("error is %v", err)
	}
	leftovers(t, s)
}

// hangUp breaks the connection after n bytes of data have been sent.
func hangUp(w http.ResponseWriter, data []byte, n int) {
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data[:n])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func TestFetchResumesAfterACut(t *testing.T) {
	t.Parallel()
	data := image(t, "resume")
	var ranges sync.Map
	srv := newWeb(t, data, func(n int32, w http.ResponseWriter, r *http.Request) bool {
		ranges.Store(n, r.Header.Get("Range"))
		if n == 1 {
			hangUp(w, data, len(data)/2)
		}
		return false
	})
	s := open(t, "", nil)
	img, err := s.Fetch(t.Context(), source(srv.URL, data), nil)
	if err != nil {
		t.Fatal(err)
	}
	content(t, img, data)
	if v, _ := ranges.Load(int32(2)); v == nil || v == "" || v == "bytes=0-" {
		t.Errorf("the second request asked for %q", v)
	}
	leftovers(t, s)
}

func TestFetchResumesWhatAnEarlierProcessLeft(t *testing.T) {
	t.Parallel()
	data := image(t, "later")
	var stop atomic.Bool
	stop.Store(true)
	srv := newWeb(t, data, func(_ int32, w http.ResponseWriter, r *http.Request) bool {
		if stop.Load() {
			if r.Header.Get("Range") == "" {
				hangUp(w, data, len(data)/3)
			}
			w.WriteHeader(http.StatusBadGateway)
			return true
		}
		if r.Header.Get("Range") == "" {
			t.Error("the download began anew")
		}
		return false
	})
	s := open(t, "", nil)
	if _, err := s.Fetch(t.Context(), source(srv.URL, data), nil); err == nil || !strings.Contains(err.Error(), "502") {
		t.Fatalf("error is %v", err)
	}
	stop.Store(false)
	s2, err := Open(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s2.client.CloseIdleConnections()
	img, err := s2.Fetch(t.Context(), source(srv.URL, data), nil)
	if err != nil {
		t.Fatal(err)
	}
	content(t, img, data)
}

// A leftover of something else must not spoil the image for ever.
func TestFetchStartsAgainIfTheLeftoverIsWrong(t *testing.T) {
	t.Parallel()
	data := image(t, "good")
	for name, leftover := range map[string][]byte{"shorter": []byte("something else"), "longer": append(bytes.Clone(data), "more"...), "same": make([]byte, len(data))} {
		srv := newWeb(t, data, func(n int32, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				hangUp(w, data, 10)
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		})
		s := open(t, "", nil)
		_, _ = s.Fetch(t.Context(), source(srv.URL, data), nil)
		srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		})
		parts, err := filepath.Glob(filepath.Join(s.partial(), "*"))
		if err != nil || len(parts) != 1 {
			t.Fatalf("%s: %v, %v", name, parts, err)
		}
		write(t, parts[0], leftover)
		img, err := s.Fetch(t.Context(), source(srv.URL, data), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		content(t, img, data)
	}
}

func TestFetchServersWithoutRanges(t *testing.T) {
	t.Parallel()
	data := image(t, "plain")
	srv := newWeb(t, data, func(n int32, w http.ResponseWriter, _ *http.Request) bool {
		if n == 1 {
			hangUp(w, data, 1000)
		}
		_, _ = w.Write(data)
		return true
	})
	img, err := open(t, "", nil).Fetch(t.Context(), source(srv.URL, data), nil)
	if err != nil {
		t.Fatal(err)
	}
	content(t, img, data)
}

func TestFetchGivesUp(t *testing.T) {
	t.Parallel()
	data := image(t, "x")
	for code, want := range map[int]int32{http.StatusNotFound: 1, http.StatusForbidden: 1, http.StatusInternalServerError: maxTries} {
		srv := newWeb(t, nil, func(_ int32, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true })
		_, err := open(t, "", nil).Fetch(t.Context(), source(srv.URL+"/x?key=secret", data), nil)
		if err == nil || !strings.Contains(err.Error(), strconv.Itoa(code)) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%d: %v", code, err)
		}
		if n := srv.requests.Load(); n != want {
			t.Errorf("%d: %d requests", code, n)
		}
	}
}

func TestFetchNoticesAStall(t *testing.T) {
	t.Parallel()
	data := image(t, "stall")
	srv := newWeb(t, data, func(n int32, w http.ResponseWriter, r *http.Request) bool {
		if n > 1 {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data[:100])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return true
	})
	s := open(t, "", func(c *Config) { c.Stall = 2 * time.Second }) // the headers must come within it, too
	img, err := s.Fetch(t.Context(), source(srv.URL, data), nil)
	if err != nil {
		t.Fatal(err)
	}
	content(t, img, data)
}

func TestFetchLimits(t *testing.T) {
	t.Parallel()
	data := image(t, "large")
	for name, handle := range map[string]func(int32, http.ResponseWriter, *http.Request) bool{
		"announced": nil,
		"chunked": func(_ int32, w http.ResponseWriter, _ *http.Request) bool {
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(data)
			return true
		},
	} {
		s := open(t, "", func(c *Config) { c.MaxImage = 1000 })
		_, err := s.Fetch(t.Context(), source(newWeb(t, data, handle).URL, data), nil)
		if !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
		leftovers(t, s)
	}
	s := open(t, "", func(c *Config) { c.Reserve = 1 << 60 })
	_, err := s.Fetch(t.Context(), source(newWeb(t, data, nil).URL, data), nil)
	if !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "MiB are free") {
		t.Errorf("full disk: %v", err)
	}
	s = open(t, "", func(c *Config) { c.MaxCache = 1000 })
	_, err = s.Fetch(t.Context(), source(newWeb(t, data, nil).URL, data), nil)
	if !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "image cache") {
		t.Errorf("small cache: %v", err)
	}
	leftovers(t, s)
}

func TestFetchShared(t *testing.T) {
	t.Parallel()
	data := image(t, "shared")
	proceed := make(chan struct{})
	srv := newWeb(t, data, func(int32, http.ResponseWriter, *http.Request) bool { <-proceed; return false })
	s := open(t, "", nil)
	const users = 20
	results := make(chan error, users)
	for range users {
		go func() {
			img, err := s.Fetch(t.Context(), source(srv.URL, data), nil)
			if err == nil {
				content(t, img, data)
			}
			results <- err
		}()
	}
	// One that gives up disturbs nobody.
	ctx, cancel := context.WithCancel(t.Context())
	quitter := make(chan error, 1)
	go func() {
		_, err := s.Fetch(ctx, source(srv.URL, data), nil)
		quitter <- err
	}()
	for waiting := 0; waiting < users+1; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		for _, f := range s.flights {
			f.mu.Lock()
			waiting = len(f.reports)
			f.mu.Unlock()
		}
		s.mu.Unlock()
	}
	cancel()
	if err := <-quitter; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that gave up: %v", err)
	}
	close(proceed)
	for range users {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := srv.requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestFetchIsCutWhenNobodyWaits(t *testing.T) {
	t.Parallel()
	data := image(t, "cut")
	gone, came := make(chan struct{}), make(chan struct{})
	srv := newWeb(t, data, func(_ int32, _ http.ResponseWriter, r *http.Request) bool {
		close(came)
		<-r.Context().Done()
		close(gone)
		return true
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-came; cancel() }()
	if _, err := open(t, "", nil).Fetch(ctx, source(srv.URL, data), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the download goes on")
	}
}

func TestFetchRefusesRedirects(t *testing.T) {
	t.Parallel()
	data := image(t, "redirect")
	inner := newWeb(t, data, nil)
	_, port, _ := net.SplitHostPort(inner.Listener.Addr().String())
	for _, target := range []string{"http://127.0.0.2:" + port + "/", "http://localhost:" + port + "/", "file:///etc/passwd", "http://169.254.169.254/", "ftp://example.org/", "http://u:p@127.0.0.1:" + port} {
		srv := newWeb(t, data, func(_ int32, w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, target, http.StatusFound)
			return true
		})
		_, err := open(t, "", nil).Fetch(t.Context(), source(srv.URL, data), nil)
		if err == nil || !errors.Is(err, ErrRefused) {
			t.Errorf("to %s: %v", target, err)
		}
	}
	if inner.requests.Load() != 0 {
		t.Error("the redirect was followed")
	}
	ok := newWeb(t, data, func(_ int32, w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, inner.URL, http.StatusFound)
		return true
	})
	if _, err := open(t, "", nil).Fetch(t.Context(), source(ok.URL, data), nil); err != nil {
		t.Errorf("to an allowed host: %v", err)
	}
	loop := newWeb(t, data, func(_ int32, w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "/", http.StatusFound)
		return true
	})
	if _, err := open(t, "", nil).Fetch(t.Context(), source(loop.URL, data), nil); !errors.Is(err, ErrRefused) {
		t.Errorf("in a circle: %v", err)
	}
}

// A name that resolves to a private address is refused when it is dialled,
// whatever it resolved to before.
func TestDialChecksTheAddress(t *testing.T) {
	t.Parallel()
	srv := newWeb(t, nil, nil)
	p, err := newNetPolicy(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.dial(t.Context(), "tcp", srv.Listener.Addr().String()); !errors.Is(err, ErrRefused) {
		t.Errorf("dialling a loopback address: %v", err)
	}
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	if _, err := p.dial(t.Context(), "tcp", "localhost:"+port); !errors.Is(err, ErrRefused) {
		t.Errorf("dialling a name of one: %v", err)
	}
	p.prefixes = append(p.prefixes, mustPrefix("127.0.0.0/8"))
	conn, err := p.dial(t.Context(), "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatalf("dialling a listed address: %v", err)
	}
	_ = conn.Close()
}

func TestEviction(t *testing.T) {
	t.Parallel()
	var data [4][]byte
	for i := range data {
		data[i] = image(t, strconv.Itoa(i))
	}
	s := open(t, "", func(c *Config) { c.MaxCache = int64(len(data[0]))*2 + 100 })
	base := time.Now().Add(-time.Hour)
	fetch := func(i int) error {
		srv := newWeb(t, data[i], nil)
		img, err := s.Fetch(t.Context(), source(srv.URL, data[i]), nil)
		if err == nil {
			content(t, img, data[i])
		}
		return err
	}
	has := func(i int) bool {
		_, err := os.Stat(filepath.Join(s.cfg.Dir, "sha256-"+sha(data[i])))
		return err == nil
	}
	// age makes the images unused, and used at the given times.
	age := func(order ...int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		clear(s.held)
		for n, i := range order {
			used := base.Add(time.Duration(n) * time.Minute)
			if err := os.Chtimes(filepath.Join(s.cfg.Dir, "sha256-"+sha(data[i])), used, used); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(fetch(0), fetch(1)); err != nil {
		t.Fatal(err)
	}
	if err := fetch(2); !errors.Is(err, ErrNoSpace) {
		t.Errorf("with all in use: %v", err)
	}
	age(1, 0)
	if err := fetch(2); err != nil {
		t.Fatal(err)
	}
	if has(1) || !has(0) || !has(2) {
		t.Errorf("kept %v %v %v", has(0), has(1), has(2))
	}
	age(0, 2)
	if err := fetch(0); err != nil { // used again: 2 is the oldest now
		t.Fatal(err)
	}
	if err := fetch(3); err != nil {
		t.Fatal(err)
	}
	if !has(0) || has(2) || !has(3) {
		t.Errorf("kept %v %v %v", has(0), has(2), has(3))
	}
	// An open image outlives its eviction.
	f, err := os.Open(filepath.Join(s.cfg.Dir, "sha256-"+sha(data[0])))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	age(0, 3)
	if err := errors.Join(fetch(1), fetch(2)); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, data[0]) {
		t.Errorf("the open image has %d bytes, %v", len(got), err)
	}
}

// fakeBuiltin is ready or not.
type fakeBuiltin struct {
	img Image
	err error
}

func (f fakeBuiltin) Image(context.Context) (Image, error) { return f.img, f.err }

func TestBuiltin(t *testing.T) {
	t.Parallel()
	img := Image{Path: "/x", Digest: "sha256:" + someSum, Size: 1}
	s := open(t, "", func(c *Config) {
		c.Builtins = map[string]Builtin{"demo": fakeBuiltin{img: img}, "late": fakeBuiltin{err: &NotReadyError{"late", "compiling init"}}}
	})
	if got, err := s.Fetch(t.Context(), Source{URL: "builtin:demo"}, nil); err != nil || got != img {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := s.Fetch(t.Context(), Source{URL: "builtin:demo", Checksum: Checksum{Value: strings.Repeat("0", 64)}}, nil); !errors.Is(err, ErrChecksum) {
		t.Errorf("wrong checksum: %v", err)
	}
	_, err := s.Fetch(t.Context(), Source{URL: "BUILTIN:late"}, nil)
	var late *NotReadyError
	if !errors.Is(err, ErrNotReady) || !errors.As(err, &late) || late.Progress != "compiling init" {
		t.Errorf("not ready: %v", err)
	}
}
