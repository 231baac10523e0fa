package pxe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"caddyshack/pxe/bootlog"
	"caddyshack/pxe/images"
	"caddyshack/pxe/phonehome"
	"caddyshack/pxe/roots"
)

// Service is the boot service of a place.
type Service struct {
	Images *images.Store
	Roots  *roots.Manager
	Log    *bootlog.Log
	// Address is this place's address as the nodes see it, NFSPort the port of
	// its NFS server.
	Address netip.Addr
	NFSPort uint16
	// MountPort is the port of the MOUNT protocol; 0 means NFSPort.
	MountPort uint16
	// Dir is the folder that keeps which nodes have mounted their root in the
	// boot that was expected; it must exist.
	Dir string
	// Tokens are what systems tell with that they are up, and PhoneHome the
	// http://HOST:PORT where they do. Without one of them they are not asked to.
	Tokens    *phonehome.Tokens
	PhoneHome string
}

// CheckImage finds what is wrong with an image's source without fetching it.
func (s *Service) CheckImage(_ context.Context, img ImageSource) error {
	return s.Images.Validate(source(img))
}

func source(img ImageSource) images.Source {
	return images.Source{URL: img.URL, Checksum: images.Checksum{Algo: img.ChecksumAlgo, Value: img.Checksum}}
}

// FetchImage brings the image into the cache, verified.
func (s *Service) FetchImage(ctx context.Context, img ImageSource) (Fetched, error) {
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
func (s *Service) CreateRoot(ctx context.Context, r RootRequest) error {
	img, err := s.Images.Fetch(ctx, source(r.Image), nil)
	if err != nil {
		return err
	}
	home, err := s.phoneHome(r.NodeID, r.Generation)
	if err != nil {
		return err
	}
	_, err = s.Roots.Create(ctx, roots.Spec{NodeID: r.NodeID, Generation: r.Generation, Hostname: r.Hostname, Image: img, PhoneHome: home}, nil)
	return err
}

// phoneHome is the URL by which the system in a node's root tells that it is
// up, "" if nobody listens.
func (s *Service) phoneHome(nodeID, generation string) (string, error) {
	if s.Tokens == nil || s.PhoneHome == "" {
		return "", nil
	}
	token, err := s.Tokens.Token(nodeID, generation)
	if err != nil {
		return "", err
	}
	return phonehome.URL(s.PhoneHome, token), nil
}

// Publish opens the root's export to the node's address and puts up its boot files.
func (s *Service) Publish(ctx context.Context, p PublishRequest) error {
	return s.Roots.Publish(ctx, roots.BootSpec{NodeID: p.NodeID, Client: p.Client, MAC: p.MAC, Serial: p.Serial,
		Server: s.Address, NFSPort: s.NFSPort, MountPort: s.MountPort, KernelParams: p.KernelParams})
}

// Remove ends what was published and deletes the root.
func (s *Service) Remove(ctx context.Context, nodeID string) error {
	if err := s.Roots.Unpublish(ctx, nodeID); err != nil {
		return fmt.Errorf("ending the export: %w", err)
	}
	if err := s.forgetSigns(nodeID); err != nil {
		return err
	}
	if s.Tokens != nil {
		if err := s.Tokens.Forget(nodeID); err != nil {
			return err
		}
	}
	return s.Roots.Remove(ctx, nodeID)
}

// ExpectBoot says that the machine is about to be switched on: what was seen before does not count.
func (s *Service) ExpectBoot(_ context.Context, nodeID string) error {
	if err := s.forgetSigns(nodeID); err != nil {
		return err
	}
	s.Log.StartBoot(nodeID, time.Now())
	return nil
}

// BootStatus tells how far the expected boot has come.
func (s *Service) BootStatus(_ context.Context, nodeID string) (BootStatus, error) {
	signs, at, err := s.given(nodeID)
	if err != nil {
		return BootStatus{}, err
	}
	r := s.Log.Explain(nodeID, time.Now())
	b := BootStatus{Signs: signs, Summary: r.String(), Since: r.Start}
	if len(signs) > 0 {
		b.Since = at
	}
	return b, nil
}

// Restore serves again what was published before this process began, from the
// address and port that it has now.
func (s *Service) Restore(ctx context.Context) error {
	if err := s.Roots.Restore(ctx); err != nil {
		return fmt.Errorf("publishing the roots that were published before: %w", err)
	}
	list, err := s.Roots.List(ctx)
	if err != nil {
		return fmt.Errorf("listing the roots: %w", err)
	}
	for _, r := range list {
		if r.Published == nil || (r.Published.Server == s.Address && r.Published.NFSPort == s.NFSPort && r.Published.MountPort == cmp.Or(s.MountPort, s.NFSPort)) {
			continue
		}
		spec := *r.Published
		spec.Server, spec.NFSPort, spec.MountPort = s.Address, s.NFSPort, s.MountPort
		if err := s.Roots.Publish(ctx, spec); err != nil {
			return fmt.Errorf("publishing the root of node %s from %s: %w", r.NodeID, s.Address, err)
		}
	}
	return nil
}
