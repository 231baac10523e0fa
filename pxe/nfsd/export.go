package nfsd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"caddyshack/pxe/nfsd/posix"
	"caddyshack/pxe/nfsd/tree"
)

// Export is one node's root as it is offered to that node.
type Export struct {
	// ID names the export, for example by the node's uuid. File handles are
	// bound to it and to the root of the tree, so a node's handles survive when
	// its export is removed and added again with the same ID and tree, and not
	// when it is added with another tree.
	ID string `json:"id"`
	// Path is what the client mounts, absolute and clean, e.g. "/nodes/UUID".
	Path string `json:"path"`
	// Client is the only address that may use the export.
	Client netip.Addr `json:"client"`
	// Dir is the folder with the tree; see package rootfs.
	Dir string `json:"dir"`
	// ReadOnly refuses all changes.
	ReadOnly bool `json:"read_only,omitempty"`
	// Tree, if set, is used instead of opening Dir. The server closes it.
	Tree tree.Tree `json:"-"`
}

// Errors of AddExport and RemoveExport.
var (
	ErrExportExists = errors.New("another export has this id or path")
	ErrNoExport     = errors.New("no such export")
)

// export is an Export in service.
type export struct {
	Export
	tag  tag
	fs   posix.FS
	root []byte // handle

	stats  counters
	reads  firstReads
	mu     sync.Mutex
	calls  int
	closed bool
	idle   chan struct{} // closed when closed && calls == 0
}

// enter counts a call; it returns false once the export is being removed.
func (x *export) enter() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return false
	}
	x.calls++
	return true
}

func (x *export) leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.calls--
	if x.closed && x.calls == 0 {
		close(x.idle)
	}
}

// shut refuses further calls.
func (x *export) shut() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return
	}
	x.closed = true
	if x.calls == 0 {
		close(x.idle)
	}
}

// AddExport offers a tree to its client. Adding an export again as it is does
// nothing. All exports of an earlier life should be added before Serve, or
// within Grace of it, lest their clients see stale handles.
func (s *Server) AddExport(_ context.Context, e Export) error {
	if err := checkExport(&e); err != nil {
		return fmt.Errorf("adding export %q: %w", e.ID, err)
	}
	if err := s.prepare(); err != nil {
		return fmt.Errorf("adding export %q: %w", e.ID, err)
	}
	// One at a time, so that a tree is never opened twice.
	s.adding.Lock()
	defer s.adding.Unlock()
	if done, err := s.conflict(&e); done || err != nil {
		return err
	}
	t := e.Tree
	if t == nil {
		var err error
		if t, err = s.openTree(e.Dir); err != nil {
			return fmt.Errorf("adding export %q: %w", e.ID, err)
		}
	}
	x := &export{Export: e, tag: s.signer.tag(e.ID, t.Root()), idle: make(chan struct{})}
	x.fs.Tree, x.fs.ReadOnly = t, e.ReadOnly
	x.reads.reset(s.Limits.firstReads())
	x.root = s.signer.append(nil, x.tag, t.Root())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.Join(fmt.Errorf("adding export %q: the server is closed", e.ID), t.Close())
	}
	s.exports[e.ID], s.byTag[x.tag] = x, x
	s.owners[e.Client]++
	delete(s.removed, x.tag)
	return nil
}

// conflict reports whether e is already served (done) or collides.
func (s *Server) conflict(e *Export) (done bool, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, x := range s.exports {
		if x.ID == e.ID && x.Path == e.Path && x.Client == e.Client && x.Dir == e.Dir && x.ReadOnly == e.ReadOnly && e.Tree == nil {
			return true, nil
		}
		if x.ID == e.ID || x.Path == e.Path {
			return false, fmt.Errorf("adding export %q of %q: %w", e.ID, e.Path, ErrExportExists)
		}
	}
	return false, nil
}

func checkExport(e *Export) error {
	e.Client = e.Client.Unmap()
	switch {
	case e.ID == "":
		return errors.New("it has no id")
	case !strings.HasPrefix(e.Path, "/") || path.Clean(e.Path) != e.Path || len(e.Path) > maxMountPath:
		return fmt.Errorf("path %q is not absolute and clean", e.Path)
	case !e.Client.IsValid() || e.Client.IsUnspecified():
		return errors.New("it has no client address")
	case e.Dir == "" && e.Tree == nil:
		return errors.New("it has no folder")
	}
	return nil
}

// RemoveExport ends an export: when it returns nil no call on it is running,
// no later one will, and its tree is closed. If ctx ends first, no new call is
// accepted any more, but RemoveExport must be called again to know the end of
// the running ones.
func (s *Server) RemoveExport(ctx context.Context, id string) error {
	s.mu.Lock()
	x := s.exports[id]
	if x != nil && time.Now().Before(s.graceEnd) {
		s.removed[x.tag] = struct{}{}
	}
	s.mu.Unlock()
	if x == nil {
		return fmt.Errorf("removing export %q: %w", id, ErrNoExport)
	}
	x.shut()
	select {
	case <-x.idle:
	case <-ctx.Done():
		return fmt.Errorf("removing export %q: waiting for running calls: %w", id, ctx.Err())
	}
	s.mu.Lock()
	first := s.exports[id] == x
	if first {
		if s.owners[x.Client]--; s.owners[x.Client] == 0 {
			delete(s.owners, x.Client)
			s.estrange(x.Client)
		}
		delete(s.exports, id)
		delete(s.byTag, x.tag)
	}
	s.mu.Unlock()
	if !first { // a call at the same time has finished the job
		return nil
	}
	if err := x.fs.Close(); err != nil {
		return fmt.Errorf("removing export %q: closing its tree: %w", id, err)
	}
	return nil
}

// Exports returns what is exported, sorted by ID.
func (s *Server) Exports() []Export {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]Export, 0, len(s.exports))
	for _, x := range s.exports {
		e := x.Export
		e.Tree = nil
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Export) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// exportFor returns the export whose handle h is, if client may use it, with
// the inode that h names. The caller calls leave afterwards.
func (s *Server) exportFor(client netip.Addr, h []byte) (*export, tree.ID, uint32) {
	t, id, err := s.signer.parse(h)
	if err != nil {
		return nil, "", nfsErrBadHandle
	}
	s.mu.RLock()
	x := s.byTag[t]
	_, removed := s.removed[t]
	s.mu.RUnlock()
	switch {
	case x == nil && !removed && time.Now().Before(s.graceEnd):
		// Ours, but its export has not been added yet: try again later.
		return nil, "", nfsErrJukebox
	case x == nil || x.Client != client || !x.enter():
		// To others the export does not exist.
		return nil, "", nfsErrStale
	}
	return x, id, nfsOK
}

// exportsOf returns the exports that client may mount.
func (s *Server) exportsOf(client netip.Addr) []*export {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*export
	for _, x := range s.exports {
		if x.Client == client {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b *export) int { return strings.Compare(a.Path, b.Path) })
	return out
}
