// Command init is all of the demo image's user land: process 1, a shell, the
// commands that the shell offers and an ssh server, in one static program that
// is called by different names.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	name := filepath.Base(os.Args[0])
	switch {
	case os.Getpid() == 1:
		boot()
	case name == "sh" || name == "-sh":
		os.Exit(shellMain(os.Args[1:]))
	case name == "sshd":
		os.Exit(sshdMain())
	default:
		os.Exit(appletMain(name))
	}
}

// appletMain runs one command as a process of its own.
func appletMain(name string) int {
	args := os.Args
	if name == "init" && len(args) > 1 { // "init ls -l", for roots without links
		args, name = args[1:], filepath.Base(args[1])
	}
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := &call{ctx: ctx, args: args, dir: dir, env: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	run, ok := applets()[name]
	if !ok {
		c.failf("no such command; \"help\" lists them")
		return 127
	}
	return c.run(run)
}
