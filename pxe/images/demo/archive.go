package demo

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// bootPath is where firmware and kernel are in the root.
const bootPath = "boot/firmware"

// firmwareFiles are what a Pi 3 and 4 need of the firmware (a Pi 5 has its own).
func firmwareFiles() []string {
	return []string{"bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat"}
}

// commands are the names by which the one program is called.
func commands() (bin, sbin []string) {
	return strings.Fields("sh cat chmod chown clear cp date df dmesg env free grep head help hostname id ip kill ln ls " +
		"mkdir mount mv ps readlink rm rmdir sleep sync tail touch tty umount uname uptime wc whoami"), strings.Fields("sshd halt mount.nfs poweroff reboot")
}

// archiver writes archives: everything belongs to root and has one date, so that the
// same parts give the same archive.
type archiver struct {
	w    *tar.Writer
	date time.Time
	seen map[string]bool
	err  error
}

func newArchiver(w io.Writer) *archiver {
	return &archiver{w: tar.NewWriter(w), date: time.Unix(1_767_225_600, 0), seen: map[string]bool{}} // 2026-01-01
}

// header writes a header, and those of missing parents before it.
func (a *archiver) header(h *tar.Header) {
	for dir := path.Dir(h.Name); dir != "." && dir != "/" && !a.seen[dir]; dir = path.Dir(dir) {
		a.dir(dir, 0o755)
	}
	a.seen[h.Name] = true
	h.ModTime, h.Format = a.date, tar.FormatPAX
	if a.err == nil {
		a.err = a.w.WriteHeader(h)
	}
}

func (a *archiver) dir(name string, mode int64) {
	if !a.seen[name] {
		a.header(&tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: mode})
	}
}

func (a *archiver) link(name, target string) {
	a.header(&tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777})
}

func (a *archiver) data(name string, mode int64, data []byte) {
	a.header(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(data))})
	if a.err == nil {
		_, a.err = a.w.Write(data)
	}
}

// file copies a file of the host.
func (a *archiver) file(name string, mode int64, from string) {
	data, err := os.ReadFile(from)
	if a.err == nil {
		a.err = err
	}
	a.data(name, mode, data)
}

// skeleton writes the folders and configuration that every root has; release is
// its os-release, nil for that of the image.
func (a *archiver) skeleton(release []byte) {
	// The kernel mounts devtmpfs on an empty /dev; without it there would be
	// no console.
	for _, d := range strings.Fields("bin boot dev etc etc/ssh mnt proc run sbin srv sys usr var var/log") {
		a.dir(d, 0o755)
	}
	// The init runs what a deploy puts here.
	a.dir("var/lib/caddyshack/first-boot.d", 0o700)
	a.dir("root", 0o700)
	a.dir("root/.ssh", 0o700)
	a.dir("tmp", 0o1777)
	err := fs.WalkDir(embedded, "files", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := embedded.ReadFile(name)
		mode := int64(0o644)
		switch path.Base(name) {
		case "shadow":
			mode = 0o600
		case "os-release":
			if release != nil {
				data = release
			}
		}
		a.data(strings.TrimPrefix(name, "files/"), mode, data)
		return err
	})
	if a.err == nil {
		a.err = err
	}
}

// writeArchive packs the image.
func writeArchive(to, program, kernel, firmware string) error {
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	a := newArchiver(out)
	a.skeleton(nil)
	a.file("sbin/init", 0o755, program)
	bin, sbin := commands()
	for _, c := range bin {
		a.link("bin/"+c, "/sbin/init")
	}
	for _, c := range sbin {
		a.link("sbin/"+c, "init")
	}
	a.kernel(kernel)
	for _, f := range firmwareFiles() {
		a.file(path.Join(bootPath, f), 0o644, filepath.Join(firmware, f))
	}
	a.file(path.Join(bootPath, "LICENCE.broadcom"), 0o644, filepath.Join(firmware, "LICENSE.broadcom"))
	return errors.Join(a.err, a.w.Close(), out.Sync(), out.Close())
}

// kernel packs the kernel, compressed, as the firmware takes it and TFTP likes
// it, with device trees and overlays.
func (a *archiver) kernel(dir string) {
	image, err := os.ReadFile(filepath.Join(dir, "vmlinuz"))
	var packed bytes.Buffer
	if err == nil {
		z, zerr := gzip.NewWriterLevel(&packed, gzip.DefaultCompression)
		if err = zerr; err == nil {
			_, err = z.Write(image)
			err = errors.Join(err, z.Close())
		}
	}
	if a.err == nil && err != nil {
		a.err = err
	}
	a.data(path.Join(bootPath, "kernel8.img"), 0o644, packed.Bytes())
	a.file(path.Join(bootPath, "COPYING.linux"), 0o644, filepath.Join(dir, "LICENSE.linux"))
	var files []string
	for _, pattern := range []string{"*.dtb", "overlays/*.dtb", "overlays/*.dtbo"} {
		list, err := filepath.Glob(filepath.Join(dir, pattern))
		if err == nil && len(list) == 0 {
			err = fmt.Errorf("there is no %s in the kernel's module", pattern)
		}
		if a.err == nil && err != nil {
			a.err = err
		}
		files = append(files, list...)
	}
	slices.Sort(files)
	for _, f := range files {
		name, err := filepath.Rel(dir, f)
		if a.err == nil && err != nil {
			a.err = err
		}
		a.file(path.Join(bootPath, filepath.ToSlash(name)), 0o644, f)
	}
}
