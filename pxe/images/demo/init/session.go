package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// session is one session channel of RFC 4254, section 6.
type session struct {
	ch    ssh.Channel
	shell string
	env   []string
	// ptmx and tty are set once a terminal was asked for.
	ptmx, tty *os.File
	cmd       *exec.Cmd
}

// serve answers the requests of the channel until it is closed.
func (s *session) serve(requests <-chan *ssh.Request) {
	defer s.hangUp()
	for r := range requests {
		err := s.request(r)
		if r.WantReply {
			_ = r.Reply(err == nil, nil)
		}
	}
}

// request handles one request.
func (s *session) request(r *ssh.Request) error {
	switch r.Type {
	case "pty-req":
		var p struct {
			Term                         string
			Columns, Rows, Width, Height uint32
			Modes                        string
		}
		if err := ssh.Unmarshal(r.Payload, &p); err != nil || s.ptmx != nil {
			return errors.Join(err, errors.New("no second terminal"))
		}
		var err error
		if s.ptmx, s.tty, err = openPTY(); err != nil {
			return err
		}
		s.env = append(s.env, "TERM="+p.Term)
		return s.resize(p.Columns, p.Rows)
	case "window-change":
		var p struct{ Columns, Rows, Width, Height uint32 }
		if err := ssh.Unmarshal(r.Payload, &p); err != nil {
			return err
		}
		return s.resize(p.Columns, p.Rows)
	case "env":
		var p struct{ Name, Value string }
		if err := ssh.Unmarshal(r.Payload, &p); err != nil {
			return err
		}
		if p.Name != "LANG" && !strings.HasPrefix(p.Name, "LC_") {
			return fmt.Errorf("%q is not accepted", p.Name)
		}
		s.env = append(s.env, p.Name+"="+p.Value)
		return nil
	case "shell":
		return s.start("-sh")
	case "exec":
		var p struct{ Command string }
		if err := ssh.Unmarshal(r.Payload, &p); err != nil {
			return err
		}
		return s.start("sh", "-c", p.Command)
	}
	return fmt.Errorf("%q is not supported", r.Type)
}

func (s *session) resize(columns, rows uint32) error {
	if s.ptmx == nil {
		return errors.New("there is no terminal")
	}
	return unix.IoctlSetWinsize(int(s.ptmx.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(columns), Row: uint16(rows)})
}

// start starts the shell; its end ends the session.
func (s *session) start(args ...string) error {
	if s.cmd != nil {
		return errors.New("the session runs a command already")
	}
	cmd := &exec.Cmd{Path: s.shell, Args: args, Env: append(os.Environ(), s.env...)}
	if home := os.Getenv("HOME"); home != "" {
		cmd.Dir = home
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if s.ptmx != nil {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = s.tty, s.tty, s.tty
		cmd.SysProcAttr.Setctty = true
		if err := cmd.Start(); err != nil {
			return err
		}
		_ = s.tty.Close()
		s.cmd = cmd
		go func() { _, _ = io.Copy(s.ptmx, s.ch) }()
		go func() {
			_, _ = io.Copy(s.ch, s.ptmx) // ends with EIO when the shell is gone
			s.exit(cmd.Wait())
		}()
		return nil
	}
	cmd.Stdout, cmd.Stderr = s.ch, s.ch.Stderr()
	// Not cmd.Stdin: Wait would wait for the client's end of input.
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd = cmd
	go func() {
		_, _ = io.Copy(in, s.ch)
		_ = in.Close()
	}()
	go func() { s.exit(cmd.Wait()) }()
	return nil
}

// exit tells the client how the command ended.
func (s *session) exit(err error) {
	var code uint32
	var e *exec.ExitError
	if errors.As(err, &e) {
		code = uint32(max(e.ExitCode(), 1)) // -1 is the end by a signal
	} else if err != nil {
		code = 255
	}
	_, _ = s.ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{code}))
	_ = s.ch.Close()
}

// hangUp ends what runs when the client has gone.
func (s *session) hangUp() {
	_ = s.ch.Close()
	if s.cmd != nil {
		// The whole session; -pid is its first process group.
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGHUP)
	}
	if s.ptmx != nil {
		_ = s.ptmx.Close()
		_ = s.tty.Close()
	}
}

// openPTY returns both ends of a new pseudo terminal.
func openPTY() (ptmx, tty *os.File, err error) {
	ptmx, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	fd := int(ptmx.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(err, ptmx.Close())
	}
	return ptmx, tty, nil
}
