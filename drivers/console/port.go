package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// openTimeout bounds one attempt to open a serial line.
const openTimeout = 5 * time.Second

// serialConn is an open serial line. Close interrupts a pending Read or Write.
type serialConn interface {
	io.ReadWriteCloser
	SetWriteDeadline(t time.Time) error
}

// CheckPort tells whether port is well formed: tcp://HOST:PORT or the absolute
// path of a device. It opens nothing.
func CheckPort(port string) error {
	_, err := tcpAddress(port)
	if err == nil || !errors.Is(err, errNotTCP) {
		return err
	}
	if !filepath.IsAbs(port) {
		return fmt.Errorf("console port %q: want the absolute path of a serial device, "+
			"for example one below /dev/serial/by-path, or tcp://HOST:PORT", port)
	}
	return nil
}

// ProbePort tells whether the serial line can be opened now. A device is looked
// at but not opened, since opening would raise its modem lines; a TCP port is
// connected to once.
func ProbePort(ctx context.Context, port string) error {
	if err := CheckPort(port); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if addr, err := tcpAddress(port); err == nil {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return fmt.Errorf("console port %q does not answer: %w", port, err)
		}
		return c.Close()
	}
	st, err := os.Stat(port)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("console port %q does not exist: is the USB serial adapter plugged in?", port)
	}
	if err != nil {
		return fmt.Errorf("looking at console port: %w", err)
	}
	if st.Mode()&os.ModeCharDevice == 0 {
		return fmt.Errorf("console port %q is not a serial device", port)
	}
	if err := unix.Access(port, unix.R_OK|unix.W_OK); err != nil {
		return fmt.Errorf("console port %q may not be opened (%w): add caddyshack's user to the group that owns it, often \"dialout\"", port, err)
	}
	return nil
}

var errNotTCP = errors.New("not a tcp:// address")

func tcpAddress(port string) (string, error) {
	u, err := url.Parse(port)
	if err != nil || u.Scheme != "tcp" {
		return "", errNotTCP
	}
	n, err := strconv.Atoi(u.Port())
	if err != nil || n < 1 || n > 65535 || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return "", fmt.Errorf("console port %q: want tcp://HOST:PORT", port)
	}
	return u.Host, nil
}

// openPort opens a serial line: a device at 115200 8N1, or a TCP connection.
func openPort(ctx context.Context, port string) (serialConn, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	addr, err := tcpAddress(port)
	if err != nil {
		return openDevice(port)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}
