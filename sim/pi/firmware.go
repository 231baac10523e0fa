package pi

import (
	"context"
	"errors"
	"fmt"
)

// booting is one attempt to boot.
type booting struct {
	pi  *Pi
	run *run
	out *output

	lease   lease
	prefix  string // of all names
	conf    BootConfig
	cmdline string
	kname   string
	ksize   int64
}

// textLimit is the longest configuration file that the firmware takes.
const textLimit = 64 << 10

// firmware does what happens before the kernel runs: it fetches all files in
// the order of the model.
func (b *booting) firmware(ctx context.Context) error {
	p := b.pi
	b.out.printf("\n%s: boot loader, serial %s, MAC %s", p.board.name, p.cfg.Serial, p.cfg.MAC)
	b.out.printf("Boot mode: NETWORK, link up 1000 Mbit/s full duplex")
	if err := b.acquire(ctx); err != nil {
		return err
	}
	b.out.printf("Address %s, TFTP server %s", b.lease.address, b.lease.tftp)
	if p.board.rom {
		if err := b.rom(ctx); err != nil {
			return err
		}
	}
	if err := b.findPrefix(ctx); err != nil {
		return err
	}
	if err := b.secondStage(ctx); err != nil {
		return err
	}
	return b.load(ctx)
}

// rom is the first stage of a Pi 3, which fetches its loader from the root of
// the server without any options.
func (b *booting) rom(ctx context.Context) error {
	plain := b.client()
	plain.blksize = 0
	if _, err := plain.fetch(ctx, "bootcode.bin", nil); err != nil {
		return err
	}
	if _, err := plain.fetch(ctx, "bootsig.bin", nil); err != nil && !errors.Is(err, errMissing) {
		return err
	}
	return nil
}

func (b *booting) client() *tftpClient {
	return &tftpClient{local: b.lease.address, server: b.lease.tftp, blksize: b.pi.board.blksize, net: b.pi.cfg.DHCP}
}

// findPrefix tells whether this Pi has files under its serial number. If not
// it asks without any prefix.
func (b *booting) findPrefix(ctx context.Context) error {
	for _, prefix := range []string{b.pi.cfg.Serial + "/", ""} {
		for _, name := range b.pi.board.start {
			ok, err := b.client().exists(ctx, prefix+name)
			if err != nil {
				return err
			}
			if ok {
				b.prefix = prefix
				return nil
			}
		}
	}
	return fmt.Errorf("the TFTP server has no %s, neither under %s/ nor in its root", b.pi.board.start[0], b.pi.cfg.Serial)
}

// secondStage fetches the firmware proper and config.txt.
func (b *booting) secondStage(ctx context.Context) error {
	board := b.pi.board
	if board.rom {
		if err := b.try(ctx, "autoboot.txt"); err != nil {
			return err
		}
	}
	if err := b.readConfig(ctx); err != nil {
		return err
	}
	for _, name := range board.before {
		if err := b.try(ctx, name); err != nil {
			return err
		}
	}
	if b.pi.cfg.Model != Pi5 {
		if err := b.must(ctx, or(b.conf.StartFile, board.start[0])); err != nil {
			return err
		}
		if err := b.try(ctx, or(b.conf.FixupFile, board.fixup)); err != nil {
			return err
		}
	}
	for _, name := range board.after {
		if name == "config.txt" {
			if err := b.readConfig(ctx); err != nil {
				return err
			}
		} else if err := b.try(ctx, name); err != nil {
			return err
		}
	}
	b.pi.emit(StageConfig, b.prefix)
	return nil
}

// load fetches what belongs to the operating system.
func (b *booting) load(ctx context.Context) error {
	board, os := b.pi.board, b.conf.Prefix
	b.out.mute(!b.conf.Verbose)
	defer b.out.mute(false)
	if err := b.emptyFolder(); err != nil {
		return err
	}
	for _, name := range b.conf.Initramfs {
		if err := b.need(ctx, os+name, initramfsFile); err != nil {
			return err
		}
	}
	if err := b.need(ctx, os+or(b.conf.DeviceTree, board.tree), deviceTreeFile); err != nil {
		return err
	}
	if len(b.conf.Overlays) > 0 && board.overlayMap != "" {
		if err := b.try(ctx, os+board.overlayMap); err != nil {
			return err
		}
	}
	for _, name := range b.conf.Overlays {
		if err := b.try(ctx, os+"overlays/"+name+".dtbo"); err != nil {
			return err
		}
	}
	text, err := b.text(ctx, os+b.conf.Cmdline)
	if err != nil {
		return err
	}
	uart := ""
	if b.pi.cfg.Computer != nil {
		uart = b.pi.cfg.Computer.UART()
	}
	b.cmdline = FirmwareCmdline(text, b.pi.cfg.Model, &b.conf, b.pi.cfg.MAC, uart)
	for _, name := range board.noise {
		if err := b.try(ctx, name); err != nil {
			return err
		}
	}
	if err := b.loadKernel(ctx); err != nil {
		return err
	}
	if board.stub == "" {
		return nil
	}
	return b.try(ctx, board.stub)
}

func (b *booting) loadKernel(ctx context.Context) error {
	names := b.pi.board.kernels32
	if b.conf.Arm64 {
		names = b.pi.board.kernels64
	}
	if b.conf.Kernel != "" {
		names = []string{b.conf.Kernel}
	}
	for _, name := range names {
		size, err := b.save(ctx, b.conf.Prefix+name, kernelFile)
		if errors.Is(err, errMissing) {
			b.out.printf("%s%s: not found", b.prefix, b.conf.Prefix+name)
			continue
		}
		if err != nil {
			return err
		}
		if size == 0 {
			return fmt.Errorf("the kernel %q is empty", name)
		}
		b.out.printf("%s%s: %d bytes", b.prefix, b.conf.Prefix+name, size)
		b.kname, b.ksize = name, size
		b.pi.emit(StageKernel, name)
		return nil
	}
	return fmt.Errorf("kernel %q not found", b.conf.Prefix+names[0])
}

// readConfig fetches config.txt. A Pi boots without one, too.
func (b *booting) readConfig(ctx context.Context) error {
	text, err := b.text(ctx, "config.txt")
	if err != nil {
		return err
	}
	b.conf = ParseConfig(text, b.pi.cfg.Model, b.pi.serial)
	return nil
}

// text fetches a small file; it is empty if it is missing.
func (b *booting) text(ctx context.Context, name string) ([]byte, error) {
	var text []byte
	_, err := b.client().fetch(ctx, b.prefix+name, func(p []byte) {
		if len(text) < textLimit {
			text = append(text, p...)
		}
	})
	if errors.Is(err, errMissing) {
		b.out.printf("%s%s: not found", b.prefix, name)
		return nil, nil
	}
	if err == nil {
		b.out.printf("%s%s: %d bytes", b.prefix, name, len(text))
	}
	return text, err
}

// try fetches a file that may be missing.
func (b *booting) try(ctx context.Context, name string) error {
	if err := b.must(ctx, name); err != nil && !errors.Is(err, errMissing) {
		return err
	}
	return nil
}

// must fetches a file without which there is no going on.
func (b *booting) must(ctx context.Context, name string) error {
	return b.need(ctx, name, "")
}

// need is must for a file that the computer will read under another name; ""
// means that it does not.
func (b *booting) need(ctx context.Context, name, as string) error {
	size, err := b.save(ctx, name, as)
	if errors.Is(err, errMissing) {
		b.out.printf("%s%s: not found", b.prefix, name)
	} else if err == nil {
		b.out.printf("%s%s: %d bytes", b.prefix, name, size)
	}
	return err
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
