// Package guest runs a program, most often a compiled Go test, inside a QEMU
// guest with Debian's own kernel, for what the kernel of the machine at hand
// cannot do or must not be asked to do. It needs no privileges and no KVM.
//
// It uses the Debian packages qemu-system-x86, busybox-static and, through
// apt-get download, linux-image-amd64.
package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// HostAddr is the address at which a guest reaches the loopback address of
// the host; there its connections come from 127.0.0.1.
const HostAddr = "10.0.2.2"

// Config describes a guest.
type Config struct {
	// Modules are inserted before the command runs, with what they need.
	Modules []string
	// Files are put into the guest: path in the guest, path on the host. They
	// are executable.
	Files map[string]string
	// Command is run as root, with a PATH to busybox; its standard output and
	// error come back.
	Command []string
	// Env is added to the environment of the command.
	Env []string
	// MemoryMiB is the guest's memory; 0 means 512.
	MemoryMiB int
	// CPUs is the number of its processors; 0 means 1.
	CPUs int
}

// Result is what came of a command.
type Result struct {
	Output   string
	ExitCode int
	Console  string // the kernel's messages
}

// busybox is where Debian's busybox-static puts its program.
const busybox = "/bin/busybox"

// Run boots a guest, runs the command and powers off. The guest is killed
// when ctx ends. The error is nil only if the command ran to its end.
func Run(ctx context.Context, c Config) (Result, error) {
	dir, err := os.MkdirTemp("", "guest-*")
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	k, err := DebianKernel(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("preparing a guest: %w", err)
	}
	initramfs := filepath.Join(dir, "initramfs")
	if err := c.writeInitramfs(k, initramfs); err != nil {
		return Result{}, fmt.Errorf("preparing a guest: %w", err)
	}
	out, console := filepath.Join(dir, "out"), filepath.Join(dir, "console")
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-accel", "tcg", "-cpu", "max", "-m", strconv.Itoa(or(c.MemoryMiB, 512)), "-smp", strconv.Itoa(or(c.CPUs, 1)),
		"-nodefaults", "-display", "none", "-no-reboot",
		// A kernel that gets no time on a busy machine would take the timer for broken.
		"-kernel", k.Image, "-initrd", initramfs, "-append", "console=ttyS0 panic=-1 quiet no_timer_check",
		"-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,romfile=",
		"-serial", "file:"+console, "-serial", "file:"+out)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	runErr := cmd.Run()
	r, err := readResult(out, console)
	switch {
	case runErr != nil:
		err = fmt.Errorf("running the guest: %w: %s", errors.Join(runErr, ctx.Err()), strings.TrimSpace(stderr.String()))
	case err != nil:
		err = fmt.Errorf("running the guest: %w; its last messages: %s", err, tail(r.Console))
	}
	return r, err
}

func or(v, otherwise int) int {
	if v == 0 {
		return otherwise
	}
	return v
}

// exitLine is how the guest's init tells the exit code.
var exitLine = regexp.MustCompile(`(?s)^(.*)guest: exit code ([0-9]+)\n$`)

func readResult(out, console string) (Result, error) {
	var r Result
	b, err := os.ReadFile(console)
	if err != nil {
		return r, err
	}
	r.Console = string(b)
	if b, err = os.ReadFile(out); err != nil {
		return r, err
	}
	r.Output = strings.ReplaceAll(string(b), "\r\n", "\n")
	m := exitLine.FindStringSubmatch(r.Output)
	if m == nil {
		return r, errors.New("the command did not end")
	}
	r.Output = m[1]
	r.ExitCode, err = strconv.Atoi(m[2])
	return r, err
}

func tail(s string) string {
	const keep = 2000
	return s[max(0, len(s)-keep):]
}

func (c *Config) writeInitramfs(k *Kernel, path string) error {
	modules, err := k.load(append([]string{"virtio_pci", "virtio_net"}, c.Modules...))
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	a := newArchive(f)
	for _, d := range []string{"proc", "sys", "dev", "tmp", "mnt", "etc", "bin"} {
		a.dir(d)
	}
	shell, err := os.ReadFile(busybox)
	if err != nil {
		return fmt.Errorf("%w: install the package busybox-static", err)
	}
	a.file("bin/busybox", shell)
	a.link("bin/sh", "busybox")
	for _, m := range modules {
		a.file("modules/"+m.name+".ko", m.data)
	}
	for inside, outside := range c.Files {
		data, err := os.ReadFile(outside)
		if err != nil {
			return err
		}
		a.file(strings.TrimPrefix(inside, "/"), data)
	}
	a.file("init", []byte(c.initScript(modules)))
	if err := a.close(); err != nil {
		return err
	}
	return f.Close()
}

// initScript is the guest's first process.
func (c *Config) initScript(modules []module) string {
	var b strings.Builder
	b.WriteString("#!/bin/sh\nexport PATH=/bin HOME=/tmp\n" +
		"/bin/busybox --install -s /bin\n" +
		"mount -t proc proc /proc\nmount -t sysfs sys /sys\nmount -t devtmpfs dev /dev\nmount -t tmpfs tmp /tmp\n")
	for _, m := range modules {
		fmt.Fprintf(&b, "insmod /modules/%s.ko\n", m.name)
	}
	b.WriteString("ip link set lo up\nip link set eth0 up\nip addr add 10.0.2.15/24 dev eth0\nip route add default via " + HostAddr + "\n" +
		"stty raw -F /dev/ttyS1\n")
	for _, e := range c.Env {
		fmt.Fprintf(&b, "export %s\n", quoteEnv(e))
	}
	for i, w := range c.Command {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(quote(w))
	}
	b.WriteString(" >/dev/ttyS1 2>&1 </dev/null\necho \"guest: exit code $?\" >/dev/ttyS1\n" +
		"sync\nreboot -f\n") // with -no-reboot this ends QEMU
	return b.String()
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func quoteEnv(e string) string {
	name, value, _ := strings.Cut(e, "=")
	return name + "=" + quote(value)
}

// BuildTest compiles the tests of the package in dir, with the given build
// tags, as a static program for the guest.
func BuildTest(ctx context.Context, dir, tags, output string) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-tags", tags, "-o", output, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling the tests in %q: %w: %s", dir, err, out)
	}
	return nil
}
