package posix

import (
	"errors"
	"syscall"

	"caddyshack/pxe/nfsd/tree"
)

// changeDir checks that dir is a directory in which the caller may make and
// remove names.
func (f *FS) changeDir(c *Cred, a *tree.Attr) error {
	if f.ReadOnly {
		return syscall.EROFS
	}
	if a.Type != tree.Directory {
		return syscall.ENOTDIR
	}
	return c.may(a, write|execute)
}

// Made is the result of Create: an inode and what became of its directory.
type Made struct {
	ID   tree.ID
	Attr tree.Attr
	Dir  WCC
	// Existed tells that the name was taken by the returned inode.
	Existed bool
}

// Create makes an inode that belongs to the caller. If the name is taken the
// error is EEXIST and the result tells by what.
func (f *FS) Create(c *Cred, dir tree.ID, name string, n tree.New) (Made, error) {
	defer f.lock(dir)()
	a, err := f.Attr(dir)
	if err != nil {
		return Made{}, err
	}
	m := Made{Dir: WCC{Before: &a}}
	err = f.create(c, dir, &a, name, n, &m)
	m.Dir.After = f.After(dir)
	return m, err
}

func (f *FS) create(c *Cred, dir tree.ID, a *tree.Attr, name string, n tree.New, m *Made) error {
	if a.Type != tree.Directory {
		return syscall.ENOTDIR
	}
	if err := tree.CheckName(name); err != nil {
		return err
	}
	if err := c.may(a, execute); err != nil {
		return err
	}
	mayMake := f.changeDir(c, a)
	if mayMake == nil && (n.Type == tree.Block || n.Type == tree.Char) && !c.root() {
		mayMake = syscall.EPERM
	}
	if mayMake != nil {
		// What is there is told even to those who may make nothing.
		if err := f.taken(dir, name, m); err != nil {
			return err
		}
		return mayMake
	}
	n.UID, n.GID = c.UID, c.GID
	n.Mode &= 0o7777
	if a.Mode&tree.SetGID != 0 {
		n.GID = a.GID
		if n.Type == tree.Directory {
			n.Mode |= tree.SetGID
		}
	}
	if n.Type != tree.Directory && n.Mode&(tree.SetGID|0o010) == tree.SetGID|0o010 && !c.root() && !c.In(n.GID) {
		n.Mode &^= tree.SetGID
	}
	id, attr, err := f.Tree.Create(dir, name, n)
	if errors.Is(err, syscall.EEXIST) {
		if err := f.taken(dir, name, m); err != nil {
			return err
		}
		return err // removed a moment ago
	}
	m.ID, m.Attr = id, attr
	return err
}

// taken returns EEXIST, and what has the name, if there is something.
func (f *FS) taken(dir tree.ID, name string, m *Made) error {
	id, attr, err := f.Tree.Lookup(dir, name)
	switch {
	case err == nil:
		m.ID, m.Attr, m.Existed = id, attr, true
		return syscall.EEXIST
	case errors.Is(err, syscall.ENOENT):
		return nil
	}
	return err
}

// Link gives an inode one more name; file is the inode afterwards.
func (f *FS) Link(c *Cred, id, dir tree.ID, name string) (file *tree.Attr, w WCC, err error) {
	defer f.lock(id, dir)()
	a, err := f.Attr(dir)
	if err != nil {
		return nil, w, err
	}
	w.Before = &a
	err = func() error {
		if err := f.changeDir(c, &a); err != nil {
			return err
		}
		return f.Tree.Link(id, dir, name)
	}()
	w.After = f.After(dir)
	return f.After(id), w, err
}

// Remove removes a name; with rmdir it must be that of a directory, else it
// must not.
func (f *FS) Remove(c *Cred, dir tree.ID, name string, rmdir bool) (WCC, error) {
	defer f.lock(dir)()
	a, err := f.Attr(dir)
	if err != nil {
		return WCC{}, err
	}
	w := WCC{Before: &a}
	err = f.remove(c, dir, &a, name, rmdir)
	w.After = f.After(dir)
	return w, err
}

func (f *FS) remove(c *Cred, dir tree.ID, a *tree.Attr, name string, rmdir bool) error {
	switch name {
	case "", ".":
		return syscall.EINVAL
	case "..":
		return syscall.ENOTEMPTY
	}
	if err := f.changeDir(c, a); err != nil {
		return err
	}
	_, victim, err := f.Tree.Lookup(dir, name)
	if err != nil {
		return err
	}
	if err := sticky(c, a, &victim); err != nil {
		return err
	}
	if rmdir {
		return f.Rmdir(dir, name)
	}
	return f.Tree.Remove(dir, name)
}

// sticky refuses to touch others' files in a sticky directory.
func sticky(c *Cred, dir, victim *tree.Attr) error {
	if dir.Mode&tree.Sticky != 0 && !c.owns(dir) && !c.owns(victim) {
		return syscall.EPERM
	}
	return nil
}

// Rename moves an entry.
func (f *FS) Rename(c *Cred, fromDir tree.ID, fromName string, toDir tree.ID, toName string) (from, to WCC, err error) {
	defer f.lock(fromDir, toDir)()
	a, err := f.Attr(fromDir)
	if err != nil {
		return from, to, err
	}
	from.Before = &a
	b, err := f.Attr(toDir)
	if err != nil {
		return from, to, err
	}
	to.Before = &b
	err = f.rename(c, fromDir, &a, fromName, toDir, &b, toName)
	from.After, to.After = f.After(fromDir), f.After(toDir)
	return from, to, err
}

func (f *FS) rename(c *Cred, fromDir tree.ID, a *tree.Attr, fromName string, toDir tree.ID, b *tree.Attr, toName string) error {
	for _, name := range []string{fromName, toName} {
		if name == "" || name == "." || name == ".." {
			return syscall.EINVAL
		}
	}
	if err := f.changeDir(c, a); err != nil {
		return err
	}
	if err := f.changeDir(c, b); err != nil {
		return err
	}
	_, moved, err := f.Tree.Lookup(fromDir, fromName)
	if err != nil {
		return err
	}
	if err := sticky(c, a, &moved); err != nil {
		return err
	}
	if _, old, err := f.Tree.Lookup(toDir, toName); err == nil {
		if err := sticky(c, b, &old); err != nil {
			return err
		}
	}
	// A directory that changes its parent is written to: its ".." changes.
	if moved.Type == tree.Directory && fromDir != toDir {
		if err := c.may(&moved, write); err != nil {
			return err
		}
	}
	return f.Tree.Rename(fromDir, fromName, toDir, toName)
}
