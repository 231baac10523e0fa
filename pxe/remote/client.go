package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"caddyshack/pxe"
	"caddyshack/pxe/bootlog"
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

func (c *Client) end() *end {
	return &end{part: "boot service", url: c.URL, secret: c.Secret, http: c.HTTP}
}

// CheckImage is pxe.Service's.
func (c *Client) CheckImage(ctx context.Context, img pxe.ImageSource) error {
	return c.end().call(ctx, prefix+"check-image", img, &nothing{})
}

// CheckConfigDrive is pxe.Service's.
func (c *Client) CheckConfigDrive(ctx context.Context, drive json.RawMessage) error {
	return c.end().call(ctx, prefix+"check-config-drive", drive, &nothing{})
}

// FetchImage is pxe.Service's.
func (c *Client) FetchImage(ctx context.Context, img pxe.ImageSource) (pxe.Fetched, error) {
	var out pxe.Fetched
	err := c.end().call(ctx, prefix+"fetch-image", img, &out)
	return out, err
}

// CreateRoot is pxe.Service's.
func (c *Client) CreateRoot(ctx context.Context, r pxe.RootRequest) error {
	return c.end().call(ctx, prefix+"create-root", r, &nothing{})
}

// Publish is pxe.Service's.
func (c *Client) Publish(ctx context.Context, p pxe.PublishRequest) error {
	return c.end().call(ctx, prefix+"publish", p, &nothing{})
}

// Remove is pxe.Service's.
func (c *Client) Remove(ctx context.Context, nodeID string) error {
	return c.end().call(ctx, prefix+"remove", node{nodeID}, &nothing{})
}

// RemoveRescue is pxe.Service's.
func (c *Client) RemoveRescue(ctx context.Context, nodeID string) error {
	return c.end().call(ctx, prefix+"remove-rescue", node{nodeID}, &nothing{})
}

// ExpectBoot is pxe.Service's.
func (c *Client) ExpectBoot(ctx context.Context, nodeID string) error {
	return c.end().call(ctx, prefix+"expect-boot", node{nodeID}, &nothing{})
}

// BootStatus is pxe.Service's.
func (c *Client) BootStatus(ctx context.Context, nodeID string) (pxe.BootStatus, error) {
	var out pxe.BootStatus
	err := c.end().call(ctx, prefix+"boot-status", node{nodeID}, &out)
	return out, err
}

// PowerOn is pxe.Service's.
func (c *Client) PowerOn(ctx context.Context, nodeID string) error {
	return c.end().call(ctx, prefix+"power-on", node{nodeID}, &nothing{})
}

// Seen is pxe.Service's.
func (c *Client) Seen(ctx context.Context, nodeID string, sign pxe.Sign) error {
	return c.end().call(ctx, prefix+"seen", seen{nodeID, sign}, &nothing{})
}

// Settled is pxe.Service's.
func (c *Client) Settled(ctx context.Context) ([]pxe.SettledBoot, error) {
	var out []pxe.SettledBoot
	err := c.end().call(ctx, prefix+"settled", nothing{}, &out)
	return out, err
}

// Boots is pxe.Service's.
func (c *Client) Boots(ctx context.Context, nodeID string) ([]bootlog.Boot, error) {
	var out []bootlog.Boot
	err := c.end().call(ctx, prefix+"boots", node{nodeID}, &out)
	return out, err
}

// FollowBoot is pxe.Service's: the other side sends one JSON value for each update.
func (c *Client) FollowBoot(ctx context.Context, nodeID string, send func(bootlog.Update) error) error {
	body, err := json.Marshal(node{nodeID})
	if err != nil {
		return fmt.Errorf("writing the call follow-boot: %w", err)
	}
	answer, err := c.end().do(ctx, http.MethodPost, prefix+"follow-boot", body)
	if err != nil {
		return err
	}
	defer answer.Close()
	dec := json.NewDecoder(answer)
	for {
		var u bootlog.Update
		err := dec.Decode(&u)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return c.end().lost("broke off what it tells of node %s: %w", nodeID, err)
		}
		if err := send(u); err != nil {
			return err
		}
	}
}

// ReserveAddress is pxe.Service's.
func (c *Client) ReserveAddress(ctx context.Context, m pxe.Machine) (pxe.AddressAnswer, error) {
	var out pxe.AddressAnswer
	err := c.end().call(ctx, prefix+"reserve-address", m, &out)
	return out, err
}

// SyncMachines is pxe.Service's.
func (c *Client) SyncMachines(ctx context.Context, list []pxe.Machine) (pxe.SyncAnswer, error) {
	var out pxe.SyncAnswer
	err := c.end().call(ctx, prefix+"sync-machines", list, &out)
	return out, err
}

// Notices is pxe.Service's.
func (c *Client) Notices(ctx context.Context, after uint64) ([]pxe.Notice, error) {
	var out []pxe.Notice
	err := c.end().call(ctx, prefix+"notices", mark{After: after}, &out)
	return out, err
}

// Sightings is pxe.Service's.
func (c *Client) Sightings(ctx context.Context, since time.Time) ([]pxe.Sighting, error) {
	var out []pxe.Sighting
	err := c.end().call(ctx, prefix+"sightings", mark{Since: since}, &out)
	return out, err
}
