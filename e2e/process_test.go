//go:build e2e

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a program that runs beside the test. Its output is shown if the
// test fails; it is killed when the test ends.
type process struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	outLog string // standard output
	errLog string // standard error
	exited chan struct{}
	err    error // of Wait, valid after exited
}

// start runs a program with extra environment variables.
func start(t testing.TB, name string, env []string, argv ...string) *process {
	t.Helper()
	return startTyping(t, name, nil, env, argv...)
}

// startTyping runs it with a standard input.
func startTyping(t testing.TB, name string, stdin *os.File, env []string, argv ...string) *process {
	t.Helper()
	dir := t.TempDir()
	p := &process{t: t, name: name, outLog: filepath.Join(dir, "out"), errLog: filepath.Join(dir, "err"), exited: make(chan struct{})}
	stdout, err := os.Create(p.outLog)
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	stderr, err := os.Create(p.errLog)
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	p.cmd = exec.Command(argv[0], argv[1:]...) //nolint:noctx // the test ends it below
	p.cmd.Env = append(os.Environ(), env...)
	if stdin != nil { // a nil file would not be taken for none
		p.cmd.Stdin = stdin
	}
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	// Ends with the test binary, however that ends; a group of its own keeps a
	// Ctrl-C at the terminal from it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() && p.err != nil {
			t.Logf("%s: %v\n--- stdout\n%s--- stderr\n%s", name, p.err, tail(p.stdout()), tail(p.stderr()))
		}
	})
	return p
}

func (p *process) stdout() string { return readFile(p.t, p.outLog) }
func (p *process) stderr() string { return readFile(p.t, p.errLog) }

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("sending %v to %s: %v", sig, p.name, err)
	}
}

// kill ends it as a power cut would.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// wait returns the exit code; -1 = ended by a signal.
func (p *process) wait(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(within):
		p.t.Fatalf("%s still runs after %s", p.name, within)
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		p.t.Fatalf("%s: %v", p.name, p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// runTimeout is for the slowest command, a deploy that may have to wait until the
// demo image is made.
const runTimeout = 5 * time.Minute

// run runs a command to its end.
func run(t testing.TB, env []string, argv ...string) result {
	t.Helper()
	p := start(t, filepath.Base(argv[0])+" "+strings.Join(argv[1:], " "), env, argv...)
	code := p.wait(runTimeout)
	return result{args: argv, code: code, stdout: p.stdout(), stderr: p.stderr()}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tail is the end of a long log, without the reads that went well: tests poll.
func tail(s string) string {
	var kept strings.Builder
	for line := range strings.Lines(s) {
		if !strings.Contains(line, "method=GET") || !strings.Contains(line, "status=200") {
			kept.WriteString(line)
		}
	}
	s = kept.String()
	const most = 8000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// eventually polls until ok, or fails the test with what was asked last.
func eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
