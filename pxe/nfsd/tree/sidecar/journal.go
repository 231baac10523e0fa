package sidecar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Frame of a record: length and CRC-32C of the payload, both 32 bits.
const frameSize = 8

// maxRecord bounds a payload: two names and a target with room to spare.
const maxRecord = 16 << 10

// reserve is how much space is kept allocated ahead of the journal's end, so
// that names can still be removed on a full disk.
const reserve = 256 << 10

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// journal is the open end of one journal file.
type journal struct {
	f      *os.File
	size   int64 // bytes of whole records
	ahead  int64 // end of the allocated space
	noSync bool

	written atomic.Int64 // = size, for flush
	syncMu  sync.Mutex
	synced  int64
	broken  atomic.Pointer[error] // set when the file's state is no longer known
}

func createJournal(path string, noSync bool) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &journal{f: f, noSync: noSync}, nil
}

// add appends one record, whole or not at all. grows says that the change
// needs more room than it frees: those fail first when the disk is full.
func (j *journal) add(payload []byte, grows bool) error {
	if err := j.broken.Load(); err != nil {
		return *err
	}
	buf := make([]byte, frameSize, frameSize+len(payload))
	binary.LittleEndian.PutUint32(buf, uint32(len(payload)))
	binary.LittleEndian.PutUint32(buf[4:], crc32.Checksum(payload, castagnoli()))
	buf = append(buf, payload...)
	if err := j.allocate(int64(len(buf))); err != nil && grows {
		return err
	}
	if _, err := j.f.WriteAt(buf, j.size); err != nil {
		if cut := j.f.Truncate(j.size); cut != nil {
			j.fail(fmt.Errorf("cutting a failed write off the journal: %w", cut))
		}
		return err
	}
	j.size += int64(len(buf))
	j.written.Store(j.size)
	return nil
}

// allocate keeps the reserve ahead of the end. File systems that cannot
// allocate ahead do without.
func (j *journal) allocate(n int64) error {
	if j.size+n+reserve/2 <= j.ahead {
		return nil
	}
	err := unix.Fallocate(int(j.f.Fd()), unix.FALLOC_FL_KEEP_SIZE, j.size, n+reserve)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return err
	}
	j.ahead = j.size + n + reserve
	return nil
}

// flush returns when everything up to end is on stable storage. Callers that
// wait at the same time are served by one sync.
func (j *journal) flush(end int64) error {
	if j.noSync {
		return nil
	}
	j.syncMu.Lock()
	defer j.syncMu.Unlock()
	if j.synced >= end {
		return nil
	}
	if err := j.broken.Load(); err != nil {
		return *err
	}
	now := j.written.Load()
	if err := unix.Fdatasync(int(j.f.Fd())); err != nil {
		// After a failed sync the kernel may have dropped the pages: what the
		// file holds is unknown, so nothing more may be promised.
		j.fail(fmt.Errorf("syncing the journal: %w", err))
		return err
	}
	j.synced = now
	return nil
}

func (j *journal) fail(err error) { j.broken.CompareAndSwap(nil, &err) }

func (j *journal) close() error { return j.f.Close() }

// replay calls fn for each whole record of the file at path and returns where
// the last one ends and how long the file is.
func replay(path string, fn func(*record) error) (end, length int64, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, err
	}
	rest := b
	for {
		payload, n, err := nextFrame(rest)
		if err != nil {
			return int64(len(b) - len(rest)), int64(len(b)), nil //nolint:nilerr // the journal ends where a crash cut it
		}
		r, err := parseRecord(payload)
		if err != nil {
			return 0, 0, fmt.Errorf("record at byte %d: %w", len(b)-len(rest), err)
		}
		if err := fn(&r); err != nil {
			return 0, 0, fmt.Errorf("record at byte %d: %w", len(b)-len(rest), err)
		}
		rest = rest[n:]
	}
}

// nextFrame returns the first payload of b and the length of its frame, or
// io.ErrUnexpectedEOF if there is no whole and sound one.
func nextFrame(b []byte) ([]byte, int, error) {
	if len(b) < frameSize {
		return nil, 0, io.ErrUnexpectedEOF
	}
	n := binary.LittleEndian.Uint32(b)
	if n == 0 || n > maxRecord || int(n) > len(b)-frameSize {
		return nil, 0, io.ErrUnexpectedEOF
	}
	payload := b[frameSize : frameSize+int(n)]
	if crc32.Checksum(payload, castagnoli()) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, 0, io.ErrUnexpectedEOF
	}
	return payload, frameSize + int(n), nil
}
