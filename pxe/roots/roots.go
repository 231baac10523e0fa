// Package roots gives each node a root file system of its own, unpacked from an
// image, and the files that its firmware asks for over TFTP.
//
// A root is made whole or not at all: it is unpacked beside its place and moved
// there in one rename, so that a crash at any point leaves either nothing or
// the finished root, and doing the same again comes to the same end. What is
// published is kept in a small file per node and published again by Restore.
//
// All arguments and results are plain data, so that a manager on another
// machine can stand in for one here.
package roots

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"caddyshack/baremetal"
	"caddyshack/pxe/configdrive"
	"caddyshack/pxe/images"
	"caddyshack/pxe/tftpd"
)

// Exports opens roots to nodes over NFS.
type Exports interface {
	// OpenExport serves a root to its client alone. Opening an export of a
	// node that has one replaces it.
	OpenExport(ctx context.Context, e Export) error
	// CloseExport ends the export of a node: no call is served after it
	// returns nil. Closing what is not open is no error.
	CloseExport(ctx context.Context, nodeID string) error
}

// MountPather is an Exports whose server does not serve roots under the Path
// of their Export: it tells what a node mounts instead.
type MountPather interface {
	MountPath(e Export) string
}

// Export is a root opened to a node.
type Export struct {
	NodeID string     `json:"node_id"`
	Path   string     `json:"path"` // what the node mounts, "/nodes/UUID"
	Dir    string     `json:"dir"`  // where the tree is on this host
	Client netip.Addr `json:"client"`
	// LimitBytes is how much the tree may take, 0 means that there is no limit.
	LimitBytes uint64 `json:"limit_bytes,omitempty"`
}

// BootFiles serves boot files over TFTP; *tftpd.Trees is one.
type BootFiles interface {
	Put(t tftpd.Tree) error
	Remove(id string)
}

// Config says where roots are kept and how they are served.
type Config struct {
	// Dir is the folder of all roots; it is made if it is missing. Paths of
	// boot files are relative to it. Required.
	Dir string
	// Trees keeps the files of roots, Exports and BootFiles serve them.
	// Required. NFS is both of the first two.
	Trees     Trees
	Exports   Exports
	BootFiles BootFiles
	// Limits bound what an image may unpack to.
	Limits images.Limits
	// Reserve is what must stay free on the disk, in bytes. 0 means 256 MiB.
	Reserve int64
	// Log receives a line per change; nil discards.
	Log *slog.Logger
}

// Manager makes, publishes and removes the roots of nodes. It is safe for
// concurrent use; what concerns one node happens one after the other.
type Manager struct {
	cfg Config
	// step is called before each change of the disk or of a server; tests
	// break off there.
	step func(name string) error

	mu    sync.Mutex
	nodes map[string]*nodeLock
}

// nodeLock serialises the work on one node.
type nodeLock struct {
	slot  chan struct{}
	users int
}

// Spec describes a root to be made.
type Spec struct {
	// NodeID is the node's uuid.
	NodeID string `json:"node_id"`
	// Generation names this wish: Create with the generation of the root
	// that is there changes nothing, with another one it makes a fresh root.
	Generation string `json:"generation"`
	// Hostname is what the root is called, a DNS label or name. Empty leaves
	// the image's own.
	Hostname string `json:"hostname"`
	// MAC is that of the interface the node boots from; it may be empty.
	MAC string `json:"mac,omitempty"`
	// Drive is what the root is told at its first boot.
	Drive configdrive.Drive `json:"drive,omitzero"`
	// Image is the archive, as images.Store.Fetch returned it.
	Image images.Image `json:"image"`
	// LimitBytes is how much of the disk the root may take, 0 means all of it.
	// Only the embedded NFS server keeps to it; see the package quota.
	LimitBytes uint64 `json:"limit_bytes,omitempty"`
	// PhoneHome is the URL that the system asks for when it is up (see the
	// package phonehome); empty means that nobody listens. It stands in the
	// root's /etc/caddyshack-phone-home, which only root can read.
	PhoneHome string `json:"phone_home,omitempty"`
	// Rescue is set for a rescue root, which is made beside the node's own and
	// published instead of it until RemoveRescue.
	Rescue *Rescue `json:"rescue,omitempty"`
}

// Rescue is what makes a root a rescue root.
type Rescue struct {
	// PasswordHash is the password of its user "rescue", in the form of
	// shadow(5): SHA-512 crypt.
	PasswordHash string `json:"password_hash"`
}

// Root is a root that exists.
type Root struct {
	NodeID     string    `json:"node_id"`
	Generation string    `json:"generation"`
	Hostname   string    `json:"hostname"`
	Digest     string    `json:"digest"` // of the image
	Entries    int64     `json:"entries"`
	Bytes      int64     `json:"bytes"` // sum of file sizes when it was made
	Created    time.Time `json:"created"`
	LimitBytes uint64    `json:"limit_bytes,omitempty"`
	// Published is how it is served, nil if it is not.
	Published *BootSpec `json:"published,omitempty"`
}

// Open prepares the folder and checks the configuration. It publishes nothing:
// call Restore for that.
func Open(cfg Config) (*Manager, error) {
	switch {
	case cfg.Dir == "":
		return nil, errors.New("no folder is configured for roots")
	case cfg.Trees == nil || cfg.Exports == nil || cfg.BootFiles == nil:
		return nil, errors.New("roots need trees, exports and boot files")
	}
	if cfg.Reserve == 0 {
		cfg.Reserve = 256 << 20
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Manager{cfg: cfg, nodes: map[string]*nodeLock{}, step: func(string) error { return nil }}
	if err := os.MkdirAll(filepath.Join(cfg.Dir, nodesDir), 0o750); err != nil {
		return nil, fmt.Errorf("making the folder of roots: %w; check that it can be written", err)
	}
	return m, nil
}

// The layout below Config.Dir.
const (
	nodesDir = "nodes"
	// rootDir is a finished root: rootTree and rootInfo.
	rootDir = "root"
	// rescueDir is the same of a rescue root. While it is there it is what is
	// published.
	rescueDir = "rescue"
	// rootNew is the start of the name of a root that is being made. The rest
	// is random: a process that was stopped and wakes up late finds its own
	// gone and cannot spoil that of its successor.
	rootNew  = "root.new-"
	rootTree = "tree"
	rootInfo = "root.json"
	// bootDir holds the copies of boot files that TFTP serves.
	bootDir = "boot"
	// bootInfo says how the root is published. It exists while it is.
	bootInfo = "boot.json"
	// trash is the start of the name of what is being deleted.
	trash = "trash-"
)

// place is the folder of the root that a spec describes, below the node's.
func (s *Spec) place() string {
	if s.Rescue != nil {
		return rescueDir
	}
	return rootDir
}

// nodeDir is the folder of a node.
func (m *Manager) nodeDir(id string) string { return filepath.Join(m.cfg.Dir, nodesDir, id) }

// ExportPath is what the node mounts.
func ExportPath(nodeID string) string { return "/" + nodesDir + "/" + nodeID }

// uuid is the form of a node's id, which becomes a folder's name.
func validID(id string) error {
	if ok, _ := regexp.MatchString(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, id); !ok {
		return baremetal.Errorf(baremetal.Invalid, "node id %q is not a uuid in lower case", id)
	}
	return nil
}

// CheckHostname accepts what RFC 1123 does; underscores are common, too.
func CheckHostname(name string) error {
	if name == "" {
		return nil
	}
	label := regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$`)
	if len(name) <= 253 && !slices.ContainsFunc(strings.Split(name, "."), func(l string) bool { return !label.MatchString(l) }) {
		return nil
	}
	return baremetal.Errorf(baremetal.Invalid, "%.80q cannot be a host name; use letters, digits, hyphens and dots", name)
}

// lock waits until nothing else works on the node.
func (m *Manager) lock(ctx context.Context, id string) (unlock func(), err error) {
	if err := validID(id); err != nil {
		return nil, err
	}
	m.mu.Lock()
	l := m.nodes[id]
	if l == nil {
		l = &nodeLock{slot: make(chan struct{}, 1)}
		m.nodes[id] = l
	}
	l.users++
	m.mu.Unlock()
	leave := func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(m.nodes, id)
		}
	}
	select {
	case l.slot <- struct{}{}:
		return func() { <-l.slot; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, fmt.Errorf("waiting for other work on the root of node %s: %w", id, context.Cause(ctx))
	}
}
