package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// call is one run of a command, in the shell's process or its own.
type call struct {
	ctx    context.Context
	args   []string // with the name
	dir    string
	env    []string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	failed bool
}

// applet is a command. It reports trouble with c.failf or returns an error.
type applet struct {
	run   func(c *call) error
	usage string // arguments
	help  string
}

// applets are the commands by name. (A function, since help lists them.)
func applets() map[string]applet {
	return map[string]applet{
		"cat":       {cat, "[FILE…]", "print files"},
		"chmod":     {chmod, "MODE FILE…", "change permissions (octal)"},
		"chown":     {chown, "UID[:GID] FILE…", "change owners (numbers)"},
		"clear":     {clearScreen, "", "clear the screen"},
		"cp":        {cp, "FILE… TARGET", "copy files"},
		"date":      {date, "", "print the time"},
		"df":        {df, "", "print free space"},
		"dmesg":     {dmesg, "", "print the kernel's log"},
		"env":       {printEnv, "", "print the environment"},
		"free":      {free, "", "print free memory"},
		"grep":      {grep, "[-v] PATTERN [FILE…]", "print lines that match"},
		"halt":      {end(sigHalt), "", "stop the system"},
		"head":      {head, "[-n LINES] [FILE…]", "print the first lines"},
		"help":      {help, "", "list the commands"},
		"hostname":  {hostname, "[NAME]", "print or set the host name"},
		"id":        {id, "", "print who one is"},
		"ip":        {ip, "[address|route]", "print addresses or routes"},
		"kill":      {kill, "[-SIGNAL] PID…", "send signals"},
		"ln":        {ln, "[-s] TARGET NAME", "make links"},
		"ls":        {ls, "[-la] [FILE…]", "list files"},
		"mkdir":     {mkdir, "[-p] FOLDER…", "make folders"},
		"mount":     {mount, mountUsage, "print what is mounted, or mount something over NFS"},
		"mount.nfs": {mount, mountUsage, "mount something over NFS"},
		"mv":        {mv, "FILE… TARGET", "rename files"},
		"poweroff":  {end(sigPoweroff), "", "switch the system off"},
		"ps":        {ps, "", "list processes"},
		"readlink":  {readlink, "LINK…", "print the targets of links"},
		"reboot":    {end(sigReboot), "", "restart the system"},
		"rm":        {rm, "[-rf] FILE…", "remove files"},
		"rmdir":     {rm, "FOLDER…", "remove empty folders"},
		"sleep":     {sleep, "SECONDS", "wait"},
		"sync":      {syncDisks, "", "write everything out"},
		"tail":      {tail, "[-n LINES] [FILE…]", "print the last lines"},
		"touch":     {touch, "FILE…", "make files or set their time"},
		"umount":    {umount, "FOLDER", "end a mount"},
		"tty":       {tty, "", "print the terminal's name"},
		"uname":     {uname, "[-amnrsv]", "print what system this is"},
		"uptime":    {printUptime, "", "print how long the system runs"},
		"wc":        {wc, "[-lwc] [FILE…]", "count lines, words and bytes"},
		"whoami":    {whoami, "", "print who one is"},
	}
}

// run runs a and returns the exit status.
func (c *call) run(a applet) int {
	err := a.run(c)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
		return 141 // nobody reads on; as if ended by SIGPIPE
	}
	if err != nil {
		c.failf("%s", plain(err))
	}
	switch {
	case c.ctx.Err() != nil:
		return interrupted
	case c.failed:
		return 1
	}
	return 0
}

// failf reports trouble and makes the command end with status 1.
func (c *call) failf(format string, args ...any) {
	c.failed = true
	_, _ = fmt.Fprintf(c.stderr, "%s: %s\n", filepath.Base(c.args[0]), fmt.Sprintf(format, args...))
}

func (c *call) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(c.stdout, format, args...)
	return err
}

// plain words an error as Unix commands do: "NAME: reason".
func plain(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Path + ": " + p.Err.Error()
	}
	return err.Error()
}

// errUsage asks for the usage line.
func (c *call) errUsage() error {
	name := filepath.Base(c.args[0])
	return fmt.Errorf("usage: %s %s", name, applets()[name].usage)
}

// path makes a name absolute by the directory of the call.
func (c *call) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(c.dir, name)
}

// options splits flags of one letter from operands; only the letters in known
// are accepted.
func (c *call) options(known string) (flags map[rune]bool, rest []string, err error) {
	flags = map[rune]bool{}
	args := c.args[1:]
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		if args[0] == "--" {
			args = args[1:]
			break
		}
		for _, f := range args[0][1:] {
			if !strings.ContainsRune(known, f) {
				return nil, nil, c.errUsage()
			}
			flags[f] = true
		}
		args = args[1:]
	}
	return flags, args, nil
}

// interruptible ends reading when the command is interrupted.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i interruptible) Read(b []byte) (int, error) {
	if i.ctx.Err() != nil {
		return 0, io.EOF
	}
	return i.r.Read(b)
}

func help(c *call) error {
	all := applets()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := c.printf("  %-30s %s\n", name+" "+all[name].usage, all[name].help); err != nil {
			return err
		}
	}
	return c.printf("and those of the shell: cd, echo, printf, test, read, export, if, for, while, |, >, <, …\n")
}
