package bus

import (
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// scratch is a folder of the broker's that lasts as long as the process: a lock
// in it tells others whether its process still lives.
type scratch struct {
	dir  string
	lock *os.File
}

const scratchPrefix = "caddyshack-mqtt-"

// newScratch prefers memory: units repeat their states each minute, and a
// quiet chassis must not wear out an SD card. What killed processes left behind
// is removed.
func newScratch() (*scratch, error) {
	parent := "/dev/shm"
	dir, err := os.MkdirTemp(parent, scratchPrefix)
	if err != nil {
		parent = os.TempDir()
		if dir, err = os.MkdirTemp(parent, scratchPrefix); err != nil {
			return nil, err
		}
	}
	s := &scratch{dir: dir}
	if s.lock, err = lockScratch(dir); err != nil {
		s.remove()
		return nil, err
	}
	sweepScratch(parent)
	return s, nil
}

// lockScratch takes the lock of a folder; it fails if its process still lives.
func lockScratch(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close() // it was only tried
		return nil, err
	}
	return f, nil
}

// sweepScratch removes the folders of processes that were killed. One that was
// made a moment ago may not be locked yet.
func sweepScratch(parent string) {
	left, err := filepath.Glob(filepath.Join(parent, scratchPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range left {
		fi, err := os.Stat(dir)
		if err != nil || time.Since(fi.ModTime()) < time.Minute {
			continue
		}
		if f, err := lockScratch(dir); err == nil {
			_ = os.RemoveAll(dir) // the next broker tries again
			_ = f.Close()
		}
	}
}

// remove tries again while the server's last writes still make files in it.
func (s *scratch) remove() {
	if s.lock != nil {
		defer s.lock.Close() //nolint:errcheck // nothing was written
	}
	for range 50 {
		if os.RemoveAll(s.dir) == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
