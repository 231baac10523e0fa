// Package ovstest runs Debian's Open vSwitch for tests, in user space
// (datapath_type=netdev, which needs nothing of the kernel) and in a network
// namespace of its own. It needs root.
package ovstest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"caddyshack/internal/netns"
)

// schema is where Debian's package openvswitch-switch puts the database's.
const schema = "/usr/share/openvswitch/vswitch.ovsschema"

// startTime bounds the start of each daemon, on a busy machine.
const startTime = time.Minute

// OVS is a running Open vSwitch.
type OVS struct {
	// Address of the database, and the folder of all sockets.
	Address, Dir string
	// NS is where its ports are.
	NS *netns.NS

	t      testing.TB
	vsd    *exec.Cmd
	server *exec.Cmd
}

// Start starts the daemons; they end with the test.
func Start(t testing.TB) *OVS {
	t.Helper()
	dir, err := os.MkdirTemp("", "ovs") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	o := &OVS{Address: "unix:" + filepath.Join(dir, "db.sock"), Dir: dir, NS: ns, t: t}
	t.Cleanup(func() {
		o.kill(o.vsd)
		o.kill(o.server)
		_ = ns.Close()
		_ = os.RemoveAll(dir)
	})
	o.run("ovsdb-tool", "create", filepath.Join(dir, "conf.db"), schema)
	o.startServer()
	o.run("ovs-vsctl", "--db="+o.Address, "--no-wait", "init")
	o.startSwitch()
	return o
}

// ControlSocket is that of ovs-vswitchd.
func (o *OVS) ControlSocket() string {
	return filepath.Join(o.Dir, fmt.Sprintf("ovs-vswitchd.%d.ctl", o.vsd.Process.Pid))
}

func (o *OVS) startServer() {
	o.server = o.daemon("ovsdb-server", "--remote=p"+o.Address, "--unixctl="+filepath.Join(o.Dir, "ovsdb.ctl"),
		"--private-key=db:Open_vSwitch,SSL,private_key", "--certificate=db:Open_vSwitch,SSL,certificate", "--ca-cert=db:Open_vSwitch,SSL,ca_cert", // as Debian's
		filepath.Join(o.Dir, "conf.db"))
	o.await("ovsdb-server", o.unix("db.sock"))
}

func (o *OVS) startSwitch() {
	o.vsd = o.daemon("ovs-vswitchd", "--pidfile="+filepath.Join(o.Dir, "ovs-vswitchd.pid"), o.Address)
	o.await("ovs-vswitchd", o.unix(filepath.Base(o.ControlSocket())))
}

// RestartSwitch kills ovs-vswitchd, as a crash does, and starts it again.
func (o *OVS) RestartSwitch() {
	o.t.Helper()
	o.StopSwitch()
	o.startSwitch()
}

// StopSwitch kills ovs-vswitchd.
func (o *OVS) StopSwitch() {
	o.kill(o.vsd)
	_ = os.Remove(filepath.Join(o.Dir, "ovs-vswitchd.pid"))
}

// RestartServer kills ovsdb-server and starts it again.
func (o *OVS) RestartServer() {
	o.t.Helper()
	o.StopServer()
	o.startServer()
}

// StopServer kills ovsdb-server.
func (o *OVS) StopServer() {
	o.kill(o.server)
	_ = os.Remove(filepath.Join(o.Dir, "db.sock"))
}

func (o *OVS) daemon(name string, args ...string) *exec.Cmd {
	o.t.Helper()
	log, err := os.OpenFile(filepath.Join(o.Dir, name+".out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Env = append(os.Environ(), "OVS_RUNDIR="+o.Dir, "OVS_LOGDIR="+o.Dir, "OVS_DBDIR="+o.Dir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := o.NS.Start(cmd); err != nil {
		o.t.Fatalf("starting %s (package openvswitch-switch): %v", name, err)
	}
	return cmd
}

func (o *OVS) kill(cmd *exec.Cmd) {
	if cmd != nil && cmd.ProcessState == nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// unix dials a socket in Dir.
func (o *OVS) unix(name string) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		return (&net.Dialer{}).DialContext(context.Background(), "unix", filepath.Join(o.Dir, name))
	}
}

// await waits until a daemon accepts connections: between bind and listen, and
// after a kill, there is a file that refuses them.
func (o *OVS) await(daemon string, dial func() (net.Conn, error)) {
	o.t.Helper()
	for end := time.Now().Add(startTime); ; time.Sleep(5 * time.Millisecond) {
		c, err := dial()
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(end) {
			said, _ := os.ReadFile(filepath.Join(o.Dir, daemon+".out"))
			o.t.Fatalf("%s does not start: %v\n%s", daemon, err, said)
		}
	}
}

func (o *OVS) run(name string, args ...string) string {
	o.t.Helper()
	cmd := exec.CommandContext(context.Background(), name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		o.t.Fatalf("%s: %v: %s", cmd, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// Vsctl runs ovs-vsctl and returns what it prints.
func (o *OVS) Vsctl(args ...string) string {
	o.t.Helper()
	return o.run("ovs-vsctl", append([]string{"--db=" + o.Address, "--timeout=60"}, args...)...)
}

// ServeTLS has the database answer over TLS at a port of the loopback interface
// of NS, with files in PEM.
func (o *OVS) ServeTLS(port int, key, certificate, ca string) {
	o.t.Helper()
	o.Vsctl("set-ssl", key, certificate, ca)
	o.run("ovs-appctl", "-t", filepath.Join(o.Dir, "ovsdb.ctl"), "ovsdb-server/add-remote", fmt.Sprintf("pssl:%d:127.0.0.1", port))
	// It says yes before it listens.
	o.await("ovsdb-server", func() (c net.Conn, err error) {
		err = o.NS.Do(func() error {
			c, err = net.DialTCP("tcp4", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
			return err
		})
		return c, err
	})
}

// AddBridge makes a bridge whose ports have the names of interfaces in NS.
func (o *OVS) AddBridge(name string, ports ...string) {
	o.t.Helper()
	args := []string{"add-br", name, "--", "set", "bridge", name, "datapath_type=netdev"}
	for _, p := range ports {
		args = append(args, "--", "add-port", name, p)
	}
	o.Vsctl(args...)
}
