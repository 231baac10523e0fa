package pxe

import (
	"net/netip"
	"time"
)

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
