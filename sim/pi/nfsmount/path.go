package nfsmount

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/willscott/go-nfs-client/nfs"
)

// maxLinks is how many symbolic links a path may lead through, as in Linux.
const maxLinks = 40

// Lookup walks a path from the root of the mount, following symbolic links
// inside it, the last one too: in an unpacked system /sbin is often a link to
// usr/sbin, and absolute targets mean the mounted root, not the server's.
func (f *FS) Lookup(ctx context.Context, name string) (Handle, Attr, error) {
	todo := split(name)
	type place struct {
		h Handle
		a Attr
	}
	rootAttr, err := f.GetAttr(ctx, f.root)
	if err != nil {
		return nil, Attr{}, fmt.Errorf("looking up %q: %w", name, err)
	}
	at := []place{{f.root, rootAttr}}
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		here := at[len(at)-1]
		if part == ".." {
			at = at[:max(len(at)-1, 1)]
			continue
		}
		if here.a.Type != nfs.NF3Dir {
			return nil, Attr{}, fmt.Errorf("looking up %q: %w", name, ErrNotDir)
		}
		h, a, err := f.lookup(ctx, here.h, part)
		if err != nil {
			return nil, Attr{}, fmt.Errorf("looking up %q: %w", name, err)
		}
		if a.Type != nfs.NF3Lnk {
			at = append(at, place{h, a})
			continue
		}
		if links++; links > maxLinks {
			return nil, Attr{}, fmt.Errorf("looking up %q: %w", name, syscall.ELOOP)
		}
		target, err := f.readlink(ctx, h)
		if err != nil {
			return nil, Attr{}, fmt.Errorf("reading the link at %q in %q: %w", part, name, err)
		}
		if path.IsAbs(target) {
			at = at[:1]
		}
		todo = append(split(target), todo...)
	}
	last := at[len(at)-1]
	return last.h, last.a, nil
}

func split(name string) []string {
	return slices.DeleteFunc(strings.Split(name, "/"), func(s string) bool { return s == "" || s == "." })
}

// Stat returns the attributes of the file at a path.
func (f *FS) Stat(ctx context.Context, name string) (Attr, error) {
	_, a, err := f.Lookup(ctx, name)
	return a, err
}

// ErrNotRegular: a device, pipe or socket was to be read as a file.
var ErrNotRegular = errors.New("not a regular file")

// Read passes the content of a file, piece by piece, to a function, which may
// end it with an error.
func (f *FS) Read(ctx context.Context, name string, each func([]byte) error) error {
	h, a, err := f.Lookup(ctx, name)
	if err != nil {
		return err
	}
	switch a.Type {
	case nfs.NF3Reg:
	case nfs.NF3Dir:
		return fmt.Errorf("reading %q: %w", name, ErrIsDir)
	default:
		return fmt.Errorf("reading %q: %w", name, ErrNotRegular)
	}
	var offset uint64
	for {
		data, eof, err := f.ReadAt(ctx, h, offset)
		if err != nil {
			return fmt.Errorf("reading %q at %d: %w", name, offset, err)
		}
		if err := each(data); err != nil {
			return err
		}
		offset += uint64(len(data))
		if eof {
			return nil
		}
		if len(data) == 0 {
			return fmt.Errorf("reading %q at %d: the server sent nothing, but says there is more", name, offset)
		}
	}
}

// ReadFile returns the content of a file of at most limit bytes.
func (f *FS) ReadFile(ctx context.Context, name string, limit int) ([]byte, error) {
	var buf bytes.Buffer
	err := f.Read(ctx, name, func(p []byte) error {
		if buf.Len()+len(p) > limit {
			return fmt.Errorf("reading %q: longer than %d bytes", name, limit)
		}
		buf.Write(p)
		return nil
	})
	return buf.Bytes(), err
}

// WriteFile replaces the content of a file, making it if need be.
func (f *FS) WriteFile(ctx context.Context, name string, data []byte, mode uint32) error {
	dir, _, err := f.Lookup(ctx, path.Dir(name))
	if err != nil {
		return err
	}
	h, err := f.create(ctx, dir, path.Base(name), mode)
	if err != nil {
		return fmt.Errorf("creating %q: %w", name, err)
	}
	for done := 0; done < len(data); {
		n, err := f.writeAt(ctx, h, uint64(done), data[done:])
		if err == nil && n == 0 {
			err = errors.New("the server took no bytes")
		}
		if err != nil {
			return fmt.Errorf("writing %q at %d: %w", name, done, err)
		}
		done += n
	}
	return nil
}

// ReadDir lists the directory at a path, sorted by name, without "." and "..".
func (f *FS) ReadDir(ctx context.Context, name string) ([]Entry, error) {
	h, a, err := f.Lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	if a.Type != nfs.NF3Dir {
		return nil, fmt.Errorf("listing %q: %w", name, ErrNotDir)
	}
	list, err := f.readDir(ctx, h)
	if err != nil {
		return nil, fmt.Errorf("listing %q: %w", name, err)
	}
	list = slices.DeleteFunc(list, func(e Entry) bool { return e.Name == "." || e.Name == ".." })
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}
