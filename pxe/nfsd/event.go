package nfsd

import (
	"net/netip"
	"sync"

	"caddyshack/pxe/nfsd/tree"
)

// EventKind says what an Event tells.
type EventKind string

// The kinds of events.
const (
	// EventMount is a MNT call, granted or refused.
	EventMount EventKind = "mount"
	// EventFirstRead is the first READ of a file since the latest mount; it is
	// told for the first files only (Limits.FirstReads), as a sign of how far
	// a boot has come.
	EventFirstRead EventKind = "first-read"
)

// Event tells what a client did. Handlers must not block.
type Event struct {
	Kind     EventKind
	ExportID string // empty for a refused mount
	Client   netip.Addr
	// Path is what was asked to be mounted, or the path of the file read from
	// the root of the export ("" if not known).
	Path   string
	OK     bool
	Reason string // why a mount was refused
}

func (s *Server) event(e Event) {
	if e.Kind == EventMount && (e.OK || s.loud.Allow()) {
		s.log().Info("NFS mount", "client", e.Client, "path", e.Path, "export", e.ExportID, "ok", e.OK, "reason", e.Reason)
	}
	if s.OnEvent != nil {
		s.OnEvent(e)
	}
}

// firstReads remembers the names by which files were found and which of them
// were read, until as many as wanted have been told.
type firstReads struct {
	mu    sync.Mutex
	left  int
	seen  map[tree.ID]struct{}
	names map[tree.ID]parentName
}

type parentName struct {
	dir  tree.ID
	name string
}

// namesPerRead bounds the memory for names.
const namesPerRead = 8

func (r *firstReads) reset(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = n
	r.seen = make(map[tree.ID]struct{})
	r.names = make(map[tree.ID]parentName)
}

// found notes under which name an inode was found.
func (r *firstReads) found(dir tree.ID, name string, id tree.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left > 0 && len(r.names) < r.left*namesPerRead && name != "." && name != ".." {
		r.names[id] = parentName{dir, name}
	}
}

// read reports whether this is the first read of id, and its path from root.
func (r *firstReads) read(root, id tree.ID) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left <= 0 {
		return "", false
	}
	if _, again := r.seen[id]; again {
		return "", false
	}
	r.seen[id] = struct{}{}
	p := ""
	for depth := 0; id != root; depth++ {
		n, ok := r.names[id]
		if !ok || depth > 64 {
			p = ""
			break
		}
		p, id = "/"+n.name+p, n.dir
	}
	if r.left--; r.left == 0 {
		r.seen, r.names = nil, nil
	}
	return p, true
}
