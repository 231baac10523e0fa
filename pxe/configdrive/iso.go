package configdrive

import (
	"encoding/binary"
	"strings"
)

// The reader of ISO 9660 (ECMA-119) with the names of Rock Ridge is our own:
// the readers that exist as libraries follow an image's pointers wherever they
// lead, round in circles too, and a drive comes from a stranger.

// Limits of what is looked at.
const (
	isoSector     = 2048
	isoEntries    = 4096
	isoDepth      = 8
	isoContinued  = 4         // continuation areas of one entry
	isoFolderSize = 256 << 10 // bytes
)

// isISO tells whether b holds a volume descriptor where ISO 9660 has its first.
func isISO(b []byte) bool {
	const first = 16 * isoSector
	return len(b) >= first+isoSector && string(b[first+1:first+6]) == "CD001"
}

// isoImage is an image that is being read.
type isoImage struct {
	data    []byte
	files   map[string][]byte
	entries int
}

// readISO returns the regular files of an image by path. The contents are parts
// of data, not copies.
func readISO(data []byte) (map[string][]byte, error) {
	const primary, terminator = 1, 255
	for at := 16 * isoSector; at+isoSector <= len(data); at += isoSector {
		d := data[at : at+isoSector]
		if string(d[1:6]) != "CD001" || d[0] == terminator {
			break
		}
		if d[0] != primary {
			continue
		}
		if size := binary.LittleEndian.Uint16(d[128:]); size != isoSector {
			return nil, invalid("its image has blocks of %d bytes instead of %d", size, isoSector)
		}
		im := &isoImage{data: data, files: map[string][]byte{}}
		root, ok := parseRecord(d[156:190])
		if !ok {
			break
		}
		return im.files, im.folder(root, "", 0)
	}
	return nil, invalid("its ISO 9660 image has no primary volume descriptor")
}

// isoRecord is a directory record (ECMA-119, 9.1).
type isoRecord struct {
	block, size uint32
	flags       byte
	name        string
	extra       []byte // system use area, for Rock Ridge
}

func (r isoRecord) isFolder() bool { return r.flags&2 != 0 }

func parseRecord(b []byte) (isoRecord, bool) {
	const head = 33
	if len(b) < head+1 || int(b[32]) > len(b)-head {
		return isoRecord{}, false
	}
	r := isoRecord{block: binary.LittleEndian.Uint32(b[2:]), size: binary.LittleEndian.Uint32(b[10:]), flags: b[25], name: string(b[head : head+int(b[32])])}
	r.extra = b[head+int(b[32]):]
	if b[32]%2 == 0 && len(r.extra) > 0 {
		r.extra = r.extra[1:] // padding
	}
	return r, true
}

// extent returns the contents that a record points to.
func (im *isoImage) extent(block, offset, size uint32) ([]byte, bool) {
	from := uint64(block)*isoSector + uint64(offset)
	to := from + uint64(size)
	if to > uint64(len(im.data)) {
		return nil, false
	}
	return im.data[from:to:to], true
}

// folder reads what is in a folder.
func (im *isoImage) folder(r isoRecord, name string, depth int) error {
	if depth > isoDepth {
		return overLimit("folders of its image are nested more than %d deep", isoDepth)
	}
	if r.size > isoFolderSize {
		return overLimit("the folder %.80q of its image has %d bytes", name, r.size)
	}
	data, ok := im.extent(r.block, 0, r.size)
	if !ok {
		return invalid("its image is cut off in the folder %.80q", name)
	}
	for at := 0; at < len(data); {
		length := int(data[at])
		if length == 0 { // records do not cross sectors
			at = (at/isoSector + 1) * isoSector
			continue
		}
		if at+length > len(data) {
			return invalid("the folder %.80q of its image is damaged", name)
		}
		e, ok := parseRecord(data[at : at+length])
		at += length
		if !ok {
			return invalid("the folder %.80q of its image is damaged", name)
		}
		if e.name == "\x00" || e.name == "\x01" { // the folder itself, its parent
			continue
		}
		if im.entries++; im.entries > isoEntries {
			return overLimit("its image has more than %d entries", isoEntries)
		}
		if err := im.entry(e, name, depth); err != nil {
			return err
		}
	}
	return nil
}

// entry takes a file, or reads a folder.
func (im *isoImage) entry(e isoRecord, folder string, depth int) error {
	own, regular := im.rockRidge(e.extra)
	if own == "" {
		own, _, _ = strings.Cut(e.name, ";") // without the version
		own = strings.ToLower(strings.TrimSuffix(own, "."))
	}
	if own == "" || own == "." || own == ".." || strings.ContainsAny(own, "/\x00") {
		return invalid("its image has an entry of the name %.80q", own)
	}
	name := own
	if folder != "" {
		name = folder + "/" + own
	}
	const severalExtents = 0x80
	switch {
	case e.isFolder():
		return im.folder(e, name, depth+1)
	case !regular: // a link or a device: nothing to follow
		return nil
	case e.flags&severalExtents != 0:
		return invalid("the file %.80q of its image has more than one extent", name)
	}
	data, ok := im.extent(e.block, 0, e.size)
	if !ok {
		return invalid("its image is cut off in the file %.80q", name)
	}
	im.files[name] = data
	return nil
}

// rockRidge reads the real name of an entry and whether it is a regular file
// from its system use area (SUSP and RRIP 1.12); an entry without one is.
func (im *isoImage) rockRidge(area []byte) (name string, regular bool) {
	regular = true
	for areas := 0; areas <= isoContinued; areas++ {
		var next []byte
		for len(area) >= 4 {
			length := int(area[2])
			if length < 4 || length > len(area) {
				break
			}
			field := area[:length]
			area = area[length:]
			switch kind := string(field[:2]); {
			case kind == "NM" && length >= 5 && field[4]&6 == 0: // not for "." and ".."
				name += string(field[5:])
			case kind == "PX" && length >= 8:
				const typeMask, regularFile, folder = 0o170000, 0o100000, 0o040000
				kind := binary.LittleEndian.Uint32(field[4:]) & typeMask
				regular = kind == regularFile || kind == folder
			case kind == "CE" && length >= 28:
				next, _ = im.extent(binary.LittleEndian.Uint32(field[4:]), binary.LittleEndian.Uint32(field[12:]),
					min(binary.LittleEndian.Uint32(field[20:]), isoSector))
			}
		}
		if area = next; area == nil {
			break
		}
	}
	return name, regular
}
