// Package gomodules fetches files that come as Go modules, on the user's machine
// and with the user's own go command: what we must not hand on ourselves, such
// as firmware. The go command verifies them by a go.sum that is ours.
package gomodules

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// niceness of what is run: it must not slow down what the user waits for.
const niceness = 10

// Tool is a go command.
type Tool struct {
	// Path of the command; see Find.
	Path string
	// Home is the folder for its caches if the user has no home folder.
	Home string
	// Env is added to its environment, as KEY=VALUE.
	Env []string
}

// Find returns the path of the go command: the configured one, or if that is ""
// the one in PATH or in the usual places.
func Find(configured string) (string, error) {
	if configured != "" {
		return exec.LookPath(configured)
	}
	if p, err := exec.LookPath("go"); err == nil {
		return p, nil
	}
	for _, dir := range []string{"/usr/local/go/bin", "/usr/lib/go/bin", "/snap/bin", "/opt/homebrew/bin"} {
		if p, err := exec.LookPath(filepath.Join(dir, "go")); err == nil {
			return p, nil
		}
	}
	return "", errors.New("there is no go command in PATH to make it with; install Go (https://go.dev/dl)")
}

// Download brings modules that dir's go.mod requires into the module cache, verified by go.sum, and
// returns their folders.
func (t Tool) Download(ctx context.Context, dir string, modules ...string) (map[string]string, error) {
	out, err := t.Run(ctx, dir, append([]string{"mod", "download", "-json"}, modules...)...)
	folders := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var m struct{ Path, Dir, Error string }
		if d.Decode(&m) != nil {
			break
		}
		if m.Error != "" {
			return nil, explain(errors.New(m.Error), m.Error)
		}
		folders[m.Path] = m.Dir
	}
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		if folders[m] == "" {
			return nil, fmt.Errorf("the go command did not tell where module %s is", m)
		}
	}
	return folders, nil
}

// Run runs the go command in dir at low priority and returns its output. cgo is
// off and go.mod is not changed.
func (t Tool) Run(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, t.Path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GO111MODULE=on", "GOWORK=off", "GOFLAGS=-mod=readonly",
		"CGO_ENABLED=0", "PWD="+dir)
	if os.Getenv("HOME") == "" { // a service
		cmd.Env = append(cmd.Env, "GOPATH="+filepath.Join(t.Home, "gopath"), "GOCACHE="+filepath.Join(t.Home, "gocache"))
	}
	cmd.Env = append(cmd.Env, t.Env...)
	var out, trouble bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &trouble
	// A group of its own, with the compilers in it, ends as one, and with us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	// The death signal comes when the thread that started the command ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	if err == nil {
		_ = unix.Setpriority(unix.PRIO_PGRP, cmd.Process.Pid, niceness) // best effort
		err = cmd.Wait()
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return out.Bytes(), explain(fmt.Errorf("go %s: %w", args[0], err), trouble.String())
	}
	return out.Bytes(), nil
}

// explain adds to err what the go command said and what to do about it.
func explain(err error, output string) error {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	said := strings.TrimSpace(strings.Join(lines[max(0, len(lines)-3):], "; "))
	hint := "run it again with a network connection"
	switch {
	case strings.Contains(output, "no space left"):
		hint = "free some space on the disk"
	case strings.Contains(output, "requires go >="):
		hint = "install a newer Go (https://go.dev/dl)"
	case strings.Contains(output, "checksum mismatch") || strings.Contains(output, "SECURITY ERROR"):
		hint = "a module is not what it should be; do not trust the module proxy in use"
	case strings.Contains(output, "GOPROXY=off") || strings.Contains(output, "GOFLAGS=-mod=vendor"):
		hint = "allow the go command to fetch modules (go env -u GOPROXY)"
	case strings.Contains(output, "dial tcp") || strings.Contains(output, "no such host") || strings.Contains(output, "i/o timeout") ||
		strings.Contains(output, "connection refused") || strings.Contains(output, "unreachable"):
		hint = "the module proxy cannot be reached; connect to the network, or set GOPROXY to a proxy that can be reached, and start again"
	}
	if said != "" && !strings.Contains(err.Error(), said) {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return fmt.Errorf("%w (%s)", err, hint)
}
