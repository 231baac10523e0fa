package sidecar

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"caddyshack/pxe/nfsd/tree"
)

// Names of the parts of a tree's folder.
const (
	formatFile    = "format"
	formatPrefix  = "caddyshack sidecar tree 1 "
	lockFile      = "lock"
	dataFolder    = "data"
	metaPrefix    = "meta."
	journalPrefix = "journal."
)

// ErrInUse means that another process, or another Tree, has the tree open.
var ErrInUse = errors.New("the tree is in use")

// Options are the settings of a tree; the zero value is right for a server.
type Options struct {
	// NoSync leaves it to the kernel when a change of names or owners reaches
	// the disk. It then survives a crash of the process but not a power cut.
	NoSync bool
	// OpenFiles is how many files are kept open; 0 means 64.
	OpenFiles int
}

// Tree is a tree.Tree kept by an ordinary user.
type Tree struct {
	dir  string
	opts Options
	id   [8]byte
	lock *os.File
	data *dataFiles

	mu       sync.RWMutex
	state    *state
	journal  *journal // nil while the tree is being made
	gen      uint64   // number of the open journal
	metaSize int      // bytes of the latest checkpoint
	closed   bool

	background sync.WaitGroup
	compacting bool
}

var _ tree.Tree = (*Tree)(nil)

// Is reports whether dir holds a finished sidecar tree.
func Is(dir string) bool {
	b, err := os.ReadFile(filepath.Join(dir, formatFile))
	return err == nil && strings.HasPrefix(string(b), formatPrefix)
}

// Create begins a new tree in dir, which must be empty or not exist. It has a
// root directory (0755, owner 0:0) and is not kept until Seal is called:
// a folder that was not sealed is not a tree and may be deleted.
func Create(dir string, opts Options) (*Tree, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("creating a tree: %w", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		if err == nil {
			err = syscall.ENOTEMPTY
		}
		return nil, fmt.Errorf("creating a tree in %q: %w", dir, err)
	}
	if err := os.Mkdir(filepath.Join(dir, dataFolder), 0o700); err != nil {
		return nil, fmt.Errorf("creating a tree: %w", err)
	}
	t := &Tree{dir: dir, opts: opts, state: newState(tree.Now())}
	if _, err := rand.Read(t.id[:]); err != nil {
		return nil, fmt.Errorf("creating a tree: %w", err)
	}
	if err := t.openParts(); err != nil {
		return nil, fmt.Errorf("creating a tree in %q: %w", dir, err)
	}
	return t, nil
}

// Seal makes a tree begun with Create permanent: everything in it is on stable
// storage when Seal returns, and later changes are journalled.
func (t *Tree) Seal() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.journal != nil {
		return nil
	}
	if err := unix.Syncfs(int(t.lock.Fd())); err != nil {
		return fmt.Errorf("sealing the tree in %q: %w", t.dir, err)
	}
	b := t.state.encode()
	err := writeFileSync(t.metaPath(0), b)
	if err == nil {
		t.journal, err = createJournal(t.journalPath(0), t.opts.NoSync)
	}
	if err == nil {
		err = writeFileSync(filepath.Join(t.dir, formatFile), []byte(formatPrefix+hex.EncodeToString(t.id[:])+"\n"))
	}
	if err != nil {
		return fmt.Errorf("sealing the tree in %q: %w", t.dir, err)
	}
	t.metaSize = len(b)
	return nil
}

// Open opens a sealed tree. ErrInUse means that it is open elsewhere.
func Open(dir string, opts Options) (*Tree, error) {
	t := &Tree{dir: dir, opts: opts}
	if err := t.load(); err != nil {
		if t.lock != nil {
			_ = t.unlock()
		}
		return nil, fmt.Errorf("opening the tree in %q: %w", dir, err)
	}
	return t, nil
}

func (t *Tree) openParts() error {
	lock, err := os.OpenFile(filepath.Join(t.dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return ErrInUse
		}
		return err
	}
	t.lock = lock
	if t.opts.OpenFiles == 0 {
		t.opts.OpenFiles = 64
	}
	t.data, err = openData(filepath.Join(t.dir, dataFolder), t.opts.OpenFiles)
	return err
}

func (t *Tree) load() error {
	b, err := os.ReadFile(filepath.Join(t.dir, formatFile))
	if err != nil {
		return err
	}
	id, ok := strings.CutPrefix(string(b), formatPrefix)
	if n, err := hex.Decode(t.id[:], []byte(strings.TrimSpace(id))); !ok || err != nil || n != len(t.id) {
		return fmt.Errorf("file %q does not name a format this version knows", formatFile)
	}
	if err := t.openParts(); err != nil {
		return err
	}
	metas, err := t.numbered(metaPrefix)
	if err != nil {
		return err
	}
	if len(metas) == 0 {
		return errors.New("no checkpoint")
	}
	t.gen = metas[len(metas)-1]
	b, err = os.ReadFile(t.metaPath(t.gen))
	if err != nil {
		return err
	}
	t.metaSize = len(b)
	if t.state, err = decodeState(b); err != nil {
		return fmt.Errorf("%s%d: %w", metaPrefix, t.gen, err)
	}
	dirty, err := t.replayJournals()
	if err != nil {
		return err
	}
	if err := t.clearOld(t.gen, metas); err != nil {
		return err
	}
	if dirty {
		return t.data.sweep(func(ino uint64) bool {
			n := t.state.inodes[ino]
			return n != nil && n.typ == tree.Regular
		})
	}
	return nil
}

// replayJournals applies the journals since the checkpoint and opens the last
// one for more. dirty tells that there was anything in them.
func (t *Tree) replayJournals() (dirty bool, err error) {
	gens, err := t.numbered(journalPrefix)
	if err != nil {
		return false, err
	}
	gens = slices.DeleteFunc(gens, func(g uint64) bool { return g < t.gen })
	for i, g := range gens {
		end, length, err := replay(t.journalPath(g), t.state.apply)
		if err != nil {
			return false, fmt.Errorf("%s%d: %w", journalPrefix, g, err)
		}
		dirty = dirty || length > 0
		if i < len(gens)-1 {
			if end != length {
				return false, fmt.Errorf("%s%d: broken at byte %d", journalPrefix, g, end)
			}
			continue
		}
		f, err := os.OpenFile(t.journalPath(g), os.O_RDWR, 0o600)
		if err != nil {
			return false, err
		}
		if end < length {
			if err := f.Truncate(end); err != nil {
				return false, errors.Join(err, f.Close())
			}
		}
		t.journal = &journal{f: f, size: end, noSync: t.opts.NoSync}
		t.journal.written.Store(end)
		t.gen = g
	}
	if t.journal == nil {
		t.journal, err = createJournal(t.journalPath(t.gen), t.opts.NoSync)
	}
	return dirty, err
}

// clearOld deletes what a crash between a new checkpoint and the removal of
// the old one left.
func (t *Tree) clearOld(gen uint64, metas []uint64) error {
	latest := metas[len(metas)-1]
	for _, m := range metas[:len(metas)-1] {
		if err := os.Remove(t.metaPath(m)); err != nil {
			return err
		}
	}
	journals, err := t.numbered(journalPrefix)
	if err != nil {
		return err
	}
	for _, j := range journals {
		if j >= latest || j == gen {
			continue
		}
		if err := os.Remove(t.journalPath(j)); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tree) metaPath(gen uint64) string {
	return filepath.Join(t.dir, metaPrefix+strconv.FormatUint(gen, 10))
}

func (t *Tree) journalPath(gen uint64) string {
	return filepath.Join(t.dir, journalPrefix+strconv.FormatUint(gen, 10))
}

// numbered lists the numbers of the files with a prefix, ascending.
func (t *Tree) numbered(prefix string) ([]uint64, error) {
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		return nil, err
	}
	var found []uint64
	for _, e := range entries {
		if rest, ok := strings.CutPrefix(e.Name(), prefix); ok {
			if n, err := strconv.ParseUint(rest, 10, 63); err == nil {
				found = append(found, n)
			}
		}
	}
	slices.Sort(found)
	return found, nil
}

// Close implements tree.Tree. A tree that was not sealed is not kept.
func (t *Tree) Close() error {
	t.background.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	var errs []error
	if t.journal != nil {
		if t.journal.size > 0 {
			// Without room for a checkpoint the journal is as good.
			errs = append(errs, t.journal.flush(t.journal.size))
			if next, err := t.rotate(); err == nil {
				_ = t.checkpoint(next, t.state.encode())
			}
		}
		errs = append(errs, t.journal.close())
	}
	errs = append(errs, t.data.close(), t.unlock())
	return errors.Join(errs...)
}

// unlock gives up the lock. It is not left to Close of the file, which leaves
// the lock to a process that is being forked at this moment.
func (t *Tree) unlock() error {
	return errors.Join(unix.Flock(int(t.lock.Fd()), unix.LOCK_UN), t.lock.Close())
}

// rotate begins a new journal and returns its number. The caller holds mu.
func (t *Tree) rotate() (uint64, error) {
	if err := t.journal.flush(t.journal.size); err != nil {
		return 0, err
	}
	next := t.gen + 1
	j, err := createJournal(t.journalPath(next), t.opts.NoSync)
	if err != nil {
		return 0, err
	}
	if err := syncDir(t.dir); err != nil {
		return 0, errors.Join(err, j.close())
	}
	old := t.journal
	t.journal, t.gen = j, next
	old.syncMu.Lock()
	defer old.syncMu.Unlock()
	return next, old.close()
}

// checkpoint writes the state as it was when journal gen began and deletes
// what it replaces.
func (t *Tree) checkpoint(gen uint64, b []byte) error {
	if err := writeFileSync(t.metaPath(gen), b); err != nil {
		return err
	}
	metas, err := t.numbered(metaPrefix)
	if err != nil {
		return err
	}
	return t.clearOld(gen, metas)
}

// compactFrom is the size of a journal, in bytes, that is worth a checkpoint
// even of a small tree.
const compactFrom = 1 << 20

// maybeCompact starts a checkpoint in the background when the journal has
// outgrown the latest one. The caller holds mu.
func (t *Tree) maybeCompact() {
	if t.compacting || t.journal.size < max(compactFrom, 2*int64(t.metaSize)) {
		return
	}
	gen, err := t.rotate()
	if err != nil {
		return // the journal goes on growing; the next change tries again
	}
	b := t.state.encode()
	t.metaSize = len(b)
	t.compacting = true
	t.background.Go(func() {
		// A failed checkpoint leaves the older one and all journals since.
		_ = t.checkpoint(gen, b)
		t.mu.Lock()
		t.compacting = false
		t.mu.Unlock()
	})
}

// makeID returns the ID of an inode.
func (t *Tree) makeID(ino uint64) tree.ID {
	var b [16]byte
	copy(b[:], t.id[:])
	binary.BigEndian.PutUint64(b[8:], ino)
	return tree.ID(b[:])
}

// number returns the inode number in an ID of this tree.
func (t *Tree) number(id tree.ID) (uint64, error) {
	if len(id) != 16 || id[:8] != tree.ID(t.id[:]) {
		return 0, syscall.ESTALE
	}
	return binary.BigEndian.Uint64([]byte(id[8:])), nil
}
