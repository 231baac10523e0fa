package pxe

import (
	"encoding/json"
	"net/netip"
	"slices"
	"time"

	"caddyshack/pxe/bootlog"
	"caddyshack/pxe/roots"
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
	// Server is as in PublishRequest.
	Server netip.Addr `json:"server,omitzero"`
	// LimitBytes is how much of the disk the root may take, 0 means all of it.
	LimitBytes uint64 `json:"limit_bytes,omitempty"`
	// PhoneHome is the URL that the system asks for when it is up; it is set
	// by Service where somebody listens.
	PhoneHome string `json:"phone_home,omitempty"`
	// Rescue is set for a rescue root, which is published instead of the node's
	// own until RemoveRescue.
	Rescue *roots.Rescue `json:"rescue,omitempty"`
	// MAC is that of the interface that the machine boots from.
	MAC string `json:"mac,omitempty"`
	// ConfigDrive is instance_info.configdrive: the JSON text of an object or of
	// a string, which holds base64 or a URL. Empty means none.
	ConfigDrive json.RawMessage `json:"config_drive,omitempty"`
}

// PublishRequest says to whom the root is served and how it is booted.
type PublishRequest struct {
	NodeID string `json:"node_id"`
	// Client is the machine's address. It may be unknown if Learn is set: the
	// root is then opened to the address that the machine is found to have.
	Client netip.Addr `json:"client"`
	Learn  bool       `json:"learn,omitempty"`
	MAC    string     `json:"mac"`
	Serial string     `json:"serial,omitempty"`
	// Model is what the machine is: pi3, pi3plus, pi4, pi5, or "" if that is
	// not known.
	Model string `json:"model,omitempty"`
	// KernelParams is instance_info.kernel_append_params.
	KernelParams string `json:"kernel_params,omitempty"`
	// Server is this place's address as the node sees it, if the node is in a
	// network where that is not the usual one.
	Server netip.Addr `json:"server,omitzero"`
}

// BootStatus is how far a boot has come.
type BootStatus struct {
	// Signs are what the node has given in the expected boot.
	Signs []Sign `json:"signs,omitempty"`
	// Since is when it gave the last of them.
	Since time.Time `json:"since"`
	// Report says how far the boot has come, and what holds it up.
	Report bootlog.Report `json:"report"`
	// Conflict says that another machine pretends to be this one, or the other
	// way round: waiting longer does not help.
	Conflict string `json:"conflict,omitempty"`
}

// Gave tells whether the node has given a sign. A system that asks for a login
// or phones home has mounted its root; of those two neither stands for the other.
func (b BootStatus) Gave(sign Sign) bool {
	return slices.Contains(b.Signs, sign) || sign == SignMounted && len(b.Signs) > 0
}

// MountStatus says whether a node has mounted its root since that was expected.
type MountStatus struct {
	Mounted bool      `json:"mounted"`
	At      time.Time `json:"at"`
}

// Health is how an operating-system server is.
type Health struct {
	// Instance names this life of the server: after a restart it is another.
	Instance string    `json:"instance"`
	Started  time.Time `json:"started"`
	// NFSServer is who serves the roots: "embedded", "kernel" or "ganesha".
	NFSServer string         `json:"nfs_server"`
	NFS       netip.AddrPort `json:"nfs"` // as the nodes see it
	Roots     int            `json:"roots"`
	Exports   int            `json:"exports"`
	// Space where the roots are, in bytes.
	TotalBytes uint64 `json:"total_bytes"`
	FreeBytes  uint64 `json:"free_bytes"`
}

// Cursor is a point in the events of an operating-system server. The zero
// value is no point.
type Cursor struct {
	Instance string `json:"instance"`
	Seq      uint64 `json:"seq"`
}

// Events is what happened up to a point.
type Events struct {
	Cursor
	List []bootlog.Event `json:"events"`
}

// BootTree is what a node boots from: the files its firmware asks for.
type BootTree struct {
	NodeID   string              `json:"node_id"`
	Client   netip.Addr          `json:"client"`
	Prefixes []string            `json:"prefixes"`
	Files    map[string]BootFile `json:"files"` // by name, as "overlays/x.dtbo"
}

// BootFile is one of them: its bytes, or where it stands with its server.
type BootFile struct {
	Data []byte `json:"data,omitempty"`
	// Stored: the bytes are read with OpenBootFile. Size and ModTime tell
	// whether a copy is still right.
	Stored  bool      `json:"stored,omitempty"`
	Size    int64     `json:"size"`
	ModTime time.Time `json:"mod_time,omitzero"`
}
