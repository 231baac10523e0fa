package roots

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"caddyshack/baremetal"
	"caddyshack/pxe/tftpd"
)

// Publish opens the root of a node to it, or its rescue root if it has one: the boot files over TFTP, the root
// over NFS, both for the node's address alone. It is remembered, for Restore.
// Publishing again, with the same or another spec, brings boot files and
// command line up to date.
func (m *Manager) Publish(ctx context.Context, spec BootSpec) error {
	unlock, err := m.lock(ctx, spec.NodeID)
	if err != nil {
		return err
	}
	defer unlock()
	spec, err = spec.check()
	if err == nil {
		err = m.publish(ctx, spec)
	}
	if err != nil {
		return fmt.Errorf("publishing the root of node %s: %w", spec.NodeID, err)
	}
	m.cfg.Log.Info("root published", "node", spec.NodeID, "client", spec.Client)
	return nil
}

func (m *Manager) publish(ctx context.Context, spec BootSpec) error {
	old, err := m.read(spec.NodeID)
	if errors.Is(err, fs.ErrNotExist) {
		return baremetal.Errorf(baremetal.NotFound, "the node has no root; deploy it first")
	}
	if err != nil {
		return err
	}
	if old.Published != nil && old.Published.Client != spec.Client {
		// The address before must not keep its access, whatever comes. One
		// that was found out is found out again after a crash.
		end := m.unpublish
		if spec.Learn {
			end = m.withdraw
		}
		if err := end(ctx, spec.NodeID); err != nil {
			return err
		}
	}
	dir := m.nodeDir(spec.NodeID)
	place, limit, err := m.served(old)
	if err != nil {
		return err
	}
	export := Export{NodeID: spec.NodeID, Path: ExportPath(spec.NodeID), Dir: filepath.Join(dir, place, rootTree), Client: spec.Client,
		LimitBytes: limit}
	spec.Path = ""
	if p, ok := m.cfg.Exports.(MountPather); ok {
		spec.Path = p.MountPath(export)
	}
	files, err := m.collectBoot(ctx, spec, filepath.Join(dir, place, rootTree))
	if err != nil {
		return err
	}
	// Remembered first: what is open is always known.
	if err := m.step("remember"); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(dir, bootInfo), spec); err != nil {
		return err
	}
	if !spec.Client.IsValid() {
		return nil // its address is still to be learnt
	}
	if err := m.step("open export"); err != nil {
		return err
	}
	if err := m.cfg.Exports.OpenExport(ctx, export); err != nil {
		return err
	}
	if place == rescueDir {
		if err := m.openOwn(ctx, spec, old.LimitBytes); err != nil {
			return err
		}
	}
	if err := m.step("put boot files"); err != nil {
		return err
	}
	return m.cfg.BootFiles.Put(tftpd.Tree{ID: spec.NodeID, Client: spec.Client, Prefixes: spec.prefixes(), Files: files})
}

// Unpublish ends the service of a node's root; the export is closed first. The
// root stays. Unpublishing what is not published is no error.
func (m *Manager) Unpublish(ctx context.Context, nodeID string) error {
	unlock, err := m.lock(ctx, nodeID)
	if err != nil {
		return err
	}
	defer unlock()
	if err := m.unpublish(ctx, nodeID); err != nil {
		return fmt.Errorf("taking the root of node %s out of service: %w", nodeID, err)
	}
	m.cfg.Log.Info("root unpublished", "node", nodeID)
	return nil
}

// withdraw closes a root to its node.
func (m *Manager) withdraw(ctx context.Context, id string) error {
	if err := m.step("close export"); err != nil {
		return err
	}
	err := errors.Join(m.cfg.Exports.CloseExport(ctx, id+ownSuffix), m.cfg.Exports.CloseExport(ctx, id))
	m.cfg.BootFiles.Remove(id)
	return err
}

func (m *Manager) unpublish(ctx context.Context, id string) error {
	if err := m.withdraw(ctx, id); err != nil {
		return err
	}
	if err := m.step("forget"); err != nil {
		return err
	}
	dir := m.nodeDir(id)
	err := os.Remove(filepath.Join(dir, bootInfo))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}

// Restore publishes again, after a start, all that was published before. One node's failure does not keep the others
// from being served; all failures are returned together.
func (m *Manager) Restore(ctx context.Context) error {
	list, err := os.ReadDir(filepath.Join(m.cfg.Dir, nodesDir))
	if err != nil {
		return fmt.Errorf("restoring roots: %w", err)
	}
	var failures []error
	for _, e := range list {
		if validID(e.Name()) != nil {
			continue
		}
		if err := m.restore(ctx, e.Name()); err != nil {
			failures = append(failures, fmt.Errorf("restoring the root of node %s: %w", e.Name(), err))
		}
	}
	return errors.Join(failures...)
}

func (m *Manager) restore(ctx context.Context, id string) error {
	unlock, err := m.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	root, err := m.read(id)
	if errors.Is(err, fs.ErrNotExist) {
		// No root: whatever is here was being made or deleted. Create sweeps
		// what is unfinished, and might be at work on it in another process.
		return nil
	}
	if err != nil {
		return err
	}
	if root.Published == nil {
		return nil
	}
	return m.publish(ctx, *root.Published)
}
