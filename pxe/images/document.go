package images

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// documentTimeout bounds the fetching of a document.
const documentTimeout = time.Minute

// CheckURL finds what is wrong with the URL of a document without opening
// anything.
func (s *Store) CheckURL(raw string) error {
	_, err := s.documentURL(raw)
	return err
}

func (s *Store) documentURL(raw string) (*url.URL, error) {
	if len(raw) > maxURL {
		return nil, refusef("the URL is %d bytes long; at most %d are accepted", len(raw), maxURL)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, refusef("%.80q is not a URL", raw)
	}
	return u, s.net.checkURL(u)
}

// Document fetches a small document, such as a config drive, into memory. The
// servers that images may come from may be asked, and no others.
func (s *Store) Document(ctx context.Context, raw string, limit int64) ([]byte, error) {
	u, err := s.documentURL(raw)
	if err != nil {
		return nil, err
	}
	label := plan{url: u, scheme: "http"}.label()
	ctx, cancel := context.WithTimeoutCause(ctx, documentTimeout, fmt.Errorf("the server took more than %s", documentTimeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", label, err)
	}
	req.Header.Set("User-Agent", "caddyshack")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", label, bare(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetching %s: the server answered %s; check the URL", label, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("fetching %s: %w", label, context.Cause(ctx))
	case err != nil:
		return nil, fmt.Errorf("fetching %s: %w", label, err)
	case int64(len(data)) > limit:
		return nil, failure(ErrLimit, fmt.Sprintf("%s has more than %d bytes, which exceeds the limit", label, limit))
	}
	return data, nil
}
