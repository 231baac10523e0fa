package nfsroot

import (
	"context"
	"encoding/json"

	"caddyshack/pxe"
	"caddyshack/pxe/bootlog"
)

// BootService is the place where images, roots, exports and boot files live.
// Arguments and results are plain data: a twin that speaks HTTP can stand in
// when the place is another machine. Every call may be repeated.
type BootService interface {
	// CheckImage finds what is wrong with an image's source without fetching it.
	CheckImage(ctx context.Context, img pxe.ImageSource) error
	// CheckConfigDrive finds what is wrong with a config drive (the JSON text of
	// instance_info.configdrive) without fetching it.
	CheckConfigDrive(ctx context.Context, drive json.RawMessage) error
	// FetchImage brings the image into the place's cache, verified. A result that
	// is not Ready says why, and the call is made again later.
	FetchImage(ctx context.Context, img pxe.ImageSource) (pxe.Fetched, error)
	// CreateRoot unpacks the fetched image as the node's root. A root made for
	// the same Generation is kept as it is.
	CreateRoot(ctx context.Context, r pxe.RootRequest) error
	// ReserveAddress makes sure that a machine has an address, or tells that it
	// will be learnt.
	ReserveAddress(ctx context.Context, m pxe.Machine) (pxe.AddressAnswer, error)
	// Publish opens the export of the root, or of the rescue root if there is one,
	// to the node's address and puts up its boot files.
	Publish(ctx context.Context, p pxe.PublishRequest) error
	// Remove ends what was published and deletes the root.
	Remove(ctx context.Context, nodeID string) error
	// RemoveRescue ends what was published of a rescue root and deletes it; the
	// node's own root stays, and may be published again.
	RemoveRescue(ctx context.Context, nodeID string) error
	// ExpectBoot says that the machine is about to be switched on: what was seen before does not count.
	ExpectBoot(ctx context.Context, nodeID string) error
	// BootStatus tells how far the expected boot has come.
	BootStatus(ctx context.Context, nodeID string) (pxe.BootStatus, error)
	// PowerOn says that the machine is being switched on, or was just now. It
	// forgets nothing.
	PowerOn(ctx context.Context, nodeID string) error
	// Settled lists the latest boots that have settled.
	Settled(ctx context.Context) ([]pxe.SettledBoot, error)
	// Boots lists the remembered boots of a node, the latest first.
	Boots(ctx context.Context, nodeID string) ([]bootlog.Boot, error)
	// FollowBoot hands over what is seen of a node from now on, until send fails or
	// ctx ends.
	FollowBoot(ctx context.Context, nodeID string, send func(bootlog.Update) error) error
}
