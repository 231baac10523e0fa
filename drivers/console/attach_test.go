package console

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// answer plays a shell on the far end of a line: it repeats each line.
func answer(far net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := far.Read(buf)
		if err != nil {
			return
		}
		_, _ = far.Write(append([]byte("got "), buf[:n]...))
	}
}

func TestAttachPipes(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{TypeSocat, TypeShellinabox} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			info := start(t, newService(t, nil), Spec{Port: m.port(), Type: kind})
			go answer(m.conn())
			var out bytes.Buffer
			// Not a terminal: neither escapes nor filters.
			in := "uptime \x1b]0;title\a \x1d\n~.\n" + strings.Repeat("z", 100<<10) + "end"
			err := Attach(testContext(t), info.URL, strings.NewReader(in), &out, AttachOptions{Quiet: 300 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.ReplaceAll(out.String(), "got ", ""); got != in {
				t.Errorf("%d bytes came back of %d: %.60q…", len(got), len(in), got)
			}
		})
	}
}

func TestAttachEndsWithTheConsole(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{TypeSocat, TypeShellinabox} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			s := newService(t, nil)
			info := start(t, s, Spec{Port: m.port(), Type: kind})
			in, typed := io.Pipe()
			t.Cleanup(func() { _ = typed.Close() })
			done := make(chan error, 1)
			go func() { done <- Attach(testContext(t), info.URL, in, io.Discard, AttachOptions{}) }()
			waitViewers(t, s, 1)
			if err := s.Stop(t.Context(), nodeID); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Errorf("Attach: %v", err)
			}
		})
	}
}

func TestAttachErrors(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	info := start(t, s, Spec{Port: "/dev/null", Type: TypeShellinabox})
	m := newMachine(t)
	gone := m.port()
	_ = m.ln.Close()
	for url, want := range map[string]string{
		gone:                                     "connecting to the console",
		info.URL[:len(info.URL)-1]:               "ask for it again",
		strings.Split(info.URL, "#")[0]:          "ask for it again",
		"ssh://localhost":                        `"ssh"`,
		"http://[::1#secret":                     "not a URL",
		"http" + strings.TrimPrefix(gone, "tcp"): "connecting to the console",
	} {
		err := Attach(testContext(t), url, strings.NewReader(""), io.Discard, AttachOptions{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q", url, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	in, typed := io.Pipe()
	t.Cleanup(func() { _ = typed.Close() })
	if err := Attach(ctx, info.URL, in, io.Discard, AttachOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// terminal is a person's terminal: the end that the person sees, and the end
// that the program gets.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, program, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = person.Close(), program.Close() })
	return person, program
}

func termios(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	tio, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *tio
}

func TestAttachOnATerminal(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]string{"ctrl-]": "\x1d", "tilde dot": "\r~."} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			s := newService(t, nil)
			info := start(t, s, Spec{Port: m.port(), Type: TypeShellinabox})
			far := m.conn()
			person, program := terminal(t)
			before := termios(t, program)
			done := make(chan error, 1)
			go func() {
				done <- Attach(testContext(t), info.URL, program, program, AttachOptions{Name: "caddy-3"})
			}()
			banner := expect(t, person, "\n")
			if !strings.Contains(banner, "caddy-3") || !strings.Contains(banner, "Ctrl-]") {
				t.Errorf("banner %q", banner)
			}
			if termios(t, program).Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 {
				t.Error("the terminal is not raw")
			}
			// ^C, ^D and a tilde within a line go to the node.
			write(t, person, "a\x03\x04b~.\r")
			expect(t, far, "a\x03\x04b~.\r")
			write(t, far, "\x1b[31mred \x1b]52;c;ZXZpbA==\aend")
			if got := expect(t, person, "end"); got != "\x1b[31mred end" {
				t.Errorf("the terminal got %q", got)
			}
			write(t, person, leave)
			if err := <-done; err != nil {
				t.Errorf("Attach: %v", err)
			}
			expect(t, person, "left the console")
			if after := termios(t, program); after != before {
				t.Errorf("the terminal was not restored:\n%+v\n%+v", before, after)
			}
			// The next key is for whatever runs next.
			write(t, person, "next\n")
			expect(t, program, "next\n")
		})
	}
}

func TestTerminalIsRestoredOnLoss(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	s := newService(t, nil)
	info := start(t, s, Spec{Port: m.port(), Type: TypeSocat})
	person, program := terminal(t)
	before := termios(t, program)
	done := make(chan error, 1)
	go func() { done <- Attach(testContext(t), info.URL, program, program, AttachOptions{}) }()
	waitViewers(t, s, 1)
	expect(t, person, "\n")
	if err := s.Stop(t.Context(), nodeID); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if after := termios(t, program); after != before {
		t.Error("the terminal was not restored")
	}
}

func TestEscape(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		send  string
		leave bool
	}{
		"ls\r":         {"ls\r", false},
		"~.":           {"", true},
		"a~.":          {"a~.", false},
		"a\r~.b":       {"a\r", true},
		"~~.":          {"~.", false},
		"~x":           {"~x", false},
		"~\r~.":        {"~\r", true},
		"ab\x1dc":      {"ab", true},
		"~":            {"", false},
		"~\x1d":        {"", true},
		"cd ~\r":       {"cd ~\r", false},
		"\n~~~.\r~~\r": {"\n~~.\r~\r", false},
	} {
		// All at once and byte by byte.
		for _, size := range []int{len(in), 1} {
			e := escape{lineStart: true}
			var send []byte
			leave := false
			for rest := in; rest != "" && !leave; rest = rest[size:] {
				var p []byte
				p, leave = e.scan([]byte(rest[:size]))
				send = append(send, p...)
			}
			if string(send) != want.send || leave != want.leave {
				t.Errorf("%q in pieces of %d: %q %v, want %q %v", in, size, send, leave, want.send, want.leave)
			}
		}
	}
}
