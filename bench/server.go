package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is the program under measurement.
type server struct {
	machine *machine
	cmd     *exec.Cmd
	dir     string
	began   time.Time
	ended   chan struct{} // closed when the process is gone
	failure error         // how it ended; read after ended

	addr string // of the API, host:port
	mqtt string // tcp://host:port
}

// startLimit is how long a start may take; the first demo makes its image in the background.
const startLimit = 30 * time.Second

// launch starts the program without waiting for it. Its logs go to a file.
func (b *bench) launch(ctx context.Context, dir string, args ...string) (*server, error) {
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s := &server{machine: b.machine, dir: dir, ended: make(chan struct{})}
	s.cmd = exec.CommandContext(ctx, b.program, args...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = stopLimit
	s.began = time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w; `make build` builds it", b.program, err)
	}
	b.machine.add(s.cmd.Process.Pid)
	go func() {
		s.failure = s.cmd.Wait()
		b.machine.remove(s.cmd.Process.Pid)
		close(s.ended)
	}()
	return s, nil
}

// run starts the program and waits until it is ready.
func (b *bench) run(ctx context.Context, dir string, args ...string) (*server, error) {
	file := filepath.Join(dir, "ready.json")
	_ = os.Remove(file) // of an earlier start
	s, err := b.launch(ctx, dir, append(args, "--ready-file", file)...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		if text, err := os.ReadFile(file); err == nil {
			var r struct{ API, MQTT string }
			if err := json.Unmarshal(text, &r); err != nil {
				return nil, errors.Join(fmt.Errorf("reading the ready file: %w", err), s.stop())
			}
			s.addr, s.mqtt = strings.TrimPrefix(r.API, "http://"), r.MQTT
			return s, nil
		}
		select {
		case <-s.ended:
			return nil, fmt.Errorf("the program ended at its start: %w; it wrote:\n%s", s.failure, s.lastWords())
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("the program was not ready within %s; it wrote:\n%s", startLimit, s.lastWords()), s.stop())
		case <-time.After(time.Millisecond):
		}
	}
}

func (s *server) lastWords() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

const stopLimit = 12 * time.Second

// stop ends the program as systemd would.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
		if s.failure != nil {
			return fmt.Errorf("stopping the program: %w; it wrote:\n%s", s.failure, s.lastWords())
		}
		return nil
	case <-time.After(stopLimit):
		_ = s.cmd.Process.Kill()
		<-s.ended
		return fmt.Errorf("the program did not stop within %s", stopLimit)
	}
}

func (s *server) cpu() (time.Duration, error) { return cpuOf(s.cmd.Process.Pid) }

// resident is the memory of the process in RAM, in bytes.
func (s *server) resident() (int64, error) { return residentOf(s.cmd.Process.Pid) }

// residentOf is the same for any process.
func residentOf(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading a process's memory: %w", err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	f := strings.Fields(rest)
	if len(f) == 0 {
		return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
	}
	kib, err := strconv.ParseInt(f[0], 10, 64)
	return kib << 10, err
}

// serving is what a configuration of `serve` says; the rest is the default.
type serving struct {
	synchronous string
	api         string // host:port; "" = any port
	roles       string // TOML list; "" = all
	units       int    // accounts of backplane units on the embedded broker
}

// unitName and its password are those of the n-th backplane unit, from 0.
func unitName(n int) string     { return fmt.Sprintf("bpu-%d", n+1) }
func unitPassword(n int) string { return fmt.Sprintf("password-%d", n+1) }

const controllerPassword = "bench"

// configure writes a configuration with everything on and returns its path.
func configure(dir string, c serving) (string, error) {
	if c.api == "" {
		c.api = "127.0.0.1:0"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "state_dir = %q\n", filepath.Join(dir, "state"))
	if c.roles != "" {
		fmt.Fprintf(&b, "roles = %s\n", c.roles)
	}
	fmt.Fprintf(&b, "[api]\nlisten = %q\n[database]\nsynchronous = %q\n", c.api, c.synchronous)
	b.WriteString("[boot]\naddress = \"127.0.0.1\"\ntftp_listen = \"127.0.0.1:0\"\nnfs_listen = \"127.0.0.1:0\"\nphone_home_listen = \"127.0.0.1:0\"\ntree = \"unprivileged\"\n")
	b.WriteString("[console]\nlisten = \"127.0.0.1:0\"\n")
	fmt.Fprintf(&b, "[broker]\nlisten = \"127.0.0.1:0\"\npassword = %q\n", controllerPassword)
	for i := range c.units {
		fmt.Fprintf(&b, "[[broker.units]]\nid = %q\npassword = %q\n", unitName(i), unitPassword(i))
	}
	path := filepath.Join(dir, "config.toml")
	return path, os.WriteFile(path, []byte(b.String()), 0o600)
}

// serve starts `caddyshack serve` in a new folder below the scratch folder.
func (b *bench) serve(ctx context.Context, c serving) (*server, error) {
	dir, err := os.MkdirTemp(b.dir, "serve-")
	if err != nil {
		return nil, err
	}
	config, err := configure(dir, c)
	if err != nil {
		return nil, err
	}
	return b.run(ctx, dir, "serve", "--config", config)
}

// demo starts `caddyshack demo` with that many caddies.
func (b *bench) demo(ctx context.Context, caddies int, more ...string) (*server, error) {
	dir, err := os.MkdirTemp(b.dir, "demo-")
	if err != nil {
		return nil, err
	}
	return b.run(ctx, dir, append([]string{"demo", "--listen", "127.0.0.1:0", "--caddies", strconv.Itoa(caddies)}, more...)...)
}
