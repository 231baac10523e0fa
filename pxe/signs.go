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

// Seen keeps that a node has given a sign, other than that it has mounted its
// root, which the operating-system server sees. Where a node waits for an
// answer it is called before: a crash in between makes the node ask again, so
// that the sign is never lost.
func (s *Service) Seen(_ context.Context, nodeID string, sign Sign) error {
	if err := (signs{s.Dir}).keep(nodeID, sign); err != nil {
		return err
	}
	if sign == SignLogin && s.Log.Explain(nodeID, time.Now()).Stage == bootlog.StageLogin {
		return nil // somebody is typing there
	}
	s.Log.Record(bootlog.Event{ID: nodeID, Time: time.Now(), Stage: bootlog.StageLogin, Name: string(sign)})
	return nil
}

// Mounted keeps that a node has mounted its root; it is called before the node
// gets its answer.
func (s *LocalOSServer) Mounted(nodeID string) error {
	return signs{s.Dir}.keep(nodeID, SignMounted)
}

// laterSigns are those that the boot service keeps.
func laterSigns() []Sign { return []Sign{SignLogin, SignHome} }

// signs is a folder of the signs that nodes have given in the boot that was expected.
type signs struct{ dir string }

func (s signs) keep(nodeID string, sign Sign) error {
	path, err := s.file(nodeID, sign)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return os.WriteFile(path, []byte(time.Now().UTC().Format(time.RFC3339Nano)+"\n"), 0o600)
}

func (s signs) file(nodeID string, sign Sign) (string, error) {
	if !baremetal.IsUUID(nodeID) {
		return "", baremetal.Errorf(baremetal.Invalid, "node id %q is not a uuid", nodeID)
	}
	switch sign {
	case SignMounted:
		return filepath.Join(s.dir, nodeID), nil
	case SignLogin, SignHome:
		return filepath.Join(s.dir, nodeID+"."+string(sign)), nil
	}
	return "", baremetal.Errorf(baremetal.Invalid, "there is no sign %q of a boot", sign)
}

// forget makes signs of the boot before worthless.
func (s signs) forget(nodeID string, which ...Sign) error {
	for _, sign := range which {
		path, err := s.file(nodeID, sign)
		if err != nil {
			return err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forgetting the boot before: %w", err)
		}
	}
	return nil
}

// given lists which of some signs the node gave in the boot that was expected,
// with the time of the last.
func (s signs) given(nodeID string, which ...Sign) (given []Sign, at time.Time, err error) {
	for _, sign := range which {
		path, err := s.file(nodeID, sign)
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
		given = append(given, sign)
		if fi.ModTime().After(at) {
			at = fi.ModTime()
		}
	}
	return given, at, nil
}
