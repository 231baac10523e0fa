package card

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat32"
	"github.com/diskfs/go-diskfs/partition/mbr"

	"caddyshack/baremetal"
)

// The layout of the image: an MBR and one FAT32 partition, as boot ROMs and
// EEPROMs of all models read it.
const (
	sector    = 512
	imageSize = 64 << 20
	partStart = 1 << 20
	partSize  = imageSize - partStart
	cardLabel = "CADDYSHACK"
	maxOnCard = 16 << 20 // bytes of a file
)

// CheckTarget refuses to write where something is, unless forced, and to
// devices in any case.
func CheckTarget(path string, force bool) error {
	fi, err := os.Stat(path)
	switch {
	case err == nil && fi.IsDir():
		return baremetal.Errorf(baremetal.Invalid, "%s is a folder; name the image file to make", path)
	case err == nil && !fi.Mode().IsRegular(), err != nil && strings.HasPrefix(filepath.Clean(path), "/dev/"):
		return baremetal.Errorf(baremetal.Invalid, "%s is a device, and no device is ever written: make an image file, look twice which device the card is, and write it with Raspberry Pi Imager or `dd if=IMAGE of=DEVICE bs=4M conv=fsync`", path)
	case err == nil && !force:
		return baremetal.Errorf(baremetal.Conflict, "%s exists; --force replaces it", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// Write makes the image file of a card and reads it back. It takes its place in
// one step.
func Write(path string, files []File, force bool) (err error) {
	if err := CheckTarget(path, force); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("making the image: %w", err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone after the rename
	err = format(f, files)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("making the image: %w", err)
	}
	got, err := Read(f.Name())
	if err != nil {
		return fmt.Errorf("reading the image back: %w", err)
	}
	if !equal(got, files) {
		return errors.New("the image does not read back as it was written")
	}
	if err := os.Chmod(f.Name(), 0o644); err != nil {
		return fmt.Errorf("making the image: %w", err)
	}
	if force {
		return os.Rename(f.Name(), path)
	}
	err = os.Link(f.Name(), path) // unlike a rename it replaces nothing
	if errors.Is(err, fs.ErrExist) {
		return CheckTarget(path, false)
	}
	return err
}

// format writes partition table, file system and files.
func format(f *os.File, files []File) error {
	if err := f.Truncate(imageSize); err != nil {
		return err
	}
	table := &mbr.Table{LogicalSectorSize: sector, PhysicalSectorSize: sector,
		Partitions: []*mbr.Partition{{Type: mbr.Fat32LBA, Start: partStart / sector, Size: partSize / sector}}}
	if err := table.Write(f, imageSize); err != nil {
		return err
	}
	card, err := fat32.Create(file.New(f, false), partSize, partStart, sector, cardLabel, true)
	if err != nil {
		return err
	}
	for _, c := range files {
		to, err := card.OpenFile(c.Name, os.O_CREATE|os.O_RDWR)
		if err == nil {
			_, err = to.Write(c.Data)
			err = errors.Join(err, to.Close())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	return card.Close()
}

// Read returns the files of a card's image in the order they were written.
func Read(path string) ([]File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	table, err := mbr.Read(f, sector, sector)
	if err != nil {
		return nil, err
	}
	if len(table.Partitions) == 0 || table.Partitions[0].Type != mbr.Fat32LBA {
		return nil, errors.New("its first partition is not FAT32")
	}
	p := table.Partitions[0]
	card, err := fat32.Read(file.New(f, true), p.GetSize(), p.GetStart(), sector)
	if err != nil {
		return nil, err
	}
	list, err := card.ReadDir(".")
	if err != nil {
		return nil, err
	}
	var files []File
	for _, e := range list {
		if e.IsDir() {
			continue
		}
		in, err := card.OpenFile(e.Name(), os.O_RDONLY)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(io.LimitReader(in, maxOnCard))
		if err := errors.Join(err, in.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		files = append(files, File{e.Name(), data})
	}
	return files, nil
}
