package pi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
)

// Computer runs what a Pi's firmware has fetched, in place of the simulated
// kernel. It may be used by one Pi.
type Computer interface {
	// UART is the kernel's name of the serial port; "" means the one of the
	// Pi's model.
	UART() string
	// Run runs a kernel. It returns [ErrHalt] or [ErrReboot] when the system has
	// ended so, and another error if it could not run. When ctx ends, power is
	// cut: Run stops at once and returns once nothing is left running.
	Run(ctx context.Context, l Loaded) error
}

// Loaded is what the firmware leaves in memory for the kernel.
type Loaded struct {
	Model   Model
	MAC     string
	Address netip.Addr
	// Kernel, DeviceTree and Initramfs are files; Initramfs may be "".
	Kernel, DeviceTree, Initramfs string
	Cmdline                       string
	// Output is the sending wire of the serial port; it does not wait for
	// whoever watches. Typed waits for bytes of the receiving one.
	Output io.Writer
	Typed  func(ctx context.Context, p []byte) (int, error)
	// Shutdown tells that the shutdown pin was pulled; nil if config.txt does
	// not ask for it.
	Shutdown <-chan struct{}
}

// How a system may end by itself.
var (
	ErrReboot = errors.New("reboot")
	ErrHalt   = errors.New("halt")
)

// Names of the fetched files in the Pi's folder.
const (
	kernelFile     = "kernel"
	deviceTreeFile = "device-tree"
	initramfsFile  = "initramfs"
)

// save fetches a file and appends it to one that the computer will read. With
// "" as its name, or without a computer, it is only counted.
func (b *booting) save(ctx context.Context, name, as string) (int64, error) {
	if b.pi.cfg.Computer == nil || as == "" {
		return b.client().fetch(ctx, b.prefix+name, nil)
	}
	f, err := os.OpenFile(filepath.Join(b.pi.cfg.Dir, as), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, fmt.Errorf("keeping %q: %w", name, err)
	}
	w := bufio.NewWriterSize(f, 256<<10)
	size, err := b.client().fetch(ctx, b.prefix+name, func(p []byte) { _, _ = w.Write(p) }) // Flush tells
	if err := errors.Join(err, w.Flush(), f.Close()); err != nil {
		return size, err
	}
	return size, nil
}

// emptyFolder makes a folder without the files of an earlier boot.
func (b *booting) emptyFolder() error {
	if b.pi.cfg.Computer == nil {
		return nil
	}
	if err := os.MkdirAll(b.pi.cfg.Dir, 0o750); err != nil {
		return err
	}
	for _, name := range []string{kernelFile, deviceTreeFile, initramfsFile} {
		if err := os.RemoveAll(filepath.Join(b.pi.cfg.Dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// compute hands over to the computer.
func (b *booting) compute(ctx context.Context) error {
	p := b.pi
	l := Loaded{
		Model: p.cfg.Model, MAC: p.cfg.MAC, Address: b.lease.address, Cmdline: b.cmdline, Output: b.out, Typed: p.cfg.Line.Read,
		Kernel: filepath.Join(p.cfg.Dir, kernelFile), DeviceTree: filepath.Join(p.cfg.Dir, deviceTreeFile),
	}
	if len(b.conf.Initramfs) > 0 {
		l.Initramfs = filepath.Join(p.cfg.Dir, initramfsFile)
	}
	b.out.mute(!b.conf.UART)
	if b.conf.HasOverlay("gpio-shutdown") {
		l.Shutdown = b.run.shutdown
		b.run.setHonours(true)
	}
	if p.cfg.DHCP != nil {
		// The system has the address from here on, with the same MAC.
		if err := p.cfg.DHCP.setAddress(lease{}); err != nil {
			return err
		}
	}
	return p.cfg.Computer.Run(ctx, l)
}
