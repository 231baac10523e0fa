package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"caddyshack/baremetal"
	"caddyshack/pxe"
)

// Client is the boot service of another process.
type Client struct {
	// URL is where its Handler is, without a path: http://HOST:PORT.
	URL string
	// Secret is what both ends share.
	Secret string
	// HTTP makes the calls; nil means http.DefaultClient. Unpacking a root may
	// take minutes: the context of a call limits it, not a Timeout here.
	HTTP *http.Client
}

var _ Service = (*Client)(nil)

// CheckImage is pxe.Service's.
func (c *Client) CheckImage(ctx context.Context, img pxe.ImageSource) error {
	return call(ctx, c, "check-image", img, &nothing{})
}

// FetchImage is pxe.Service's.
func (c *Client) FetchImage(ctx context.Context, img pxe.ImageSource) (pxe.Fetched, error) {
	var out pxe.Fetched
	return out, call(ctx, c, "fetch-image", img, &out)
}

// CreateRoot is pxe.Service's.
func (c *Client) CreateRoot(ctx context.Context, r pxe.RootRequest) error {
	return call(ctx, c, "create-root", r, &nothing{})
}

// Publish is pxe.Service's.
func (c *Client) Publish(ctx context.Context, p pxe.PublishRequest) error {
	return call(ctx, c, "publish", p, &nothing{})
}

// Remove is pxe.Service's.
func (c *Client) Remove(ctx context.Context, nodeID string) error {
	return call(ctx, c, "remove", node{nodeID}, &nothing{})
}

// ExpectBoot is pxe.Service's.
func (c *Client) ExpectBoot(ctx context.Context, nodeID string) error {
	return call(ctx, c, "expect-boot", node{nodeID}, &nothing{})
}

// BootStatus is pxe.Service's.
func (c *Client) BootStatus(ctx context.Context, nodeID string) (pxe.BootStatus, error) {
	var out pxe.BootStatus
	return out, call(ctx, c, "boot-status", node{nodeID}, &out)
}

// maxReply bounds an answer in bytes.
const maxReply = 1 << 20

// call makes one call; an error of the other side keeps its kind, and one of
// the way there is Unavailable.
func call(ctx context.Context, c *Client, name string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("writing the call %s: %w", name, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.URL, "/")+prefix+name, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("calling the boot service: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Secret)
	req.Header.Set("Content-Type", "application/json")
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return baremetal.Errorf(baremetal.Unavailable, "the boot service at %s does not answer: %w; check that it runs and can be reached", c.URL, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return baremetal.Errorf(baremetal.Unavailable, "the boot service at %s broke off its answer: %w", c.URL, err)
	}
	if resp.StatusCode != http.StatusOK {
		var f failure
		if json.Unmarshal(text, &f) != nil || f.Message == "" {
			f.Message = fmt.Sprintf("the boot service at %s answered %s", c.URL, resp.Status)
		}
		return &baremetal.Error{Kind: kindNamed(f.Kind), Message: f.Message}
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("reading the answer to %s: %w", name, err)
	}
	return nil
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
