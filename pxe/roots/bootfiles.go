package roots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"caddyshack/baremetal"
	"caddyshack/pxe/images"
	"caddyshack/pxe/tftpd"
)

// Limits of the boot folder of a root, which its node may fill as it likes.
const (
	maxBootFiles = 4096
	maxBootBytes = 1 << 30
	maxBootDepth = 4
)

// bootFolders are where images keep firmware and kernel, best first.
func bootFolders() []string { return []string{"boot/firmware", "boot"} }

// kernelNames are what the firmware loads without being told, 64-bit first.
func kernelNames() []string {
	return []string{"kernel8.img", "kernel_2712.img", "kernel7l.img", "kernel7.img", "kernel.img"}
}

// bootSource finds the folder of the root that the node boots from, and its
// config.txt.
func bootSource(t Tree) (folder string, c firmwareConfig, err error) {
	var looked []string
	for _, folder := range bootFolders() {
		data, _, _, err := readConfig(t, path.Join(folder, "config.txt"))
		if err != nil {
			return "", c, err
		}
		c := parseConfig(data)
		names := slices.Concat(c.kernels, kernelNames())
		for _, prefix := range c.prefixes {
			for _, n := range names[:len(c.kernels)+len(kernelNames())] {
				names = append(names, prefix+n)
			}
		}
		for _, n := range names {
			n = path.Join(folder, path.Clean("/" + n)[1:])
			if fi, err := t.Stat(n); err == nil && fi.Mode().IsRegular() && fi.Size() > 0 {
				return folder, c, nil
			}
		}
		looked = append(looked, path.Join("/"+folder, kernelNames()[0]), path.Join("/"+folder, kernelNames()[1]))
		for _, k := range c.kernels {
			looked = append(looked, path.Join("/"+folder, k))
		}
	}
	return "", c, baremetal.Errorf(baremetal.Invalid,
		"the image has no kernel for a Raspberry Pi: looked for %s; use an image made for the Raspberry Pi, with firmware and kernel in /boot/firmware",
		strings.Join(looked, ", "))
}

// bootFile is a file of the boot folder.
type bootFile struct {
	name string // below the folder
	info fs.FileInfo
}

// bootFileList lists the regular files below folder. What is neither that nor a
// folder, or has a name that no firmware asks for, is left out.
func bootFileList(t Tree, folder string) ([]bootFile, error) {
	var files []bootFile
	var bytes int64
	var walk func(dir string, depth int) error
	walk = func(dir string, depth int) error {
		list, err := t.ReadDir(path.Join(folder, dir))
		if err != nil {
			return err
		}
		for _, fi := range list {
			name := path.Join(dir, fi.Name())
			if clean, err := tftpd.CleanName(name); err != nil || clean != name || strings.HasPrefix(fi.Name(), ".") {
				continue
			}
			switch {
			case fi.IsDir() && depth < maxBootDepth:
				if err := walk(name, depth+1); err != nil {
					return err
				}
			case fi.Mode().IsRegular():
				files = append(files, bootFile{name, fi})
				bytes += fi.Size()
				if len(files) > maxBootFiles || bytes > maxBootBytes {
					return fmt.Errorf("%w: /%s holds more than %d files or %d MiB; move what is not for the firmware elsewhere",
						images.ErrLimit, folder, maxBootFiles, maxBootBytes>>20)
				}
			}
		}
		return nil
	}
	return files, walk(".", 1)
}

// collectBoot brings the copies of the node's boot files up to date with the
// tree of its root and returns what TFTP is to serve. Copies, since the node may change its
// files while its firmware reads them, and since trees need not keep them as
// files. Only what changed is copied.
func (m *Manager) collectBoot(ctx context.Context, s BootSpec, treeDir string) (map[string]tftpd.Content, error) {
	dir := m.nodeDir(s.NodeID)
	tree, err := m.cfg.Trees.OpenTree(treeDir)
	if err != nil {
		return nil, err
	}
	defer tree.Close() //nolint:errcheck // nothing was written
	folder, config, err := bootSource(tree)
	if err != nil {
		return nil, err
	}
	files, err := bootFileList(tree, folder)
	if err != nil {
		return nil, fmt.Errorf("reading the boot files: %w", err)
	}
	to := filepath.Join(dir, bootDir)
	if err := m.step("copy boot files"); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(to, 0o750); err != nil {
		return nil, err
	}
	target, err := os.OpenRoot(to)
	if err != nil {
		return nil, err
	}
	defer target.Close()                              //nolint:errcheck // a folder
	if err := target.RemoveAll(staging); err != nil { // of a crash
		return nil, err
	}
	words, err := imageCmdline(tree, folder, config)
	if err != nil {
		return nil, err
	}
	cmdline, err := s.cmdline(words)
	if err != nil {
		return nil, err
	}
	has := func(name string) bool {
		return slices.ContainsFunc(files, func(f bootFile) bool { return f.name == name })
	}
	if s.Model == Pi5 && len(config.kernels) == 0 && !slices.ContainsFunc(Pi5.kernels64(), has) {
		return nil, baremetal.Errorf(baremetal.Invalid, "the image has no 64-bit kernel, and a Raspberry Pi 5 takes no other: /%s holds neither %s; use a 64-bit image",
			folder, strings.Join(Pi5.kernels64(), " nor "))
	}
	contents := map[string]tftpd.Content{"config.txt": {Data: configTxt(config, s, has)}}
	for _, prefix := range append(config.prefixes, "") {
		if name, err := tftpd.CleanName(prefix + "cmdline.txt"); err == nil {
			contents[name] = tftpd.Content{Data: cmdline}
		}
	}
	var fresh []string
	for _, f := range files {
		if _, made := contents[f.name]; made {
			continue
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		copied, err := m.copyBoot(tree, path.Join(folder, f.name), target, f)
		if err != nil {
			return nil, noSpace(fmt.Errorf("copying the boot file %q: %w", f.name, err), m.cfg.Dir)
		}
		if copied {
			fresh = append(fresh, f.name)
		}
		contents[f.name] = tftpd.Content{Path: path.Join(nodesDir, s.NodeID, bootDir, f.name)}
	}
	if err := prune(to, contents); err != nil {
		return nil, fmt.Errorf("removing old boot files: %w", err)
	}
	if err := m.putBoot(target, fresh); err != nil {
		return nil, noSpace(fmt.Errorf("putting boot files in place: %w", err), m.cfg.Dir)
	}
	return contents, nil
}

// staging is the folder of copies that are not on stable storage yet.
const staging = ".new"

// copyBoot copies one file to the staging folder, unless its copy in place has
// the same size and time.
func (m *Manager) copyBoot(t Tree, from string, target *os.Root, f bootFile) (copied bool, err error) {
	if fi, err := target.Lstat(f.name); err == nil && fi.Mode().IsRegular() &&
		fi.Size() == f.info.Size() && fi.ModTime().Equal(f.info.ModTime()) {
		return false, nil
	}
	if err := m.step("copy " + f.name); err != nil {
		return false, err
	}
	to := path.Join(staging, f.name)
	if err := target.MkdirAll(path.Dir(to), 0o750); err != nil {
		return false, err
	}
	in, err := t.Open(from)
	if err != nil {
		return false, err
	}
	defer in.Close()
	out, err := target.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return false, err
	}
	// A file that grows meanwhile is cut; the next time copies it again.
	_, err = io.Copy(out, io.LimitReader(in, f.info.Size()))
	if err := errors.Join(err, out.Close()); err != nil {
		return false, err
	}
	return true, target.Chtimes(to, f.info.ModTime(), f.info.ModTime())
}

// putBoot moves copies from the staging folder into place, once they are on
// stable storage: what is in place is whole.
func (m *Manager) putBoot(target *os.Root, names []string) error {
	if len(names) == 0 {
		return nil
	}
	dir, err := target.Open(staging)
	if err != nil {
		return err
	}
	// One for all: there are hundreds of overlays.
	err = errors.Join(unix.Syncfs(int(dir.Fd())), dir.Close())
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := m.step("put " + n); err != nil {
			return err
		}
		if err := target.MkdirAll(path.Dir(n), 0o750); err != nil {
			return err
		}
		if err := target.Rename(path.Join(staging, n), n); err != nil {
			return err
		}
	}
	return target.RemoveAll(staging)
}

// prune deletes copies of files that the root has no more, and folders that are
// empty then.
func prune(dir string, keep map[string]tftpd.Content) error {
	var folders []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, p)
		switch {
		case err != nil || name == ".":
			return err
		case name == staging:
			return filepath.SkipDir
		case d.IsDir():
			folders = append(folders, p)
			return nil
		case keep[filepath.ToSlash(name)].Path != "":
			return nil
		}
		return os.Remove(p)
	})
	slices.Reverse(folders) // the inner ones first
	for _, f := range folders {
		_ = os.Remove(f) // unless it is in use
	}
	return err
}
