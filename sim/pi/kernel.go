package pi

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"caddyshack/sim/pi/nfsmount"
)

const (
	// bootFile is what the Pi writes in its root to prove that it can.
	bootFile     = "caddyshack-boot"
	mountTries   = 3
	mountPause   = 250 * time.Millisecond
	mountTimeout = 5 * time.Second
	release      = "6.12.47-v8+"
	unmountWait  = 2 * time.Second
)

// inits are the programs that a kernel tries, in its order.
var inits = []string{"/sbin/init", "/etc/init", "/bin/init", "/bin/sh"}

// system is a running operating system.
type system struct {
	*booting
	fs       *nfsmount.FS
	hostname string
	pretty   string
}

// kernel does what a Linux kernel and its init do, from the first line to the
// prompt and on, until a reboot, a halt or the end of power.
func (b *booting) kernel(ctx context.Context) error {
	p := b.pi
	args, consoles := arguments(b.cmdline)
	// Without these two nothing is seen on the line; the Pi boots all the same.
	b.out.mute(!b.conf.UART || !slices.Contains(consoles, p.board.uart) && !slices.Contains(consoles, "ttyAMA0"))
	b.out.kernel("Booting Linux on physical CPU 0x0000000000 [%s]", p.board.cpu)
	b.out.kernel("Linux version %s (virtual) #1 SMP PREEMPT %s, %d bytes", release, b.kname, b.ksize)
	b.out.kernel("Machine model: %s", p.board.name)
	b.out.kernel("Kernel command line: %s", b.cmdline)
	b.out.kernel("Memory: %dK/%dK available", p.board.memory*1024*95/100, p.board.memory*1024)
	b.out.kernel("eth0: link is up, 1000 Mbit/s full duplex, %s", p.cfg.MAC)
	if args["ip"] == "" {
		return b.panicked("IP-Config: ip= is missing in cmdline.txt, so there is no address to mount the root with")
	}
	if err := b.kernelAddress(ctx); err != nil {
		return err
	}
	b.out.kernel("IP-Config: Complete: addr=%s, rootserver=%s", b.lease.address, b.lease.tftp.Addr())
	fs, err := b.mount(ctx)
	if err != nil {
		return err
	}
	defer fs.Close()
	s := &system{booting: b, fs: fs}
	if err := s.userland(ctx, or(args["init"], "")); err != nil {
		return err
	}
	return s.session(ctx)
}

// panicked prints a kernel's last words and returns them as an error.
func (b *booting) panicked(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	b.out.kernel("Kernel panic - not syncing: %v", err)
	return err
}

func (b *booting) mount(ctx context.Context) (*nfsmount.FS, error) {
	root, err := ParseRoot(b.cmdline, b.lease.address)
	if err != nil {
		return nil, b.panicked("VFS: Unable to mount root fs: %w", err)
	}
	where := fmt.Sprintf("%s:%s", root.Server, root.Path)
	cfg := nfsmount.Config{
		Inside: func(f func() error) error { return inside(b.pi.cfg.DHCP, f) },
		Local:  b.lease.address, Server: root.Server, Port: root.Port, MountPort: root.MountPort, Path: root.Path,
		Hostname: "caddy-" + b.pi.cfg.Serial, RSize: root.RSize, WSize: root.WSize,
		OnLost: func() { b.out.kernel("nfs: server %s not responding, still trying", root.Server) },
		OnBack: func() { b.out.kernel("nfs: server %s OK", root.Server) },
	}
	for try := 1; ; try++ {
		attempt, cancel := context.WithTimeout(ctx, mountTimeout)
		fs, err := nfsmount.Mount(attempt, cfg)
		if err == nil {
			_, err = fs.Stat(attempt, "/")
			if err != nil {
				fs.Close()
			}
		}
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil {
			b.out.kernel("VFS: Mounted root (nfs filesystem) on device 0:18.")
			b.pi.emit(StageMount, where)
			return fs, nil
		}
		b.out.kernel("VFS: %v", err)
		if try == mountTries {
			return nil, b.panicked("VFS: Unable to mount root fs via NFS from %s: %w", where, err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(mountPause):
		}
	}
}

// userland is what comes between the mounted root and the prompt.
func (s *system) userland(ctx context.Context, init string) error {
	programs := inits
	if init != "" {
		programs = []string{init}
	}
	if err := s.readInit(ctx, programs); err != nil {
		return err
	}
	s.pretty = "Linux"
	if text, err := s.fs.ReadFile(ctx, "/etc/os-release", textLimit); err == nil {
		s.pretty = or(field(text, "PRETTY_NAME"), s.pretty)
	} else if ctx.Err() != nil {
		return ctx.Err()
	} else {
		s.out.printf("init: /etc/os-release: %v", err)
	}
	s.out.printf("\nWelcome to %s!\n", s.pretty)
	s.hostname = "raspberrypi"
	if text, err := s.fs.ReadFile(ctx, "/etc/hostname", textLimit); err == nil {
		if name := strings.Fields(printable(text)); len(name) > 0 {
			s.hostname = name[0]
		}
	}
	if err := s.prove(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.out.printf("[FAILED] %v", err)
		return err
	}
	s.run.setHonours(s.conf.HasOverlay("gpio-shutdown"))
	return nil
}

// readInit reads the first of the programs that is there, whole.
func (s *system) readInit(ctx context.Context, programs []string) error {
	for _, name := range programs {
		var head bytes.Buffer
		var size int64
		attr, err := s.fs.Stat(ctx, name)
		if err == nil && attr.FileMode&0o111 == 0 {
			err = nfsmount.ErrAccess
		}
		if err == nil {
			err = s.fs.Read(ctx, name, func(p []byte) error {
				size += int64(len(p))
				head.Write(p[:min(len(p), max(0, 64-head.Len()))])
				return nil
			})
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			err = runs(head.Bytes(), size)
		}
		if err == nil {
			s.out.kernel("Run %s as init process", name)
			s.pi.emit(StageInit, name)
			return nil
		}
		if !errors.Is(err, nfsmount.ErrNotFound) {
			s.out.kernel("Failed to execute %s: %v", name, err)
		}
	}
	return s.panicked("No working init found. Try passing init= option to kernel.")
}

// runs tells whether a program could be meant for this machine.
func runs(head []byte, size int64) error {
	if size == 0 {
		return errors.New("exec format error: the file is empty")
	}
	if !bytes.HasPrefix(head, []byte(elf.ELFMAG)) || len(head) < 20 {
		return nil // a script, or what a test put there
	}
	switch m := elf.Machine(uint16(head[18]) | uint16(head[19])<<8); m {
	case elf.EM_AARCH64, elf.EM_ARM:
		return nil
	default:
		return fmt.Errorf("exec format error: the program is for %v, not for ARM", m)
	}
}

// prove writes a file in the root and reads it back.
func (s *system) prove(ctx context.Context) error {
	dir := "/var/lib"
	if a, err := s.fs.Stat(ctx, dir); err != nil || !a.IsDir() {
		dir = "/etc"
	}
	name := path.Join(dir, bootFile)
	want := fmt.Appendf(nil, "serial=%s mac=%s booted=%s\n", s.pi.cfg.Serial, s.pi.cfg.MAC, time.Now().UTC().Format(time.RFC3339Nano))
	if err := s.fs.WriteFile(ctx, name, want, 0o644); err != nil {
		return err
	}
	got, err := s.fs.ReadFile(ctx, name, textLimit)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s reads back as %.100q, not as it was written", name, got)
	}
	s.out.printf("[  OK  ] Wrote %s", name)
	return nil
}

// leave stops the system in good order.
func (s *system) leave(ctx context.Context, how string) {
	s.out.printf("\n[  OK  ] Stopped all services.")
	ctx, cancel := context.WithTimeout(ctx, unmountWait)
	defer cancel()
	if err := s.fs.Unmount(ctx); err != nil {
		s.out.kernel("unmounting the root: %v", err)
	}
	s.out.kernel("reboot: %s", how)
}

// field returns a value of a file of NAME=value lines.
func field(text []byte, name string) string {
	for line := range strings.Lines(printable(text)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			return strings.Trim(v, `"'`)
		}
	}
	return ""
}

// printable leaves out of an image's text what would act on a terminal.
func printable(text []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, string(text))
}
