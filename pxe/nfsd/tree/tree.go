// Package tree is the small interface between the NFS server and what holds a
// node's files. A Tree works on inodes, knows no users and checks no
// permissions: package posix does that once for all trees.
//
// Errors carry a syscall.Errno (found with errors.As); ESTALE means that an ID
// names nothing any more.
package tree

import (
	"syscall"
	"time"
)

// MaxID is the longest ID in bytes: an NFSv3 handle has 64 bytes, of which the
// server needs 25.
const MaxID = 39

// MaxName is the longest file name in bytes.
const MaxName = 255

// MaxTarget is the longest target of a symbolic link in bytes.
const MaxTarget = 4095

// ID names an inode of one tree for as long as the inode exists, over
// restarts. It is opaque bytes and never used again for another inode.
type ID string

// Type is the type of an inode; the values are ftype3 of RFC 1813.
type Type uint32

// The types of inodes.
const (
	Regular Type = iota + 1
	Directory
	Block
	Char
	Symlink
	Socket
	FIFO
)

// Permission bits above the usual nine.
const (
	SetUID uint32 = 0o4000
	SetGID uint32 = 0o2000
	Sticky uint32 = 0o1000
)

// Stamp is a point in time in nanoseconds since 1970-01-01 UTC.
type Stamp int64

// Now returns the present time.
func Now() Stamp { return Stamp(time.Now().UnixNano()) }

// Attr is what stat(2) tells about an inode.
type Attr struct {
	Type   Type
	Mode   uint32 // permission, set-id and sticky bits (07777)
	Nlink  uint32
	UID    uint32
	GID    uint32
	Size   uint64 // bytes
	Used   uint64 // bytes on disk
	Major  uint32 // of a device
	Minor  uint32
	FSID   uint64
	FileID uint64
	Atime  Stamp
	Mtime  Stamp
	Ctime  Stamp
}

// SetAttr says which attributes to change; nil leaves one as it is.
type SetAttr struct {
	Mode  *uint32
	UID   *uint32
	GID   *uint32
	Size  *uint64
	Atime *Stamp
	Mtime *Stamp
}

// New describes an inode to be made.
type New struct {
	Type   Type
	Mode   uint32
	UID    uint32
	GID    uint32
	Major  uint32
	Minor  uint32
	Target string // of a symbolic link, stored verbatim
	// Atime and Mtime are the first time stamps; nil means now. An exclusive
	// create keeps its verifier there.
	Atime *Stamp
	Mtime *Stamp
}

// Entry is one name in a directory.
type Entry struct {
	Name   string
	FileID uint64
	// Cookie is the position after this entry. It stays valid while other
	// entries come and go.
	Cookie uint64
	// ID and Attr are set when asked for; Attr.Type is 0 if the inode
	// vanished meanwhile.
	ID   ID
	Attr Attr
}

// Sync says how safe a write has to be before it returns.
type Sync int

// The levels of stable_how of RFC 1813.
const (
	Unstable Sync = iota
	DataSync
	FileSync
)

// Stat describes the space of a tree.
type Stat struct {
	TotalBytes, FreeBytes, AvailBytes uint64
	TotalFiles, FreeFiles, AvailFiles uint64
}

// Tree holds the files of one node. Methods may be called concurrently. A
// change of names or attributes that returned nil survives a crash of the
// process.
type Tree interface {
	// Root returns the ID of the topmost directory.
	Root() ID
	Attr(id ID) (Attr, error)
	SetAttr(id ID, set SetAttr) error
	// Lookup finds name in dir. It knows "." and ".."; the parent of the root
	// is the root.
	Lookup(dir ID, name string) (ID, Attr, error)
	// Create makes an inode; EEXIST if the name is taken.
	Create(dir ID, name string, n New) (ID, Attr, error)
	// Link gives id, which is no directory, one more name.
	Link(id ID, dir ID, name string) error
	// Remove takes away a name of anything but a directory.
	Remove(dir ID, name string) error
	// Rmdir removes an empty directory.
	Rmdir(dir ID, name string) error
	// Rename moves an entry and replaces what has the new name, as rename(2).
	Rename(fromDir ID, fromName string, toDir ID, toName string) error
	Readlink(id ID) (string, error)
	// ReadDir returns up to limit entries after cookie (0 = from the start),
	// "." and ".." among them, and whether the end is reached. With full, ID
	// and Attr of each are set.
	ReadDir(dir ID, cookie uint64, limit int, full bool) (entries []Entry, eof bool, err error)
	// Read fills p from offset off of a regular file.
	Read(id ID, p []byte, off uint64) (n int, eof bool, err error)
	// Write writes all of p or returns an error.
	Write(id ID, p []byte, off uint64, sync Sync) error
	// Commit makes earlier writes to the file safe.
	Commit(id ID) error
	StatFS() (Stat, error)
	// Close ends the use of the tree; everything is safe afterwards.
	Close() error
}

// CheckName returns an error if name cannot be the name of a new entry.
func CheckName(name string) error {
	switch {
	case name == "":
		return syscall.EINVAL
	case len(name) > MaxName:
		return syscall.ENAMETOOLONG
	case name == "." || name == "..":
		return syscall.EEXIST
	}
	for i := 0; i < len(name); i++ {
		if name[i] == '/' || name[i] == 0 {
			return syscall.EINVAL
		}
	}
	return nil
}
