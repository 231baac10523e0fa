package configdrive

import (
	"encoding/binary"
	"strings"
	"unicode/utf16"
)

// The reader of FAT is our own for the same reason as that of ISO 9660: a chain
// of clusters that bites its own tail must end.

// isFAT tells whether b begins with the boot sector of a FAT file system.
func isFAT(b []byte) bool {
	return len(b) >= 512 && b[510] == 0x55 && b[511] == 0xaa && (string(b[54:57]) == "FAT" || string(b[82:85]) == "FAT")
}

// fatImage is an image that is being read.
type fatImage struct {
	data     []byte
	files    map[string][]byte
	entries  int
	budget   int // bytes that may still be read
	table    []byte
	bits     int // of an entry of the table
	cluster  int // bytes
	clusters uint32
	first    int // where cluster 2 begins
}

// readFAT returns the regular files of an image by path (Microsoft's FAT
// specification, version 1.03; long names are taken where there are some).
func readFAT(data []byte) (map[string][]byte, error) {
	u16 := func(at int) int { return int(binary.LittleEndian.Uint16(data[at:])) }
	u32 := func(at int) int { return int(binary.LittleEndian.Uint32(data[at:])) }
	sector, reserved, tables := u16(11), u16(14), int(data[16])
	rootEntries, tableSectors, sectors := u16(17), u16(22), u16(19)
	large := tableSectors == 0 // FAT32
	if large {
		tableSectors = u32(36)
	}
	if sectors == 0 {
		sectors = u32(32)
	}
	im := &fatImage{data: data, files: map[string][]byte{}, budget: maxImage, cluster: int(data[13]) * sector}
	tableAt, root := reserved*sector, (reserved+tables*tableSectors)*sector
	im.first = root + (rootEntries*32+sector-1)/max(sector, 1)*sector
	if sector < 512 || sector > 4096 || im.cluster == 0 || tableSectors == 0 || tableSectors > len(data)/sector || im.first >= len(data) || sectors < im.first/sector {
		return nil, invalid("the boot sector of its VFAT image is damaged")
	}
	im.table = data[tableAt:min(tableAt+tableSectors*sector, len(data))]
	im.clusters = uint32((sectors - im.first/sector) / int(data[13]))
	const most12, most16 = 4085, 65525
	switch {
	case large:
		im.bits = 32
	case im.clusters < most12:
		im.bits = 12
	default:
		im.bits = 16
	}
	if !large {
		return im.files, im.folder(data[root:im.first], "", 0)
	}
	folder, err := im.chain(uint32(u32(44)), -1)
	if err != nil {
		return nil, err
	}
	return im.files, im.folder(folder, "", 0)
}

// next returns the cluster that follows n in its file; ok is false at the end.
func (im *fatImage) next(n uint32) (next uint32, ok bool) {
	at := int(n) * im.bits / 8
	if at+(im.bits+7)/8 > len(im.table) {
		return 0, false
	}
	switch im.bits {
	case 12:
		v := binary.LittleEndian.Uint16(im.table[at:])
		if n%2 == 1 {
			v >>= 4
		}
		next, ok = uint32(v&0xfff), v&0xfff < 0xff8
	case 16:
		next = uint32(binary.LittleEndian.Uint16(im.table[at:]))
		ok = next < 0xfff8
	default:
		next = binary.LittleEndian.Uint32(im.table[at:]) & 0x0fffffff
		ok = next < 0x0ffffff8
	}
	return next, ok
}

// chain returns what is in a chain of clusters, up to size bytes; a size of -1
// means all.
func (im *fatImage) chain(n uint32, size int) ([]byte, error) {
	var out []byte
	for steps := uint32(0); size < 0 || len(out) < size; steps++ {
		const firstCluster = 2
		at := im.first + int(n-firstCluster)*im.cluster
		if n < firstCluster || n-firstCluster > im.clusters || steps > im.clusters || at+im.cluster > len(im.data) {
			return nil, invalid("its VFAT image is damaged: a file leads nowhere")
		}
		if im.budget -= im.cluster; im.budget < 0 || size < 0 && len(out) > isoFolderSize {
			return nil, overLimit("the files of its VFAT image have more than %d MiB, or a folder of it more than %d KiB", maxImage>>20, isoFolderSize>>10)
		}
		out = append(out, im.data[at:at+im.cluster]...)
		var ok bool
		if n, ok = im.next(n); !ok {
			break
		}
	}
	if size < 0 {
		return out, nil
	}
	if len(out) < size {
		return nil, invalid("its VFAT image is cut off")
	}
	return out[:size], nil
}

// folder reads the entries of a folder.
func (im *fatImage) folder(data []byte, name string, depth int) error {
	if depth > isoDepth {
		return overLimit("folders of its image are nested more than %d deep", isoDepth)
	}
	var long []uint16
	for ; len(data) >= 32 && data[0] != 0; data = data[32:] {
		const deleted, attributes, longName, label, isFolder = 0xe5, 11, 0x0f, 0x08, 0x10
		e, attr := data[:32], data[attributes]
		if im.entries++; im.entries > isoEntries {
			return overLimit("its image has more than %d entries", isoEntries)
		}
		switch {
		case e[0] == deleted:
			long = nil
			continue
		case attr&0x3f == longName: // parts of a long name come last part first
			long = append(longPart(e), long...)
			if len(long) > 260 {
				return invalid("its image has a name that is too long")
			}
			continue
		case attr&label != 0:
			long = nil
			continue
		}
		own := string(utf16.Decode(long))
		if long = nil; own == "" {
			own = shortName(e)
		}
		if own == "." || own == ".." {
			continue
		}
		if own == "" || strings.ContainsAny(own, "/\x00") {
			return invalid("its image has an entry of the name %.80q", own)
		}
		path := own
		if name != "" {
			path = name + "/" + own
		}
		if err := im.entry(e, path, attr&isFolder != 0, depth); err != nil {
			return err
		}
	}
	return nil
}

// entry takes a file, or reads a folder.
func (im *fatImage) entry(e []byte, path string, folder bool, depth int) error {
	first := uint32(binary.LittleEndian.Uint16(e[26:]))
	if im.bits == 32 {
		first |= uint32(binary.LittleEndian.Uint16(e[20:])) << 16
	}
	size := int(binary.LittleEndian.Uint32(e[28:]))
	switch {
	case folder:
		size = -1
	case size == 0:
		im.files[path] = nil
		return nil
	case size > len(im.data):
		return invalid("its VFAT image is cut off in the file %.80q", path)
	}
	data, err := im.chain(first, size)
	if err != nil {
		return err
	}
	if folder {
		return im.folder(data, path, depth+1)
	}
	im.files[path] = data
	return nil
}

// longPart returns the 13 letters of a part of a long name, up to its end.
func longPart(e []byte) []uint16 {
	var out []uint16
	for _, span := range [][2]int{{1, 11}, {14, 26}, {28, 32}} {
		for at := span[0]; at < span[1]; at += 2 {
			c := binary.LittleEndian.Uint16(e[at:])
			if c == 0 || c == 0xffff {
				return out
			}
			out = append(out, c)
		}
	}
	return out
}

// shortName is a name of 8 and 3 letters, in lower case.
func shortName(e []byte) string {
	base, ext := strings.TrimRight(string(e[:8]), " "), strings.TrimRight(string(e[8:11]), " ")
	if ext != "" {
		base += "." + ext
	}
	return strings.ToLower(base)
}
