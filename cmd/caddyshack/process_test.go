package main

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patient is how long tests wait for what takes a second or a few: a busy machine
// and a slow disk are no faults.
const patient = 2 * time.Minute

// process is this test program as a command of caddyshack (see TestMain).
type process struct {
	name string
	cmd  *exec.Cmd
	log  string // the file of what it prints
	addr ready
	done chan error // how it ended; whoever takes it puts it back
}

// spawn starts the test program with the variables that make it a command. It
// returns once the ready file is there, or the process has ended. The process
// ends with the test at the latest.
func spawn(t *testing.T, dir, name, readyFile string, env ...string) *process {
	t.Helper()
	if err := os.Remove(readyFile); err != nil && !errors.Is(err, fs.ErrNotExist) { // of an earlier life
		t.Fatal(err)
	}
	p := &process{name: name, log: filepath.Join(dir, name+".log"), done: make(chan error, 1)}
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.cmd = exec.CommandContext(t.Context(), os.Args[0])
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(10 * time.Second):
			_ = p.cmd.Process.Kill()
			t.Errorf("%s did not end within 10 s", name)
		}
		if t.Failed() {
			t.Logf("%s:\n%s", name, p.printed())
		}
	})
	for deadline := time.Now().Add(patient); time.Now().Before(deadline); {
		if b, err := os.ReadFile(readyFile); err == nil {
			if err := json.Unmarshal(b, &p.addr); err != nil {
				t.Fatal(err)
			}
			return p
		}
		select {
		case err := <-p.done:
			p.done <- err
			return p
		case <-time.After(5 * time.Millisecond): // it is another process
		}
	}
	t.Fatalf("%s is not ready after %s\n%s", name, patient, p.printed())
	return nil
}

// mustRun expects that the process came to its ready file.
func (p *process) mustRun(t *testing.T) *process {
	t.Helper()
	if p.addr == (ready{}) {
		t.Fatalf("%s ended at its start: %v\n%s", p.name, p.end(t, patient), p.printed())
	}
	return p
}

func (p *process) printed() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// awaitOutput waits until the process has printed something.
func (p *process) awaitOutput(t *testing.T, want string) {
	t.Helper()
	deadline := time.Now().Add(patient)
	for !strings.Contains(p.printed(), want) {
		if time.Now().After(deadline) {
			t.Fatalf("%q was not printed within %s", want, patient)
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // polling another process
	}
}

// end waits until the process has ended, and tells how.
func (p *process) end(t *testing.T, within time.Duration) error {
	t.Helper()
	select {
	case err := <-p.done:
		p.done <- err
		return err
	case <-time.After(within):
		t.Fatalf("%s did not end within %s\n%s", p.name, within, p.printed())
		return nil
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.end(t, patient)
}

// stop ends the process as a person would, and expects a clean end.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.end(t, 10*time.Second); err != nil {
		t.Fatalf("%s ended with %v\n%s", p.name, err, p.printed())
	}
}

// request asks the API; an error means that the process is gone.
func (p *process) request(method, path, body string) (int, []byte, error) {
	req, err := http.NewRequest(method, p.addr.API+path, strings.NewReader(body)) //nolint:noctx // bounded by the client
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("X-OpenStack-Ironic-API-Version", "1.82")
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: patient}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, err
}
