package main

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// nfs is something to be mounted over NFS.
type nfs struct {
	source, dir string
	options     []string
}

// nfsIn lists what the text of an fstab(5) mounts over NFS when the system starts.
func nfsIn(fstab string) (list []nfs) {
	const source, dir, kind, options, fields = 0, 1, 2, 3, 4
	for line := range strings.Lines(fstab) {
		f := strings.Fields(line)
		if len(f) < fields || strings.HasPrefix(f[source], "#") || f[kind] != "nfs" {
			continue
		}
		m := nfs{f[source], f[dir], strings.Split(f[options], ",")}
		if !slices.Contains(m.options, "noauto") {
			list = append(list, m)
		}
	}
	return list
}

// errSource says what a source must look like.
var errSource = errors.New("not SERVER:PATH with the address of the server")

// arguments are what the kernel is to be told: source and options. Beside the
// command line of this system, since a guest of `caddyshack demo --pi qemu`
// cannot reach the loopback address that the NFS server has there: it finds all
// that the server serves where its root is.
func (m nfs) arguments(cmdline string) (source, options string, err error) {
	server, path, ok := strings.Cut(m.source, ":")
	addr, aerr := netip.ParseAddr(server)
	if !ok || aerr != nil || !strings.HasPrefix(path, "/") {
		return "", "", errSource
	}
	given := m.options
	if root, ok := rootServer(cmdline); ok && addr.IsLoopback() {
		server, given = root.source, slices.Concat(given, root.options)
	}
	var kept []string
	for _, o := range given {
		name, _, _ := strings.Cut(o, "=")
		switch {
		case o == "" || o == "defaults" || o == "auto" || o == "nofail" || o == "_netdev" || strings.HasPrefix(o, "x-"):
			continue // for who mounts, not for the kernel
		case name == "port" || name == "mountport": // the last one counts
			kept = slices.DeleteFunc(kept, func(k string) bool { return strings.HasPrefix(k, name+"=") })
		}
		kept = append(kept, o)
	}
	return server + ":" + path, strings.Join(append(kept, "addr="+server), ","), nil
}

// rootServer is the server that the root comes from, with its ports.
func rootServer(cmdline string) (server nfs, ok bool) {
	for word := range strings.FieldsSeq(cmdline) {
		value, is := strings.CutPrefix(word, "nfsroot=")
		if !is {
			continue
		}
		opts := strings.Split(value, ",")
		server.source, _, ok = strings.Cut(opts[0], ":")
		for _, o := range opts[1:] {
			if strings.HasPrefix(o, "port=") || strings.HasPrefix(o, "mountport=") {
				server.options = append(server.options, o)
			}
		}
	}
	return server, ok
}

// mount mounts it. The kernel asks a server that does not answer for minutes.
func (m nfs) mount() error {
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	source, options, err := m.arguments(string(cmdline))
	if err != nil {
		return err
	}
	return unix.Mount(source, m.dir, "nfs", 0, options)
}

// mountNFS mounts what fstab(5) names. The system is up without it.
func mountNFS() {
	text, err := os.ReadFile("/etc/fstab")
	if err != nil {
		return
	}
	for _, m := range nfsIn(string(text)) {
		err := os.MkdirAll(m.dir, 0o755)
		if err == nil {
			err = m.mount()
		}
		report("mounting "+m.dir, err)
	}
}

// mountUsage is how mount is called to mount something.
const mountUsage = "[-t nfs] [-o OPTIONS] [SERVER:PATH FOLDER]"

// mount prints what is mounted, or mounts something over NFS.
func mount(c *call) error {
	m, operands := nfs{}, []string{}
	for args := c.args[1:]; len(args) > 0; args = args[1:] {
		switch {
		case (args[0] == "-o" || args[0] == "-t") && len(args) < 2:
			return c.errUsage()
		case args[0] == "-o":
			m.options, args = append(m.options, strings.Split(args[1], ",")...), args[1:]
		case args[0] == "-t" && args[1] == "nfs":
			args = args[1:]
		case strings.HasPrefix(args[0], "-"):
			return c.errUsage()
		default:
			operands = append(operands, args[0])
		}
	}
	switch len(operands) {
	case 0:
		return listMounts(c)
	case 2:
		m.source, m.dir = operands[0], c.path(operands[1])
		return m.mount()
	}
	return c.errUsage()
}

func listMounts(c *call) error {
	all, err := mounts()
	for _, f := range all {
		if err := c.printf("%s on %s type %s (%s)\n", f[0], f[1], f[2], f[3]); err != nil {
			return err
		}
	}
	return err
}

func umount(c *call) error {
	if len(c.args) != 2 {
		return c.errUsage()
	}
	return unix.Unmount(c.path(c.args[1]), 0)
}
