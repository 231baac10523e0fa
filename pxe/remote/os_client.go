package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"caddyshack/pxe"
	"caddyshack/pxe/roots"
)

// OSClient is the operating-system server of another process.
type OSClient struct {
	// URL is where its OSHandler is, without a path: http://HOST:PORT.
	URL string
	// Secret is what both ends share.
	Secret string
	// HTTP makes the calls; nil means http.DefaultClient. See NewTransport.
	HTTP *http.Client
}

var _ pxe.OSServer = (*OSClient)(nil)

// quick bounds the calls that do not move files.
const quick = 30 * time.Second

func (c *OSClient) end() *end {
	return &end{part: "operating-system server", url: c.URL, secret: c.Secret, http: c.HTTP}
}

func (c *OSClient) post(ctx context.Context, name string, in, out any) error {
	return c.end().call(ctx, osPrefix+name, in, out)
}

// soon is post for a call that must be answered within quick.
func (c *OSClient) soon(ctx context.Context, name string, in, out any) error {
	return c.within(ctx, quick, func(ctx context.Context) error { return c.post(ctx, name, in, out) })
}

func (c *OSClient) get(ctx context.Context, within time.Duration, path string, out any) error {
	return c.within(ctx, within, func(ctx context.Context) error { return c.end().get(ctx, osPrefix+path, out) })
}

// within makes a call; one that is not answered in time means that the other
// side is lost.
func (c *OSClient) within(ctx context.Context, d time.Duration, call func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	err := call(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return c.end().lost("has not answered for %s", d)
	}
	return err
}

// CheckImage is pxe.OSServer's.
func (c *OSClient) CheckImage(ctx context.Context, img pxe.ImageSource) error {
	return c.soon(ctx, "check-image", img, &nothing{})
}

// CheckConfigDrive is pxe.OSServer's.
func (c *OSClient) CheckConfigDrive(ctx context.Context, drive json.RawMessage) error {
	return c.soon(ctx, "check-config-drive", drive, &nothing{})
}

// FetchImage is pxe.OSServer's.
func (c *OSClient) FetchImage(ctx context.Context, img pxe.ImageSource) (pxe.Fetched, error) {
	var out pxe.Fetched
	err := c.post(ctx, "fetch-image", img, &out)
	return out, err
}

// CreateRoot is pxe.OSServer's.
func (c *OSClient) CreateRoot(ctx context.Context, r pxe.RootRequest) error {
	return c.post(ctx, "create-root", r, &nothing{})
}

// Export is pxe.OSServer's.
func (c *OSClient) Export(ctx context.Context, p pxe.PublishRequest) error {
	return c.post(ctx, "export", p, &nothing{})
}

// Remove is pxe.OSServer's.
func (c *OSClient) Remove(ctx context.Context, nodeID string) error {
	return c.post(ctx, "remove", node{nodeID}, &nothing{})
}

// RemoveRescue implements pxe.OSServer.
func (c *OSClient) RemoveRescue(ctx context.Context, nodeID string) error {
	return c.post(ctx, "remove-rescue", node{nodeID}, &nothing{})
}

// ExpectMount is pxe.OSServer's.
func (c *OSClient) ExpectMount(ctx context.Context, nodeID string) error {
	return c.soon(ctx, "expect-mount", node{nodeID}, &nothing{})
}

// MountStatus is pxe.OSServer's.
func (c *OSClient) MountStatus(ctx context.Context, nodeID string) (pxe.MountStatus, error) {
	var out pxe.MountStatus
	err := c.soon(ctx, "mount-status", node{nodeID}, &out)
	return out, err
}

// List is pxe.OSServer's.
func (c *OSClient) List(ctx context.Context) ([]roots.Root, error) {
	var out []roots.Root
	err := c.get(ctx, quick, "roots", &out)
	return out, err
}

// Health is pxe.OSServer's.
func (c *OSClient) Health(ctx context.Context) (pxe.Health, error) {
	var out pxe.Health
	err := c.get(ctx, quick, "health", &out)
	return out, err
}

// Events is pxe.OSServer's.
func (c *OSClient) Events(ctx context.Context, after pxe.Cursor) (pxe.Events, error) {
	var out pxe.Events
	query := url.Values{"instance": {after.Instance}, "after": {fmt.Sprint(after.Seq)}}
	err := c.get(ctx, pxe.EventWait+quick, "events?"+query.Encode(), &out)
	return out, err
}

// BootTree is pxe.OSServer's.
func (c *OSClient) BootTree(ctx context.Context, nodeID string) (pxe.BootTree, error) {
	var out pxe.BootTree
	err := c.get(ctx, quick, "boot/"+url.PathEscape(nodeID), &out)
	return out, err
}

// OpenBootFile is pxe.OSServer's.
func (c *OSClient) OpenBootFile(ctx context.Context, nodeID, name string) (io.ReadCloser, error) {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	body, err := c.end().do(ctx, http.MethodGet, osPrefix+"boot/"+url.PathEscape(nodeID)+"/"+strings.Join(parts, "/"), nil)
	if err != nil {
		return nil, err
	}
	return &lossy{ReadCloser: body, end: c.end()}, nil
}

// lossy reads an answer; that it breaks off means that the other side is lost.
type lossy struct {
	io.ReadCloser
	end *end
}

func (l *lossy) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = l.end.lost("broke off its answer: %w", err)
	}
	return n, err
}
