package posix

import (
	"syscall"

	"caddyshack/pxe/nfsd/tree"
)

// Set is a SETATTR call.
type Set struct {
	tree.SetAttr
	// AtimeNow and MtimeNow set a time stamp to the server's time, which more
	// callers may do than setting one they choose.
	AtimeNow, MtimeNow bool
	// Guard, if set, is the ctime that the object must still have.
	Guard *tree.Stamp
}

// ErrNotSync means that the guard of a SETATTR did not match.
const ErrNotSync = syscall.ESTRPIPE

// SetAttr changes attributes.
func (f *FS) SetAttr(c *Cred, id tree.ID, set Set) (WCC, error) {
	defer f.lock(id)()
	a, err := f.Attr(id)
	if err != nil {
		return WCC{}, err
	}
	w := WCC{Before: &a}
	err = f.setAttr(c, id, &a, set)
	w.After = f.After(id)
	return w, err
}

func (f *FS) setAttr(c *Cred, id tree.ID, a *tree.Attr, set Set) error {
	if f.ReadOnly {
		return syscall.EROFS
	}
	if set.Guard != nil && *set.Guard != a.Ctime {
		return ErrNotSync
	}
	want := set.SetAttr
	if want.Size != nil {
		if err := isFile(a); err != nil {
			return err
		}
		if err := c.mayIO(a, write); err != nil {
			return err
		}
	}
	if err := times(c, a, &set, &want); err != nil {
		return err
	}
	if err := owners(c, a, &want); err != nil {
		return err
	}
	if err := mode(c, a, &want); err != nil {
		return err
	}
	return f.Tree.SetAttr(id, want)
}

// times follows utimensat(2): owners set any time, others who may write only
// the present one.
func times(c *Cred, a *tree.Attr, set *Set, want *tree.SetAttr) error {
	if (want.Atime != nil || want.Mtime != nil) && !c.owns(a) {
		return syscall.EPERM
	}
	if !set.AtimeNow && !set.MtimeNow {
		return nil
	}
	if !c.owns(a) {
		if err := c.may(a, write); err != nil {
			return err
		}
	}
	now := tree.Now()
	if set.AtimeNow {
		want.Atime = &now
	}
	if set.MtimeNow {
		want.Mtime = &now
	}
	return nil
}

// owners follows chown(2): only root gives files away, an owner may choose
// among the groups it is in.
func owners(c *Cred, a *tree.Attr, want *tree.SetAttr) error {
	if c.root() {
		return nil
	}
	if want.UID != nil && (*want.UID != a.UID || c.UID != a.UID) {
		return syscall.EPERM
	}
	if want.GID != nil && (c.UID != a.UID || *want.GID != a.GID && !c.In(*want.GID)) {
		return syscall.EPERM
	}
	return nil
}

// mode follows chmod(2) and adds what other changes do to the set-id bits.
func mode(c *Cred, a *tree.Attr, want *tree.SetAttr) error {
	m := a.Mode
	if want.Mode != nil {
		if !c.owns(a) {
			return syscall.EPERM
		}
		m = *want.Mode & 0o7777
		gid := a.GID
		if want.GID != nil {
			gid = *want.GID
		}
		if !c.root() && !c.In(gid) {
			m &^= tree.SetGID
		}
	}
	chown := (want.UID != nil || want.GID != nil) && a.Type != tree.Directory
	if chown || want.Size != nil && !c.root() {
		m = clearSetID(m)
	}
	if want.Mode != nil || m != a.Mode {
		want.Mode = &m
	}
	return nil
}
