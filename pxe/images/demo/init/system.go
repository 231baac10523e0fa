package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func uname(c *call) error {
	flags, _, err := c.options("amnrsv")
	if err != nil {
		return err
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	if len(flags) == 0 {
		flags['s'] = true
	}
	var out []string
	for _, part := range []struct {
		flag rune
		text []byte
	}{{'s', u.Sysname[:]}, {'n', u.Nodename[:]}, {'r', u.Release[:]}, {'v', u.Version[:]}, {'m', u.Machine[:]}} {
		if flags[part.flag] || flags['a'] {
			out = append(out, unix.ByteSliceToString(part.text))
		}
	}
	return c.printf("%s\n", strings.Join(out, " "))
}

func hostname(c *call) error {
	if len(c.args) > 1 {
		return unix.Sethostname([]byte(c.args[1]))
	}
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	return c.printf("%s\n", name)
}

func ip(c *call) error {
	what := "address"
	if len(c.args) > 1 {
		what = c.args[1]
	}
	switch {
	case strings.HasPrefix("address", what):
		return ipAddress(c)
	case strings.HasPrefix("route", what):
		return ipRoute(c)
	}
	return c.errUsage()
}

func ipAddress(c *call) error {
	list, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range list {
		state := "DOWN"
		if i.Flags&net.FlagUp != 0 {
			state = "UP"
		}
		err := c.printf("%d: %s: <%s> mtu %d state %s\n", i.Index, i.Name, strings.ToUpper(strings.ReplaceAll(i.Flags.String(), "|", ",")), i.MTU, state)
		if err == nil && len(i.HardwareAddr) > 0 {
			err = c.printf("    link/ether %s\n", i.HardwareAddr)
		}
		if err != nil {
			return err
		}
		addrs, err := i.Addrs()
		if err != nil {
			return err
		}
		for _, a := range addrs {
			family := "inet"
			if strings.Contains(a.String(), ":") {
				family = "inet6"
			}
			if err := c.printf("    %s %s\n", family, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// ipRoute prints /proc/net/route, whose numbers are in the host's byte order.
func ipRoute(c *call) error {
	b, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 8 || f[0] == "Iface" {
			continue
		}
		var n [3]net.IP // destination, gateway, mask
		for i, s := range []string{f[1], f[2], f[7]} {
			v, err := strconv.ParseUint(s, 16, 32)
			if err != nil {
				return err
			}
			n[i] = net.IPv4(byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
		}
		ones, _ := net.IPMask(n[2].To4()).Size()
		text := fmt.Sprintf("%s/%d", n[0], ones)
		if ones == 0 {
			text = "default"
		}
		if !n[1].IsUnspecified() {
			text += " via " + n[1].String()
		}
		if err := c.printf("%s dev %s\n", text, f[0]); err != nil {
			return err
		}
	}
	return nil
}

// mounts returns the fields of /proc/mounts.
func mounts() ([][]string, error) {
	b, err := os.ReadFile("/proc/mounts")
	var all [][]string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 4 {
			all = append(all, f)
		}
	}
	return all, err
}

func df(c *call) error {
	all, err := mounts()
	if err != nil {
		return err
	}
	if err := c.printf("%-40s %10s %10s %10s %4s %s\n", "Filesystem", "KiB", "Used", "Free", "Use", "Mounted on"); err != nil {
		return err
	}
	for _, f := range all {
		var st unix.Statfs_t
		if unix.Statfs(f[1], &st) != nil || st.Blocks == 0 {
			continue
		}
		k := uint64(st.Bsize)
		used := st.Blocks - st.Bfree
		if err := c.printf("%-40s %10d %10d %10d %3d%% %s\n", f[0], st.Blocks*k>>10, used*k>>10, st.Bavail*k>>10, used*100/st.Blocks, f[1]); err != nil {
			return err
		}
	}
	return nil
}

func free(c *call) error {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		for _, k := range []string{"MemTotal:", "MemFree:", "MemAvailable:", "Cached:"} {
			if strings.HasPrefix(line, k) {
				if err := c.printf("%s", line); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func uptime() time.Duration {
	var i unix.Sysinfo_t
	if b, err := os.ReadFile("/proc/uptime"); err == nil {
		if s, err := strconv.ParseFloat(strings.Fields(string(b) + " 0")[0], 64); err == nil {
			return time.Duration(s * float64(time.Second))
		}
	}
	if unix.Sysinfo(&i) != nil {
		return 0
	}
	return time.Duration(i.Uptime) * time.Second
}

func printUptime(c *call) error {
	load, _ := os.ReadFile("/proc/loadavg")
	return c.printf("up %s, load %s\n", uptime().Round(time.Second), strings.Join(strings.Fields(string(load))[:min(3, len(strings.Fields(string(load))))], " "))
}

func dmesg(c *call) error {
	const readAll, size = 3, 10 // actions of syslog(2)
	n, err := unix.Klogctl(size, nil)
	if err != nil {
		return err
	}
	b := make([]byte, n)
	if n, err = unix.Klogctl(readAll, b); err != nil {
		return err
	}
	_, err = c.stdout.Write(b[:n])
	return err
}

func ps(c *call) error {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	var pids []int
	for _, d := range dirs {
		if n, err := strconv.Atoi(filepath.Base(d)); err == nil {
			pids = append(pids, n)
		}
	}
	slices.Sort(pids)
	if err := c.printf("%7s %7s %c %8s %s\n", "PID", "PPID", 'S', "KiB", "COMMAND"); err != nil {
		return err
	}
	for _, pid := range pids {
		dir := fmt.Sprintf("/proc/%d/", pid)
		stat, err := os.ReadFile(dir + "stat")
		if err != nil {
			continue // it has ended meanwhile
		}
		// The name is in parentheses and may hold any character.
		name, rest := stat, []byte(nil)
		if i, j := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')'); i >= 0 && j > i {
			name, rest = stat[i+1:j], stat[j+1:]
		}
		f := strings.Fields(string(rest))
		if len(f) < 22 {
			continue
		}
		command := "[" + string(name) + "]"
		if b, err := os.ReadFile(dir + "cmdline"); err == nil && len(b) > 0 {
			command = strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", " "))
		}
		pages, _ := strconv.Atoi(f[21])
		if err := c.printf("%7d %7s %s %8d %s\n", pid, f[1], f[0], pages*os.Getpagesize()>>10, command); err != nil {
			return err
		}
	}
	return nil
}

func kill(c *call) error {
	args, sig := c.args[1:], syscall.SIGTERM
	if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		name := strings.TrimPrefix(strings.ToUpper(args[0][1:]), "SIG")
		n, err := strconv.Atoi(name)
		if err == nil {
			sig = syscall.Signal(n)
		} else if sig = unix.SignalNum("SIG" + name); sig == 0 {
			return fmt.Errorf("there is no signal %q", args[0][1:])
		}
		args = args[1:]
	}
	if len(args) == 0 {
		return c.errUsage()
	}
	for _, a := range args {
		pid, err := strconv.Atoi(a)
		if err == nil {
			err = syscall.Kill(pid, sig)
		}
		if err != nil {
			c.failf("%s: %v", a, err)
		}
	}
	return nil
}

// end asks process 1 to end the system.
func end(sig syscall.Signal) func(*call) error {
	return func(*call) error { return syscall.Kill(1, sig) }
}

func syncDisks(*call) error {
	unix.Sync()
	return nil
}

func sleep(c *call) error {
	if len(c.args) != 2 {
		return c.errUsage()
	}
	d, err := time.ParseDuration(c.args[1])
	if err != nil {
		if d, err = time.ParseDuration(c.args[1] + "s"); err != nil {
			return c.errUsage()
		}
	}
	ctx, cancel := context.WithTimeout(c.ctx, d)
	defer cancel()
	<-ctx.Done()
	return nil
}

func date(c *call) error { return c.printf("%s\n", time.Now().UTC().Format(time.UnixDate)) }

func id(c *call) error { return c.printf("uid=%d gid=%d\n", os.Getuid(), os.Getgid()) }

func whoami(c *call) error {
	if os.Getuid() == 0 {
		return c.printf("root\n")
	}
	return c.printf("%d\n", os.Getuid())
}

func tty(c *call) error {
	name, err := os.Readlink("/proc/self/fd/0")
	if err != nil || !strings.HasPrefix(name, "/dev/") {
		return errors.New("not a terminal")
	}
	return c.printf("%s\n", name)
}

func clearScreen(c *call) error { return c.printf("\x1b[H\x1b[2J") }

func printEnv(c *call) error {
	for _, e := range slices.Sorted(slices.Values(c.env)) {
		if err := c.printf("%s\n", e); err != nil {
			return err
		}
	}
	return nil
}
