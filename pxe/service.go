package pxe

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"caddyshack/pxe/bootlog"
	"caddyshack/pxe/phonehome"
)

// Service is the boot service of a place.
type Service struct {
	// OS has the images and roots, in this process or in another.
	OS OSServer
	// Copies has the boot files of an OS in another process; nil if TFTP
	// serves those of OS itself.
	Copies *Copies
	Log    *bootlog.Log
	// Dir is the folder that keeps which signs of a boot nodes have given, of
	// the boot that was expected; it must exist.
	Dir string
	// Tokens are what systems tell with that they are up, and PhoneHome the
	// http://HOST:PORT where they do. Without one of them they are not asked to.
	Tokens    *phonehome.Tokens
	PhoneHome string
	// PhoneHomePort is where they do in networks of their own; 0 = nowhere.
	PhoneHomePort uint16
	// Addresses knows the machines and their addresses; nil means that whoever
	// publishes a root knows the address.
	Addresses *Addresses
	// Own are the addresses in networks of their own, by this machine's address there.
	Own map[netip.Addr]*Addresses
	// Sighted remembers who was noticed on the network.
	Sighted Sightings
	// OnMount, if set, is told of a node that has mounted its root. It must
	// not block.
	OnMount func(nodeID string)
	// Logger is for messages; nil means none.
	Logger *slog.Logger

	unheld sync.Once // tells that neighbours cannot be held

	mu   sync.Mutex
	link Link
}

// CheckImage finds what is wrong with an image's source without fetching it.
func (s *Service) CheckImage(ctx context.Context, img ImageSource) error {
	return s.OS.CheckImage(ctx, img)
}

// CheckConfigDrive finds what is wrong with a config drive without fetching it.
func (s *Service) CheckConfigDrive(ctx context.Context, drive json.RawMessage) error {
	return s.OS.CheckConfigDrive(ctx, drive)
}

// FetchImage brings the image into the cache, verified.
func (s *Service) FetchImage(ctx context.Context, img ImageSource) (Fetched, error) {
	return s.OS.FetchImage(ctx, img)
}

// CreateRoot unpacks the fetched image as the node's root.
func (s *Service) CreateRoot(ctx context.Context, r RootRequest) error {
	if r.Rescue != nil { // the token is the own root's
		return s.OS.CreateRoot(ctx, r)
	}
	var err error
	if r.PhoneHome, err = s.phoneHome(r.NodeID, r.Generation, r.Server); err != nil {
		return err
	}
	return s.OS.CreateRoot(ctx, r)
}

// phoneHome is the URL by which the system in a node's root tells that it is
// up, "" if nobody listens where the node sees this place (server; the zero
// value is the usual address).
func (s *Service) phoneHome(nodeID, generation string, server netip.Addr) (string, error) {
	home := s.PhoneHome
	if server.IsValid() {
		home = ""
		if s.PhoneHomePort != 0 {
			home = "http://" + netip.AddrPortFrom(server, s.PhoneHomePort).String()
		}
	}
	if s.Tokens == nil || home == "" {
		return "", nil
	}
	token, err := s.Tokens.Token(nodeID, generation)
	if err != nil {
		return "", err
	}
	return phonehome.URL(home, token), nil
}

// Publish opens the root's export to the node's address and puts up its boot files.
func (s *Service) Publish(ctx context.Context, p PublishRequest) error {
	err := s.OS.Export(ctx, p)
	if err != nil || s.Copies == nil || p.Learn && !p.Client.IsValid() {
		return err
	}
	return s.Copies.Sync(ctx, s.OS, p.NodeID)
}

// Remove ends what was published and deletes the root.
func (s *Service) Remove(ctx context.Context, nodeID string) error {
	if s.Copies != nil {
		if err := s.Copies.Remove(nodeID); err != nil {
			return err
		}
	}
	if err := (signs{s.Dir}).forget(nodeID, laterSigns()...); err != nil {
		return err
	}
	if s.Tokens != nil {
		if err := s.Tokens.Forget(nodeID); err != nil {
			return err
		}
	}
	return s.OS.Remove(ctx, nodeID)
}

// RemoveRescue ends what was published of a rescue root and deletes it; the
// node's own root stays, and may be published again.
func (s *Service) RemoveRescue(ctx context.Context, nodeID string) error {
	if s.Copies != nil {
		if err := s.Copies.Remove(nodeID); err != nil {
			return err
		}
	}
	return s.OS.RemoveRescue(ctx, nodeID)
}

// ExpectBoot says that the machine is about to be switched on: what was seen
// before does not count.
func (s *Service) ExpectBoot(ctx context.Context, nodeID string) error {
	if err := (signs{s.Dir}).forget(nodeID, laterSigns()...); err != nil {
		return err
	}
	if err := s.OS.ExpectMount(ctx, nodeID); err != nil {
		return err
	}
	s.Addresses.forget(nodeID)
	s.Log.StartBoot(nodeID, time.Now())
	return nil
}

// BootStatus tells how far the expected boot has come.
func (s *Service) BootStatus(ctx context.Context, nodeID string) (BootStatus, error) {
	given, at, err := signs{s.Dir}.given(nodeID, laterSigns()...)
	if err != nil {
		return BootStatus{}, err
	}
	m, err := s.OS.MountStatus(ctx, nodeID)
	if err != nil {
		return BootStatus{}, err
	}
	if m.Mounted {
		given = append([]Sign{SignMounted}, given...)
		if m.At.After(at) {
			at = m.At
		}
	}
	now := time.Now()
	s.Log.Expect(nodeID, now)
	b := BootStatus{Signs: given, Report: s.Log.Explain(nodeID, now)}
	if t := s.Addresses.troubleOf(nodeID); t.text != "" {
		b.Report.Cause = t.text
		if t.fatal {
			b.Conflict = t.text
		}
	}
	if len(given) > 0 {
		b.Since = at
	}
	return b, nil
}

func (s *Service) log() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}
