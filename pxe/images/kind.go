package images

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Kind is how an archive is packed.
type Kind string

// The kinds of archive that can be deployed.
const (
	KindTar  Kind = "tar"
	KindGzip Kind = "tar.gz"
	KindXZ   Kind = "tar.xz"
	KindZstd Kind = "tar.zst"
)

// Sniffing looks this far: the volume descriptor of an ISO 9660 image is at 32 KiB.
const sniffLen = 33 << 10

// maxWindow bounds the memory that a compressed stream can make us use.
const maxWindow = 128 << 20

// magic is a signature at an offset, and what it tells.
type magic struct {
	offset int
	bytes  string
	name   string
}

// foreign lists formats that people try, so that the error can name them.
func foreign() []magic {
	return []magic{
		{0, "QFI\xfb", "a qcow2 disk image"},
		{0, "KDMV", "a VMDK disk image"},
		{0, "COWD", "a VMDK disk image"},
		{0, "# Disk DescriptorFile", "a VMDK descriptor"},
		{0, "conectix", "a VHD disk image"},
		{0, "vhdxfile", "a VHDX disk image"},
		{0x40, "\x7f\x10\xda\xbe", "a VDI disk image"},
		{0, "LUKS\xba\xbe", "a LUKS volume"},
		{0, "PK\x03\x04", "a zip archive"},
		{0, "PK\x05\x06", "a zip archive"},
		{0, "7z\xbc\xaf\x27\x1c", "a 7z archive"},
		{0, "Rar!", "a rar archive"},
		{0, "BZh", "bzip2 data"},
		{0, "\x04\x22\x4d\x18", "lz4 data"},
		{0, "\x5d\x00\x00", "lzma data"},
		{0, "070701", "a cpio archive"},
		{0, "070702", "a cpio archive"},
		{0, "!<arch>", "a Debian package or ar archive"},
		{0, "\xed\xab\xee\xdb", "an RPM package"},
		{0, "hsqs", "a squashfs file system"},
		{0, "XFSB", "an XFS file system"},
		{0x438, "\x53\xef", "an ext2/3/4 file system"},
		{0x8001, "CD001", "an ISO 9660 image"},
		{0x200, "EFI PART", "a raw disk image with a GPT"},
		{0x1fe, "\x55\xaa", "a raw disk image with a partition table"},
		{0, "\x7fELF", "an ELF program"},
		{0, "<!DOCTYPE", "a web page"},
		{0, "<!doctype", "a web page"},
		{0, "<html", "a web page"},
		{0, "{", "a JSON document"},
	}
}

// sniff tells the kind of the data that starts with head.
func sniff(head []byte) (Kind, error) {
	switch {
	case len(head) == 0:
		return "", formatError("it is empty")
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return KindGzip, nil
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return KindXZ, nil
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		return KindZstd, nil
	case isTar(head):
		return KindTar, nil
	}
	for _, m := range foreign() {
		if len(head) >= m.offset && bytes.HasPrefix(head[m.offset:], []byte(m.bytes)) {
			return "", formatError("it is " + m.name)
		}
	}
	return "", formatError("its content is not known, perhaps a raw disk image")
}

// isTar tells whether head is a tar header block, by its checksum, as archives
// older than POSIX have no magic number.
func isTar(head []byte) bool {
	if len(head) < 512 {
		return false
	}
	_, err := tar.NewReader(bytes.NewReader(head)).Next()
	// An archive cut at the end of head is not a format error.
	return err == nil || errors.Is(err, io.ErrUnexpectedEOF)
}

func formatError(what string) error {
	return failure(ErrFormat, fmt.Sprintf(
		"unsupported image format: %s; give a root file system as a tar archive (.tar, .tar.gz, .tar.xz or .tar.zst)", what))
}

// decompress opens the archive in r, whatever its compression, and checks that
// a tar archive is inside.
func decompress(r io.Reader) (_ io.Reader, _ Kind, closer func(), _ error) {
	closer = func() {}
	// Always buffered: the xz decoder reads byte by byte.
	in := bufio.NewReaderSize(r, 256<<10)
	head, err := in.Peek(sniffLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", closer, err
	}
	kind, err := sniff(head)
	if err != nil || kind == KindTar {
		return in, kind, closer, err
	}
	var plain io.Reader
	switch kind {
	case KindGzip:
		plain, err = gzip.NewReader(in)
	case KindXZ:
		if err = checkXZ(head); err == nil {
			plain, err = xz.NewReader(in)
		}
	case KindZstd:
		var d *zstd.Decoder
		d, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err == nil {
			plain, closer = d, d.Close
		}
	}
	if err != nil {
		if errors.Is(err, ErrLimit) {
			return nil, kind, closer, err
		}
		return nil, kind, closer, damaged(err)
	}
	out := bufio.NewReaderSize(plain, 256<<10)
	head, err = out.Peek(sniffLen)
	if err != nil && !errors.Is(err, io.EOF) {
		closer()
		return nil, kind, func() {}, damaged(err)
	}
	inner, err := sniff(head)
	if err == nil && inner != KindTar {
		err = formatError("it is compressed twice")
	}
	if err != nil {
		closer()
		return nil, kind, func() {}, fmt.Errorf("inside the compression: %w", err)
	}
	return out, kind, closer, nil
}

// damaged explains an error of a decoder.
func damaged(err error) error {
	return failure(ErrArchive, fmt.Sprintf("bad archive: its compressed data cannot be read (%v); make the archive again or check that it was copied whole", err))
}
