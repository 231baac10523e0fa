package demo

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"caddyshack/pxe/gomodules"
	"caddyshack/pxe/images"
)

// The modules that carry kernel and firmware. Their versions are in go.mod.txt.
const (
	kernelModule   = "github.com/gokrazy/kernel.rpi"
	firmwareModule = "github.com/gokrazy/firmware"
)

// buildSpace is what making the image takes in the cache folder, in bytes.
const buildSpace = 128 << 20

// findGo returns the user's go command.
func (b *Builder) findGo() (gomodules.Tool, error) {
	path, err := gomodules.Find(b.cfg.Go)
	if err != nil {
		return gomodules.Tool{}, fmt.Errorf("%w, or copy the folder of the image cache from a machine that has made it", err)
	}
	return gomodules.Tool{Path: path, Home: b.cfg.Dir, Env: append([]string{"GOOS=linux", "GOARCH=arm64"}, b.cfg.Env...)}, nil
}

// build makes the image.
func (b *Builder) build(ctx context.Context, tool gomodules.Tool) (images.Image, error) {
	fail := func(err error) (images.Image, error) { return images.Image{}, err }
	if err := images.CheckSpace(b.cfg.Dir, buildSpace, 0); err != nil {
		return fail(err)
	}
	b.clean()
	work, err := os.MkdirTemp(b.cfg.Dir, workPrefix)
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(work) //nolint:errcheck // clean removes it the next time
	if err := writeModule(work); err != nil {
		return fail(err)
	}
	b.say("fetching the kernel and the firmware (33 MB, once)")
	folders, err := tool.Download(ctx, work, kernelModule, firmwareModule)
	if err != nil {
		return fail(err)
	}
	b.say("compiling its init")
	program := filepath.Join(work, "init.bin")
	if _, err := tool.Run(ctx, work, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", program, "."); err != nil {
		return fail(err)
	}
	b.say("packing it")
	tmp := filepath.Join(work, "demo.tar")
	if err := writeArchive(tmp, program, folders[kernelModule], folders[firmwareModule]); err != nil {
		return fail(fmt.Errorf("packing the image: %w", err))
	}
	return keep(tmp, b.archive())
}

// workPrefix begins the names of folders in which the image is made.
const workPrefix = "demo-build-"

// unused is how long nobody has begun to use an image of another version of the
// program before it is removed: that version may still run.
const unused = 7 * 24 * time.Hour

// clean removes what a process that was killed left, and images of earlier
// versions of the program. The lock is held. Nothing depends on its success.
func (b *Builder) clean() {
	list, _ := os.ReadDir(b.cfg.Dir)
	for _, e := range list {
		name := filepath.Join(b.cfg.Dir, e.Name())
		if strings.HasPrefix(e.Name(), workPrefix) {
			_ = os.RemoveAll(name)
		}
		if !strings.HasPrefix(e.Name(), "demo-") || !strings.HasSuffix(name, ".tar") {
			continue
		}
		if fi, err := e.Info(); err == nil && time.Since(fi.ModTime()) > unused {
			_, _ = os.Remove(name), os.Remove(name+".json")
		}
	}
}

// writeModule writes the module of the image's init.
func writeModule(dir string) error {
	for from, to := range map[string]string{"go.mod.txt": "go.mod", "go.sum.txt": "go.sum", "gokrazy.go.txt": "gokrazy.go"} {
		data, err := embedded.ReadFile("module/" + from)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	sources, err := fs.Glob(embedded, "init/*.go")
	if err != nil {
		return err
	}
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		data, err := embedded.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(name)), data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
