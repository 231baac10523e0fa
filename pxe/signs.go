package pxe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"caddyshack/baremetal"
	"caddyshack/pxe/bootlog"
)

// Sign is evidence that a machine has booted.
type Sign string

// The signs, in the order in which a boot gives them.
const (
	// SignMounted: the root file system was mounted.
	SignMounted Sign = "root-mounted"
	// SignLogin: the system asks for a login on its serial console.
	SignLogin Sign = "login-prompt"
	// SignHome: the system has told that it is up, with the token of its root.
	SignHome Sign = "phone-home"
)

// Signs lists all signs in their order.
func Signs() []Sign { return []Sign{SignMounted, SignLogin, SignHome} }

// Seen keeps that a node has given a sign. Where a node waits for an answer it
// is called before: a crash in between makes the node ask again, so that the
// sign is never lost.
func (s *Service) Seen(_ context.Context, nodeID string, sign Sign) error {
	path, err := s.signFile(nodeID, sign)
	if err != nil {
		return err
	}
	now := time.Now()
	if sign != SignMounted { // which the log hears from the NFS server itself
		s.Log.Record(bootlog.Event{ID: nodeID, Time: now, Stage: bootlog.StageLogin, Name: string(sign)})
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return os.WriteFile(path, []byte(now.UTC().Format(time.RFC3339Nano)+"\n"), 0o600)
}

func (s *Service) signFile(nodeID string, sign Sign) (string, error) {
	if !baremetal.IsUUID(nodeID) {
		return "", baremetal.Errorf(baremetal.Invalid, "node id %q is not a uuid", nodeID)
	}
	switch sign {
	case SignMounted:
		return filepath.Join(s.Dir, nodeID), nil
	case SignLogin, SignHome:
		return filepath.Join(s.Dir, nodeID+"."+string(sign)), nil
	}
	return "", baremetal.Errorf(baremetal.Invalid, "there is no sign %q of a boot", sign)
}

// forgetSigns makes the signs of the boot before worthless.
func (s *Service) forgetSigns(nodeID string) error {
	for _, sign := range Signs() {
		path, err := s.signFile(nodeID, sign)
		if err != nil {
			return err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forgetting the boot before: %w", err)
		}
	}
	return nil
}

// given lists the signs that the node gave in the boot that was expected, with
// the time of the last.
func (s *Service) given(nodeID string) (signs []Sign, at time.Time, err error) {
	for _, sign := range Signs() {
		path, err := s.signFile(nodeID, sign)
		if err != nil {
			return nil, at, err
		}
		fi, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, at, fmt.Errorf("reading whether the node has booted: %w", err)
		}
		signs = append(signs, sign)
		if fi.ModTime().After(at) {
			at = fi.ModTime()
		}
	}
	return signs, at, nil
}
