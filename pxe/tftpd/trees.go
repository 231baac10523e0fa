package tftpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Content is what a file of a [Tree] holds: bytes, or a file of the host.
type Content struct {
	// Data is the content itself, used when Path is empty.
	Data []byte `json:"data,omitempty"`
	// Path names a regular file, relative to the folder given to [NewTrees].
	// It is opened anew for each request, and only inside that folder:
	// symbolic links that lead out of it are not followed.
	Path string `json:"path,omitempty"`
}

// Tree is all that one machine may fetch. It is plain data.
type Tree struct {
	// ID is the machine, in the caller's terms (a node's uuid).
	ID string `json:"id"`
	// Client is the address that the machine asks from. If it is set, nobody
	// else gets anything of this tree. The zero value means "not known yet":
	// whoever asks with one of the prefixes is served.
	Client netip.Addr `json:"client"`
	// Prefixes are the folders that the machine may put before a name, without
	// slashes at the ends: the last 8 hex digits of its serial number, its MAC
	// address in the form dc-a6-32-01-36-c2, or a string set in its EEPROM.
	Prefixes []string `json:"prefixes"`
	// Files are the contents by name ("config.txt", "overlays/x.dtbo").
	Files map[string]Content `json:"files"`
}

// RootFile is the one name served without a prefix: the boot ROM of a Pi 3
// asks for it so. It is the loader alone, and boots nothing by itself.
const RootFile = "bootcode.bin"

// Trees is a [Source] that holds a tree for each machine in memory. The zero
// value is not usable; see [NewTrees].
type Trees struct {
	root *os.Root

	mu       sync.RWMutex
	byID     map[string]*Tree
	byClient map[netip.Addr]*Tree
	byPrefix map[string]*Tree
}

// NewTrees returns an empty registry. dir is the folder that the paths in
// [Content] are relative to; if it is empty, all content must be in memory.
func NewTrees(dir string) (*Trees, error) {
	t := &Trees{
		byID:     make(map[string]*Tree),
		byClient: make(map[netip.Addr]*Tree),
		byPrefix: make(map[string]*Tree),
	}
	if dir != "" {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, fmt.Errorf("opening the folder of boot files: %w", err)
		}
		t.root = root
	}
	return t, nil
}

// Close gives back the folder. Transfers that are under way go on.
func (t *Trees) Close() error {
	if t.root == nil {
		return nil
	}
	return t.root.Close()
}

// Put adds a machine's tree or replaces the one it has, at once and whole. It
// fails, and changes nothing, if a name or prefix is not a clean one, or if
// another machine has the same client address or prefix.
func (t *Trees) Put(tree Tree) error {
	own, err := t.checked(tree)
	if err != nil {
		return fmt.Errorf("registering the boot files of %q: %w", tree.ID, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if other := t.byClient[own.Client]; other != nil && other.ID != own.ID {
		return fmt.Errorf("registering the boot files of %q: address %v belongs to %q", own.ID, own.Client, other.ID)
	}
	for _, p := range own.Prefixes {
		if other := t.byPrefix[p]; other != nil && other.ID != own.ID {
			return fmt.Errorf("registering the boot files of %q: prefix %q belongs to %q", own.ID, p, other.ID)
		}
	}
	t.remove(own.ID)
	t.byID[own.ID] = own
	if own.Client.IsValid() {
		t.byClient[own.Client] = own
	}
	for _, p := range own.Prefixes {
		t.byPrefix[p] = own
	}
	return nil
}

// checked returns a copy of the tree that the caller cannot change any more.
func (t *Trees) checked(tree Tree) (*Tree, error) {
	if tree.ID == "" {
		return nil, errors.New("id is empty")
	}
	own := tree
	own.Client = tree.Client.Unmap()
	own.Prefixes = slices.Clone(tree.Prefixes)
	own.Files = maps.Clone(tree.Files)
	for i, p := range own.Prefixes {
		clean, err := CleanName(p)
		if err != nil || clean != p || strings.Contains(p, "/") || p == RootFile {
			return nil, fmt.Errorf("prefix %q is not one plain folder name", p)
		}
		own.Prefixes[i] = strings.ToLower(p)
	}
	if !own.Client.IsValid() && len(own.Prefixes) == 0 {
		return nil, errors.New("neither a client address nor a prefix is given")
	}
	for name, content := range own.Files {
		if clean, err := CleanName(name); err != nil || clean != name {
			return nil, fmt.Errorf("file name %q is not a clean relative path", name)
		}
		if content.Path != "" && t.root == nil {
			return nil, fmt.Errorf("file %q names a path, but no folder was given", name)
		}
		if content.Path != "" && !fs.ValidPath(content.Path) {
			return nil, fmt.Errorf("file %q: path %q must be relative, without dots", name, content.Path)
		}
	}
	return &own, nil
}

// Remove takes a machine's tree away. Removing one that is not there does
// nothing. Transfers that are under way go on.
func (t *Trees) Remove(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(id)
}

func (t *Trees) remove(id string) {
	tree := t.byID[id]
	if tree == nil {
		return
	}
	delete(t.byID, id)
	delete(t.byClient, tree.Client)
	for _, p := range tree.Prefixes {
		delete(t.byPrefix, p)
	}
}

// IDs lists the registered machines, sorted.
func (t *Trees) IDs() []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Sorted(maps.Keys(t.byID))
}

// Knows implements [Knower].
func (t *Trees) Knows(client netip.Addr) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byClient[client.Unmap()] != nil
}

// Holder is the machine that an address belongs to, "" if it is nobody's.
func (t *Trees) Holder(client netip.Addr) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if tree := t.byClient[client.Unmap()]; tree != nil {
		return tree.ID
	}
	return ""
}

// Open implements [Source].
func (t *Trees) Open(_ context.Context, client netip.Addr, name string) (*File, error) {
	tree, rest, err := t.find(client.Unmap(), name)
	if err != nil {
		return nil, err
	}
	content, ok := tree.Files[rest]
	if !ok {
		return nil, &LookupError{ID: tree.ID, Name: rest, Err: ErrNotFound}
	}
	f, err := t.open(content)
	if err != nil {
		return nil, &LookupError{ID: tree.ID, Name: rest, Err: err}
	}
	f.ID, f.Name = tree.ID, rest
	return f, nil
}

// find tells which tree a name is in, by address first and by prefix second.
// Trees are never changed once registered, so the lock is not needed after.
func (t *Trees) find(client netip.Addr, name string) (*Tree, string, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	asker := t.byClient[client]
	first, rest, ok := strings.Cut(name, "/")
	var owner *Tree
	if ok {
		owner = t.byPrefix[strings.ToLower(first)]
	}
	missing := &LookupError{Name: name, Err: ErrNotFound}
	switch {
	case owner != nil && (asker == owner || asker == nil && !owner.Client.IsValid()):
		return owner, rest, nil
	case owner != nil:
		missing.Err, missing.Owner = ErrDenied, owner.ID
	case asker != nil && name == RootFile:
		return asker, name, nil
	case asker != nil && IsSerial(first) && !slices.ContainsFunc(asker.Prefixes, IsSerial):
		return asker, rest, nil // known by its address; nobody told its serial number yet
	}
	if asker != nil {
		missing.ID = asker.ID
	}
	return nil, "", missing
}

// IsSerial tells whether a prefix is the end of a serial number, what a Pi puts
// before file names unless its EEPROM says otherwise.
func IsSerial(prefix string) bool {
	return len(prefix) == 8 && strings.Trim(strings.ToLower(prefix), "0123456789abcdef") == ""
}

func (t *Trees) open(c Content) (*File, error) {
	if c.Path == "" {
		return &File{Size: int64(len(c.Data)), Body: io.NopCloser(bytes.NewReader(c.Data))}, nil
	}
	// Without O_NONBLOCK a FIFO in the folder would hold the request for ever.
	f, err := t.root.OpenFile(c.Path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNotFound
		}
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%q is not a regular file", c.Path)
	}
	if err != nil {
		_ = f.Close() // the error at hand says more
		return nil, err
	}
	return &File{Size: info.Size(), Body: f}, nil
}
