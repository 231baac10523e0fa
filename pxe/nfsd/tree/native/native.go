// Package native is a tree.Tree on plain files of the host, with their real
// owners, set-id bits and devices. It needs the rights to change owners, to
// make devices and to open files by handle (CAP_CHOWN, CAP_DAC_OVERRIDE,
// CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_MKNOD); Works tells whether
// they are there.
//
// On disk a tree is a folder that only its owner can enter, lest users of the
// host find set-id programs in it:
//
//	format   names the format
//	root/    the files
//
// An ID is what name_to_handle_at(2) returns, so it survives restarts and
// renames, and opening it finds the inode or ESTALE. Symbolic links are never
// followed, and every name given to the kernel is a single element.
package native

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"caddyshack/pxe/nfsd/tree"
)

const (
	formatFile = "format"
	formatText = "caddyshack native tree 1\n"
	rootFolder = "root"
)

// Options are the settings of a tree; the zero value is right for a server.
type Options struct {
	// NoSync leaves it to the kernel when a change of names or attributes
	// reaches the disk. It then survives a crash of the process but not a
	// power cut.
	NoSync bool
	// OpenFiles is how many inodes are kept open; 0 means 256.
	OpenFiles int
}

// Tree is a tree.Tree on files of the host.
type Tree struct {
	dir     string
	noSync  bool
	root    *os.File
	rootID  tree.ID
	rootIno uint64
	dev     uint64
	fsid    uint64
	files   cache
}

var _ tree.Tree = (*Tree)(nil)

// Is reports whether dir holds a finished native tree.
func Is(dir string) bool {
	b, err := os.ReadFile(filepath.Join(dir, formatFile))
	return err == nil && string(b) == formatText
}

// Files returns the folder with the files of the tree in dir.
func Files(dir string) string { return filepath.Join(dir, rootFolder) }

// Create begins a new tree in dir, which must be empty or not exist. It has a
// root directory (0755, owner 0:0) and counts only once Seal was called.
func Create(dir string, opts Options) (*Tree, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("creating a tree: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating a tree: %w", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		if err == nil {
			err = syscall.ENOTEMPTY
		}
		return nil, fmt.Errorf("creating a tree in %q: %w", dir, err)
	}
	root := filepath.Join(dir, rootFolder)
	if err := os.Mkdir(root, 0o755); err != nil {
		return nil, fmt.Errorf("creating a tree: %w", err)
	}
	if err := errors.Join(os.Chmod(root, 0o755), os.Chown(root, 0, 0)); err != nil {
		return nil, fmt.Errorf("creating a tree: %w", err)
	}
	opts.NoSync = true // Seal syncs everything at once
	return open(dir, opts)
}

// Seal makes a tree begun with Create permanent: everything in it is on stable
// storage when Seal returns.
func (t *Tree) Seal() error {
	if err := unix.Syncfs(int(t.root.Fd())); err != nil {
		return fmt.Errorf("sealing the tree in %q: %w", t.dir, err)
	}
	f, err := os.OpenFile(filepath.Join(t.dir, formatFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("sealing the tree in %q: %w", t.dir, err)
	}
	_, err = f.WriteString(formatText)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sealing the tree in %q: %w", t.dir, err)
	}
	return nil
}

// Open opens a sealed tree.
func Open(dir string, opts Options) (*Tree, error) {
	b, err := os.ReadFile(filepath.Join(dir, formatFile))
	if err != nil {
		return nil, fmt.Errorf("opening a tree: %w", err)
	}
	if string(b) != formatText {
		return nil, fmt.Errorf("opening the tree in %q: it has the format %q, which this version does not know", dir, strings.TrimSpace(string(b)))
	}
	return open(dir, opts)
}

func open(dir string, opts Options) (*Tree, error) {
	root, err := os.Open(filepath.Join(dir, rootFolder))
	if err != nil {
		return nil, fmt.Errorf("opening a tree: %w", err)
	}
	t := &Tree{dir: dir, noSync: opts.NoSync, root: root}
	t.files.init(t, opts.OpenFiles)
	if err := t.identify(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the tree in %q: %w", dir, err), root.Close())
	}
	return t, nil
}

func (t *Tree) identify() error {
	var st unix.Stat_t
	if err := unix.Fstat(int(t.root.Fd()), &st); err != nil {
		return err
	}
	var sf unix.Statfs_t
	if err := unix.Fstatfs(int(t.root.Fd()), &sf); err != nil {
		return err
	}
	t.dev, t.rootIno = st.Dev, st.Ino
	t.fsid = uint64(uint32(sf.Fsid.Val[0]))<<32 | uint64(uint32(sf.Fsid.Val[1]))
	id, err := idOf(int(t.root.Fd()), "")
	if err != nil {
		return fmt.Errorf("its file system gives no file handles: %w", err)
	}
	t.rootID = id
	f, err := t.files.get(id)
	if err != nil {
		return fmt.Errorf("opening its root by handle: %w", err)
	}
	t.files.put(f)
	return nil
}

// Works tells whether a tree can be kept below dir: nil, or what is missing.
func Works(dir string) error {
	probe, err := os.MkdirTemp(dir, ".native-probe-*")
	if err != nil {
		return err
	}
	return errors.Join(try(probe), os.RemoveAll(probe))
}

func try(probe string) error {
	t, err := Create(probe, Options{})
	if err != nil {
		return err
	}
	id, _, err := t.Create(t.Root(), "null", tree.New{Type: tree.Char, Mode: 0o666, UID: 12345, GID: 12345, Major: 1, Minor: 3})
	if err == nil {
		mode := tree.SetUID | 0o755
		err = t.SetAttr(id, tree.SetAttr{Mode: &mode})
	}
	return errors.Join(err, t.Close())
}

// idOf returns the ID of an entry, or of the open file dirfd if name is "".
func idOf(dirfd int, name string) (tree.ID, error) {
	flags := 0
	if name == "" {
		flags = unix.AT_EMPTY_PATH
	}
	h, _, err := unix.NameToHandleAt(dirfd, name, flags)
	if err != nil {
		return "", err
	}
	b := h.Bytes()
	if len(b)+2 > tree.MaxID {
		return "", fmt.Errorf("file handles of this file system have %d bytes, at most %d fit", len(b), tree.MaxID-2)
	}
	id := binary.BigEndian.AppendUint16(make([]byte, 0, tree.MaxID), uint16(h.Type()))
	return tree.ID(append(id, b...)), nil
}

// fileidInode32 is the type of handles of a 32-bit inode number and a
// generation, in the byte order of the host (FILEID_INO32_GEN of Linux, which
// ext4 and XFS use).
const fileidInode32 = 1

// numberIn returns the number of the inode, if its ID tells it, or 0, which is
// no inode's.
func numberIn(id tree.ID) uint32 {
	if len(id) != 2+8 || binary.BigEndian.Uint16([]byte(id[:2])) != fileidInode32 {
		return 0
	}
	return binary.NativeEndian.Uint32([]byte(id[2:6]))
}

// reuseTries is how often an inode that is just being made is waited for.
const reuseTries = 5

// open opens an inode. While the number of a removed inode is being used for a
// new one, ext4 answers ENOMEM; a moment later it knows that the ID is stale.
func (t *Tree) open(id tree.ID, flags int) (int, error) {
	if len(id) < 3 {
		return -1, syscall.ESTALE
	}
	h := unix.NewFileHandle(int32(binary.BigEndian.Uint16([]byte(id[:2]))), []byte(id[2:]))
	for try := 1; ; try++ {
		fd, err := unix.OpenByHandleAt(int(t.root.Fd()), h, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOMEM) && try < reuseTries:
			time.Sleep(time.Duration(try) * time.Millisecond)
			continue
		case errors.Is(err, unix.EINVAL):
			err = syscall.ESTALE // not a handle of this file system
		}
		return fd, err
	}
}

// Close implements tree.Tree.
func (t *Tree) Close() error {
	t.files.close()
	return t.root.Close()
}
