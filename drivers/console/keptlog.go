package console

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// keptFiles is how many rotated logs are kept beside the current one.
const keptFiles = 3

// keptLog is a node's console output on disk: console.log, and console.log.1
// (newest) to console.log.3. The bytes are as they came: whoever shows them
// must make escape sequences harmless (see [Inert]).
type keptLog struct {
	path string
	max  int64
	file *os.File
	size int64
}

func openKeptLog(stateDir, nodeID string, limit int64) (*keptLog, error) {
	dir := filepath.Join(stateDir, nodeID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of a console log: %w", err)
	}
	k := &keptLog{path: filepath.Join(dir, "console.log"), max: limit}
	return k, k.open()
}

func (k *keptLog) open() error {
	f, err := os.OpenFile(k.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening a console log: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("looking at a console log: %w", err), f.Close())
	}
	k.file, k.size = f, st.Size()
	return nil
}

// write appends p, rotating first if the file would grow beyond its limit.
// After a failure it opens the file anew, so a full disk is got over.
func (k *keptLog) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if k.file == nil {
		if err := k.open(); err != nil {
			return err
		}
	}
	if k.size > 0 && k.size+int64(len(p)) > k.max {
		if err := k.rotate(); err != nil {
			return err
		}
	}
	n, err := k.file.Write(p)
	k.size += int64(n)
	if err != nil {
		k.close()
		return fmt.Errorf("writing a console log: %w", err)
	}
	return nil
}

func (k *keptLog) rotate() error {
	k.close()
	for i := keptFiles; i > 0; i-- {
		from := k.path
		if i > 1 {
			from += "." + strconv.Itoa(i-1)
		}
		err := os.Rename(from, k.path+"."+strconv.Itoa(i))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("rotating a console log: %w", err)
		}
	}
	return k.open()
}

func (k *keptLog) close() {
	if k == nil || k.file == nil {
		return
	}
	_ = k.file.Close()
	k.file = nil
}
