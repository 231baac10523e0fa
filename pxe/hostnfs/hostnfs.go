// Package hostnfs lets an NFS server of the host, the kernel's or NFS-Ganesha,
// serve the roots of nodes in place of the embedded one. It keeps a file of
// exports for that server, tells the server to read it again, and asks it by
// the MOUNT protocol what it serves: an export is open or closed when the
// server says so, not when a file was written.
package hostnfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"caddyshack/baremetal"
	"caddyshack/pxe/nfsd/rootfs"
	"caddyshack/pxe/roots"
)

// Kind is a kind of server.
type Kind string

// The kinds of servers.
const (
	// Kernel is the kernel's nfsd with rpc.mountd and exportfs.
	Kernel Kind = "kernel"
	// Ganesha is NFS-Ganesha with its FSAL VFS.
	Ganesha Kind = "ganesha"
)

// Config says which server it is and how it is told.
type Config struct {
	Kind Kind
	// StateFile remembers the exports; its folder must exist. Required.
	StateFile string
	// ExportsFile is the file that the server reads: for the kernel one in
	// /etc/exports.d with the ending ".exports", for Ganesha one that its
	// ganesha.conf includes. It belongs to this package. Required.
	ExportsFile string
	// Reload tells the server to read ExportsFile; see Exportfs and Hangup.
	// Required.
	Reload func(ctx context.Context) error
	// MountAddr is the address of the MOUNT protocol, one of this host.
	// Required.
	MountAddr netip.AddrPort
	// Wait is how long the server may take to follow; 0 means 10 s.
	Wait time.Duration
	// Log receives a line per change; nil discards.
	Log *slog.Logger
}

// Exports opens and closes exports on the server; it implements roots.Exports.
type Exports struct {
	cfg Config

	mu    sync.Mutex
	state state
}

// state is what StateFile holds.
type state struct {
	// Last is the number that was given last, so that one is not used again
	// soon: file handles name an export of Ganesha by it.
	Last    uint16  `json:"last"`
	Exports []entry `json:"exports"` // by node
}

type entry struct {
	roots.Export
	Number uint16 `json:"number"`
	// Files is the folder that is exported.
	Files string `json:"files"`
}

var _ roots.Exports = (*Exports)(nil)

// Open reads what was exported before. The server need not run.
func Open(cfg Config) (*Exports, error) {
	if cfg.Wait == 0 {
		cfg.Wait = 10 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	x := &Exports{cfg: cfg}
	text, err := os.ReadFile(cfg.StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return x, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &x.state)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the exports of before from %s: %w", cfg.StateFile, err)
	}
	return x, nil
}

// MountPath returns what a node mounts: the kernel's server knows exports by
// their folder only.
func (x *Exports) MountPath(e roots.Export) string {
	if x.cfg.Kind == Kernel {
		return rootfs.NativeFiles(e.Dir)
	}
	return e.Path
}

// OpenExport implements roots.Exports.
func (x *Exports) OpenExport(ctx context.Context, e roots.Export) error {
	if rootfs.KindOf(e.Dir) != rootfs.Native {
		return baremetal.Errorf(baremetal.Invalid, "the root in %q is not kept as plain files, which is all that the server %q can serve; deploy the node anew with boot.tree = \"privileged\"", e.Dir, x.cfg.Kind)
	}
	n := entry{Export: e, Files: rootfs.NativeFiles(e.Dir)}
	if err := plain(n.Files, e.Path, e.NodeID); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	next := x.state
	next.Exports = slices.Clone(next.Exports)
	if i := next.find(e.NodeID); i >= 0 {
		n.Number = next.Exports[i].Number // its handles stay good
		next.Exports[i] = n
	} else {
		if n.Number = next.number(); n.Number == 0 {
			return baremetal.Errorf(baremetal.Unavailable, "the server %q has no number left for another export", x.cfg.Kind)
		}
		next.Last = n.Number
		next.Exports = append(next.Exports, n)
	}
	if err := x.apply(ctx, next); err != nil {
		return fmt.Errorf("opening the export of node %s: %w", e.NodeID, err)
	}
	return x.await(ctx, x.MountPath(e), true)
}

// CloseExport implements roots.Exports. Calls that the server has begun may
// still end after it.
func (x *Exports) CloseExport(ctx context.Context, nodeID string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	i := x.state.find(nodeID)
	if i < 0 {
		return nil
	}
	path := x.MountPath(x.state.Exports[i].Export)
	// The file first, the memory of it last: what may be open is known.
	next := x.state
	next.Exports = slices.Delete(slices.Clone(next.Exports), i, i+1)
	if err := x.write(ctx, next); err != nil {
		return fmt.Errorf("closing the export of node %s: %w", nodeID, err)
	}
	if err := x.await(ctx, path, false); err != nil {
		return err
	}
	return x.remember(next)
}

// apply remembers the exports and makes them those of the server.
func (x *Exports) apply(ctx context.Context, next state) error {
	if err := x.remember(next); err != nil {
		return err
	}
	return x.write(ctx, next)
}

func (x *Exports) remember(next state) error {
	text, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	if err := replaceFile(x.cfg.StateFile, text, 0o600); err != nil {
		return err
	}
	x.state = next
	return nil
}

// write brings the server's file up to date and has it read.
func (x *Exports) write(ctx context.Context, next state) error {
	text := next.render(x.cfg.Kind, x.cfg.MountAddr.Addr())
	if old, err := os.ReadFile(x.cfg.ExportsFile); err != nil || string(old) != text {
		if err := replaceFile(x.cfg.ExportsFile, []byte(text), 0o644); err != nil {
			return err
		}
	}
	// Also if the file was right: an earlier reload may have failed.
	ctx, cancel := context.WithTimeout(ctx, x.cfg.Wait)
	defer cancel()
	if err := x.cfg.Reload(ctx); err != nil {
		return baremetal.Errorf(baremetal.Unavailable, "telling the NFS server %q of its exports: %w", x.cfg.Kind, err)
	}
	x.cfg.Log.Info("exports written", "file", x.cfg.ExportsFile, "exports", len(next.Exports))
	return nil
}

// askEvery is the time between two questions to the server.
const askEvery = 50 * time.Millisecond

// await waits until the server says that path is exported, or is not.
func (x *Exports) await(ctx context.Context, path string, open bool) error {
	ctx, cancel := context.WithTimeout(ctx, x.cfg.Wait)
	defer cancel()
	var err error
	for answered := false; ; {
		list, e := listExports(ctx, x.cfg.MountAddr.String())
		if e == nil && slices.Contains(list, path) == open {
			return nil
		}
		// That our time is over says nothing of a server that has answered.
		late := errors.Is(e, os.ErrDeadlineExceeded) || errors.Is(e, context.DeadlineExceeded) // of the connection, and of dialling
		if answered = answered || e == nil; !answered || !late {
			err = e
		}
		select {
		case <-time.After(askEvery):
			continue
		case <-ctx.Done():
		}
		switch {
		case err != nil:
			return baremetal.Errorf(baremetal.Unavailable, "the NFS server %q does not answer at %s: %w; check that it runs and that boot.nfs_mount_port is its port", x.cfg.Kind, x.cfg.MountAddr, err)
		case open:
			return baremetal.Errorf(baremetal.Unavailable, "the NFS server %q does not export %q %s after it was told to; check that it reads %s%s", x.cfg.Kind, path, x.cfg.Wait, x.cfg.ExportsFile, hint(x.cfg.Kind))
		}
		return baremetal.Errorf(baremetal.Unavailable, "the NFS server %q still exports %q %s after it was told not to; see its log", x.cfg.Kind, path, x.cfg.Wait)
	}
}

func hint(k Kind) string {
	if k == Ganesha {
		return " and that ganesha.conf sets mount_path_pseudo = true"
	}
	return ""
}

func (s *state) find(nodeID string) int {
	return slices.IndexFunc(s.Exports, func(e entry) bool { return e.NodeID == nodeID })
}

// number returns one that no export has, or 0. Ganesha's own root export may
// have 0, and people tend to take small numbers.
func (s *state) number() uint16 {
	const first, last = 1000, 65000
	n := max(s.Last, first-1)
	for range last - first + 1 {
		if n++; n > last {
			n = first
		}
		if !slices.ContainsFunc(s.Exports, func(e entry) bool { return e.Number == n }) {
			return n
		}
	}
	return 0
}

// plain refuses what would need quoting in one of the files or on the kernel
// command line of a node.
func plain(names ...string) error {
	for _, n := range names {
		for _, c := range n {
			if !strings.ContainsRune("/._-", c) && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return baremetal.Errorf(baremetal.Invalid, "%q cannot be exported since it holds %q; choose a state_dir of letters, digits, and / . _ -", n, c)
			}
		}
	}
	return nil
}

// replaceFile writes a file in one step; it is on stable storage afterwards.
func replaceFile(path string, data []byte, mode os.FileMode) error {
	dir := filepath.Dir(path)
	// Neither server reads a file with this name.
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".new-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// nodeOf returns the node that a client address belongs to.
func (x *Exports) nodeOf(client netip.Addr) (string, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.state.Exports {
		if e.Client.Unmap() == client && !roots.IsOwnExport(e.NodeID) {
			return e.NodeID, true
		}
	}
	return "", false
}
