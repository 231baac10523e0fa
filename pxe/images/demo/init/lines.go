package main

import (
	"errors"
	"io"
	"os"

	"golang.org/x/term"
)

// errInterrupted means that ^C was typed at the prompt.
var errInterrupted = errors.New("interrupted")

// What the terminal sends for keys.
const (
	keyCtrlC = 0x03
	keyEnd   = 0x05 // ^E
	keyKill  = 0x15 // ^U
)

// lines reads lines from a terminal, with editing and a history.
type lines struct {
	tty  *os.File
	term *term.Terminal
	// interrupted is set when ^C came; only touched while reading.
	interrupted bool
}

func newLines(tty *os.File, out io.Writer) *lines {
	l := &lines{tty: tty}
	l.term = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{l, out}, "")
	return l
}

// Read passes keys on. The editor ends its input at ^C as at ^D, so ^C becomes
// "go to the end, erase the line, return" and is remembered.
func (l *lines) Read(b []byte) (int, error) {
	if len(b) < 3 {
		return 0, io.ErrShortBuffer
	}
	n, err := l.tty.Read(b[:len(b)-2])
	for i, c := range b[:n] {
		if c == keyCtrlC {
			l.interrupted = true
			// What was typed after it is lost, as in any shell.
			return i + copy(b[i:], []byte{keyEnd, keyKill, '\r'}), err
		}
	}
	return n, err
}

// read returns the next line. The terminal is raw only meanwhile, so that ^C
// reaches commands as a signal.
func (l *lines) read(prompt string) (string, error) {
	fd := int(l.tty.Fd())
	if old, err := term.MakeRaw(fd); err == nil {
		defer term.Restore(fd, old) //nolint:errcheck // gone if it fails
	}
	width, height := 80, 24
	if w, h, err := term.GetSize(fd); err == nil && w > 0 && h > 0 {
		width, height = w, h
	}
	_ = l.term.SetSize(width, height) // cannot fail before the first line
	l.term.SetPrompt(prompt)
	l.interrupted = false
	line, err := l.term.ReadLine()
	if errors.Is(err, term.ErrPasteIndicator) {
		err = nil
	}
	if l.interrupted {
		return "", errInterrupted
	}
	return line, err
}
