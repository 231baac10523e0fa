package demo

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"path"
	"path/filepath"

	"caddyshack/pxe/images"
)

// tinyRelease marks the tiny root.
const tinyRelease = `NAME="Caddyshack tiny root"
ID=caddyshack-tiny
PRETTY_NAME="Caddyshack tiny root (for the simulator)"
VERSION_ID=1
`

// tinyArchive returns the tiny root: what a virtual Pi asks for, as far as it
// looks at it, and nothing that a processor could run.
func tinyArchive() ([]byte, error) {
	var out bytes.Buffer
	a := newArchiver(&out)
	a.skeleton([]byte(tinyRelease))
	a.data("sbin/init", 0o755, []byte("placeholder for an init, for the simulator only\n"))
	a.link("bin/sh", "/sbin/init")
	for _, f := range append(firmwareFiles(), "bcm2710-rpi-3-b-plus.dtb", "bcm2711-rpi-4-b.dtb", "bcm2712-rpi-5-b.dtb",
		"overlays/overlay_map.dtb", "overlays/gpio-shutdown.dtbo", "overlays/gpio-poweroff.dtbo") {
		a.data(path.Join(bootPath, f), 0o644, []byte("placeholder, for the simulator only\n"))
	}
	// The header of an arm64 kernel (Documentation/arch/arm64/booting.rst).
	kernel := make([]byte, 64, 1<<10)
	copy(kernel[56:], "ARM\x64")
	a.data(path.Join(bootPath, "kernel8.img"), 0o644, append(kernel, "placeholder, for the simulator only\n"...))
	return out.Bytes(), errors.Join(a.err, a.w.Close())
}

// tiny writes the tiny root where Config says.
func (b *Builder) tiny() (images.Image, error) {
	data, err := tinyArchive()
	if err != nil {
		return images.Image{}, err
	}
	dir := cmp.Or(b.cfg.TinyDir, b.cfg.Dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return images.Image{}, err
	}
	f, err := os.CreateTemp(dir, "tiny-*.tmp")
	if err != nil {
		return images.Image{}, err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone after the rename
	_, err = f.Write(data)
	if err := errors.Join(err, f.Close()); err != nil {
		return images.Image{}, err
	}
	return keep(f.Name(), filepath.Join(dir, "tiny-"+key()+".tar"))
}
