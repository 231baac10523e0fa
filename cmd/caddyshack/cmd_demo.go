package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"caddyshack/baremetal"
	"caddyshack/conductor"
	"caddyshack/pxe/images"
	"caddyshack/pxe/images/demo"
	"caddyshack/sim/chassis"
)

type demoCmd struct {
	Listen    string `default:"127.0.0.1:6385" help:"Address of the API, HOST:PORT on loopback; port 0 takes a free one."`
	State     string `type:"path" help:"Keep everything in this folder; a later demo with it goes on from there. Default: a temporary folder, removed at the end."`
	Caddies   int    `default:"13" help:"Number of simulated caddies; 0 is no chassis."`
	Pi        string `default:"sim" enum:"sim,qemu" help:"How Pis are simulated: sim (they boot over real TFTP and NFS and answer a few commands), or qemu (each runs the real kernel and system it has fetched; needs qemu-system-aarch64)."`
	Units     string `default:"model" enum:"model,firmware" help:"Backplane units: a model of them, or the firmware itself as Linux programs (make -C firmware host)."`
	ReadyFile string `type:"path" help:"Write the addresses there, as JSON, once everything serves."`
	Verbose   bool   `short:"v" help:"Log everything."`

	wrapStore func(conductor.Store) conductor.Store // see daemon
	image     *demo.Builder                         // nil = the usual one
}

// Run runs serve's code with a configuration made up here and a simulated chassis.
func (cmd demoCmd) Run(ctx context.Context) error {
	program, err := findQEMU(cmd.Pi)
	if err != nil {
		return err
	}
	if beyondLoopback(cmd.Listen) {
		return &configError{fmt.Sprintf("--listen %s: the demo asks for no password, so it stays on loopback; use 127.0.0.1:PORT, or `caddyshack serve` for a real one", cmd.Listen)}
	}
	state, temporary := cmd.State, false
	if state == "" {
		dir, err := os.MkdirTemp("", "caddyshack-demo-")
		if err != nil {
			return fmt.Errorf("making a temporary folder: %w", err)
		}
		defer os.RemoveAll(dir)
		state, temporary = dir, true
	}
	cfg, err := demoConfig(cmd.Listen, state, cmd.Caddies)
	if err != nil {
		return err
	}
	if cmd.Verbose {
		cfg.Log.Level = "debug"
	}
	_, log, err := newLogger(cfg.Log)
	if err != nil {
		return err
	}
	image := cmd.image
	if image == nil {
		image = newDemoImage(log, program != "")
	}
	d := &daemon{cfg: cfg, log: log, builtins: map[string]images.Builtin{demo.Name: image}, wrapStore: cmd.wrapStore,
		enrolAfter: make(chan struct{})}
	err = d.open(ctx)
	if err != nil && strings.Contains(err.Error(), syscall.EADDRINUSE.Error()) {
		anyPorts(cfg) // another demo took a usual port at the same moment
		err = d.open(ctx)
	}
	if err != nil {
		return err
	}
	defer d.closeLogged()
	racked, err := startSimulated(ctx, simulatedConfig{
		Caddies: cmd.Caddies, Dir: filepath.Join(state, "chassis"), Broker: d.brokerURL,
		Password: unitPassword(cfg), TFTP: d.boot.tftp[0].Addr(), Firmware: cmd.Units == unitsFirmware, QEMU: program, Log: log.With("part", "sim"),
	})
	if err != nil {
		return err
	}
	defer racked.closeLogged()

	g, gctx := errgroup.WithContext(ctx)
	go prepareImage(gctx, image, log)
	g.Go(func() error { return racked.run(gctx) })
	g.Go(func() error {
		return d.run(gctx, func(r ready) error {
			if err := racked.units.Online(gctx); err != nil {
				return err
			}
			if err := seed(gctx, d, racked.caddies); err != nil {
				return fmt.Errorf("entering the simulated caddies as nodes: %w", err)
			}
			close(d.enrolAfter)
			if err := writeJSONFile(cmd.ReadyFile, r); err != nil {
				return err
			}
			demoBanner(r, cmd, state, temporary)
			return nil
		})
	})
	return g.Wait()
}

// demoConfig is what a person would have to write for `serve`.
func demoConfig(listen, state string, caddies int) (*Config, error) {
	cfg := &Config{StateDir: state}
	cfg.API.Listen = listen
	cfg.Broker.Listen = freeIfTaken("tcp", "127.0.0.1:1883")
	cfg.Boot.Address = "127.0.0.1"
	cfg.Boot.TFTPListen = freeIfTaken("udp", "127.0.0.1:6969")
	cfg.Boot.NFSListen = freeIfTaken("tcp", "127.0.0.1:20490")
	cfg.Boot.PhoneHomeListen = freeIfTaken("tcp", "127.0.0.1:6388")
	cfg.Boot.Tree = "unprivileged"
	cfg.Console.Listen = freeIfTaken("tcp", "127.0.0.1:6386")
	cfg.Database.Synchronous = "normal"
	cfg.Images.DefaultImage = demoImageURL
	cfg.Images.Folders = []string{os.TempDir(), homeDir()}
	cfg.Log.Level = "warn"
	cfg.complete()
	secret, err := randomSecret()
	if err != nil {
		return nil, err
	}
	cfg.Broker.Password = secret
	units, err := chassis.Layout(caddies)
	if err != nil {
		return nil, &configError{"--caddies: " + err.Error()}
	}
	for _, u := range units {
		secret, err := randomSecret()
		if err != nil {
			return nil, err
		}
		cfg.Broker.Units = append(cfg.Broker.Units, UnitConfig{ID: u.ID, Password: secret})
	}
	return cfg, cfg.check()
}

func homeDir() string {
	if h, err := os.UserHomeDir(); err == nil {
		return h
	}
	return os.TempDir()
}

func randomSecret() (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("making a password: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// anyPorts lets all but the API listen wherever a port is free.
func anyPorts(cfg *Config) {
	cfg.Broker.Listen, cfg.Console.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Boot.TFTPListen, cfg.Boot.NFSListen, cfg.Boot.PhoneHomeListen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
}

// freeIfTaken returns the usual address, or one with port 0 if it is in use.
func freeIfTaken(network, addr string) string {
	host, _, _ := strings.Cut(addr, ":")
	if network == "udp" {
		c, err := net.ListenPacket(network, addr) //nolint:noctx // binding does not block
		if err != nil {
			return host + ":0"
		}
		_ = c.Close()
		return addr
	}
	l, err := net.Listen(network, addr) //nolint:noctx // binding does not block
	if err != nil {
		return host + ":0"
	}
	_ = l.Close()
	return addr
}

func unitPassword(cfg *Config) func(unit string) string {
	return func(unit string) string {
		for _, u := range cfg.Broker.Units {
			if u.ID == unit {
				return u.Password
			}
		}
		return ""
	}
}

// seed enters the simulated caddies as nodes, once: a later demo on the same
// state finds them there.
func seed(ctx context.Context, d *daemon, caddies []caddy) error {
	if len(caddies) == 0 {
		return nil
	}
	chassisUUID, err := seedChassis(ctx, d)
	if err != nil {
		return err
	}
	for _, c := range caddies {
		_, err := d.store.Node(ctx, c.Name())
		if err == nil {
			continue
		}
		if !baremetal.IsKind(err, baremetal.NotFound) {
			return err
		}
		if err := seedNode(ctx, d, chassisUUID, c); err != nil {
			return fmt.Errorf("node %s: %w", c.Name(), err)
		}
	}
	return awaitPower(ctx, d)
}

func demoBanner(r ready, cmd demoCmd, state string, temporary bool) {
	program := os.Args[0]
	at := ""
	if r.API != "http://127.0.0.1:6385" {
		at = "OS_ENDPOINT=" + r.API + " "
	}
	kept := "kept in " + state
	if temporary {
		kept += ", removed at the end (--state DIR keeps it)"
	}
	fmt.Printf(`Caddyshack demo: %d simulated caddies, everything on loopback.

  Ironic API   %s
  MQTT         %s    TFTP  %s    NFS  %s
  State        %s

In another terminal, with nothing installed:

  %s%s nodes
  %s%s deploy caddy-3
  %s%s console caddy-3

With the openstack client (python3-openstackclient, python3-ironicclient):

  export OS_AUTH_TYPE=none
  export OS_ENDPOINT=%s
  openstack baremetal node list

Ctrl-C ends it.
`, cmd.Caddies, r.API, r.MQTT, r.TFTP, r.NFS, kept, at, program, at, program, at, program, r.API)
}
