package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// maxTries is how many times in a row a download may make no progress.
const maxTries = 5

// sink writes to a file and to a hash, and stops at a limit.
type sink struct {
	f     *os.File
	h     hash.Hash
	algo  string
	n     int64
	limit int64
}

func newSink(f *os.File, want digest, limit int64) *sink {
	algo := want.algo
	if algo == "" {
		algo = "sha256"
	}
	return &sink{f: f, h: newHash(algo), algo: algo, limit: limit}
}

func (s *sink) Write(b []byte) (int, error) {
	if s.n+int64(len(b)) > s.limit {
		return 0, permanentError{tooLarge(s.n+int64(len(b)), s.limit)}
	}
	n, err := s.f.Write(b)
	s.h.Write(b[:n])
	s.n += int64(n)
	if err != nil {
		return n, permanentError{noSpace(err)}
	}
	return n, nil
}

// reset starts again from nothing.
func (s *sink) reset() error {
	s.h.Reset()
	s.n = 0
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return s.f.Truncate(0)
}

// load takes over what the file already holds.
func (s *sink) load() error {
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(s.h, s.f)
	s.n = n
	if err == nil && n > s.limit {
		err = s.reset()
	}
	return err
}

// verify compares what was written with the checksum of p, if it has one.
func (s *sink) verify(p plan) (digest, error) {
	got := digest{s.algo, hex.EncodeToString(s.h.Sum(nil))}
	if p.sum != (digest{}) && got != p.sum {
		return digest{}, failure(ErrChecksum, fmt.Sprintf(
			"wrong checksum: image %s has %s, but %s was given; the copy was discarded; correct image_checksum or the image", p.label(), got, p.sum))
	}
	return got, nil
}

// meter reports what passes through it and stops with its context.
type meter struct {
	ctx    context.Context
	r      io.Reader
	p      Progress
	report func(Progress)
	alive  func() // called for each piece that arrives
}

func (m *meter) Read(b []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(b)
	m.p.Done += int64(n)
	m.report(m.p)
	if m.alive != nil && n > 0 {
		m.alive()
	}
	return n, err
}

// download brings an http(s) image into the cache. A cut connection is taken
// up where it broke; so is what an earlier attempt left behind.
func (s *Store) download(ctx context.Context, p plan, report func(Progress)) (Image, error) {
	fail := func(err error) (Image, error) {
		return Image{}, fmt.Errorf("downloading image %s: %w", p.label(), err)
	}
	key := sha256.Sum256([]byte(p.sum.String() + " " + p.url.String()))
	f, release, err := s.newPartial(hex.EncodeToString(key[:16]))
	if err != nil {
		return fail(err)
	}
	defer release()
	out := newSink(f, p.sum, s.cfg.MaxImage)
	if err := out.load(); err != nil {
		return fail(err)
	}
	leftover := out.n > 0
	for {
		if err := s.transfer(ctx, p, out, report); err != nil {
			if errors.Is(err, ErrLimit) || errors.Is(err, ErrNoSpace) {
				_ = os.Remove(f.Name())
			}
			return fail(err)
		}
		d, err := out.verify(p)
		if err != nil && leftover {
			// The image may have changed since the leftover was made.
			leftover = false
			if err := out.reset(); err != nil {
				return fail(err)
			}
			continue
		}
		if err == nil {
			err = checkKind(f)
		}
		if err != nil {
			_ = os.Remove(f.Name())
			if errors.Is(err, ErrChecksum) {
				return Image{}, err
			}
			return fail(err)
		}
		img, err := s.admit(f, d)
		if err != nil {
			return fail(err)
		}
		return img, nil
	}
}

// transfer requests until out holds the whole image.
func (s *Store) transfer(ctx context.Context, p plan, out *sink, report func(Progress)) error {
	pause, tries := s.retry, 0
	for {
		before := out.n
		err := s.request(ctx, p, out, report)
		var stop permanentError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &stop):
			return stop.err
		case ctx.Err() != nil:
			return fmt.Errorf("%w after %d MiB", context.Cause(ctx), mib(out.n))
		}
		if out.n > before {
			pause, tries = s.retry, 0
		}
		if tries++; tries == maxTries {
			return fmt.Errorf("given up after %d tries: %w", tries, err)
		}
		s.cfg.Log.Debug("image download interrupted", "source", p.label(), "bytes", out.n, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, 10*time.Second)
	}
}

// permanentError is an error that another try would not change.
type permanentError struct{ err error }

func (e permanentError) Error() string { return e.err.Error() }
func (e permanentError) Unwrap() error { return e.err }

// request makes one HTTP request for what out still lacks.
func (s *Store) request(ctx context.Context, p plan, out *sink, report func(Progress)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url.String(), nil)
	if err != nil {
		return permanentError{err}
	}
	req.Header.Set("User-Agent", "caddyshack")
	if out.n > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(out.n, 10)+"-")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		if errors.Is(err, ErrRefused) {
			return permanentError{bare(err)}
		}
		return bare(err)
	}
	defer resp.Body.Close()
	if whole, err := begin(resp, out); whole || err != nil {
		return err
	}
	total := int64(0)
	if resp.ContentLength >= 0 {
		total = out.n + resp.ContentLength
		if total > out.limit {
			return permanentError{tooLarge(total, out.limit)}
		}
		if err := s.reserve(filepath.Base(out.f.Name()), total); err != nil {
			return permanentError{err}
		}
		if err := CheckSpace(s.cfg.Dir, resp.ContentLength, s.cfg.Reserve); err != nil {
			return permanentError{err}
		}
	}
	stalled := time.AfterFunc(s.cfg.Stall, func() { cancel(fmt.Errorf("the server sent nothing for %s", s.cfg.Stall)) })
	defer stalled.Stop()
	in := &meter{ctx: ctx, r: resp.Body, report: report,
		p:     Progress{Done: out.n, Total: total, Text: "downloading"},
		alive: func() { stalled.Reset(s.cfg.Stall) }}
	_, err = io.Copy(out, in)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// begin checks the status of resp and positions out for its body. It tells if
// out was whole already.
func begin(resp *http.Response, out *sink) (whole bool, err error) {
	again := func(why string) (bool, error) {
		if err := out.reset(); err != nil {
			return false, permanentError{err}
		}
		return false, errors.New(why)
	}
	contentRange := strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes ")
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		// The whole image, perhaps since the server does not know ranges.
		if out.n > 0 {
			err = out.reset()
		}
		return false, err
	case code == http.StatusPartialContent:
		if !strings.HasPrefix(contentRange, strconv.FormatInt(out.n, 10)+"-") {
			return again("the server answered with another range than asked for")
		}
		return false, nil
	case code == http.StatusRequestedRangeNotSatisfiable && out.n > 0:
		if contentRange == "*/"+strconv.FormatInt(out.n, 10) {
			return true, nil
		}
		return again("the server has less of the image than was downloaded")
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		return false, fmt.Errorf("the server answered %s", resp.Status)
	default:
		return false, permanentError{fmt.Errorf("the server answered %s; check image_source", resp.Status)}
	}
}

// bare strips the URL that net/http puts into its errors: its query may be a
// signature that grants access.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
