package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"caddyshack/baremetal"
	"caddyshack/pxe"
)

// end is the other end of calls.
type end struct {
	part   string // what it is, for people
	url    string // without a path
	secret string
	http   *http.Client // nil means http.DefaultClient
}

// maxReply bounds an answer in bytes; the largest lists the roots of thousands of nodes.
const maxReply = 16 << 20

// call makes one call: in and out are JSON.
func (e *end) call(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("writing the call %s: %w", path, err)
	}
	answer, err := e.do(ctx, http.MethodPost, path, body)
	if err != nil {
		return err
	}
	return e.decode(answer, path, out)
}

// get reads what a path shows.
func (e *end) get(ctx context.Context, path string, out any) error {
	answer, err := e.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return e.decode(answer, path, out)
}

func (e *end) decode(answer io.ReadCloser, path string, out any) error {
	defer answer.Close()
	text, err := io.ReadAll(io.LimitReader(answer, maxReply))
	if err != nil {
		return e.lost("broke off its answer: %w", err)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("reading the answer of the %s to %s: %w", e.part, path, err)
	}
	return nil
}

// lost is the error of an end that cannot be reached.
func (e *end) lost(format string, args ...any) error {
	return &pxe.LostError{Part: e.part, Err: baremetal.Errorf(baremetal.Unavailable, "the %s at %s "+format+"; check that it runs and can be reached",
		append([]any{e.part, e.url}, args...)...)}
}

// do makes a request and returns the body of a good answer. An error of the
// other side keeps its kind, and one of the way there is a LostError.
func (e *end) do(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(e.url, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("calling the %s: %w", e.part, err)
	}
	req.Header.Set("Authorization", "Bearer "+e.secret)
	req.Header.Set("Content-Type", "application/json")
	client := e.http
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("calling the %s: %w", e.part, context.Cause(ctx))
	case err != nil:
		return nil, e.lost("does not answer: %w", err)
	case resp.StatusCode == http.StatusOK:
		return resp.Body, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return nil, e.lost("broke off its answer: %w", err)
	}
	return nil, e.failed(resp, text)
}

// failed is the error that the other side told.
func (e *end) failed(resp *http.Response, text []byte) error {
	var f failure
	switch {
	case json.Unmarshal(text, &f) == nil && f.Message != "":
	case resp.StatusCode >= http.StatusInternalServerError:
		return e.lost("answers %s", resp.Status)
	default:
		f.Message = fmt.Sprintf("the %s at %s answered %s", e.part, e.url, resp.Status)
	}
	err := &baremetal.Error{Kind: kindNamed(f.Kind), Message: f.Message}
	if f.Lost != "" {
		return &pxe.LostError{Part: f.Lost, Err: err}
	}
	return err
}

// kindNamed is the inverse of Kind.String; what it does not know is Internal.
func kindNamed(name string) baremetal.Kind {
	for k := baremetal.Internal; k <= baremetal.ClaimLost; k++ {
		if k.String() == name && name != "" {
			return k
		}
	}
	return baremetal.Internal
}

// NewTransport returns a transport that soon notices that the other machine is
// gone: calls may take minutes and have no deadline of their own.
func NewTransport() *http.Transport {
	return &http.Transport{
		DialContext: (&net.Dialer{Timeout: 5 * time.Second, KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3}}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 16,
	}
}
