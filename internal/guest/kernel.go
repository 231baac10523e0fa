package guest

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ulikunitz/xz"
)

// kernelPackage is Debian's name for its current kernel.
const kernelPackage = "linux-image-amd64"

// Kernel is an unpacked kernel package.
type Kernel struct {
	Image   string            // the bzImage
	modules map[string]string // name, with "_" for "-": path
}

// DebianKernel returns Debian's kernel. It is downloaded with apt-get, as any
// user may, and unpacked into the user's cache folder once.
func DebianKernel(ctx context.Context) (*Kernel, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	var name string
	if err := again(ctx, func() error {
		name, err = concretePackage(ctx)
		return err
	}); err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, "caddyshack", "guest", name)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := fetch(ctx, name, dir); err != nil {
			return nil, fmt.Errorf("fetching the kernel package %s (apt-get update may be needed): %w", name, err)
		}
	}
	return open(dir)
}

// concretePackage resolves the meta package.
func concretePackage(ctx context.Context) (string, error) {
	out, err := run(ctx, "", "apt-cache", "depends", "--important", kernelPackage)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok && strings.HasPrefix(name, "linux-image-") {
			return name, nil
		}
	}
	return "", fmt.Errorf("apt-cache knows no kernel behind %s: run apt-get update", kernelPackage)
}

// fetch downloads and unpacks a package; dir appears when it is complete.
func fetch(ctx context.Context, name, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".fetch-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if err := again(ctx, func() error {
		_, err := run(ctx, tmp, "apt-get", "download", name)
		return err
	}); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("downloaded %d packages, %w", len(debs), err)
	}
	if _, err := run(ctx, tmp, "dpkg-deb", "-x", debs[0], "unpacked"); err != nil {
		return err
	}
	err = os.Rename(filepath.Join(tmp, "unpacked"), dir)
	if errors.Is(err, fs.ErrExist) {
		return nil // another test was faster
	}
	return err
}

// again asks Debian's mirrors up to five times, with pauses: they have bad
// moments, and the lists of packages may be old or missing.
func again(ctx context.Context, ask func() error) error {
	for pause := 5 * time.Second; ; pause *= 2 {
		err := ask()
		if err == nil || pause > 40*time.Second {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
		_, _ = run(ctx, "", "apt-get", "update", "-q") // only root can, and the next attempt tells
	}
}

func run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

func open(dir string) (*Kernel, error) {
	images, err := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return nil, fmt.Errorf("%q holds %d kernels", dir, len(images))
	}
	k := &Kernel{Image: images[0], modules: make(map[string]string)}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if name, _, ok := strings.Cut(filepath.Base(path), ".ko"); ok && err == nil && e.Type().IsRegular() {
			k.modules[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	return k, err
}

// module is one kernel module.
type module struct {
	name string
	data []byte
}

// load returns modules and all they depend on, in the order of insertion. A
// name that is no module is taken for built in.
func (k *Kernel) load(names []string) ([]module, error) {
	var out []module
	seen := make(map[string]bool)
	var add func(name string) error
	add = func(name string) error {
		name = strings.ReplaceAll(name, "-", "_")
		if seen[name] || k.modules[name] == "" {
			return nil
		}
		seen[name] = true
		data, err := readModule(k.modules[name])
		if err != nil {
			return err
		}
		depends, err := dependencies(data)
		if err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
		for _, d := range depends {
			if err := add(d); err != nil {
				return err
			}
		}
		out = append(out, module{name, data})
		return nil
	}
	for _, n := range names {
		if err := add(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func readModule(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil || !strings.HasSuffix(path, ".xz") {
		return b, err
	}
	r, err := xz.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// dependencies reads the "depends" of a module's own description, since the
// package has no list of them.
func dependencies(data []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	s := f.Section(".modinfo")
	if s == nil {
		return nil, errors.New("no .modinfo")
	}
	info, err := s.Data()
	if err != nil {
		return nil, err
	}
	for field := range strings.SplitSeq(string(info), "\x00") {
		if list, ok := strings.CutPrefix(field, "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}
