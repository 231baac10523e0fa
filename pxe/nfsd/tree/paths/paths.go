// Package paths works on a tree.Tree by path, for unpacking images and for
// putting a few files into a root. Symbolic links are data here: no path is
// ever resolved through one.
package paths

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"caddyshack/pxe/nfsd/tree"
)

// Errors about names; they come wrapped in text that names the path.
var (
	ErrAbsolute    = errors.New("absolute name")
	ErrDotDot      = errors.New(`name with ".."`)
	ErrThroughLink = errors.New("path leads through a symbolic link")
)

// Split cuts a relative path into its elements; "." has none. Names that
// could lead elsewhere are refused.
func Split(name string) ([]string, error) {
	if strings.HasPrefix(name, "/") {
		return nil, ErrAbsolute
	}
	var out []string
	for e := range strings.SplitSeq(name, "/") {
		switch e {
		case "", ".":
			continue
		case "..":
			return nil, ErrDotDot
		}
		if err := tree.CheckName(e); err != nil {
			return nil, fmt.Errorf("element %q: %w", e, err)
		}
		out = append(out, e)
	}
	return out, nil
}

// splitAny is Split for paths inside a tree, where a leading slash means the
// root of the tree.
func splitAny(path string) ([]string, error) { return Split(strings.TrimLeft(path, "/")) }

// step goes from a directory to one of its entries.
func step(t tree.Tree, dir tree.ID, name string) (tree.ID, tree.Attr, error) {
	return t.Lookup(dir, name)
}

// Find returns what path names; symbolic links are not followed.
func Find(t tree.Tree, path string) (tree.ID, tree.Attr, error) {
	elems, err := splitAny(path)
	if err != nil {
		return "", tree.Attr{}, fmt.Errorf("%q: %w", path, err)
	}
	id := t.Root()
	a, err := t.Attr(id)
	for i, e := range elems {
		if err != nil {
			break
		}
		if a.Type == tree.Symlink {
			return "", a, fmt.Errorf("%q: %q: %w", path, strings.Join(elems[:i], "/"), ErrThroughLink)
		}
		id, a, err = step(t, id, e)
	}
	if err != nil {
		return "", a, fmt.Errorf("%q: %w", path, err)
	}
	return id, a, nil
}

// MkdirAll returns the directory with the given elements below the root, and
// makes it and its parents (0755, owned by root) as needed.
func MkdirAll(t tree.Tree, elems []string) (tree.ID, error) {
	id := t.Root()
	for i, e := range elems {
		next, a, err := step(t, id, e)
		if errors.Is(err, syscall.ENOENT) {
			next, a, err = t.Create(id, e, tree.New{Type: tree.Directory, Mode: 0o755})
		}
		switch {
		case err != nil:
			return "", fmt.Errorf("%q: %w", strings.Join(elems[:i+1], "/"), err)
		case a.Type == tree.Symlink:
			return "", fmt.Errorf("%q: %w", strings.Join(elems[:i+1], "/"), ErrThroughLink)
		case a.Type != tree.Directory:
			return "", fmt.Errorf("%q: %w", strings.Join(elems[:i+1], "/"), syscall.ENOTDIR)
		}
		id = next
	}
	return id, nil
}

// ReadFile returns the contents of a regular file of at most limit bytes.
func ReadFile(t tree.Tree, path string, limit int) ([]byte, error) {
	id, a, err := Find(t, path)
	if err != nil {
		return nil, fmt.Errorf("reading %w", err)
	}
	if a.Type != tree.Regular {
		return nil, fmt.Errorf("reading %q: not a regular file", path)
	}
	if a.Size > uint64(limit) {
		return nil, fmt.Errorf("reading %q: %d bytes are over the limit of %d", path, a.Size, limit)
	}
	b := make([]byte, a.Size)
	for n := 0; n < len(b); {
		m, eof, err := t.Read(id, b[n:], uint64(n))
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", path, err)
		}
		if n += m; eof || m == 0 {
			b = b[:n]
		}
	}
	return b, nil
}

// tempPrefix begins the names of files that are being written.
const tempPrefix = ".caddyshack-new-"

// WriteFile puts a file in place: whoever reads it finds the old contents or
// the new ones, also after a crash. Missing parents are made; a symbolic link
// in its place is replaced, not followed.
func WriteFile(t tree.Tree, path string, data []byte, mode, uid, gid uint32) error {
	if err := writeFile(t, path, data, mode, uid, gid); err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	return nil
}

func writeFile(t tree.Tree, path string, data []byte, mode, uid, gid uint32) error {
	elems, err := splitAny(path)
	if err != nil {
		return err
	}
	if len(elems) == 0 {
		return syscall.EISDIR
	}
	dir, err := MkdirAll(t, elems[:len(elems)-1])
	if err != nil {
		return err
	}
	name := elems[len(elems)-1]
	temp := tempPrefix + name
	if len(temp) > tree.MaxName {
		temp = temp[:tree.MaxName]
	}
	if err := t.Remove(dir, temp); err != nil && !errors.Is(err, syscall.ENOENT) {
		return err
	}
	id, _, err := t.Create(dir, temp, tree.New{Type: tree.Regular, Mode: mode, UID: uid, GID: gid})
	if err != nil {
		return err
	}
	err = t.Write(id, data, 0, tree.FileSync)
	if err == nil {
		err = t.Rename(dir, temp, dir, name)
	}
	if err != nil {
		return errors.Join(err, t.Remove(dir, temp))
	}
	return nil
}
