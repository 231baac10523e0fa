package paths

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"caddyshack/pxe/nfsd/tree"
)

// Limits bound what an archive may unpack to.
type Limits struct {
	// Entries is the largest number of entries; 0 means 2,000,000.
	Entries int
	// Bytes is the largest sum of file contents; 0 means 64 GiB.
	Bytes int64
}

// Errors of an Importer; they come wrapped in text that names the entry.
var (
	ErrTooManyEntries = errors.New("too many entries")
	ErrTooManyBytes   = errors.New("too many bytes")
)

// Importer unpacks archives into a tree. Owners, modes, set-id bits, devices
// and the targets of symbolic links are taken over as they are; names that
// lead out of the tree, or through a symbolic link, are refused. After an
// error the tree is incomplete and should be thrown away.
type Importer struct {
	t      tree.Tree
	limits Limits
	count  int
	bytes  int64
	dirs   map[string]tree.ID // directories seen, by clean path
	times  map[tree.ID]stamps // of directories: set at the end
	buf    []byte
}

type stamps struct{ atime, mtime tree.Stamp }

// NewImporter returns an Importer for t.
func NewImporter(t tree.Tree, limits Limits) *Importer {
	if limits.Entries == 0 {
		limits.Entries = 2_000_000
	}
	if limits.Bytes == 0 {
		limits.Bytes = 64 << 30
	}
	return &Importer{t: t, limits: limits, dirs: make(map[string]tree.ID), times: make(map[tree.ID]stamps)}
}

// Add unpacks one entry; r holds the contents of a regular file.
func (im *Importer) Add(h *tar.Header, r io.Reader) error {
	if err := im.add(h, r); err != nil {
		return fmt.Errorf("archive entry %q: %w", h.Name, err)
	}
	return nil
}

// AddAll unpacks a whole tar archive. One that was cut off is an error even
// if it was cut between two entries.
func (im *Importer) AddAll(r io.Reader) error {
	tail := &tailReader{r: r}
	tr := tar.NewReader(tail)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			if !tail.whole() {
				return fmt.Errorf("reading the archive after %d entries: its end is missing: %w", im.count, io.ErrUnexpectedEOF)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the archive after %d entries: %w", im.count, err)
		}
		if err := im.Add(h, tr); err != nil {
			return err
		}
	}
}

// Entries returns how many entries were unpacked.
func (im *Importer) Entries() int { return im.count }

// Bytes returns the sum of the contents that were unpacked.
func (im *Importer) Bytes() int64 { return im.bytes }

// Finish sets what can be set only when all entries are in place. It does not
// close the tree.
func (im *Importer) Finish() error {
	for id, s := range im.times {
		err := im.t.SetAttr(id, tree.SetAttr{Atime: &s.atime, Mtime: &s.mtime})
		if err != nil && !errors.Is(err, syscall.ESTALE) {
			return fmt.Errorf("setting the times of a directory: %w", err)
		}
	}
	return nil
}

func (im *Importer) add(h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if im.count++; im.count > im.limits.Entries {
		return fmt.Errorf("%w: the limit is %d", ErrTooManyEntries, im.limits.Entries)
	}
	if h.Uid < 0 || h.Gid < 0 || int64(h.Uid) > 1<<32-1 || int64(h.Gid) > 1<<32-1 {
		return fmt.Errorf("owner %d:%d is out of range", h.Uid, h.Gid)
	}
	elems, err := Split(h.Name)
	if err != nil {
		return err
	}
	if len(elems) == 0 {
		if h.Typeflag != tar.TypeDir {
			return errors.New("it would replace the root of the tree")
		}
		return im.setDir(im.t.Root(), h)
	}
	dir, err := im.parent(elems[:len(elems)-1])
	if err != nil {
		return err
	}
	path, name := strings.Join(elems, "/"), elems[len(elems)-1]
	n := newNode(h)
	switch h.Typeflag {
	case tar.TypeDir:
		return im.directory(dir, name, path, h, n)
	case tar.TypeLink:
		return im.hardLink(dir, name, path, h.Linkname)
	case tar.TypeSymlink:
		n.Type, n.Target, n.Mode = tree.Symlink, h.Linkname, 0o777
	case tar.TypeChar, tar.TypeBlock:
		n.Type = tree.Char
		if h.Typeflag == tar.TypeBlock {
			n.Type = tree.Block
		}
		if n.Major, n.Minor, err = device(h); err != nil {
			return err
		}
	case tar.TypeFifo:
		n.Type = tree.FIFO
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		return im.file(dir, name, path, h, n, r)
	default:
		return fmt.Errorf("type %q is not supported", h.Typeflag)
	}
	if err := im.clear(dir, name, path); err != nil {
		return err
	}
	_, _, err = im.t.Create(dir, name, n)
	return err
}

func newNode(h *tar.Header) tree.New {
	s := headerTimes(h)
	return tree.New{Mode: uint32(h.Mode) & 0o7777, UID: uint32(h.Uid), GID: uint32(h.Gid), Atime: &s.atime, Mtime: &s.mtime}
}

func headerTimes(h *tar.Header) stamps {
	s := stamps{mtime: stamp(h.ModTime)}
	if s.atime = s.mtime; !h.AccessTime.IsZero() {
		s.atime = stamp(h.AccessTime)
	}
	return s
}

// stamp keeps times within what NFSv3 can carry.
func stamp(t time.Time) tree.Stamp {
	if t.Unix() < 0 {
		return 0
	}
	if t.Unix() > 1<<32-1 {
		return (1<<32 - 1) * 1e9
	}
	return tree.Stamp(t.UnixNano())
}

func device(h *tar.Header) (major, minor uint32, err error) {
	if h.Devmajor < 0 || h.Devmajor >= 1<<12 || h.Devminor < 0 || h.Devminor >= 1<<20 {
		return 0, 0, fmt.Errorf("device number %d:%d is out of range", h.Devmajor, h.Devminor)
	}
	return uint32(h.Devmajor), uint32(h.Devminor), nil
}

// parent finds or makes the directory that an entry goes into.
func (im *Importer) parent(elems []string) (tree.ID, error) {
	path := strings.Join(elems, "/")
	if id, ok := im.dirs[path]; ok {
		return id, nil
	}
	id, err := MkdirAll(im.t, elems)
	if err == nil {
		im.dirs[path] = id
	}
	return id, err
}

// clear removes what an earlier entry left under the name.
func (im *Importer) clear(dir tree.ID, name, path string) error {
	err := im.t.Remove(dir, name)
	if errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.EPERM) {
		delete(im.dirs, path)
		err = im.t.Rmdir(dir, name)
	}
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	return err
}

func (im *Importer) directory(dir tree.ID, name, path string, h *tar.Header, n tree.New) error {
	id, a, err := im.t.Lookup(dir, name)
	if err == nil && a.Type == tree.Directory {
		im.dirs[path] = id
		return im.setDir(id, h)
	}
	if err := im.clear(dir, name, path); err != nil {
		return err
	}
	n.Type = tree.Directory
	if id, _, err = im.t.Create(dir, name, n); err != nil {
		return err
	}
	im.dirs[path] = id
	im.times[id] = headerTimes(h)
	return nil
}

func (im *Importer) setDir(id tree.ID, h *tar.Header) error {
	mode, uid, gid := uint32(h.Mode)&0o7777, uint32(h.Uid), uint32(h.Gid)
	im.times[id] = headerTimes(h)
	return im.t.SetAttr(id, tree.SetAttr{Mode: &mode, UID: &uid, GID: &gid})
}

func (im *Importer) hardLink(dir tree.ID, name, path, target string) error {
	elems, err := Split(target)
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", target, err)
	}
	id, a, err := Find(im.t, strings.Join(elems, "/"))
	if err != nil {
		return fmt.Errorf("hard link to %w", err)
	}
	if a.Type == tree.Directory {
		return fmt.Errorf("hard link to the directory %q", target)
	}
	if strings.Join(elems, "/") == path {
		return nil
	}
	if err := im.clear(dir, name, path); err != nil {
		return err
	}
	return im.t.Link(id, dir, name)
}

// importChunk is how much is copied at a time, in bytes.
const importChunk = 256 << 10

func (im *Importer) file(dir tree.ID, name, path string, h *tar.Header, n tree.New, r io.Reader) error {
	if h.Size > im.limits.Bytes-im.bytes {
		return im.tooManyBytes()
	}
	if err := im.clear(dir, name, path); err != nil {
		return err
	}
	n.Type = tree.Regular
	id, _, err := im.t.Create(dir, name, n)
	if err != nil {
		return err
	}
	size, err := im.copy(id, r)
	if err != nil {
		return err
	}
	if size != h.Size {
		return fmt.Errorf("it has %d bytes instead of %d: %w", size, h.Size, io.ErrUnexpectedEOF)
	}
	if size == 0 {
		return nil
	}
	return im.t.SetAttr(id, tree.SetAttr{Atime: n.Atime, Mtime: n.Mtime})
}

func (im *Importer) copy(id tree.ID, r io.Reader) (size int64, err error) {
	if im.buf == nil {
		im.buf = make([]byte, importChunk)
	}
	for {
		n, err := io.ReadFull(r, im.buf)
		if im.bytes += int64(n); im.bytes > im.limits.Bytes {
			return size, im.tooManyBytes()
		}
		if n > 0 {
			if err := im.t.Write(id, im.buf[:n], uint64(size), tree.Unstable); err != nil {
				return size, err
			}
			size += int64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && n < len(im.buf) {
			// A cut archive shows in the size.
			return size, nil
		}
		if err != nil {
			return size, err
		}
	}
}

func (im *Importer) tooManyBytes() error {
	return fmt.Errorf("%w: the limit is %d", ErrTooManyBytes, im.limits.Bytes)
}
