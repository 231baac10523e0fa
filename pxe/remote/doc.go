// Package remote carries the boot service and the operating-system server to
// other processes: Handler serves a place's boot service over HTTP, Client is
// its twin for a conductor elsewhere; OSHandler and OSClient are the same for
// pxe.OSServer. Both ends share a secret; the link itself belongs on a network
// of its own or behind TLS.
package remote

import (
	"context"
	"encoding/json"
	"time"

	"caddyshack/pxe"
	"caddyshack/pxe/bootlog"
)

// Service is what is carried; *pxe.Service is one, and Client is its twin.
type Service interface {
	CheckImage(ctx context.Context, img pxe.ImageSource) error
	CheckConfigDrive(ctx context.Context, drive json.RawMessage) error
	FetchImage(ctx context.Context, img pxe.ImageSource) (pxe.Fetched, error)
	CreateRoot(ctx context.Context, r pxe.RootRequest) error
	Publish(ctx context.Context, p pxe.PublishRequest) error
	Remove(ctx context.Context, nodeID string) error
	RemoveRescue(ctx context.Context, nodeID string) error
	ExpectBoot(ctx context.Context, nodeID string) error
	BootStatus(ctx context.Context, nodeID string) (pxe.BootStatus, error)
	PowerOn(ctx context.Context, nodeID string) error
	Seen(ctx context.Context, nodeID string, sign pxe.Sign) error
	Settled(ctx context.Context) ([]pxe.SettledBoot, error)
	Boots(ctx context.Context, nodeID string) ([]bootlog.Boot, error)
	FollowBoot(ctx context.Context, nodeID string, send func(bootlog.Update) error) error
	ReserveAddress(ctx context.Context, m pxe.Machine) (pxe.AddressAnswer, error)
	SyncMachines(ctx context.Context, list []pxe.Machine) (pxe.SyncAnswer, error)
	Notices(ctx context.Context, after uint64) ([]pxe.Notice, error)
	Sightings(ctx context.Context, since time.Time) ([]pxe.Sighting, error)
}

// seen is the argument of the call Seen.
type seen struct {
	NodeID string   `json:"node_id"`
	Sign   pxe.Sign `json:"sign"`
}

// node names the node a call is about.
type node struct {
	NodeID string `json:"node_id"`
}

// mark is where to go on from.
type mark struct {
	After uint64    `json:"after,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// failure is an error on the wire, with its kind.
type failure struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	// Lost is the part of a pxe.LostError.
	Lost string `json:"lost,omitempty"`
}

// nothing is the result of calls that only succeed.
type nothing struct{}

// Where the calls are.
const (
	prefix   = "/boot/v1/"
	osPrefix = "/os/v1/"
)
