package roots

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"caddyshack/baremetal"
)

// hashForm is that of a password in shadow(5) by SHA-512 crypt.
var hashForm = regexp.MustCompile(`^\$6\$[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}$`)

func (r *Rescue) check() error {
	if r != nil && !hashForm.MatchString(r.PasswordHash) {
		return baremetal.Errorf(baremetal.Invalid, "the hash of the rescue password is not one of SHA-512 crypt")
	}
	return nil
}

// served tells which root of a node is published: its rescue root, as long as
// it is there, or its own; and how much that may take.
func (m *Manager) served(own Root) (place string, limit uint64, err error) {
	switch rescue, err := m.readAt(own.NodeID, rescueDir); {
	case err == nil:
		return rescueDir, rescue.LimitBytes, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", 0, err
	}
	return rootDir, own.LimitBytes, nil
}

// makeRescueRoom takes the node's own root out of service, or its rescue root
// before this one, which is deleted.
func (m *Manager) makeRescueRoom(ctx context.Context, id string) error {
	_, err := m.read(id)
	if errors.Is(err, fs.ErrNotExist) {
		return baremetal.Errorf(baremetal.Invalid, "the node has no root of its own to rescue; deploy it first")
	}
	if err != nil {
		return err
	}
	return m.dropRescue(ctx, id)
}

// RemoveRescue takes the rescue root of a node out of service and deletes it.
// The node's own root is as it was, and is not published. It may be repeated,
// and does nothing where there is no rescue root.
func (m *Manager) RemoveRescue(ctx context.Context, nodeID string) error {
	unlock, err := m.lock(ctx, nodeID)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(filepath.Join(m.nodeDir(nodeID), rescueDir)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := m.dropRescue(ctx, nodeID); err != nil {
		return fmt.Errorf("removing the rescue root of node %s: %w", nodeID, err)
	}
	m.cfg.Log.Info("rescue root removed", "node", nodeID)
	return nil
}

// dropRescue ends what is published and deletes the rescue root, if there is
// one. The copies of boot files go as well: those of another root may be equal
// in size and time.
func (m *Manager) dropRescue(ctx context.Context, id string) error {
	if err := m.unpublish(ctx, id); err != nil {
		return err
	}
	dir := m.nodeDir(id)
	if err := m.step("discard rescue"); err != nil {
		return err
	}
	away := filepath.Join(dir, trash+rand.Text())
	if err := os.Rename(filepath.Join(dir, rescueDir), away); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := m.step("delete rescue"); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(away), os.RemoveAll(filepath.Join(dir, bootDir)))
}

// ownSuffix ends the id of the export of a node's own root while it boots its
// rescue root.
const ownSuffix = ".own"

// IsOwnExport tells whether an export is that of a node's own root in rescue:
// what its node does there is no boot.
func IsOwnExport(id string) bool { return strings.HasSuffix(id, ownSuffix) }

// OwnPath is what a node in rescue mounts to get at its own root.
func OwnPath(nodeID string) string { return "/own/" + nodeID }

const (
	// OwnRootFile tells in a rescue root how that is done.
	OwnRootFile = "root/own-root"
	// ownPoint is where a rescue system mounts it.
	ownPoint = "mnt/root"
)

// openOwn opens a node's own root to its rescue system.
func (m *Manager) openOwn(ctx context.Context, spec BootSpec, limit uint64) (err error) {
	dir := m.nodeDir(spec.NodeID)
	export := Export{NodeID: spec.NodeID + ownSuffix, Path: OwnPath(spec.NodeID), Dir: filepath.Join(dir, rootDir, rootTree),
		Client: spec.Client, LimitBytes: limit}
	if err := m.step("open own root"); err != nil {
		return err
	}
	if err := m.cfg.Exports.OpenExport(ctx, export); err != nil {
		return err
	}
	path := export.Path
	if p, ok := m.cfg.Exports.(MountPather); ok {
		path = p.MountPath(export)
	}
	mountPort := cmp.Or(spec.MountPort, spec.NFSPort)
	tree, err := m.cfg.Trees.OpenTree(filepath.Join(dir, rescueDir, rootTree))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tree.Close()) }()
	source := fmt.Sprintf("%s:%s", spec.Server, path)
	options := fmt.Sprintf("vers=3,tcp,nolock,noacl,port=%d,mountport=%d", spec.NFSPort, mountPort)
	text := fmt.Sprintf("# The node's own root, in its rescue system, which mounts it at /%[1]s if it has mount.nfs (see /etc/fstab):\n"+
		"mkdir -p /%[1]s && mount -t nfs -o %[2]s %[3]s /%[1]s\n", ownPoint, options, source)
	return errors.Join(tree.WriteFile(OwnRootFile, []byte(text), 0o600, Owner{}), mountOwn(tree, source, options))
}

// mountOwn has a rescue system mount the node's own root when it starts, if it has
// the program for that. It starts all the same if it cannot.
func mountOwn(t Tree, source, options string) error {
	const name = "etc/fstab"
	if !isThere(t, "sbin/mount.nfs") && !isThere(t, "usr/sbin/mount.nfs") {
		return nil
	}
	data, mode, exists, err := readConfig(t, name)
	if err != nil {
		return err
	}
	if !exists {
		mode = 0o644
	}
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) < 2 || f[1] != "/"+ownPoint { // one of before may name another address
			out.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	fmt.Fprintf(&out, "%s /%s nfs %s,nofail,_netdev,x-systemd.mount-timeout=30s 0 0\n", source, ownPoint, options)
	if out.String() == string(data) {
		return nil
	}
	for _, dir := range []string{"mnt", ownPoint} {
		if err := t.Mkdir(dir, 0o755, Owner{}); err != nil {
			return err
		}
	}
	return t.WriteFile(name, []byte(out.String()), mode, Owner{})
}

// RescueUser is who may log in to a rescue root with the rescue password. It is
// another name for root.
const RescueUser = "rescue"

// mendRescue lets the user rescue in, at the console and by ssh.
func mendRescue(t Tree, r *Rescue) error {
	if r == nil {
		return nil
	}
	shell := "/bin/sh"
	for _, bash := range []string{"bin/bash", "usr/bin/bash"} {
		if isFile(t, bash) {
			shell = "/bin/bash"
		}
	}
	entries := []struct {
		file, line string
		mode       fs.FileMode
	}{
		{"etc/passwd", RescueUser + ":x:0:0:rescue:/root:" + shell, 0o644},
		{"etc/shadow", RescueUser + ":" + r.PasswordHash + ":1:0:99999:7:::", 0o600},
	}
	for _, e := range entries {
		data, mode, exists, err := readConfig(t, e.file)
		if err != nil {
			return err
		}
		if !exists {
			mode = e.mode
			if e.file == "etc/passwd" {
				data = []byte("root:x:0:0:root:/root:" + shell + "\n")
			}
		}
		var out strings.Builder
		for line := range strings.Lines(string(data)) {
			if !strings.HasPrefix(line, RescueUser+":") {
				out.WriteString(strings.TrimSuffix(line, "\n") + "\n")
			}
		}
		if err := t.WriteFile(e.file, []byte(out.String()+e.line+"\n"), mode, Owner{}); err != nil {
			return err
		}
	}
	return mendRescueSSH(t)
}

// mendRescueSSH lets OpenSSH take passwords, also root's: of each setting the
// first value counts.
func mendRescueSSH(t Tree) error {
	const name = "etc/ssh/sshd_config"
	data, mode, exists, err := readConfig(t, name)
	if err != nil || !exists {
		return err
	}
	head := "# A rescue system, by Caddyshack.\nPermitRootLogin yes\nPasswordAuthentication yes\nUsePAM yes\n"
	return t.WriteFile(name, append([]byte(head), data...), mode, Owner{})
}
