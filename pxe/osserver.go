package pxe

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"caddyshack/pxe/images"
	"caddyshack/pxe/roots"
)

// OSServer is the operating-system server: it has the images, makes a root for
// each node and serves it over NFS. Arguments and results are plain data, so
// that it can run on the machine with the disk: *LocalOSServer is the one of
// this process, remote.OSClient the twin of another's. Every call may be
// repeated. One that does not answer gives a LostError.
type OSServer interface {
	// CheckImage, CheckConfigDrive, FetchImage and CreateRoot are as in Service.
	CheckImage(ctx context.Context, img ImageSource) error
	CheckConfigDrive(ctx context.Context, drive json.RawMessage) error
	FetchImage(ctx context.Context, img ImageSource) (Fetched, error)
	CreateRoot(ctx context.Context, r RootRequest) error
	// Export opens the root's export to the node's address and makes its boot
	// files. Without an address, which is to be learnt, it only keeps the rest.
	Export(ctx context.Context, p PublishRequest) error
	// Remove ends the export and deletes the root; no call on it is answered any more.
	Remove(ctx context.Context, nodeID string) error
	// RemoveRescue ends the export of a rescue root and deletes it.
	RemoveRescue(ctx context.Context, nodeID string) error
	// ExpectMount forgets that the node has mounted its root.
	ExpectMount(ctx context.Context, nodeID string) error
	// MountStatus tells whether it has since.
	MountStatus(ctx context.Context, nodeID string) (MountStatus, error)
	// List describes the roots that exist, by node.
	List(ctx context.Context) ([]roots.Root, error)
	// Health tells how the server is.
	Health(ctx context.Context) (Health, error)
	// Events tells what nodes did on NFS after a point, if need be after a
	// wait of up to EventWait.
	Events(ctx context.Context, after Cursor) (Events, error)
	// BootTree lists what an exported node boots from; kind NotFound if it is
	// not exported.
	BootTree(ctx context.Context, nodeID string) (BootTree, error)
	// OpenBootFile reads a file of a BootTree that is not in its Data.
	OpenBootFile(ctx context.Context, nodeID, name string) (io.ReadCloser, error)
}

// LocalOSServer is the operating-system server of this process.
type LocalOSServer struct {
	Images *images.Store
	Roots  *roots.Manager
	// Shelf has the boot files if TFTP runs in another process, else it is nil.
	Shelf *Shelf
	// NFSServer names who serves the roots, for Health.
	NFSServer string
	// Address is this machine's address as the nodes see it, NFSPort the port
	// of its NFS server.
	Address netip.Addr
	NFSPort uint16
	// MountPort is the port of the MOUNT protocol; 0 means NFSPort.
	MountPort uint16
	// Dir is the folder that keeps which nodes have mounted their root in the
	// boot that was expected; it must exist.
	Dir string

	feed feed
	// drives keeps the reading of config drives to one at a time: each may take
	// more than 64 MiB while it is unpacked.
	drives sync.Mutex
}

var _ OSServer = (*LocalOSServer)(nil)

// CheckImage finds what is wrong with an image's source without fetching it.
func (s *LocalOSServer) CheckImage(_ context.Context, img ImageSource) error {
	return s.Images.Validate(source(img))
}

func source(img ImageSource) images.Source {
	return images.Source{URL: img.URL, Checksum: images.Checksum{Algo: img.ChecksumAlgo, Value: img.Checksum}}
}

// FetchImage brings the image into the cache, verified.
func (s *LocalOSServer) FetchImage(ctx context.Context, img ImageSource) (Fetched, error) {
	_, err := s.Images.Fetch(ctx, source(img), nil)
	var later *images.NotReadyError
	switch {
	case errors.As(err, &later):
		return Fetched{Progress: later.Progress}, nil
	case err != nil:
		return Fetched{}, err
	}
	return Fetched{Ready: true}, nil
}

// CreateRoot unpacks the fetched image as the node's root.
func (s *LocalOSServer) CreateRoot(ctx context.Context, r RootRequest) error {
	img, err := s.Images.Fetch(ctx, source(r.Image), nil)
	if err != nil {
		return err
	}
	drive, err := s.configDrive(ctx, r.ConfigDrive)
	if err != nil {
		return err
	}
	_, err = s.Roots.Create(ctx, roots.Spec{NodeID: r.NodeID, Generation: r.Generation, LimitBytes: r.LimitBytes, Hostname: cmp.Or(drive.Hostname(), r.Hostname), Image: img,
		MAC: r.MAC, Drive: drive, PhoneHome: r.PhoneHome, Rescue: r.Rescue}, nil)
	return err
}

// Export implements OSServer.
func (s *LocalOSServer) Export(ctx context.Context, p PublishRequest) error {
	server := s.Address
	if p.Server.IsValid() {
		server = p.Server
	}
	return s.Roots.Publish(ctx, roots.BootSpec{NodeID: p.NodeID, Client: p.Client, Learn: p.Learn, MAC: p.MAC, Serial: p.Serial, Model: roots.Model(p.Model),
		Server: server, OwnServer: p.Server.IsValid(), NFSPort: s.NFSPort, MountPort: s.MountPort, KernelParams: p.KernelParams})
}

// Remove implements OSServer.
func (s *LocalOSServer) Remove(ctx context.Context, nodeID string) error {
	if err := s.Roots.Unpublish(ctx, nodeID); err != nil {
		return fmt.Errorf("ending the export: %w", err)
	}
	if err := (signs{s.Dir}).forget(nodeID, SignMounted); err != nil {
		return err
	}
	return s.Roots.Remove(ctx, nodeID)
}

// RemoveRescue implements OSServer.
func (s *LocalOSServer) RemoveRescue(ctx context.Context, nodeID string) error {
	return s.Roots.RemoveRescue(ctx, nodeID)
}

// ExpectMount implements OSServer.
func (s *LocalOSServer) ExpectMount(_ context.Context, nodeID string) error {
	return signs{s.Dir}.forget(nodeID, SignMounted)
}

// MountStatus implements OSServer.
func (s *LocalOSServer) MountStatus(_ context.Context, nodeID string) (MountStatus, error) {
	given, at, err := signs{s.Dir}.given(nodeID, SignMounted)
	return MountStatus{Mounted: len(given) > 0, At: at}, err
}

// List implements OSServer.
func (s *LocalOSServer) List(ctx context.Context) ([]roots.Root, error) { return s.Roots.List(ctx) }

// Health implements OSServer.
func (s *LocalOSServer) Health(ctx context.Context) (Health, error) {
	list, err := s.Roots.List(ctx)
	if err != nil {
		return Health{}, err
	}
	instance, started := s.feed.life()
	h := Health{Instance: instance, Started: started, NFSServer: s.NFSServer, NFS: netip.AddrPortFrom(s.Address, s.NFSPort), Roots: len(list)}
	for _, r := range list {
		if r.Published != nil {
			h.Exports++
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(s.Dir, &st); err != nil {
		return Health{}, &os.PathError{Op: "statfs", Path: s.Dir, Err: err}
	}
	h.TotalBytes, h.FreeBytes = st.Blocks*uint64(st.Bsize), st.Bavail*uint64(st.Bsize)
	return h, nil
}

// Events implements OSServer.
func (s *LocalOSServer) Events(ctx context.Context, after Cursor) (Events, error) {
	return s.feed.events(ctx, after)
}

// BootTree implements OSServer.
func (s *LocalOSServer) BootTree(_ context.Context, nodeID string) (BootTree, error) {
	if s.Shelf == nil {
		return BootTree{}, errNoShelf
	}
	return s.Shelf.Tree(nodeID)
}

// OpenBootFile implements OSServer.
func (s *LocalOSServer) OpenBootFile(_ context.Context, nodeID, name string) (io.ReadCloser, error) {
	if s.Shelf == nil {
		return nil, errNoShelf
	}
	return s.Shelf.Open(nodeID, name)
}

var errNoShelf = errors.New("the boot files are served by this process itself")

// Restore serves again what was exported before this process began, from the
// address and port that it has now.
func (s *LocalOSServer) Restore(ctx context.Context) error {
	if err := s.Roots.Restore(ctx); err != nil {
		return fmt.Errorf("publishing the roots that were published before: %w", err)
	}
	list, err := s.Roots.List(ctx)
	if err != nil {
		return fmt.Errorf("listing the roots: %w", err)
	}
	for _, r := range list {
		if r.Published == nil {
			continue
		}
		server := s.Address
		if r.Published.OwnServer {
			server = r.Published.Server
		}
		if r.Published.Server == server && r.Published.NFSPort == s.NFSPort && r.Published.MountPort == cmp.Or(s.MountPort, s.NFSPort) {
			continue
		}
		spec := *r.Published
		spec.Server, spec.NFSPort, spec.MountPort = server, s.NFSPort, s.MountPort
		if err := s.Roots.Publish(ctx, spec); err != nil {
			return fmt.Errorf("publishing the root of node %s from %s: %w", r.NodeID, server, err)
		}
	}
	return nil
}

// LostError is a part in another process that does not answer. Whatever was
// asked of it may go well once it is back.
type LostError struct {
	// Part names it: "operating-system server".
	Part string
	Err  error
}

// Error implements error.
func (e *LostError) Error() string { return e.Err.Error() }

// Unwrap returns what happened, of kind Unavailable.
func (e *LostError) Unwrap() error { return e.Err }

// EventWait is how long Events waits for one.
const EventWait = 20 * time.Second
