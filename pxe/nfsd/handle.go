package nfsd

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"caddyshack/pxe/nfsd/tree"
)

// A file handle is
//
//	version (1) | tag of the export (8) | MAC (16) | ID in the tree (≤ 39)
//
// The tag is derived from the export's ID and the root of its tree, the MAC
// covers tag and ID in the tree; both use a key that only this server has and
// that survives a restart. So a handle cannot be made up, cannot be moved to
// another export or another root of the same node, and names only what the
// server itself has once reached from the export's root.
const (
	handleVersion = 1
	tagSize       = 8
	macSize       = 16
	handleHeader  = 1 + tagSize + macSize
	maxHandle     = 64
)

// tag names an export within handles.
type tag [tagSize]byte

// errBadHandle is a handle that this server did not make.
var errBadHandle = errors.New("bad file handle")

// keyFile is the name of the file in StateDir that holds the key.
const keyFile = "nfs-handle.key"

// keySize is the length of the key in bytes.
const keySize = 32

// loadKey reads the key from dir, or makes one. Without dir the key is kept
// nowhere and handles end with the process.
func loadKey(dir string) ([]byte, error) {
	key := make([]byte, keySize)
	if dir == "" {
		_, err := rand.Read(key)
		return key, err
	}
	path := filepath.Join(dir, keyFile)
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return makeKey(path)
	case err != nil:
		return nil, err
	case st.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("key file %q can be read by others (mode %04o): run chmod 600 on it, or delete it if others may have read it (mounted nodes must then be rebooted)", path, st.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(b) != keySize {
		return nil, fmt.Errorf("key file %q has %d bytes, not %d: restore it, or delete it to have a new one made (mounted nodes must then be rebooted)", path, len(b), keySize)
	}
	return b, nil
}

func makeKey(path string) ([]byte, error) {
	key := make([]byte, keySize)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), keyFile+".*") // mode 0600
	if err != nil {
		return nil, err
	}
	_, err = f.Write(key)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(f.Name()))
	}
	return key, nil
}

// signer makes and checks handles.
type signer struct {
	key []byte
	// macs holds *keyedMAC: keying one costs as much as using it.
	macs sync.Pool
}

type keyedMAC struct {
	hash.Hash
	buf [64]byte // holds what is hashed, then the sum
}

func newSigner(key []byte) *signer {
	return &signer{key: key, macs: sync.Pool{New: func() any { return &keyedMAC{Hash: hmac.New(sha256.New, key)} }}}
}

// tag returns the tag of the export of a tree. A node that gets another root
// has another tag, so that handles of its earlier root are worth nothing, even
// while that root is still on the disk.
func (s *signer) tag(id string, root tree.ID) tag {
	m := hmac.New(sha256.New, s.key)
	fmt.Fprintf(m, "export\x00%d\x00%s", len(id), id)
	m.Write([]byte(root))
	var t tag
	copy(t[:], m.Sum(nil))
	return t
}

func (s *signer) mac(t tag, id tree.ID) [macSize]byte {
	m := s.macs.Get().(*keyedMAC)
	defer s.macs.Put(m)
	m.Reset()
	b := append(m.buf[:0], "handle\x00"...)
	b = append(b, t[:]...)
	b = append(b, id...)
	m.Write(b)
	return [macSize]byte(m.Sum(m.buf[:0])[:macSize])
}

// append appends the handle of an inode to b.
func (s *signer) append(b []byte, t tag, id tree.ID) []byte {
	mac := s.mac(t, id)
	b = append(b, handleVersion)
	b = append(b, t[:]...)
	b = append(b, mac[:]...)
	return append(b, id...)
}

// parse returns what a handle names, or errBadHandle.
func (s *signer) parse(h []byte) (tag, tree.ID, error) {
	if len(h) <= handleHeader || len(h) > maxHandle || h[0] != handleVersion {
		return tag{}, "", errBadHandle
	}
	t := tag(h[1 : 1+tagSize])
	id := tree.ID(h[handleHeader:])
	mac := s.mac(t, id)
	if subtle.ConstantTimeCompare(mac[:], h[1+tagSize:handleHeader]) != 1 {
		return tag{}, "", errBadHandle
	}
	return t, id, nil
}
