package pi

import (
	"context"
	"errors"
	"strings"
	"sync"
)

const (
	keyInterrupt = 0x03
	keyErase     = 0x08
	keyKill      = 0x15
	keyEscape    = 0x1b
	keyDelete    = 0x7f
	// maxLine is the longest line that can be typed, and maxAhead how much
	// can be typed while a command runs.
	maxLine  = 1024
	maxAhead = 4096
)

// editor turns typed bytes into lines, and echoes them.
type editor struct {
	out    *output
	line   []byte
	escape int  // how far into an escape sequence, which is left out
	cr     bool // the byte before was a carriage return
}

// key takes one byte. It tells when a line is complete.
func (e *editor) key(c byte) (line string, done bool) {
	wasCR := e.cr
	e.cr = c == '\r'
	switch {
	case e.escape == 1:
		e.escape = 0
		if c == '[' || c == 'O' {
			e.escape = 2
		}
	case e.escape == 2:
		if c >= '@' && c <= '~' {
			e.escape = 0
		}
	case c == keyEscape:
		e.escape = 1
	case c == '\n' && wasCR:
	case c == '\r', c == '\n':
		line, e.line = string(e.line), nil
		e.echo("\r\n")
		return line, true
	case c == keyInterrupt:
		e.line = nil
		e.echo("^C\r\n")
		return "", true
	case c == keyErase, c == keyDelete:
		if n := len(e.line); n > 0 {
			e.line = e.line[:n-1]
			e.echo("\b \b")
		}
	case c == keyKill:
		e.echo(strings.Repeat("\b \b", len(e.line)))
		e.line = nil
	case c < ' ', len(e.line) == maxLine:
	default:
		e.line = append(e.line, c)
		e.echo(string([]byte{c}))
	}
	return "", false
}

func (e *editor) echo(s string) {
	_, _ = e.out.Write([]byte(s)) // a line cannot fail
}

// session shows the prompt and answers what is typed, until the system ends.
func (s *system) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	typed := s.typed(ctx)
	edit := &editor{out: s.out}
	s.prompt()
	s.pi.emit(StageLogin, s.hostname)
	var telling sync.WaitGroup
	telling.Go(func() { s.phoneHome(ctx) })
	defer func() { cancel(); telling.Wait() }()

	var waiting []byte // typed while a command runs
	var done chan error
	stop := func() {}
	for {
		for done == nil && len(waiting) > 0 {
			c := waiting[0]
			waiting = waiting[1:]
			line, complete := edit.key(c)
			if !complete {
				continue
			}
			if args := strings.Fields(line); len(args) > 0 {
				done, stop = s.start(ctx, args)
			} else {
				s.prompt()
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.run.shutdown:
			stop()
			s.out.printf("\nPower key pressed. Powering down.")
			s.leave(ctx, "Power down")
			return ErrHalt
		case p := <-typed:
			if done != nil && strings.IndexByte(string(p), keyInterrupt) >= 0 {
				stop()
				waiting = nil
				edit.echo("^C\r\n")
				continue
			}
			waiting = append(waiting, p[:min(len(p), maxAhead-len(waiting))]...)
		case err := <-done:
			stop()
			done, stop = nil, func() {}
			if errors.Is(err, ErrReboot) || errors.Is(err, ErrHalt) {
				return err
			}
			s.prompt()
		}
	}
}

// typed reads the line until the context ends.
func (s *system) typed(ctx context.Context) <-chan []byte {
	c := make(chan []byte)
	go func() {
		for {
			buf := make([]byte, 256)
			n, err := s.pi.cfg.Line.Read(ctx, buf)
			if err != nil {
				return
			}
			select {
			case c <- buf[:n]:
			case <-ctx.Done():
				return
			}
		}
	}()
	return c
}

// start runs a command beside the keyboard.
func (s *system) start(ctx context.Context, args []string) (chan error, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.command(ctx, args) }()
	return done, cancel
}

func (s *system) prompt() {
	_, _ = s.out.Write([]byte("root@" + s.hostname + ":~# ")) // a line cannot fail
}
