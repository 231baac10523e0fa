// Package ganesha runs an NFS-Ganesha of its own, for tests and measurements
// beside the embedded NFS server. It needs root and the Debian packages
// nfs-ganesha, nfs-ganesha-vfs and rpcbind; none of their services has to run.
package ganesha

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// insideEnv marks a process that is in the namespaces of Command.
const insideEnv = "GANESHA_INSIDE"

// Inside tells whether this process was started by Command.
func Inside() bool { return os.Getenv(insideEnv) != "" }

// Command is this program again, in namespaces of its own: rpcbind and Ganesha
// keep fixed ports and files in /run, and nobody else shall reach them. The new
// process calls Enter first.
func Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Enter brings the loopback device up, empties /run and starts rpcbind, on
// which Ganesha insists, until leave is called. It is called once.
func Enter() (leave func(), err error) {
	if err := unix.Mount("none", "/run", "tmpfs", 0, ""); err != nil {
		return nil, fmt.Errorf("mounting an empty /run: %w", err)
	}
	for _, dir := range []string{"/run/rpcbind", "/run/ganesha"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if err := loopbackUp(); err != nil {
		return nil, fmt.Errorf("bringing up the loopback device: %w", err)
	}
	cmd := exec.CommandContext(context.Background(), "rpcbind", "-f")
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting rpcbind: %w", err)
	}
	leave = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed, as it says then
	}
	if err := answers("127.0.0.1:111", "rpcbind"); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// startTime is far above what a start takes on a busy machine.
const startTime = time.Minute

// answers waits until somebody accepts connections at an address.
func answers(addr, who string) error {
	for end := time.Now().Add(startTime); ; time.Sleep(20 * time.Millisecond) {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", addr)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s does not answer: %w", who, err)
		}
	}
}

// Server is a running Ganesha.
type Server struct {
	// NFSPort and MountPort are its ports on all addresses.
	NFSPort, MountPort uint16
	// ExportsFile is the file of EXPORT blocks that it includes, empty at
	// first, and PIDFile has the number of its process, for hostnfs.
	ExportsFile, PIDFile string
	// PID is its process.
	PID int

	cmd *exec.Cmd
	log string
}

// Start runs Ganesha with its files in the folder dir.
func Start(dir string) (*Server, error) {
	s := &Server{ExportsFile: filepath.Join(dir, "caddyshack.conf"), PIDFile: filepath.Join(dir, "ganesha.pid"), log: filepath.Join(dir, "ganesha.log")}
	var err error
	if s.NFSPort, s.MountPort, err = freePorts(); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(`NFS_CORE_PARAM {
	NFS_Port = %d;
	MNT_Port = %d;
	Protocols = 3;
	mount_path_pseudo = true;
	Enable_NLM = false;
	Enable_RQUOTA = false;
}
%%include "%s"
`, s.NFSPort, s.MountPort, s.ExportsFile)
	file := filepath.Join(dir, "ganesha.conf")
	if err := errors.Join(os.WriteFile(file, []byte(conf), 0o600), os.WriteFile(s.ExportsFile, nil, 0o600)); err != nil {
		return nil, err
	}
	s.cmd = exec.CommandContext(context.Background(), "ganesha.nfsd", "-F", "-f", file, "-L", s.log, "-p", s.PIDFile, "-N", "NIV_EVENT")
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting Ganesha: %w", err)
	}
	s.PID = s.cmd.Process.Pid
	for _, port := range []uint16{s.MountPort, s.NFSPort} {
		if err := answers(fmt.Sprint("127.0.0.1:", port), "Ganesha"); err != nil {
			return nil, errors.Join(err, errors.New(s.Log()), s.Close())
		}
	}
	return s, nil
}

// freePorts returns two TCP ports that nobody uses now.
func freePorts() (a, b uint16, err error) {
	var ports [2]uint16
	for i := range ports {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return 0, 0, err
		}
		defer l.Close() // both are held until they are known, or they might be one
		ports[i] = uint16(l.Addr().(*net.TCPAddr).Port)
	}
	return ports[0], ports[1], nil
}

// Log returns the end of what it has logged.
func (s *Server) Log() string {
	f, err := os.Open(s.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	const most = 8000
	if fi, err := f.Stat(); err == nil && fi.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd) // else all of it
	}
	b, _ := io.ReadAll(f)
	return string(b)
}

// Close ends it.
func (s *Server) Close() error {
	_ = s.cmd.Process.Kill()
	var exit *exec.ExitError
	if err := s.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}
