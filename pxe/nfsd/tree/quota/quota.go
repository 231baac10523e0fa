// Package quota limits how much of the disk a tree may take. What would exceed
// it fails with EDQUOT; reading, changing what is there and removing always
// works.
package quota

import (
	"sync"
	"sync/atomic"
	"syscall"

	"caddyshack/pxe/nfsd/tree"
)

// bytesPerFile is how much of the limit a file counts at least: a tree of many
// empty files takes inodes, of which a file system has about one for so many
// bytes.
const bytesPerFile = 4 << 10

// bytesPerLink is what each further name of a file counts: the longest takes
// 264 bytes of its folder, whose blocks may be half full.
const bytesPerLink = 512

// Tree is a tree with a limit. What it holds is counted once in the background
// when it is made and kept up to date since; until the count is done nothing
// is refused. Changes of a file while it is being counted may be counted twice
// or not at all, so that the limit is exact only to what was being written in
// that second.
type Tree struct {
	tree.Tree
	limit int64
	used  atomic.Int64 // bytes
	ready atomic.Bool  // the count is done
	stop  chan struct{}
	done  chan struct{}
	close sync.Once
}

// New limits a tree to that many bytes. It takes the tree over.
func New(t tree.Tree, limit uint64) *Tree {
	q := &Tree{Tree: t, limit: int64(min(limit, 1<<62)), stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(q.done)
		q.count()
	}()
	return q
}

// Counted is closed when the count of what the tree held is done.
func (q *Tree) Counted() <-chan struct{} { return q.done }

// Used returns how many bytes the tree takes, as far as is known.
func (q *Tree) Used() uint64 { return uint64(max(q.used.Load(), 0)) }

// Close implements tree.Tree.
func (q *Tree) Close() error {
	q.close.Do(func() { close(q.stop) })
	<-q.done
	return q.Tree.Close()
}

// listChunk is how many entries the count looks at at a time.
const listChunk = 512

// count adds up what the tree holds. A file that cannot be looked at, since it
// is being removed, does not count.
func (q *Tree) count() {
	seen := make(map[tree.ID]struct{}) // files with several names
	dirs := []tree.ID{q.Root()}
	var sum int64
	for len(dirs) > 0 {
		dir := dirs[len(dirs)-1]
		dirs = dirs[:len(dirs)-1]
		for cookie, eof := uint64(0), false; !eof; {
			select {
			case <-q.stop:
				return
			default:
			}
			var entries []tree.Entry
			var err error
			if entries, eof, err = q.ReadDir(dir, cookie, listChunk, true); err != nil || len(entries) == 0 {
				break
			}
			for i := range entries {
				e := &entries[i]
				cookie = e.Cookie
				if e.Name == "." || e.Name == ".." || e.Attr.Type == 0 {
					continue
				}
				if e.Attr.Type == tree.Directory {
					dirs = append(dirs, e.ID)
				} else if e.Attr.Nlink > 1 {
					if _, again := seen[e.ID]; again {
						sum += bytesPerLink
						continue
					}
					seen[e.ID] = struct{}{}
				}
				sum += weight(&e.Attr)
			}
		}
	}
	q.used.Add(sum)
	q.ready.Store(true)
}

// weight is what an inode counts. What a folder takes for its names is in what
// they count.
func weight(a *tree.Attr) int64 {
	if a.Type == tree.Directory {
		return bytesPerFile
	}
	return max(int64(min(a.Used, 1<<62)), bytesPerFile)
}

// reserve counts n bytes before they are taken, so that changes at the same
// time do not exceed the limit together, or returns EDQUOT.
func (q *Tree) reserve(n int64) error {
	if used := q.used.Add(n); n > 0 && used > q.limit && q.ready.Load() {
		q.used.Add(-n)
		return syscall.EDQUOT
	}
	return nil
}

// around makes a change of an inode that takes up to n bytes, and counts what
// it takes or gives back. Changes of one inode do not run at the same time (see
// posix.FS).
func (q *Tree) around(id tree.ID, before *tree.Attr, n int64, change func() error) error {
	if err := q.reserve(n); err != nil {
		return err
	}
	err := change()
	// Also after an error: a part may have been done.
	if after, aerr := q.Attr(id); aerr == nil {
		q.used.Add(weight(&after) - weight(before))
	}
	q.used.Add(-n)
	return err
}

// Write implements tree.Tree.
func (q *Tree) Write(id tree.ID, p []byte, off uint64, sync tree.Sync) error {
	before, err := q.Attr(id)
	if err != nil {
		return err
	}
	return q.around(id, &before, growth(&before, off, len(p)), func() error { return q.Tree.Write(id, p, off, sync) })
}

// growth is the most that a write makes a file take: what is beyond its end,
// and all of it if the file has holes.
func growth(a *tree.Attr, off uint64, n int) int64 {
	if a.Used < a.Size {
		return int64(n)
	}
	if end := off + uint64(n); end > a.Size {
		return int64(min(end-a.Size, uint64(n)))
	}
	return 0
}

// SetAttr implements tree.Tree. A larger size makes a hole, which takes nothing.
func (q *Tree) SetAttr(id tree.ID, set tree.SetAttr) error {
	if set.Size == nil {
		return q.Tree.SetAttr(id, set)
	}
	before, err := q.Attr(id)
	if err != nil {
		return err
	}
	return q.around(id, &before, 0, func() error { return q.Tree.SetAttr(id, set) })
}

// Create implements tree.Tree.
func (q *Tree) Create(dir tree.ID, name string, n tree.New) (tree.ID, tree.Attr, error) {
	if err := q.reserve(bytesPerFile); err != nil {
		return "", tree.Attr{}, q.orTaken(dir, name, err)
	}
	id, a, err := q.Tree.Create(dir, name, n)
	if err == nil {
		q.used.Add(weight(&a))
	}
	q.used.Add(-bytesPerFile)
	return id, a, err
}

// orTaken is EEXIST in place of err if there is an entry of that name.
func (q *Tree) orTaken(dir tree.ID, name string, err error) error {
	if _, _, there := q.Lookup(dir, name); there == nil {
		return syscall.EEXIST
	}
	return err
}

// Link implements tree.Tree.
func (q *Tree) Link(id, dir tree.ID, name string) error {
	if err := q.reserve(bytesPerLink); err != nil {
		return q.orTaken(dir, name, err)
	}
	err := q.Tree.Link(id, dir, name)
	if err != nil {
		q.used.Add(-bytesPerLink)
	}
	return err
}

// gone counts what goes with a name of an inode, which may be its last.
func (q *Tree) gone(a *tree.Attr) {
	if a.Type == tree.Directory || a.Nlink <= 1 {
		q.used.Add(-weight(a))
	} else {
		q.used.Add(-bytesPerLink)
	}
}

// remove does a removal and counts it.
func (q *Tree) remove(dir tree.ID, name string, do func(tree.ID, string) error) error {
	_, a, lookErr := q.Lookup(dir, name)
	if err := do(dir, name); err != nil {
		return err
	}
	if lookErr == nil {
		q.gone(&a)
	}
	return nil
}

// Remove implements tree.Tree.
func (q *Tree) Remove(dir tree.ID, name string) error { return q.remove(dir, name, q.Tree.Remove) }

// Rmdir implements tree.Tree.
func (q *Tree) Rmdir(dir tree.ID, name string) error { return q.remove(dir, name, q.Tree.Rmdir) }

// Rename implements tree.Tree.
func (q *Tree) Rename(fromDir tree.ID, fromName string, toDir tree.ID, toName string) error {
	from, _, fromErr := q.Lookup(fromDir, fromName)
	to, a, toErr := q.Lookup(toDir, toName)
	if err := q.Tree.Rename(fromDir, fromName, toDir, toName); err != nil {
		return err
	}
	if fromErr == nil && toErr == nil && from != to {
		q.gone(&a)
	}
	return nil
}

// StatFS implements tree.Tree: the space is the limit, unless the disk has less.
func (q *Tree) StatFS() (tree.Stat, error) {
	st, err := q.Tree.StatFS()
	if err != nil || !q.ready.Load() {
		return st, err
	}
	limit, left := uint64(q.limit), uint64(max(q.limit-q.used.Load(), 0))
	st.TotalBytes = min(st.TotalBytes, limit)
	st.FreeBytes, st.AvailBytes = min(st.FreeBytes, left), min(st.AvailBytes, left)
	st.TotalFiles = min(st.TotalFiles, limit/bytesPerFile)
	st.FreeFiles, st.AvailFiles = min(st.FreeFiles, left/bytesPerFile), min(st.AvailFiles, left/bytesPerFile)
	return st, nil
}

var _ tree.Tree = (*Tree)(nil)
