package console

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openDevice opens a terminal device raw at 115200 8N1 without flow control,
// the setting of a Raspberry Pi's console. It is opened non-blocking, so that
// Go's poller can interrupt a write that the other end never takes: a pty
// whose master is not read would otherwise hold a goroutine for ever.
func openDevice(path string) (serialConn, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := setRaw(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("setting up serial device %q: %w", path, err)
	}
	return f, nil
}

func setRaw(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var ioErr error
	if err := raw.Control(func(fd uintptr) { ioErr = setRawFD(int(fd)) }); err != nil {
		return err
	}
	return ioErr
}

func setRawFD(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("not a serial device: %w", err)
	}
	t.Iflag = unix.IGNBRK
	t.Oflag = 0
	t.Lflag = 0
	// CLOCAL ignores the modem lines; without HUPCL closing does not drop DTR.
	t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200
	t.Ispeed, t.Ospeed = unix.B115200, unix.B115200
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return err
	}
	// Two readers would each get half of the output. Root may still open it.
	return unix.IoctlSetInt(fd, unix.TIOCEXCL, 0)
}
