package images

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fileID tells whether a file is still the one that was read before.
type fileID struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // ns
}

func identify(path string) (fileID, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return fileID{}, err
	}
	return identity(fi), nil
}

func identity(fi fs.FileInfo) fileID {
	id := fileID{size: fi.Size(), mtime: fi.ModTime().UnixNano()}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		id.dev, id.ino, id.ctime = st.Dev, st.Ino, st.Ctim.Nano()
	}
	return id
}

// cached returns the image with digest d if the cache has it, and holds it.
func (s *Store) cached(d digest) (Image, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := filepath.Join(s.cfg.Dir, d.file())
	fi, err := os.Lstat(path)
	if err != nil || !fi.Mode().IsRegular() {
		return Image{}, false
	}
	s.hold(d)
	return Image{Path: path, Digest: d.String(), Size: fi.Size()}, true
}

// hold keeps d from eviction for a while and marks it as used. s.mu is held.
func (s *Store) hold(d digest) {
	now := time.Now()
	s.held[d.file()] = now.Add(s.cfg.Hold)
	// The order of use survives a restart as the file's time; no harm if not.
	_ = os.Chtimes(filepath.Join(s.cfg.Dir, d.file()), now, now)
}

// admit moves the finished file at tmp into the cache under its digest.
func (s *Store) admit(tmp *os.File, d digest) (Image, error) {
	fi, err := tmp.Stat()
	if err == nil {
		err = tmp.Sync()
	}
	if err != nil {
		return Image{}, fmt.Errorf("keeping the image: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.makeRoom(filepath.Base(tmp.Name()), fi.Size()); err != nil {
		return Image{}, err
	}
	path := filepath.Join(s.cfg.Dir, d.file())
	if err := os.Rename(tmp.Name(), path); err != nil {
		return Image{}, fmt.Errorf("keeping the image: %w", err)
	}
	if err := syncDir(s.cfg.Dir); err != nil {
		return Image{}, fmt.Errorf("keeping the image: %w", err)
	}
	s.hold(d)
	return Image{Path: path, Digest: d.String(), Size: fi.Size()}, nil
}

// reserve makes room for size bytes for the partial file own, before they are
// downloaded.
func (s *Store) reserve(own string, size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.makeRoom(own, size)
}

// makeRoom evicts unfinished downloads that nobody works on, then the images
// that were not used for longest, until size bytes fit. s.mu is held.
func (s *Store) makeRoom(own string, size int64) error {
	type entry struct {
		path string
		size int64
		used time.Time
		part bool
	}
	var entries []entry
	var sum int64
	now := time.Now()
	for _, dir := range []string{s.partial(), s.cfg.Dir} {
		list, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("reading the image cache: %w", err)
		}
		for _, e := range list {
			fi, err := e.Info()
			if err != nil || !fi.Mode().IsRegular() || e.Name() == own {
				continue
			}
			sum += fi.Size()
			part := dir == s.partial()
			if until, ok := s.held[e.Name()]; ok && (part || now.Before(until)) {
				continue
			}
			entries = append(entries, entry{filepath.Join(dir, e.Name()), fi.Size(), fi.ModTime(), part})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		if a.part != b.part {
			if a.part {
				return -1
			}
			return 1
		}
		return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path))
	})
	for _, e := range entries {
		if sum+size <= s.cfg.MaxCache {
			break
		}
		if err := os.Remove(e.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("making room in the image cache: %w", err)
		}
		delete(s.held, filepath.Base(e.path))
		s.cfg.Log.Info("image evicted from the cache", "file", filepath.Base(e.path), "bytes", e.size)
		sum -= e.size
	}
	if sum+size > s.cfg.MaxCache {
		return failure(ErrNoSpace, fmt.Sprintf(
			"not enough space in the image cache: %d MiB are needed, %d of %d MiB are in use by other deploys; try again later or raise the size of the image cache",
			mib(size), mib(sum), mib(s.cfg.MaxCache)))
	}
	return nil
}

// CheckSpace returns an error of kind ErrNoSpace, with the numbers, if writing
// need bytes to the disk of dir would leave less than reserve bytes free.
func CheckSpace(dir string, need, reserve int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("asking for the free space of %q: %w", dir, err)
	}
	free := int64(st.Bavail) * st.Bsize
	if free-need >= reserve {
		return nil
	}
	return failure(ErrNoSpace, fmt.Sprintf(
		"not enough space on the disk of %q: %d MiB are needed and %d MiB must stay free, but only %d MiB are free; delete nodes or images that are not needed, or use a larger disk",
		dir, mib(need), mib(reserve), mib(free)))
}

// mib rounds up to MiB.
func mib(n int64) int64 { return (n + 1<<20 - 1) >> 20 }

// copyFile brings a file:// image into the cache.
func (s *Store) copyFile(ctx context.Context, p plan, report func(Progress)) (Image, error) {
	fail := func(err error) (Image, error) {
		return Image{}, fmt.Errorf("copying image %s: %w", p.label(), err)
	}
	root, err := os.OpenRoot(p.folder)
	if err != nil {
		return fail(err)
	}
	defer root.Close() //nolint:errcheck // read only
	// Not blocking, should a FIFO have taken the place of the file.
	src, err := root.OpenFile(p.name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fail(err)
	}
	defer src.Close() //nolint:errcheck // read only
	fi, err := src.Stat()
	if err != nil {
		return fail(err)
	}
	if !fi.Mode().IsRegular() {
		return fail(refusef("it is not a regular file"))
	}
	if fi.Size() > s.cfg.MaxImage {
		return fail(tooLarge(fi.Size(), s.cfg.MaxImage))
	}
	tmp, release, err := s.newPartial("copy-" + rand.Text())
	if err != nil {
		return fail(err)
	}
	defer release()
	defer os.Remove(tmp.Name()) //nolint:errcheck // gone if it was admitted
	if err := s.reserve(filepath.Base(tmp.Name()), fi.Size()); err != nil {
		return fail(err)
	}
	if err := CheckSpace(s.cfg.Dir, fi.Size(), s.cfg.Reserve); err != nil {
		return fail(err)
	}
	sink := newSink(tmp, p.sum, s.cfg.MaxImage)
	in := &meter{ctx: ctx, r: src, report: report, p: Progress{Total: fi.Size(), Text: "copying"}}
	if _, err := io.Copy(sink, in); err != nil {
		return fail(err)
	}
	d, err := sink.verify(p)
	if err != nil {
		return Image{}, err
	}
	if err := checkKind(tmp); err != nil {
		return fail(err)
	}
	img, err := s.admit(tmp, d)
	if err != nil {
		return fail(err)
	}
	s.mu.Lock()
	s.known[identity(fi)] = d
	s.mu.Unlock()
	return img, nil
}

// newPartial opens a file in the partial folder and keeps it from eviction
// until release.
func (s *Store) newPartial(name string) (f *os.File, release func(), err error) {
	f, err = os.OpenFile(filepath.Join(s.partial(), name), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	s.held[name] = time.Time{}
	s.mu.Unlock()
	return f, func() {
		_ = f.Close()
		s.mu.Lock()
		delete(s.held, name)
		s.mu.Unlock()
	}, nil
}

// checkKind reads the start of f and tells whether it can be unpacked.
func checkKind(f *os.File) error {
	_, _, closer, err := decompress(io.NewSectionReader(f, 0, 1<<62))
	closer()
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // read only
	return d.Sync()
}

func tooLarge(size, limit int64) error {
	return failure(ErrLimit, fmt.Sprintf("exceeds limit: the image has %d MiB, at most %d MiB are allowed; raise the limit in the configuration or give a smaller image", mib(size), mib(limit)))
}

// noSpace explains ENOSPC.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w on the disk of the image cache: %w; delete images or nodes that are not needed, or use a larger disk", ErrNoSpace, err)
	}
	return err
}
