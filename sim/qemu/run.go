package qemu

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"caddyshack/sim/pi"
)

// Run runs a guest until it ends, or is killed when ctx ends.
func (m *Machine) Run(ctx context.Context, l pi.Loaded) error {
	if err := m.cfg.Starts.wait(ctx); err != nil {
		return err
	}
	netdev, cmdline, end, err := m.network(ctx, l)
	if err != nil {
		return err
	}
	defer end()
	control, theirs, err := newControl()
	if err != nil {
		return err
	}
	defer control.close()
	var words lastWords
	cmd := exec.CommandContext(ctx, m.cfg.Program, m.arguments(l, cmdline, netdev)...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = l.Output, &words, []*os.File{theirs}
	keys, err := cmd.StdinPipe()
	if err != nil {
		_ = theirs.Close()
		return fmt.Errorf("starting %s: %w", Program, err)
	}
	// The guest ends with this program, however that ends. The signal comes with
	// the end of the thread that started it, which is kept meanwhile.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m.log.Debug("starting a guest", "command", cmd.Args)
	err = cmd.Start()
	_ = theirs.Close() // QEMU has it
	if err != nil {
		return fmt.Errorf("starting %s: %w", Program, err)
	}
	helped, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(control.listen)
	work.Go(func() { typeKeys(helped, keys, l.Typed) })
	work.Go(func() { pressKey(helped, control, l.Shutdown) })
	err = cmd.Wait()
	stop()
	work.Wait()
	return ending(ctx, control.reason, err, &words)
}

// ending tells how a guest ended: what QEMU gave as the reason, and its exit.
func ending(ctx context.Context, reason string, exit error, words *lastWords) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case reason == "guest-shutdown":
		return pi.ErrHalt
	case reason == "guest-reset":
		return pi.ErrReboot
	case exit != nil:
		return fmt.Errorf("%s: %w: %s", Program, exit, words)
	}
	return fmt.Errorf("%s ended by itself: %s", Program, words)
}

// typeKeys passes on what is typed.
func typeKeys(ctx context.Context, keys io.Writer, typed func(context.Context, []byte) (int, error)) {
	buf := make([]byte, 1024)
	for {
		n, err := typed(ctx, buf)
		if err != nil {
			return
		}
		if _, err := keys.Write(buf[:n]); err != nil {
			return
		}
	}
}

// pressKey turns pulls of the shutdown pin into the power key. A system that
// is not up yet does not see it, as on a Pi.
func pressKey(ctx context.Context, c *control, shutdown <-chan struct{}) {
	if err := c.send(negotiate); err != nil {
		return // QEMU has ended, and Run tells
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-shutdown:
			if err := c.send(powerKey); err != nil {
				return
			}
		}
	}
}

// lastWords keeps the end of what a program complains of.
type lastWords struct {
	mu   sync.Mutex
	text []byte
}

// mostWords is how many bytes are kept.
const mostWords = 2000

func (w *lastWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	if n := len(w.text); n > mostWords {
		w.text = w.text[n-mostWords:]
	}
	return len(p), nil
}

func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := strings.TrimSpace(string(w.text)); s != "" {
		return s
	}
	return "it said nothing"
}
