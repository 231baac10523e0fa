package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Signals by which commands ask process 1 to end the system, as in BusyBox.
const (
	sigHalt     = syscall.SIGUSR1
	sigPoweroff = syscall.SIGUSR2
	sigReboot   = syscall.SIGTERM
)

// boot is process 1. It returns only if the kernel refuses to end the system.
func boot() {
	mountAll()
	_ = os.Setenv("PATH", "/sbin:/bin")
	_ = os.Setenv("HOME", "/root")
	_ = os.Setenv("TERM", "vt100")
	if b, err := os.ReadFile("/etc/hostname"); err == nil {
		report("setting the host name", unix.Sethostname([]byte(strings.TrimSpace(string(b)))))
	}
	report("bringing up lo", loopbackUp())
	_ = os.Chdir("/root")

	asked := make(chan os.Signal, 4)
	signal.Notify(asked, sigHalt, sigPoweroff, sigReboot, syscall.SIGINT)
	go watchPowerKey("/dev/input", func() { asked <- sigPoweroff })

	p := newProcs()
	go p.reap()
	go mountNFS()
	go func() { report("telling that the system is up", phoneHome(phoneHomeFile, phoneHomePause)) }()
	go p.keep(service{path: "/sbin/sshd", args: []string{"sshd"}})
	go runOnce(firstBoot, firstBootRan, func(path string) error {
		done, err := p.start(service{path: path, args: []string{path}})
		if err == nil {
			<-done
		}
		return err
	})
	go p.keep(service{path: "/bin/sh", args: []string{"-sh"}, tty: console()})

	halt(p, <-asked)
}

// mountAll mounts what is not mounted yet. The kernel has mounted /dev already
// if the root has the folder.
func mountAll() {
	for _, m := range []struct {
		kind, dir, data string
		flags           uintptr
	}{
		{"proc", "/proc", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
		{"sysfs", "/sys", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
		{"devtmpfs", "/dev", "mode=0755", unix.MS_NOSUID},
		{"devpts", "/dev/pts", "mode=0620,ptmxmode=0666", unix.MS_NOSUID | unix.MS_NOEXEC},
		{"tmpfs", "/dev/shm", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV},
		{"tmpfs", "/run", "mode=0755", unix.MS_NOSUID | unix.MS_NODEV},
		{"tmpfs", "/tmp", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV},
	} {
		if m.kind == "devtmpfs" {
			if _, err := os.Stat("/dev/null"); err == nil {
				continue
			}
		}
		_ = os.MkdirAll(m.dir, 0o755) // mounting tells what is wrong
		report("mounting "+m.dir, unix.Mount(m.kind, m.dir, m.kind, m.flags, m.data))
	}
	_ = os.Symlink("/proc/self/fd", "/dev/fd")
}

// report writes a failure that does not keep the system from running to the
// kernel's log, from where it comes to the console.
func report(what string, err error) {
	if err == nil {
		return
	}
	text := fmt.Sprintf("init: %s: %v\n", what, err)
	if f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0); err == nil {
		_, _ = f.WriteString(text)
		_ = f.Close()
		return
	}
	fmt.Print(text)
}

// console is the device that the kernel's console is on. /dev/console itself
// cannot be a controlling terminal.
func console() string {
	b, err := os.ReadFile("/sys/class/tty/console/active")
	if names := strings.Fields(string(b)); err == nil && len(names) > 0 {
		return filepath.Join("/dev", names[len(names)-1])
	}
	return "/dev/console"
}

// loopbackUp brings up the loopback interface; the others were by the kernel.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s) //nolint:errcheck // nothing to lose
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, r); err != nil {
		return err
	}
	r.SetUint16(r.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, r)
}

// halt ends all processes and then the system.
func halt(p *procs, why os.Signal) {
	how, text := unix.LINUX_REBOOT_CMD_RESTART, "restarting"
	switch why {
	case sigHalt:
		how, text = unix.LINUX_REBOOT_CMD_HALT, "halting"
	case sigPoweroff:
		how, text = unix.LINUX_REBOOT_CMD_POWER_OFF, "powering off"
	}
	p.stop()
	report(text, fmt.Errorf("ending all processes"))
	_ = unix.Kill(-1, unix.SIGTERM)
	_ = unix.Kill(-1, unix.SIGHUP) // shells at a prompt
	p.wait(3 * time.Second)
	_ = unix.Kill(-1, unix.SIGKILL)
	p.wait(time.Second)
	unix.Sync()
	report(text, unix.Reboot(how))
}
