package qemu

import (
	"encoding/json"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// control is a connection to QEMU's machine protocol (QMP).
type control struct {
	conn   net.Conn
	reason string // of the guest's end, as QEMU names it; set by listen
}

// newControl makes the two ends of a connection: ours, and the one that QEMU
// inherits.
func newControl() (_ *control, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making QEMU's control socket: %w", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), "control")
	ours := os.NewFile(uintptr(fds[0]), "control")
	defer func() { _ = ours.Close() }() // FileConn has a copy
	conn, err := net.FileConn(ours)
	if err != nil {
		_ = theirs.Close()
		return nil, nil, fmt.Errorf("making QEMU's control socket: %w", err)
	}
	return &control{conn: conn}, theirs, nil
}

// message is what of QEMU's messages matters here.
type message struct {
	Event string `json:"event"`
	Data  struct {
		Reason string `json:"reason"`
	} `json:"data"`
}

// listen reads until QEMU ends.
func (c *control) listen() {
	for d := json.NewDecoder(c.conn); ; {
		var m message
		if err := d.Decode(&m); err != nil {
			return
		}
		if m.Event == "SHUTDOWN" {
			c.reason = m.Data.Reason
		}
	}
}

func (c *control) close() { _ = c.conn.Close() }

// send gives commands; QEMU's answers are not waited for.
func (c *control) send(commands ...string) error {
	for _, text := range commands {
		if _, err := c.conn.Write([]byte(text + "\n")); err != nil {
			return fmt.Errorf("talking to QEMU: %w", err)
		}
	}
	return nil
}

// negotiate is the command that comes first.
const negotiate = `{"execute":"qmp_capabilities"}`
