package sidecar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"caddyshack/pxe/nfsd/tree"
)

// snapshotMagic begins a checkpoint; the last digit is the version of what
// follows.
const snapshotMagic = "caddyshack-tree-meta-1\n"

// encode writes all of s, ending with a CRC-32C of everything before it.
func (s *state) encode() []byte {
	b := make([]byte, 0, len(s.inodes)*64)
	b = append(b, snapshotMagic...)
	b = appendUints(b, s.nextIno, s.cookie, uint64(len(s.inodes)))
	for ino, n := range s.inodes {
		b = appendUints(b, ino, uint64(n.typ), uint64(n.mode), uint64(n.nlink), uint64(n.uid), uint64(n.gid))
		b = binary.AppendVarint(b, int64(n.ctime))
		if n.typ == tree.Regular {
			continue
		}
		r := n.rest
		b = binary.AppendVarint(b, int64(r.atime))
		b = binary.AppendVarint(b, int64(r.mtime))
		switch n.typ {
		case tree.Block, tree.Char:
			b = appendUints(b, uint64(r.major), uint64(r.minor))
		case tree.Symlink:
			b = appendString(b, r.target)
		case tree.Directory:
			b = appendUints(b, r.parent, uint64(r.dir.len()))
			for _, e := range r.dir.list {
				if e.name == "" {
					continue
				}
				b = appendString(b, e.name)
				b = appendUints(b, e.ino, e.cookie)
			}
		}
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}

// decodeState reads what encode wrote.
func decodeState(b []byte) (*state, error) {
	if len(b) < len(snapshotMagic)+4 || string(b[:len(snapshotMagic)]) != snapshotMagic {
		return nil, errors.New("not a checkpoint of this version")
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli()) != sum {
		return nil, errors.New("checksum does not match")
	}
	d := decoder{b: body[len(snapshotMagic):]}
	s := &state{nextIno: d.uint(), cookie: d.uint()}
	count := d.uint()
	if count > uint64(len(b)) {
		return nil, errCut
	}
	s.inodes = make(map[uint64]*inode, count)
	for ; count > 0 && d.err == nil; count-- {
		ino, n := d.inode()
		s.inodes[ino] = n
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return s, s.check()
}

func (d *decoder) inode() (uint64, *inode) {
	ino := d.uint()
	n := &inode{typ: tree.Type(d.uint32()), mode: d.uint32(), nlink: d.uint32(), uid: d.uint32(), gid: d.uint32(), ctime: d.stamp()}
	if n.typ == tree.Regular {
		return ino, n
	}
	r := &rest{atime: d.stamp(), mtime: d.stamp()}
	n.rest = r
	switch n.typ {
	case tree.Block, tree.Char:
		r.major, r.minor = d.uint32(), d.uint32()
	case tree.Symlink:
		r.target = d.string()
	case tree.Directory:
		r.parent = d.uint()
		count := d.uint()
		if count > uint64(len(d.b)) {
			d.fail()
			return ino, n
		}
		r.dir.list = make([]dirent, 0, count)
		for ; count > 0 && d.err == nil; count-- {
			r.dir.list = append(r.dir.list, dirent{name: d.string(), ino: d.uint(), cookie: d.uint()})
		}
		r.dir.reindex()
	case tree.Socket, tree.FIFO:
	default:
		d.fail()
	}
	return ino, n
}

// check verifies that every entry has its inode, so that the rest of the
// package need not.
func (s *state) check() error {
	root := s.inodes[rootIno]
	if root == nil || root.typ != tree.Directory {
		return errors.New("no root directory")
	}
	for ino, n := range s.inodes {
		if n.typ != tree.Directory {
			continue
		}
		for _, e := range n.rest.dir.list {
			if s.inodes[e.ino] == nil {
				return fmt.Errorf("entry %q of directory %d names inode %d, which does not exist", e.name, ino, e.ino)
			}
		}
	}
	return nil
}

// writeFileSync writes a file so that after a crash either all of it or
// nothing is there under its name.
func writeFileSync(path string, b []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
