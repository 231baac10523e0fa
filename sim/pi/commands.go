package pi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/willscott/go-nfs-client/nfs"

	"caddyshack/sim/pi/nfsmount"
)

const helpText = `This is a virtual Pi. Its root is a real NFS mount. It knows:
  cat FILE...   dmesg      echo TEXT   help       hostname   ls [DIR...]
  uname [-a]    uptime     reboot      poweroff`

// command carries out one line. The errors ErrReboot and ErrHalt end the
// system; all else was told to the user.
func (s *system) command(ctx context.Context, args []string) error {
	name, args := args[0], args[1:]
	switch name {
	case "help":
		s.out.printf("%s", helpText)
	case "echo":
		s.out.printf("%s", strings.Join(args, " "))
	case "hostname":
		s.out.printf("%s", s.hostname)
	case "uname":
		if len(args) > 0 && args[0] == "-a" {
			s.out.printf("Linux %s %s #1 SMP PREEMPT aarch64 GNU/Linux", s.hostname, release)
		} else {
			s.out.printf("Linux")
		}
	case "uptime":
		s.out.printf(" up %s, 1 user", time.Since(s.out.start).Round(time.Second))
	case "dmesg":
		for _, line := range s.out.dmesg() {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the user has interrupted the command
			}
			s.out.printf("%s", line)
		}
	case "cat":
		s.each(ctx, name, args, s.cat)
	case "ls":
		if len(args) == 0 {
			args = []string{home}
		}
		s.each(ctx, name, args, s.list)
	case "reboot":
		s.leave(ctx, "Restarting system")
		return ErrReboot
	case "poweroff", "halt":
		s.leave(ctx, "Power down")
		return ErrHalt
	case "exit", "logout": // the getty comes back at once
	default:
		s.out.printf("sh: %s: not found", name)
	}
	return nil
}

// home is the folder that relative names are meant from.
const home = "/root"

// each calls a function for each name and tells the user what failed.
func (s *system) each(ctx context.Context, command string, names []string, f func(context.Context, string) error) {
	if len(names) == 0 {
		s.out.printf("usage: %s FILE...", command)
	}
	for _, name := range names {
		at := name
		if !path.IsAbs(at) {
			at = path.Join(home, at)
		}
		err := f(ctx, at)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.out.printf("%s: %s: %v", command, name, reason(err))
		}
	}
}

// reason is the last cause of an error, which is what a shell prints.
func reason(err error) error {
	var status nfsmount.StatusError
	var errno syscall.Errno
	switch {
	case errors.As(err, &status):
		return status
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, nfsmount.ErrNotRegular):
		return nfsmount.ErrNotRegular
	}
	return err
}

func (s *system) cat(ctx context.Context, name string) error {
	return s.fs.Read(ctx, name, func(p []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err := s.out.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
		return err
	})
}

// marks are put behind names by kind, as ls -F does.
var marks = map[uint32]string{nfs.NF3Dir: "/", nfs.NF3Lnk: "@", nfs.NF3Sock: "=", nfs.NF3FIFO: "|"}

func (s *system) list(ctx context.Context, name string) error {
	attr, err := s.fs.Stat(ctx, name)
	if err != nil {
		return err
	}
	if !attr.IsDir() {
		s.out.printf("%s", name)
		return nil
	}
	entries, err := s.fs.ReadDir(ctx, name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		mark := ""
		if e.Attr != nil {
			mark = marks[e.Attr.Type]
		}
		s.out.printf("%s", printable(fmt.Append(nil, e.Name, mark)))
	}
	return nil
}
