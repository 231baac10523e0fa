package serial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// reopenPoll is how often to look whether somebody opened the terminal. The
// kernel can tell that nobody has it open, but cannot be waited on for the
// opposite.
const reopenPoll = 50 * time.Millisecond

// terminal is the master side of a pseudo terminal in raw mode.
type terminal struct {
	master *os.File
	slave  string // path of the other side
	link   string
	once   sync.Once
	err    error
}

func openTerminal(link string) (*terminal, error) {
	ptmx, tty, err := pty.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = ptmx.Close() }() // a duplicate is kept
	// Raw mode stays for all who open it later. Our own end is closed again,
	// so that the kernel can tell whether anybody else is there.
	_, err = term.MakeRaw(int(tty.Fd()))
	slave := tty.Name()
	err = errors.Join(err, tty.Close())
	if err != nil {
		return nil, fmt.Errorf("setting %s to raw mode: %w", slave, err)
	}
	// The library leaves the descriptor in blocking mode, where closing it
	// does not end a read.
	fd, err := unix.FcntlInt(ptmx.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	t := &terminal{master: os.NewFile(uintptr(fd), "/dev/ptmx"), slave: slave, link: link}
	if err := t.makeLink(); err != nil {
		_ = t.master.Close()
		return nil, err
	}
	return t, nil
}

// makeLink puts the link in place, over one that an earlier run left behind.
func (t *terminal) makeLink() error {
	if err := os.MkdirAll(filepath.Dir(t.link), 0o755); err != nil {
		return err
	}
	if info, err := os.Lstat(t.link); err == nil && info.Mode()&fs.ModeSymlink == 0 {
		return fmt.Errorf("%s exists and is not a symbolic link", t.link)
	}
	tmp := fmt.Sprintf("%s.%d", t.link, os.Getpid())
	if err := os.Symlink(t.slave, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, t.link); err != nil {
		_ = os.Remove(tmp)
		return err
	}
	return nil
}

// Close closes the terminal and removes the link, if it is still ours.
func (t *terminal) Close() error {
	t.once.Do(func() {
		if target, err := os.Readlink(t.link); err == nil && target == t.slave {
			t.err = os.Remove(t.link)
		}
		t.err = errors.Join(t.err, t.master.Close())
	})
	return t.err
}

// inUse tells whether somebody has the terminal open.
func (t *terminal) inUse() bool {
	raw, err := t.master.SyscallConn()
	if err != nil {
		return false
	}
	used := false
	err = raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd)}}
		_, err := unix.Poll(p, 0)
		used = err == nil && p[0].Revents&unix.POLLHUP == 0
	})
	return err == nil && used
}

// readTerminal takes what is typed.
func (l *Line) readTerminal(ctx context.Context) {
	buf := make([]byte, chunk)
	for ctx.Err() == nil {
		n, err := l.pty.master.Read(buf)
		l.input.put(buf[:n])
		if err != nil && !wait(ctx, reopenPoll) { // EIO: nobody has it open
			return
		}
	}
}

// writeTerminal passes on what the device prints, while somebody is there.
func (l *Line) writeTerminal(ctx context.Context, out *queue) {
	buf := make([]byte, chunk)
	for {
		n, err := out.get(ctx, buf)
		if err != nil {
			return // the context has ended
		}
		// A reader that stands still fills the kernel's buffer; then bytes are
		// lost, here or in the queue.
		if err := l.pty.master.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			l.log.Warn("setting a deadline on the serial line's terminal", "err", err)
		}
		if _, err := l.pty.master.Write(buf[:n]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
			l.log.Debug("writing to the serial line's terminal", "err", err)
		}
	}
}

// wait pauses, and tells whether the context still holds.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
