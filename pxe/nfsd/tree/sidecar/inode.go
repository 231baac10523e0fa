package sidecar

import (
	"cmp"
	"slices"

	"caddyshack/pxe/nfsd/tree"
)

// Cookies of the two entries every directory has; others are larger.
const (
	cookieSelf   = 1
	cookieParent = 2
	firstCookie  = 16
)

// rootIno is the number of the topmost directory.
const rootIno = 1

// inode is what is kept in memory of each file; regular files, the great
// majority, need no more than this.
type inode struct {
	typ   tree.Type
	mode  uint32
	nlink uint32
	uid   uint32
	gid   uint32
	ctime tree.Stamp
	rest  *rest // nil for a regular file
}

// rest is what only other types than regular files have.
type rest struct {
	atime, mtime tree.Stamp
	major, minor uint32
	target       string
	parent       uint64 // of a directory
	dir          directory
}

type dirent struct {
	name   string // "" marks a removed entry
	ino    uint64
	cookie uint64
}

// directory keeps its entries in the order of their cookies, which is the
// order in which they were made: a reader that resumes after a cookie misses
// nothing and sees nothing twice, whatever was removed meanwhile.
type directory struct {
	list  []dirent
	index map[string]int // position in list; nil while the directory is small
	dead  int
}

// indexFrom is the number of entries from which a map is worth its memory.
const indexFrom = 24

func (d *directory) len() int { return len(d.list) - d.dead }

func (d *directory) find(name string) int {
	if d.index != nil {
		if i, ok := d.index[name]; ok {
			return i
		}
		return -1
	}
	for i := range d.list {
		if d.list[i].name == name {
			return i
		}
	}
	return -1
}

func (d *directory) get(name string) (uint64, bool) {
	if i := d.find(name); i >= 0 {
		return d.list[i].ino, true
	}
	return 0, false
}

// add appends an entry; cookie must be larger than all before it.
func (d *directory) add(name string, ino, cookie uint64) {
	d.list = append(d.list, dirent{name: name, ino: ino, cookie: cookie})
	if d.index != nil {
		d.index[name] = len(d.list) - 1
	} else if len(d.list) >= indexFrom {
		d.reindex()
	}
}

func (d *directory) del(name string) {
	i := d.find(name)
	if i < 0 {
		return
	}
	d.list[i].name = ""
	d.list[i].ino = 0
	d.dead++
	delete(d.index, name)
	if d.dead > 16 && d.dead > len(d.list)/2 {
		d.list = slices.Clip(slices.DeleteFunc(d.list, func(e dirent) bool { return e.name == "" }))
		d.dead = 0
		d.reindex()
	}
}

func (d *directory) reindex() {
	d.index = nil
	if len(d.list) < indexFrom {
		return
	}
	d.index = make(map[string]int, len(d.list))
	for i := range d.list {
		if d.list[i].name != "" {
			d.index[d.list[i].name] = i
		}
	}
}

// after returns the position of the first entry with a larger cookie.
func (d *directory) after(cookie uint64) int {
	i, _ := slices.BinarySearchFunc(d.list, cookie+1, func(e dirent, c uint64) int {
		return cmp.Compare(e.cookie, c)
	})
	return i
}
