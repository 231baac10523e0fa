package roots

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"caddyshack/baremetal"
	"caddyshack/pxe/images"
)

// spaceEvery is how many unpacked bytes pass between two looks at the disk.
const spaceEvery = 64 << 20

// Create makes the root of a node from an image. If the root of this generation
// is there already, it is returned as it is; a root of another generation is
// taken out of service and replaced. progress, which may be nil, hears the
// number of bytes unpacked so far.
func (m *Manager) Create(ctx context.Context, spec Spec, progress func(bytes int64)) (Root, error) {
	if err := CheckHostname(spec.Hostname); err != nil {
		return Root{}, err
	}
	if err := spec.Rescue.check(); err != nil {
		return Root{}, err
	}
	unlock, err := m.lock(ctx, spec.NodeID)
	if err != nil {
		return Root{}, err
	}
	defer unlock()
	root, err := m.create(ctx, spec, progress)
	if err != nil {
		return Root{}, fmt.Errorf("making the root of node %s: %w", spec.NodeID, err)
	}
	return root, nil
}

func (m *Manager) create(ctx context.Context, spec Spec, progress func(int64)) (Root, error) {
	dir := m.nodeDir(spec.NodeID)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return Root{}, err
	}
	if err := m.sweep(dir); err != nil {
		return Root{}, err
	}
	switch there, err := m.makeRoom(ctx, spec); {
	case err != nil:
		return Root{}, err
	case there != nil:
		return *there, nil
	}
	fi, err := os.Stat(spec.Image.Path)
	if err != nil {
		return Root{}, fmt.Errorf("the image %s is not in the cache any more (%w); fetch it again", spec.Image.Digest, err)
	}
	// Compressed archives of root file systems grow three- to fivefold.
	if err := images.CheckSpace(m.cfg.Dir, 4*fi.Size(), m.cfg.Reserve); err != nil {
		return Root{}, err
	}
	work := filepath.Join(dir, rootNew+rand.Text())
	root, err := m.unpack(ctx, spec, work, progress)
	if err == nil {
		err = m.move(work, filepath.Join(dir, spec.place()))
	}
	if errors.Is(err, fs.ErrExist) {
		// Another process was faster; its result is as good.
		if other, rerr := m.readAt(spec.NodeID, spec.place()); rerr == nil && other.Generation == spec.Generation {
			root, err = other, nil
		}
	}
	if rerr := os.RemoveAll(work); rerr != nil && err == nil {
		err = rerr
	}
	if err != nil {
		return Root{}, err
	}
	m.cfg.Log.Info("root made", "node", spec.NodeID, "digest", root.Digest, "entries", root.Entries, "bytes", root.Bytes)
	return root, nil
}

// makeRoom takes away what is in the place of a root that is to be made. If it
// is there already, it is returned.
func (m *Manager) makeRoom(ctx context.Context, spec Spec) (*Root, error) {
	switch root, err := m.readAt(spec.NodeID, spec.place()); {
	case err == nil && root.Generation == spec.Generation:
		return &root, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case spec.Rescue != nil:
		return nil, m.makeRescueRoom(ctx, spec.NodeID)
	case err == nil:
		if err := m.remove(ctx, spec.NodeID); err != nil {
			return nil, err
		}
		return nil, os.MkdirAll(m.nodeDir(spec.NodeID), 0o750)
	}
	return nil, nil
}

// unpack makes the finished root in the folder work.
func (m *Manager) unpack(ctx context.Context, spec Spec, work string, progress func(int64)) (_ Root, err error) {
	if err := m.step("unpack"); err != nil {
		return Root{}, err
	}
	if err := os.Mkdir(work, 0o750); err != nil {
		return Root{}, err
	}
	dir := filepath.Join(work, rootTree)
	im, err := m.cfg.Trees.CreateTree(dir)
	if err != nil {
		return Root{}, err
	}
	defer func() { err = errors.Join(err, im.Abort()) }()
	var written, checked int64
	stats, err := images.Unpack(ctx, spec.Image.Path, m.cfg.Limits, func(h *tar.Header, r io.Reader) error {
		if err := m.step("add " + h.Name); err != nil {
			return err
		}
		if err := im.Add(h, r); err != nil {
			return fmt.Errorf("unpacking %.200q: %w", h.Name, err)
		}
		if h.Typeflag == tar.TypeReg {
			written += h.Size
		}
		if progress != nil {
			progress(written)
		}
		if spec.LimitBytes > 0 && uint64(written) > spec.LimitBytes {
			return baremetal.Errorf(baremetal.Invalid, "the image holds more than the %d MiB that the root may take; give it a larger root_gb", spec.LimitBytes>>20)
		}
		if written-checked >= spaceEvery {
			checked = written
			return images.CheckSpace(m.cfg.Dir, spaceEvery, m.cfg.Reserve)
		}
		return nil
	})
	if err != nil {
		return Root{}, noSpace(err, m.cfg.Dir)
	}
	if err := m.step("seal"); err != nil {
		return Root{}, err
	}
	if err := im.Close(); err != nil {
		return Root{}, noSpace(err, m.cfg.Dir)
	}
	hostname, err := m.adapt(dir, spec)
	if err != nil {
		return Root{}, noSpace(err, m.cfg.Dir)
	}
	root := Root{
		NodeID: spec.NodeID, Generation: spec.Generation, Hostname: hostname, Digest: spec.Image.Digest,
		Entries: stats.Entries, Bytes: stats.Bytes, Created: time.Now().UTC().Truncate(time.Second),
		LimitBytes: spec.LimitBytes,
	}
	if err := m.step("describe"); err != nil {
		return Root{}, err
	}
	if err := writeJSON(filepath.Join(work, rootInfo), root); err != nil {
		return Root{}, err
	}
	return root, nil
}

// adapt makes the unpacked tree in dir fit for its node, and returns what the
// node is called.
func (m *Manager) adapt(dir string, spec Spec) (hostname string, err error) {
	tree, err := m.cfg.Trees.OpenTree(dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, tree.Close()) }()
	if err := m.step("mend"); err != nil {
		return "", err
	}
	if hostname, err = hostnameOf(tree, spec); err != nil {
		return "", err
	}
	spec.Hostname = hostname
	if err := mend(tree, spec); err != nil {
		return "", err
	}
	if err := m.step("seed"); err != nil {
		return "", err
	}
	ignored, err := seed(tree, spec)
	if err != nil {
		return "", fmt.Errorf("handing over the config drive: %w", err)
	}
	if ignored != "" {
		m.cfg.Log.Warn("the image has no cloud-init, and not all of the config drive can be used", "node", spec.NodeID, "why", ignored)
	}
	// Better now than when the node waits for its kernel.
	_, _, err = bootSource(tree)
	return hostname, err
}

// move puts the finished root in its place, unless there is one.
func (m *Manager) move(work, to string) error {
	if err := m.step("move"); err != nil {
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, work, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != nil {
		return &os.LinkError{Op: "rename", Old: work, New: to, Err: err}
	}
	if err := m.step("moved"); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// sweep removes what unfinished work left in the folder of a node.
func (m *Manager) sweep(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if !strings.HasPrefix(e.Name(), rootNew) && !strings.HasPrefix(e.Name(), trash) {
			continue
		}
		if err := m.step("sweep"); err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("removing unfinished work: %w", err)
		}
	}
	return nil
}

// read returns the root of a node; fs.ErrNotExist if it has none.
func (m *Manager) read(id string) (Root, error) { return m.readAt(id, rootDir) }

// readAt returns a root of a node, its own or its rescue root.
func (m *Manager) readAt(id, place string) (Root, error) {
	var root Root
	dir := m.nodeDir(id)
	if err := readJSON(filepath.Join(dir, place, rootInfo), &root); err != nil {
		return Root{}, err
	}
	var pub BootSpec
	switch err := readJSON(filepath.Join(dir, bootInfo), &pub); {
	case err == nil:
		root.Published = &pub
	case !errors.Is(err, fs.ErrNotExist):
		return Root{}, err
	}
	return root, nil
}

// Remove takes the root of a node out of service and deletes it with all that
// belongs to it. Removing what is not there is no error.
func (m *Manager) Remove(ctx context.Context, nodeID string) error {
	unlock, err := m.lock(ctx, nodeID)
	if err != nil {
		return err
	}
	defer unlock()
	if err := m.remove(ctx, nodeID); err != nil {
		return fmt.Errorf("removing the root of node %s: %w", nodeID, err)
	}
	m.cfg.Log.Info("root removed", "node", nodeID)
	return nil
}

func (m *Manager) remove(ctx context.Context, id string) error {
	if err := m.unpublish(ctx, id); err != nil {
		return err
	}
	dir := m.nodeDir(id)
	// Out of sight in one step first: half a root must not look like one. A
	// rescue root does not outlive the one that it is beside.
	for _, place := range []string{rescueDir, rootDir} {
		if err := m.step("discard"); err != nil {
			return err
		}
		err := os.Rename(filepath.Join(dir, place), filepath.Join(dir, trash+rand.Text()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := m.step("delete"); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// List returns the roots that exist, by node.
func (m *Manager) List(ctx context.Context) ([]Root, error) {
	list, err := os.ReadDir(filepath.Join(m.cfg.Dir, nodesDir))
	if err != nil {
		return nil, fmt.Errorf("listing roots: %w", err)
	}
	roots := []Root{}
	for _, e := range list {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("listing roots: %w", context.Cause(ctx))
		}
		if validID(e.Name()) != nil {
			continue
		}
		root, err := m.read(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing roots: %w", err)
		}
		roots = append(roots, root)
	}
	return roots, nil
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%q is damaged: %w; remove the root of the node by undeploying it", path, err)
	}
	return nil
}

// writeJSON writes atomically and durably.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone after the rename
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // read only
	return d.Sync()
}

// noSpace explains ENOSPC with the numbers.
func noSpace(err error, dir string) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		if full := images.CheckSpace(dir, spaceEvery, 0); full != nil {
			return full
		}
		return fmt.Errorf("%w: %w", images.ErrNoSpace, err)
	}
	return err
}
