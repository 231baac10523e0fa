package roots

import (
	"archive/tar"
	"io"
	"io/fs"
)

// Trees makes and opens the file trees that roots are kept in. See NFS for the
// one that is served.
type Trees interface {
	// CreateTree begins a tree in dir, which does not exist yet.
	CreateTree(dir string) (Importer, error)
	// OpenTree opens a finished tree. It may be in service at the same time.
	OpenTree(dir string) (Tree, error)
}

// Importer fills a new tree; *rootfs.Importer is one.
type Importer interface {
	// Add makes the entry that h describes, with its parents if they are
	// missing, and replaces what had the name.
	Add(h *tar.Header, r io.Reader) error
	// Close finishes the tree; it is on stable storage then.
	Close() error
	// Abort throws the tree away, unless it is finished.
	Abort() error
}

// Tree is the content of a root. Names are clean, relative and separated by
// slashes; "." is the root. No method follows a symbolic link: a name that
// leads through one does not exist (fs.ErrNotExist). Changes are on stable
// storage when a method returns.
type Tree interface {
	// Stat describes an entry: type, permission bits, size and time.
	Stat(name string) (fs.FileInfo, error)
	// ReadDir lists a folder.
	ReadDir(name string) ([]fs.FileInfo, error)
	// Open reads a regular file.
	Open(name string) (io.ReadCloser, error)
	// WriteFile replaces name, whatever it was, by a regular file. Folders that
	// are missing on the way are made, as root's.
	WriteFile(name string, data []byte, mode fs.FileMode, owner Owner) error
	// Mkdir makes a folder, unless it is there.
	Mkdir(name string, mode fs.FileMode, owner Owner) error
	// Symlink replaces name, if it is not a folder, by a symbolic link.
	Symlink(name, target string) error
	// Remove takes away anything but a folder.
	Remove(name string) error
	Close() error
}

// Owner is whom a file belongs to; the zero value is root.
type Owner struct{ UID, GID uint32 }
