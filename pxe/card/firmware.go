package card

import (
	"context"
	"embed"
	"fmt"
	"os"
	"path/filepath"

	"caddyshack/baremetal"
	"caddyshack/pxe/gomodules"
)

//go:embed module/*.txt
var module embed.FS

// The modules that carry the firmware.
const (
	bootModule   = "github.com/gokrazy/firmware"
	eepromModule = "github.com/gokrazy/rpi-eeprom" // of a Pi 4
)

// firmwareDirs are the folders that hold the firmware.
type firmwareDirs struct{ boot, eeprom string }

// pi5Folders are where Raspberry Pi OS keeps the EEPROM images of a Pi 5, best
// first.
func pi5Folders() []string {
	var all []string
	for _, base := range []string{"/usr/lib/firmware/raspberrypi/bootloader-2712", "/lib/firmware/raspberrypi/bootloader-2712"} {
		for _, release := range []string{"latest", "default"} {
			all = append(all, filepath.Join(base, release))
		}
	}
	return all
}

// firmware finds the files of the firmware, or fetches them.
func (o Options) firmware(ctx context.Context) (firmwareDirs, error) {
	if o.Firmware != "" {
		if fi, err := os.Stat(o.Firmware); err != nil || !fi.IsDir() {
			return firmwareDirs{}, baremetal.Errorf(baremetal.Invalid, "%s is no folder with the firmware", o.Firmware)
		}
		return firmwareDirs{o.Firmware, o.Firmware}, nil
	}
	if o.Model == Pi5 {
		for _, dir := range pi5Folders() {
			if _, err := os.Stat(filepath.Join(dir, "recovery.bin")); err == nil {
				return firmwareDirs{eeprom: dir}, nil
			}
		}
		return firmwareDirs{}, baremetal.Errorf(baremetal.Invalid, "the firmware of a Pi 5 does not come as a Go module: get https://github.com/raspberrypi/rpi-eeprom "+
			"(or the package rpi-eeprom of Raspberry Pi OS) and name its folder with --firmware rpi-eeprom/firmware-2712/latest")
	}
	dirs, err := o.fetch(ctx, bootModule, eepromModule)
	if err != nil {
		return firmwareDirs{}, fmt.Errorf("fetching the firmware: %w; or name a folder that has it with --firmware", err)
	}
	return firmwareDirs{dirs[bootModule], dirs[eepromModule]}, nil
}

// fetch brings modules to this machine, verified, and returns their folders.
func (o Options) fetch(ctx context.Context, modules ...string) (map[string]string, error) {
	tool, err := gomodules.Find(o.Go)
	if err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp("", "caddyshack-card-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work) //nolint:errcheck // in the system's folder for such
	for from, to := range map[string]string{"module/go.mod.txt": "go.mod", "module/go.sum.txt": "go.sum"} {
		data, err := module.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(work, to), data, 0o600)
		}
		if err != nil {
			return nil, err
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = work
	}
	return gomodules.Tool{Path: tool, Home: filepath.Join(cache, "caddyshack"), Env: o.Env}.Download(ctx, work, modules...)
}
