package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func ls(c *call) error {
	flags, names, err := c.options("la1")
	if err != nil {
		return err
	}
	if len(names) == 0 {
		names = []string{"."}
	}
	var plainFiles []fs.FileInfo
	type folder struct {
		name string
		list []fs.FileInfo
	}
	var folders []folder
	for _, n := range names {
		fi, err := os.Lstat(c.path(n))
		if err == nil && fi.Mode()&fs.ModeSymlink != 0 && !flags['l'] {
			if target, terr := os.Stat(c.path(n)); terr == nil {
				fi = target
			}
		}
		switch {
		case err != nil:
			c.failf("%s", plain(err))
		case !fi.IsDir():
			plainFiles = append(plainFiles, named{fi, n})
		default:
			f := folder{name: n}
			entries, err := os.ReadDir(c.path(n))
			if err != nil {
				c.failf("%s", plain(err))
				continue
			}
			for _, e := range entries {
				if info, err := e.Info(); err == nil && (flags['a'] || e.Name()[0] != '.') {
					f.list = append(f.list, info)
				}
			}
			folders = append(folders, f)
		}
	}
	if err := c.list(plainFiles, "", flags); err != nil {
		return err
	}
	for _, f := range folders {
		if len(names) > 1 {
			if err := c.printf("%s:\n", f.name); err != nil {
				return err
			}
		}
		if err := c.list(f.list, c.path(f.name), flags); err != nil {
			return err
		}
	}
	return nil
}

// named is a file as the user called it.
type named struct {
	fs.FileInfo
	name string
}

func (n named) Name() string { return n.name }

func (c *call) list(files []fs.FileInfo, dir string, flags map[rune]bool) error {
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return cmp.Compare(a.Name(), b.Name()) })
	if !flags['l'] {
		for _, f := range files {
			if err := c.printf("%s\n", f.Name()); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 1, ' ', tabwriter.AlignRight)
	for _, f := range files {
		links, uid, gid, size := uint64(1), uint32(0), uint32(0), strconv.FormatInt(f.Size(), 10)
		if st, ok := f.Sys().(*syscall.Stat_t); ok {
			links, uid, gid = uint64(st.Nlink), st.Uid, st.Gid //nolint:unconvert // the type differs by architecture
			if f.Mode()&fs.ModeDevice != 0 {
				size = fmt.Sprintf("%d,%d", st.Rdev>>8&0xfff, st.Rdev&0xff)
			}
		}
		name := f.Name()
		if f.Mode()&fs.ModeSymlink != 0 {
			if target, err := os.Readlink(filepath.Join(cmp.Or(dir, c.dir), f.Name())); err == nil {
				name += " -> " + target
			}
		}
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t %s\n", f.Mode(), links, uid, gid, size, f.ModTime().UTC().Format("2006-01-02 15:04"), name)
	}
	return w.Flush()
}

// inputs calls read for each file, or for standard input if there are none.
func (c *call) inputs(names []string, read func(name string, r io.Reader) error) error {
	if len(names) == 0 {
		return read("-", interruptible{c.ctx, c.stdin})
	}
	for _, n := range names {
		f, err := os.Open(c.path(n))
		if err == nil {
			err = errors.Join(read(n, interruptible{c.ctx, f}), f.Close())
		}
		if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
			return err
		}
		if err != nil {
			c.failf("%s", plain(err))
		}
	}
	return nil
}

func cat(c *call) error {
	_, names, err := c.options("")
	if err != nil {
		return err
	}
	return c.inputs(names, func(_ string, r io.Reader) error {
		_, err := io.Copy(c.stdout, r)
		return err
	})
}

// target tells where operands go: into a folder, or to a name.
func (c *call) target(names []string) (to func(name string) string, sources []string, err error) {
	if len(names) < 2 {
		return nil, nil, c.errUsage()
	}
	last := c.path(names[len(names)-1])
	sources = names[:len(names)-1]
	if fi, err := os.Stat(last); err == nil && fi.IsDir() {
		return func(name string) string { return filepath.Join(last, filepath.Base(name)) }, sources, nil
	}
	if len(sources) > 1 {
		return nil, nil, fmt.Errorf("%s is not a folder", names[len(names)-1])
	}
	return func(string) string { return last }, sources, nil
}

func cp(c *call) error {
	to, sources, err := c.target(c.args[1:])
	if err != nil {
		return err
	}
	for _, n := range sources {
		if err := copyFile(c.path(n), to(n)); err != nil {
			c.failf("%s", plain(err))
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // read only
	fi, err := in.Stat()
	if err != nil {
		return err
	}
	if fi.IsDir() {
		return &fs.PathError{Op: "copy", Path: from, Err: syscall.EISDIR}
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fi.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func mv(c *call) error {
	to, sources, err := c.target(c.args[1:])
	if err != nil {
		return err
	}
	for _, n := range sources {
		if err := os.Rename(c.path(n), to(n)); err != nil {
			return err
		}
	}
	return nil
}

func ln(c *call) error {
	flags, names, err := c.options("s")
	if err != nil {
		return err
	}
	if len(names) != 2 {
		return c.errUsage()
	}
	if flags['s'] {
		return os.Symlink(names[0], c.path(names[1]))
	}
	return os.Link(c.path(names[0]), c.path(names[1]))
}

func readlink(c *call) error {
	return c.each(c.args[1:], func(path string) error {
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return c.printf("%s\n", target)
	})
}

// each does something to each of the files, of which there must be one.
func (c *call) each(names []string, do func(path string) error) error {
	if len(names) == 0 {
		return c.errUsage()
	}
	for _, n := range names {
		if err := do(c.path(n)); err != nil {
			c.failf("%s", plain(err))
		}
	}
	return nil
}

func mkdir(c *call) error {
	flags, names, err := c.options("p")
	if err != nil {
		return err
	}
	return c.each(names, func(path string) error {
		if flags['p'] {
			return os.MkdirAll(path, 0o755)
		}
		return os.Mkdir(path, 0o755)
	})
}

func rm(c *call) error {
	flags, names, err := c.options("rf")
	if err != nil {
		return err
	}
	return c.each(names, func(path string) error {
		fi, err := os.Lstat(path)
		if flags['f'] && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		switch {
		case err != nil:
			return err
		case flags['r']:
			return os.RemoveAll(path)
		case fi.IsDir() != (filepath.Base(c.args[0]) == "rmdir"):
			return &fs.PathError{Op: "remove", Path: path, Err: map[bool]error{true: syscall.EISDIR, false: syscall.ENOTDIR}[fi.IsDir()]}
		}
		return os.Remove(path)
	})
}

func touch(c *call) error {
	return c.each(c.args[1:], func(path string) error {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		now := time.Now()
		return errors.Join(f.Close(), os.Chtimes(path, now, now))
	})
}

func chmod(c *call) error {
	if len(c.args) < 3 {
		return c.errUsage()
	}
	mode, err := strconv.ParseUint(c.args[1], 8, 12)
	if err != nil {
		return fmt.Errorf("mode %q is not octal", c.args[1])
	}
	return c.each(c.args[2:], func(path string) error { return syscall.Chmod(path, uint32(mode)) })
}

func chown(c *call) error {
	if len(c.args) < 3 {
		return c.errUsage()
	}
	user, group, both := strings.Cut(c.args[1], ":")
	uid, err := strconv.Atoi(user)
	gid := -1
	if err == nil && both {
		gid, err = strconv.Atoi(group)
	}
	if err != nil {
		return fmt.Errorf("owner %q is not UID or UID:GID", c.args[1])
	}
	return c.each(c.args[2:], func(path string) error { return os.Lchown(path, uid, gid) })
}
