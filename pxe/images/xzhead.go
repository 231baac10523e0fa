package images

import (
	"encoding/binary"
	"fmt"
)

// checkXZ refuses an .xz stream whose first block asks for a dictionary larger
// than maxWindow: the decoder would allocate what the header says. Layout: the
// .xz file format, sections 2.1.1 and 3.1. A header that cannot be understood
// is left to the decoder's own error.
func checkXZ(head []byte) error {
	const streamHeader = 12
	if len(head) < streamHeader+8 {
		return nil
	}
	block := head[streamHeader:]
	size := (int(block[0]) + 1) * 4
	if block[0] == 0 || size > len(block) {
		return nil // an index (no data), or cut short
	}
	block, flags := block[2:size], block[1]
	for _, bit := range []byte{0x40, 0x80} { // compressed and uncompressed size
		if flags&bit != 0 {
			_, n := binary.Uvarint(block)
			if n <= 0 {
				return nil
			}
			block = block[n:]
		}
	}
	for range int(flags&3) + 1 {
		id, n := binary.Uvarint(block)
		if n <= 0 {
			return nil
		}
		block = block[n:]
		props, n := binary.Uvarint(block)
		if n <= 0 || props > uint64(len(block)-n) {
			return nil
		}
		value := block[n : n+int(props)]
		block = block[n+int(props):]
		if id != 0x21 || len(value) != 1 || value[0] > 40 {
			continue
		}
		// LZMA2: dictionary size is 2 or 3 shifted (section 5.3.1).
		dict := uint64(2|value[0]&1) << (value[0]/2 + 11)
		if dict > maxWindow {
			return failure(ErrLimit, fmt.Sprintf(
				"exceeds limit: the xz stream asks for a dictionary of %d MiB, at most %d are allowed; compress with xz -9 or less", dict>>20, maxWindow>>20))
		}
	}
	return nil
}
