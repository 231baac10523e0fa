package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// interrupted is the exit status of what ^C ended.
const interrupted = 130

// shellMain is sh: interactive on a terminal, or -c COMMAND, or a file, or what
// comes on standard input.
func shellMain(args []string) int {
	for len(args) > 0 && (args[0] == "-l" || args[0] == "-i") {
		args = args[1:]
	}
	sh, err := newShell(os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sh:", err)
		return 1
	}
	switch {
	case len(args) >= 2 && args[0] == "-c":
		sh.params(args[2:])
		return sh.script(strings.NewReader(args[1]), "sh")
	case len(args) > 0:
		f, err := os.Open(args[0])
		if err != nil {
			fmt.Fprintln(os.Stderr, "sh:", err)
			return 127
		}
		defer f.Close() //nolint:errcheck // read only
		sh.params(args[1:])
		return sh.script(f, args[0])
	case term.IsTerminal(int(os.Stdin.Fd())):
		return sh.interactive(os.Stdin)
	}
	return sh.script(os.Stdin, "stdin")
}

// shell runs commands of the POSIX shell language (and some of bash).
type shell struct {
	runner *interp.Runner
	stdout io.Writer
	stderr io.Writer
	// interrupts ends the command that runs.
	interrupts chan os.Signal
}

func newShell(stdin io.Reader, stdout, stderr io.Writer) (*shell, error) {
	sh := &shell{stdout: stdout, stderr: stderr, interrupts: make(chan os.Signal, 1)}
	var err error
	sh.runner, err = interp.New(
		interp.StdIO(stdin, stdout, stderr),
		interp.Env(expand.ListEnviron(os.Environ()...)),
		interp.ExecHandlers(func(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
			return func(ctx context.Context, args []string) error { return execute(ctx, args, next) }
		}),
	)
	return sh, err
}

// execute runs one of our own commands without a new process, or a program.
func execute(ctx context.Context, args []string, next interp.ExecHandlerFunc) error {
	name := args[0]
	if dir := filepath.Dir(name); dir == "/bin" || dir == "/sbin" {
		name = filepath.Base(name)
	}
	run, ok := applets()[name]
	if !ok {
		return next(ctx, args)
	}
	hc := interp.HandlerCtx(ctx)
	c := &call{ctx: ctx, args: args, dir: hc.Dir, stdin: hc.Stdin, stdout: hc.Stdout, stderr: hc.Stderr}
	hc.Env.Each(func(name string, v expand.Variable) bool {
		if v.Exported && v.Kind == expand.String {
			c.env = append(c.env, name+"="+v.Str)
		}
		return true
	})
	if code := c.run(run); code != 0 {
		return interp.NewExitStatus(uint8(code))
	}
	return nil
}

func (sh *shell) params(args []string) {
	_ = interp.Params(append([]string{"--"}, args...)...)(sh.runner) // "--" makes any arguments valid
}

// script runs a whole input and returns its exit status.
func (sh *shell) script(r io.Reader, name string) int {
	file, err := syntax.NewParser().Parse(r, name)
	if err != nil {
		fmt.Fprintln(sh.stderr, "sh:", err)
		return 2
	}
	signal.Notify(sh.interrupts, os.Interrupt)
	return sh.run(file.Stmts)
}

// run runs statements until they end or ^C comes, and returns the exit status
// of the last.
func (sh *shell) run(stmts []*syntax.Stmt) int {
	select {
	case <-sh.interrupts: // from before
	default:
	}
	ctx, cancel := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-sh.interrupts:
			cancel()
		case <-ctx.Done():
		}
	})
	defer watch.Wait() // so that it does not take a ^C that is for the next command
	defer cancel()
	code := 0
	for _, stmt := range stmts {
		code = sh.status(sh.runner.Run(ctx, stmt))
		if ctx.Err() != nil {
			return interrupted
		}
		if sh.runner.Exited() {
			break
		}
	}
	return code
}

// status turns an error of run into an exit status, reporting what is not one.
func (sh *shell) status(err error) int {
	code, exited := interp.IsExitStatus(err)
	switch {
	case err == nil:
		return 0
	case exited:
		return int(code)
	case errors.Is(err, context.Canceled):
		return interrupted
	}
	fmt.Fprintln(sh.stderr, "sh:", err)
	return 1
}

// interactive reads and runs commands from a terminal until it is left.
func (sh *shell) interactive(tty *os.File) int {
	signal.Notify(sh.interrupts, os.Interrupt)
	signal.Ignore(syscall.SIGQUIT, syscall.SIGTSTP)
	keepOutput(tty)
	sh.greet()
	in := newLines(tty, sh.stdout)
	code := 0
	var text strings.Builder // of a command of several lines
	for {
		prompt := sh.prompt()
		if text.Len() > 0 {
			prompt = "> "
		}
		line, err := in.read(prompt)
		switch {
		case errors.Is(err, errInterrupted):
			text.Reset()
			code = sh.interrupted()
			continue
		case err != nil:
			fmt.Fprintln(sh.stdout, "logout")
			return code
		}
		text.WriteString(line + "\n")
		p := syntax.NewParser()
		file, err := p.Parse(strings.NewReader(text.String()), "")
		if syntax.IsIncomplete(err) {
			continue
		}
		text.Reset()
		if err != nil {
			fmt.Fprintln(sh.stderr, "sh:", err)
			code = 2
			continue
		}
		code = sh.run(file.Stmts)
		if sh.runner.Exited() {
			return code
		}
		if code == interrupted {
			code = sh.interrupted()
			fmt.Fprintln(sh.stdout)
		}
	}
}

// interrupted makes $? tell of a ^C, whatever it ended.
func (sh *shell) interrupted() int {
	file, err := syntax.NewParser().Parse(strings.NewReader(fmt.Sprintf("(exit %d)", interrupted)), "")
	if err == nil {
		err = sh.runner.Run(context.Background(), file.Stmts[0])
	}
	return sh.status(err)
}

// keepOutput makes the terminal keep what is printed in answer to ^C: the kernel
// drops waiting output after it has sent the signal, with the new prompt in it
// if that is there already.
func keepOutput(tty *os.File) {
	t, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		return
	}
	t.Lflag |= unix.NOFLSH
	_ = unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, t) // as it was, then
}

// greet says where one is.
func (sh *shell) greet() {
	name, _ := os.Hostname()
	fmt.Fprintf(sh.stdout, "\n%s on %s, up %s\nType \"help\" for the commands.\n\n", systemName(), name, uptime().Round(time.Millisecond*10))
}

// systemName is PRETTY_NAME of /etc/os-release.
func systemName() string {
	b, err := os.ReadFile("/etc/os-release")
	if err == nil {
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
				return strings.Trim(v, `"`)
			}
		}
	}
	return "Linux"
}

func (sh *shell) prompt() string {
	name, _ := os.Hostname()
	name, _, _ = strings.Cut(name, ".")
	dir := sh.runner.Dir
	if rest, ok := strings.CutPrefix(dir, "/root"); ok && (rest == "" || rest[0] == '/') {
		dir = "~" + rest
	}
	return fmt.Sprintf("root@%s:%s# ", name, dir)
}
