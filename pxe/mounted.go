package pxe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"caddyshack/baremetal"
)

// Mounted keeps that a node has mounted its root. It is called before the node
// gets its answer: a crash in between makes the node ask again, so the sign of
// a boot is never lost.
func (s *Service) Mounted(nodeID string) error {
	path, err := s.mountFile(nodeID)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return os.WriteFile(path, []byte(time.Now().UTC().Format(time.RFC3339Nano)+"\n"), 0o600)
}

func (s *Service) mountFile(nodeID string) (string, error) {
	if !baremetal.IsUUID(nodeID) {
		return "", baremetal.Errorf(baremetal.Invalid, "node id %q is not a uuid", nodeID)
	}
	return filepath.Join(s.Dir, nodeID), nil
}

func (s *Service) forgetMount(nodeID string) error {
	path, err := s.mountFile(nodeID)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting the boot before: %w", err)
	}
	return nil
}

// mountedAt tells when the node mounted its root in the boot that was expected.
func (s *Service) mountedAt(nodeID string) (time.Time, bool, error) {
	path, err := s.mountFile(nodeID)
	if err != nil {
		return time.Time{}, false, err
	}
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return time.Time{}, false, nil
	case err != nil:
		return time.Time{}, false, fmt.Errorf("reading whether the node has booted: %w", err)
	}
	return fi.ModTime(), true, nil
}
