package pxe

import (
	"net/netip"
	"slices"
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
	// Signs are what the node has given in the expected boot.
	Signs []Sign `json:"signs,omitempty"`
	// Summary says in words what was seen last, and what is likely wrong if nothing follows.
	Summary string    `json:"summary"`
	Since   time.Time `json:"since"`
}

// Gave tells whether the node has given a sign, or one that comes after it.
func (b BootStatus) Gave(sign Sign) bool {
	order := Signs()
	return slices.ContainsFunc(b.Signs, func(given Sign) bool {
		return slices.Index(order, given) >= slices.Index(order, sign)
	})
}
