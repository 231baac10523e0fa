package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"caddyshack/baremetal"
)

// lockFile keeps the folder to one process: the lock ends with the process,
// however that ends. The file holds the pid and stays.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, baremetal.Errorf(baremetal.Invalid, "state folder %q cannot be written: %w; make it writable for this user or choose another one",
			filepath.Dir(path), err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, baremetal.Errorf(baremetal.Invalid, "state folder %q cannot be locked: %w; use a local file system", filepath.Dir(path), err)
		}
		pid, readErr := io.ReadAll(io.LimitReader(f, 32))
		if readErr != nil || len(pid) == 0 {
			pid = []byte("unknown")
		}
		return nil, baremetal.Errorf(baremetal.Conflict, "state folder %q is in use by process %s: stop it, or choose another state folder",
			filepath.Dir(path), strings.TrimSpace(string(pid)))
	}
	if err := writePID(f); err != nil {
		return nil, baremetal.Errorf(baremetal.Invalid, "state folder %q cannot be written: %w; make room or choose another one", filepath.Dir(path), err)
	}
	return f, nil
}

func writePID(f *os.File) error {
	err := f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(fmt.Sprintln(os.Getpid())), 0)
	}
	if err != nil {
		_ = unlock(f)
	}
	return err
}

// unlock gives up the lock. It is not left to Close of the file, which leaves
// the lock to a process that is being forked at this moment.
func unlock(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}
