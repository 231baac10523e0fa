// Package posix puts what POSIX says about users on top of a tree.Tree: who
// may do what, which bits a change clears, whose a new file is. It is the one
// place where permissions are checked, so that all trees behave alike.
//
// Root (uid 0) is not squashed: a node is master in its own tree.
package posix

import (
	"slices"
	"sync"
	"syscall"

	"caddyshack/pxe/nfsd/tree"
)

// Cred is on whose behalf a call is made, as AUTH_SYS tells it.
type Cred struct {
	UID, GID uint32
	Groups   []uint32 // supplementary
}

func (c *Cred) root() bool { return c.UID == 0 }

// In reports whether gid is one of the caller's groups.
func (c *Cred) In(gid uint32) bool { return c.GID == gid || slices.Contains(c.Groups, gid) }

// Permission bits as in one digit of a mode.
const (
	read    = 4
	write   = 2
	execute = 1
)

// granted returns which of read, write and execute the caller has.
func (c *Cred) granted(a *tree.Attr) uint32 {
	if c.root() {
		if a.Type == tree.Directory || a.Mode&0o111 != 0 {
			return read | write | execute
		}
		return read | write
	}
	switch {
	case c.UID == a.UID:
		return a.Mode >> 6 & 7
	case c.In(a.GID):
		return a.Mode >> 3 & 7
	}
	return a.Mode & 7
}

func (c *Cred) may(a *tree.Attr, want uint32) error {
	if c.granted(a)&want != want {
		return syscall.EACCES
	}
	return nil
}

// mayIO is may for the data of files. The owner always may, since a file that
// was opened before its mode changed stays usable and NFSv3 knows no open;
// what may be executed may be read.
func (c *Cred) mayIO(a *tree.Attr, want uint32) error {
	if a.UID == c.UID || want == read && c.granted(a)&execute != 0 {
		return nil
	}
	return c.may(a, want)
}

// owns reports whether the caller may do what only owners may.
func (c *Cred) owns(a *tree.Attr) bool { return c.root() || c.UID == a.UID }

// WCC is the state of an object before and after a change; nil where it is
// not known.
type WCC struct {
	Before, After *tree.Attr
}

// lockStripes is the number of locks over which inodes are spread.
const lockStripes = 128

// FS makes the calls of users on a tree.
type FS struct {
	tree.Tree
	// ReadOnly refuses all changes with EROFS.
	ReadOnly bool

	locks [lockStripes]sync.Mutex
}

// lock excludes other changes of the given inodes, which makes the attributes
// before and after a change those of that change alone.
func (f *FS) lock(ids ...tree.ID) (unlock func()) {
	var stripes [3]int
	n := 0
	for _, id := range ids {
		h := uint32(2166136261)
		for i := 0; i < len(id); i++ {
			h = (h ^ uint32(id[i])) * 16777619
		}
		s := int(h % lockStripes)
		if !slices.Contains(stripes[:n], s) {
			stripes[n] = s
			n++
		}
	}
	slices.Sort(stripes[:n])
	for _, s := range stripes[:n] {
		f.locks[s].Lock()
	}
	return func() {
		for _, s := range stripes[:n] {
			f.locks[s].Unlock()
		}
	}
}

// After returns the present attributes, or nil if they cannot be had.
func (f *FS) After(id tree.ID) *tree.Attr {
	a, err := f.Attr(id)
	if err != nil {
		return nil
	}
	return &a
}

// Bits of ACCESS of RFC 1813.
const (
	AccessRead    = 0x01
	AccessLookup  = 0x02
	AccessModify  = 0x04
	AccessExtend  = 0x08
	AccessDelete  = 0x10
	AccessExecute = 0x20
)

// Access returns which of the wanted rights the caller has.
func (f *FS) Access(c *Cred, id tree.ID, want uint32) (uint32, tree.Attr, error) {
	a, err := f.Attr(id)
	if err != nil {
		return 0, a, err
	}
	var have uint32
	granted := c.granted(&a)
	if granted&read != 0 {
		have |= AccessRead
	}
	if granted&write != 0 && !f.ReadOnly {
		have |= AccessModify | AccessExtend
		if a.Type == tree.Directory {
			have |= AccessDelete
		}
	}
	if granted&execute != 0 {
		if a.Type == tree.Directory {
			have |= AccessLookup
		} else {
			have |= AccessExecute
		}
	}
	return have & want, a, nil
}

// Found is the result of Lookup.
type Found struct {
	ID   tree.ID
	Attr tree.Attr
	// Dir is the directory just before the name was looked for, zero if it
	// cannot be had. Older is safe: a client that keeps the name sees by the
	// directory's next attributes that it changed meanwhile.
	Dir tree.Attr
}

// Lookup finds name in dir.
func (f *FS) Lookup(c *Cred, dir tree.ID, name string) (found Found, err error) {
	if found.Dir, err = f.Attr(dir); err != nil {
		return Found{}, err
	}
	if found.Dir.Type != tree.Directory {
		return found, syscall.ENOTDIR
	}
	if err := c.may(&found.Dir, execute); err != nil {
		return found, err
	}
	found.ID, found.Attr, err = f.Tree.Lookup(dir, name)
	return found, err
}

// ReadDir lists a directory; see tree.Tree.
func (f *FS) ReadDir(c *Cred, dir tree.ID, cookie uint64, limit int, full bool) ([]tree.Entry, bool, error) {
	a, err := f.Attr(dir)
	if err != nil {
		return nil, false, err
	}
	if a.Type != tree.Directory {
		return nil, false, syscall.ENOTDIR
	}
	if err := c.may(&a, read); err != nil {
		return nil, false, err
	}
	return f.Tree.ReadDir(dir, cookie, limit, full)
}

// Read reads from a regular file.
func (f *FS) Read(c *Cred, id tree.ID, p []byte, off uint64) (n int, eof bool, a tree.Attr, err error) {
	if a, err = f.Attr(id); err != nil {
		return 0, false, a, err
	}
	if err = isFile(&a); err != nil {
		return 0, false, a, err
	}
	if err = c.mayIO(&a, read); err != nil {
		return 0, false, a, err
	}
	n, eof, err = f.Tree.Read(id, p, off)
	return n, eof || off+uint64(n) >= a.Size, a, err
}

func isFile(a *tree.Attr) error {
	switch a.Type {
	case tree.Regular:
		return nil
	case tree.Directory:
		return syscall.EISDIR
	}
	return syscall.EINVAL
}

// Write writes to a regular file and, unless root does it, clears its set-id
// bits.
func (f *FS) Write(c *Cred, id tree.ID, p []byte, off uint64, sync tree.Sync) (WCC, error) {
	defer f.lock(id)()
	a, err := f.Attr(id)
	if err != nil {
		return WCC{}, err
	}
	w := WCC{Before: &a}
	err = f.write(c, id, &a, p, off, sync)
	w.After = f.After(id)
	return w, err
}

func (f *FS) write(c *Cred, id tree.ID, a *tree.Attr, p []byte, off uint64, sync tree.Sync) error {
	if f.ReadOnly {
		return syscall.EROFS
	}
	if err := isFile(a); err != nil {
		return err
	}
	if err := c.mayIO(a, write); err != nil {
		return err
	}
	if mode := clearSetID(a.Mode); mode != a.Mode && !c.root() {
		if err := f.Tree.SetAttr(id, tree.SetAttr{Mode: &mode}); err != nil {
			return err
		}
	}
	return f.Tree.Write(id, p, off, sync)
}

// clearSetID takes away what a change of contents or owner takes away: set-uid
// always, set-gid unless without group execution, where it means locking.
func clearSetID(mode uint32) uint32 {
	mode &^= tree.SetUID
	if mode&0o010 != 0 {
		mode &^= tree.SetGID
	}
	return mode
}

// Commit makes earlier writes safe.
func (f *FS) Commit(id tree.ID) (WCC, error) {
	a, err := f.Attr(id)
	if err != nil {
		return WCC{}, err
	}
	if err := isFile(&a); err != nil {
		return WCC{&a, &a}, err
	}
	err = f.Tree.Commit(id)
	return WCC{&a, f.After(id)}, err
}
