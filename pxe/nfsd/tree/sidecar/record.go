package sidecar

import (
	"encoding/binary"
	"errors"
	"fmt"

	"caddyshack/pxe/nfsd/tree"
)

// The kinds of journal records.
const (
	opMake   = 1 // a new inode and its first name
	opLink   = 2 // one more name
	opUnlink = 3 // one name less; the inode goes with its last name
	opRename = 4
	opSet    = 5 // mode, owner, times
)

// Bits of record.mask.
const (
	setMode = 1 << iota
	setUID
	setGID
	setAtime
	setMtime
)

// record is one atomic change. Applying it needs nothing but the state before
// it, so that replaying a journal gives what the calls gave.
type record struct {
	op           byte
	now          tree.Stamp
	ino          uint64
	dir, toDir   uint64
	name, toName string
	cookie       uint64
	typ          tree.Type
	mask         uint32
	mode         uint32
	uid, gid     uint32
	major, minor uint32
	atime, mtime tree.Stamp
	target       string
}

// append writes the record without frame and checksum.
func (r *record) append(b []byte) []byte {
	b = append(b, r.op)
	b = binary.AppendVarint(b, int64(r.now))
	switch r.op {
	case opMake:
		b = appendUints(b, r.ino, r.dir, r.cookie)
		b = appendString(b, r.name)
		b = appendUints(b, uint64(r.typ), uint64(r.mode), uint64(r.uid), uint64(r.gid), uint64(r.major), uint64(r.minor))
		b = binary.AppendVarint(b, int64(r.atime))
		b = binary.AppendVarint(b, int64(r.mtime))
		b = appendString(b, r.target)
	case opLink:
		b = appendUints(b, r.ino, r.dir, r.cookie)
		b = appendString(b, r.name)
	case opUnlink:
		b = appendUints(b, r.dir)
		b = appendString(b, r.name)
	case opRename:
		b = appendUints(b, r.dir, r.toDir, r.cookie)
		b = appendString(b, r.name)
		b = appendString(b, r.toName)
	case opSet:
		b = appendUints(b, r.ino, uint64(r.mask), uint64(r.mode), uint64(r.uid), uint64(r.gid))
		b = binary.AppendVarint(b, int64(r.atime))
		b = binary.AppendVarint(b, int64(r.mtime))
	}
	return b
}

// parseRecord reads what append wrote.
func parseRecord(b []byte) (record, error) {
	d := decoder{b: b}
	r := record{op: d.byte(), now: d.stamp()}
	switch r.op {
	case opMake:
		r.ino, r.dir, r.cookie, r.name = d.uint(), d.uint(), d.uint(), d.string()
		r.typ, r.mode = tree.Type(d.uint32()), d.uint32()
		r.uid, r.gid, r.major, r.minor = d.uint32(), d.uint32(), d.uint32(), d.uint32()
		r.atime, r.mtime, r.target = d.stamp(), d.stamp(), d.string()
	case opLink:
		r.ino, r.dir, r.cookie, r.name = d.uint(), d.uint(), d.uint(), d.string()
	case opUnlink:
		r.dir, r.name = d.uint(), d.string()
	case opRename:
		r.dir, r.toDir, r.cookie, r.name, r.toName = d.uint(), d.uint(), d.uint(), d.string(), d.string()
	case opSet:
		r.ino, r.mask, r.mode, r.uid, r.gid = d.uint(), d.uint32(), d.uint32(), d.uint32(), d.uint32()
		r.atime, r.mtime = d.stamp(), d.stamp()
	default:
		return r, fmt.Errorf("unknown kind of record %d", r.op)
	}
	return r, d.end()
}

func appendUints(b []byte, vs ...uint64) []byte {
	for _, v := range vs {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// decoder reads varints; the first error sticks.
type decoder struct {
	b   []byte
	err error
}

var errCut = errors.New("record ends early")

func (d *decoder) fail() {
	d.b = nil
	if d.err == nil {
		d.err = errCut
	}
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint32() uint32 {
	v := d.uint()
	if v > 0xffffffff {
		d.fail()
	}
	return uint32(v)
}

func (d *decoder) stamp() tree.Stamp {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return tree.Stamp(v)
}

func (d *decoder) string() string {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		return fmt.Errorf("%d bytes too many", len(d.b))
	}
	return d.err
}
