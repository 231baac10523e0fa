package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"caddyshack/pxe/images"
)

// The modules that carry kernel and firmware. Their versions are in go.mod.txt.
const (
	kernelModule   = "github.com/gokrazy/kernel.rpi"
	firmwareModule = "github.com/gokrazy/firmware"
)

// buildSpace is what making the image takes in the cache folder, in bytes.
const buildSpace = 128 << 20

// niceness of what is run: it must not slow down what the user waits for.
const niceness = 10

// findGo returns the path of the go command.
func findGo(configured string) (string, error) {
	if configured != "" {
		return exec.LookPath(configured)
	}
	if p, err := exec.LookPath("go"); err == nil {
		return p, nil
	}
	for _, dir := range []string{"/usr/local/go/bin", "/usr/lib/go/bin", "/snap/bin", "/opt/homebrew/bin"} {
		if p, err := exec.LookPath(filepath.Join(dir, "go")); err == nil {
			return p, nil
		}
	}
	return "", errors.New("there is no go command in PATH to make it with; install Go (https://go.dev/dl), or copy the folder of the image cache from a machine that has made it")
}

// build makes the image.
func (b *Builder) build(ctx context.Context, tool string) (images.Image, error) {
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
	folders, err := b.download(ctx, tool, work, kernelModule, firmwareModule)
	if err != nil {
		return fail(err)
	}
	b.say("compiling its init")
	program := filepath.Join(work, "init.bin")
	if _, err := b.run(ctx, tool, work, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", program, "."); err != nil {
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

// clean removes what a process that was killed left, and images of earlier
// versions of the program. The lock is held. Nothing depends on its success.
func (b *Builder) clean() {
	list, _ := os.ReadDir(b.cfg.Dir)
	for _, e := range list {
		if n := e.Name(); strings.HasPrefix(n, workPrefix) ||
			strings.HasPrefix(n, "demo-") && (strings.HasSuffix(n, ".tar") || strings.HasSuffix(n, ".tar.json")) {
			_ = os.RemoveAll(filepath.Join(b.cfg.Dir, n))
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

// download brings modules into the module cache, verified by go.sum, and
// returns their folders.
func (b *Builder) download(ctx context.Context, tool, dir string, modules ...string) (map[string]string, error) {
	out, err := b.run(ctx, tool, dir, append([]string{"mod", "download", "-json"}, modules...)...)
	folders := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var m struct{ Path, Dir, Error string }
		if d.Decode(&m) != nil {
			break
		}
		if m.Error != "" {
			return nil, explain(errors.New(m.Error), m.Error)
		}
		folders[m.Path] = m.Dir
	}
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		if folders[m] == "" {
			return nil, fmt.Errorf("the go command did not tell where module %s is", m)
		}
	}
	return folders, nil
}

// run runs the go command at low priority and returns its output.
func (b *Builder) run(ctx context.Context, tool, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GO111MODULE=on", "GOWORK=off", "GOFLAGS=-mod=readonly",
		"CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64", "PWD="+dir)
	if os.Getenv("HOME") == "" { // a service
		cmd.Env = append(cmd.Env, "GOPATH="+filepath.Join(b.cfg.Dir, "gopath"), "GOCACHE="+filepath.Join(b.cfg.Dir, "gocache"))
	}
	cmd.Env = append(cmd.Env, b.cfg.Env...)
	var out, trouble bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &trouble
	// A group of its own, with the compilers in it, ends as one, and with us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	// The death signal comes when the thread that started the command ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	if err == nil {
		_ = unix.Setpriority(unix.PRIO_PGRP, cmd.Process.Pid, niceness) // best effort
		err = cmd.Wait()
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return out.Bytes(), explain(fmt.Errorf("go %s: %w", args[0], err), trouble.String())
	}
	return out.Bytes(), nil
}

// explain adds to err what the go command said and what to do about it.
func explain(err error, output string) error {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	said := strings.TrimSpace(strings.Join(lines[max(0, len(lines)-3):], "; "))
	hint := "run it again with a network connection"
	switch {
	case strings.Contains(output, "no space left"):
		hint = "free some space on the disk"
	case strings.Contains(output, "requires go >="):
		hint = "install a newer Go (https://go.dev/dl)"
	case strings.Contains(output, "checksum mismatch") || strings.Contains(output, "SECURITY ERROR"):
		hint = "a module is not what it should be; do not trust the module proxy in use"
	case strings.Contains(output, "GOPROXY=off") || strings.Contains(output, "GOFLAGS=-mod=vendor"):
		hint = "allow the go command to fetch modules (go env -u GOPROXY)"
	case strings.Contains(output, "dial tcp") || strings.Contains(output, "no such host") || strings.Contains(output, "i/o timeout") ||
		strings.Contains(output, "connection refused") || strings.Contains(output, "unreachable"):
		hint = "the module proxy cannot be reached; connect to the network, or set GOPROXY to a proxy that can be reached, and start again"
	}
	if said != "" && !strings.Contains(err.Error(), said) {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return fmt.Errorf("%w (%s)", err, hint)
}
