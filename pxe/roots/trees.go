package roots

import (
	"archive/tar"
	"io"
	"io/fs"
)

// Trees makes and opens file trees. There is one kind for a privileged process,
// with real owners and devices, and one that keeps them beside the files.
type Trees interface {
	// Create makes an empty tree in dir, which does not exist yet.
	Create(dir string) (Tree, error)
	// Open opens the tree that Create made in dir. It may be served to its
	// node at the same time.
	Open(dir string) (Tree, error)
}

// Tree is the content of a root. Names are clean, relative and separated by
// slashes; "." is the root. No method follows a symbolic link: a name that
// leads through one does not exist (fs.ErrNotExist) or fails.
type Tree interface {
	// Add makes the entry that h describes, with its parents if they are
	// missing; what has the name already is replaced, an existing folder
	// gets the new attributes.
	Add(h *tar.Header, r io.Reader) error
	// Stat describes an entry: type, permission bits, size and time.
	Stat(name string) (fs.FileInfo, error)
	// ReadDir lists a folder.
	ReadDir(name string) ([]fs.FileInfo, error)
	// Open reads a regular file.
	Open(name string) (io.ReadCloser, error)
	// WriteFile replaces name, whatever it was, by a regular file of root's.
	WriteFile(name string, data []byte, mode fs.FileMode) error
	// Remove takes away anything but a folder.
	Remove(name string) error
	// Sync makes everything safe against a power cut.
	Sync() error
	Close() error
}
