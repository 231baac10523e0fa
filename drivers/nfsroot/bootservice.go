package nfsroot

import (
	"context"
	"net/netip"
	"time"
)

// BootService is the place where images, roots, exports and boot files live.
// Arguments and results are plain data: a twin that speaks HTTP can stand in
// when the place is another machine. Every call may be repeated.
type BootService interface {
	// CheckImage finds what is wrong with an image's source without fetching it.
	CheckImage(ctx context.Context, img ImageSource) error
	// FetchImage brings the image into the place's cache, verified. A result that
	// is not Ready says why, and the call is made again later.
	FetchImage(ctx context.Context, img ImageSource) (Fetched, error)
	// CreateRoot unpacks the fetched image as the node's root. A root made for
	// the same Generation is kept as it is.
	CreateRoot(ctx context.Context, r RootRequest) error
	// Publish opens the root's export to the node's address and puts up its boot files.
	Publish(ctx context.Context, p PublishRequest) error
	// Remove ends what was published and deletes the root.
	Remove(ctx context.Context, nodeID string) error
	// ExpectBoot says that the machine is about to be switched on: what was seen before does not count.
	ExpectBoot(ctx context.Context, nodeID string) error
	// BootStatus tells how far the expected boot has come.
	BootStatus(ctx context.Context, nodeID string) (BootStatus, error)
}

// ImageSource names a root file system archive and its checksum.
type ImageSource struct {
	URL          string `json:"url"`
	ChecksumAlgo string `json:"checksum_algo,omitempty"`
	Checksum     string `json:"checksum,omitempty"`
}

// Fetched is the answer of FetchImage.
type Fetched struct {
	Ready    bool   `json:"ready"`
	Progress string `json:"progress,omitempty"` // for people, while not ready
}

// RootRequest asks for a node's root.
type RootRequest struct {
	NodeID     string      `json:"node_id"`
	Generation string      `json:"generation"`
	Hostname   string      `json:"hostname"`
	Image      ImageSource `json:"image"`
}

// PublishRequest says to whom the root is served and how it is booted.
type PublishRequest struct {
	NodeID string     `json:"node_id"`
	Client netip.Addr `json:"client"`
	MAC    string     `json:"mac"`
	Serial string     `json:"serial,omitempty"`
	// KernelParams is instance_info.kernel_append_params.
	KernelParams string `json:"kernel_params,omitempty"`
}

// BootStatus is how far a boot has come.
type BootStatus struct {
	// Mounted is true once the node's root was mounted in the expected boot.
	Mounted bool `json:"mounted"`
	// Summary says in words what was seen last, and what is likely wrong if nothing follows.
	Summary string    `json:"summary"`
	Since   time.Time `json:"since"`
}
