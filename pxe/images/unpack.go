package images

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"caddyshack/baremetal"
)

// Limits bound what an archive may unpack to. An archive beyond them is refused
// with an error of kind ErrLimit.
type Limits struct {
	// Entries is the greatest number of files, folders and links. 0 means 2,000,000.
	Entries int64
	// Bytes is the greatest sum of file sizes. 0 means 32 GiB.
	Bytes int64
	// Ratio is how many times larger than the archive its content may be,
	// looked at from 64 MiB on. 0 means 200.
	Ratio int64
}

const (
	// ratioFrom is the unpacked size from which the ratio counts: small
	// archives of empty files compress well and harm nobody.
	ratioFrom = 64 << 20
	// maxName and maxPart are Linux's PATH_MAX and NAME_MAX in bytes.
	maxName, maxPart = 4095, 255
)

// Stats tells what an archive held.
type Stats struct {
	// Entries counts files, folders, links and device nodes.
	Entries int64 `json:"entries"`
	// Bytes is the sum of the file sizes.
	Bytes int64 `json:"bytes"`
}

// Unpack reads the archive at name and calls add for each entry in order, with
// the content of regular files in r. Names (and targets of hard links) that add
// sees are clean and relative, never ".." or absolute, and no entry is written
// through a symbolic link of the archive; "." is the root folder itself. Modes, owners,
// devices and targets of symbolic links are passed on as they are.
func Unpack(ctx context.Context, name string, lim Limits, add func(h *tar.Header, r io.Reader) error) (Stats, error) {
	setDefault(&lim.Entries, 2_000_000)
	setDefault(&lim.Bytes, 32<<30)
	setDefault(&lim.Ratio, 200)
	f, err := os.Open(name)
	if err != nil {
		return Stats{}, fmt.Errorf("opening the image: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	packed := &meter{ctx: ctx, r: f, report: func(Progress) {}}
	plain, _, closer, err := decompress(packed)
	defer closer()
	if err != nil {
		return Stats{}, err
	}
	u := &unpacker{lim: lim, packed: packed, links: map[string]bool{}}
	// Everything is counted, also what lies between files: headers can be a bomb too.
	u.in = &meter{ctx: ctx, r: plain, report: func(Progress) {}}
	archive := tar.NewReader(u)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return u.stats, nil
		}
		if err != nil {
			return u.stats, u.explain(ctx, err)
		}
		if err := u.entry(h); err != nil {
			return u.stats, err
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if err := add(h, &fileReader{archive, u, ctx}); err != nil {
			return u.stats, err
		}
	}
}

// unpacker keeps the sums and the names that matter for safety.
type unpacker struct {
	lim    Limits
	packed *meter // what was read of the archive
	in     *meter // what came out of the decompression
	stats  Stats
	links  map[string]bool // names that are symbolic links by now
}

// Read passes the decompressed stream on within the limits.
func (u *unpacker) Read(b []byte) (int, error) {
	n, err := u.in.Read(b)
	// A tar archive adds at most about 2 KiB to an entry.
	if u.in.p.Done > u.lim.Bytes+u.lim.Entries*2048+ratioFrom {
		return n, limitError("it unpacks to more than %d MiB", mib(u.lim.Bytes))
	}
	if over := u.ratio(u.in.p.Done); over != nil {
		return n, over
	}
	return n, err
}

func (u *unpacker) ratio(out int64) error {
	if out > ratioFrom && out/u.lim.Ratio > u.packed.p.Done {
		return limitError("it unpacks to more than %d times its size", u.lim.Ratio)
	}
	return nil
}

// entry checks h against the limits and makes its names clean.
func (u *unpacker) entry(h *tar.Header) error {
	u.stats.Entries++
	if u.stats.Entries > u.lim.Entries {
		return limitError("it has more than %d entries", u.lim.Entries)
	}
	name, err := cleanName(h.Name, "name")
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeReg, tar.TypeGNUSparse:
		u.stats.Bytes += h.Size
		if h.Size < 0 || u.stats.Bytes > u.lim.Bytes || u.stats.Bytes < 0 {
			return limitError("it unpacks to more than %d MiB", mib(u.lim.Bytes))
		}
		// A sparse file has no data in the archive, but is written in full.
		if err := u.ratio(u.stats.Bytes); err != nil && h.Typeflag == tar.TypeGNUSparse {
			return err
		}
		h.Typeflag = tar.TypeReg
	case tar.TypeLink:
		target, err := cleanName(h.Linkname, "target of the hard link "+quote(name))
		if err != nil {
			return err
		}
		if err := u.throughLink(target); err != nil {
			return err
		}
		h.Linkname = target
	case tar.TypeSymlink:
		if h.Linkname == "" || strings.ContainsRune(h.Linkname, 0) || len(h.Linkname) > maxName {
			return archiveError("the symbolic link %s has an impossible target", quote(name))
		}
	case tar.TypeDir, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
	default:
		return archiveError("%s has the unknown type %q", quote(name), h.Typeflag)
	}
	if err := u.throughLink(name); err != nil {
		return err
	}
	if name == "." && h.Typeflag != tar.TypeDir {
		return archiveError("its root is not a folder")
	}
	if h.Typeflag == tar.TypeSymlink {
		u.links[name] = true
	} else if u.links[name] {
		if h.Typeflag == tar.TypeDir {
			// tar would keep the link and write into what it points to.
			return archiveError("%s is a symbolic link and then a folder", quote(name))
		}
		delete(u.links, name)
	}
	h.Name = name
	return nil
}

// throughLink refuses a name one of whose folders is a symbolic link.
func (u *unpacker) throughLink(name string) error {
	if len(u.links) == 0 {
		return nil
	}
	for i := range len(name) {
		if name[i] == '/' && u.links[name[:i]] {
			return archiveError("%s would be written through the symbolic link %s", quote(name), quote(name[:i]))
		}
	}
	return nil
}

// cleanName makes a name relative to the root, or refuses it.
func cleanName(name, what string) (string, error) {
	switch {
	case name == "":
		return "", archiveError("an empty %s", what)
	case strings.HasPrefix(name, "/"):
		return "", archiveError("%s %s is absolute; make the archive with tar -C ROOT -c .", what, quote(name))
	case len(name) > maxName:
		return "", archiveError("%s %s… is longer than %d bytes", what, quote(name[:64]), maxName)
	case strings.ContainsRune(name, 0):
		return "", archiveError("%s %s holds a NUL byte", what, quote(name))
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", archiveError("%s %s leaves the root", what, quote(name))
		}
		if len(part) > maxPart {
			return "", archiveError("%s %s has a part longer than %d bytes", what, quote(name[:64]), maxPart)
		}
	}
	return path.Clean(name), nil
}

// explain turns an error of the tar reader into one for people.
func (u *unpacker) explain(ctx context.Context, err error) error {
	var known *baremetal.Error
	switch {
	case errors.As(err, &known):
		return known
	case ctx.Err() != nil:
		return fmt.Errorf("unpacking the image: %w", context.Cause(ctx))
	}
	return damaged(err)
}

// fileReader gives errors of reading a file's content the form of those of the
// archive, so that they are not taken for errors of writing it.
type fileReader struct {
	r   io.Reader
	u   *unpacker
	ctx context.Context
}

func (f *fileReader) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = f.u.explain(f.ctx, err)
	}
	return n, err
}

func quote(name string) string { return fmt.Sprintf("%.200q", name) }

func archiveError(format string, args ...any) error {
	return failure(ErrArchive, "bad archive: "+fmt.Sprintf(format, args...))
}

func limitError(format string, args ...any) error {
	return failure(ErrLimit, "exceeds limit: "+fmt.Sprintf(format, args...)+"; raise the limit in the configuration if the image is to be trusted")
}
