package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"caddyshack/sim/chassis"
	"caddyshack/sim/pi"
)

type simCmd struct {
	Broker    string        `required:"" help:"URL of the MQTT broker, tcp://HOST:PORT."`
	Password  string        `env:"CADDYSHACK_SIM_PASSWORD" help:"Password of every unit at the broker; the user is the unit's id (${env})."`
	TFTP      string        `name:"tftp" default:"127.0.0.1:69" help:"Where the Pis ask for their boot files, HOST:PORT."`
	DHCP      string        `name:"dhcp" help:"The Pis ask this DHCP server on loopback for address and TFTP server, HOST:PORT (the server's dhcp.listen)."`
	Wire      string        `placeholder:"NAMESPACE/INTERFACE" help:"The Pis ask DHCP by broadcast, each on an interface of its own with its MAC, in a network namespace of ip netns; %d stands for the caddy's number. Needs root."`
	DHCPPause time.Duration `name:"dhcp-pause" help:"With --dhcp or --wire: pause between two DHCP tries of a Pi, for networks that lose many packets. Default: as real ones, 2 to 5 s."`
	Models    string        `default:"pi4" help:"Models of the Pis, in turn: pi3, pi3plus, pi4, pi5."`
	Caddies   int           `default:"13" help:"Number of simulated caddies."`
	Units     string        `default:"model" enum:"model,firmware" help:"Backplane units: a model of them, or the firmware itself as Linux programs (make -C firmware host)."`
	Pi        string        `default:"sim" enum:"sim,qemu" help:"How Pis are simulated: sim, or qemu (each runs the real kernel and system it has fetched; needs qemu-system-aarch64)."`
	TAP       string        `name:"tap" placeholder:"INTERFACE" help:"With --pi qemu and --wire: the TAP interface that each guest is on, with its Pi's MAC; %d stands for the caddy's number."`
	State     string        `type:"path" help:"Keep serial lines and what the units remember in this folder. Default: a temporary one."`
	ReadyFile string        `type:"path" help:"Write the serial lines there, as JSON, once all units are on the bus."`
	Verbose   bool          `short:"v" help:"Log everything."`
}

// Run simulates a chassis until ctx ends.
func (cmd simCmd) Run(ctx context.Context) error {
	tftp, err := netip.ParseAddrPort(cmd.TFTP)
	if err != nil {
		return &configError{fmt.Sprintf("--tftp %q: want ADDRESS:PORT", cmd.TFTP)}
	}
	dhcp, err := cmd.dhcp(tftp.Port())
	if err != nil {
		return err
	}
	models, err := cmd.models()
	if err != nil {
		return err
	}
	program, err := findQEMU(cmd.Pi)
	if err != nil {
		return err
	}
	tap, err := cmd.tap()
	if err != nil {
		return err
	}
	state := cmd.State
	if state == "" {
		if state, err = os.MkdirTemp("", "caddyshack-sim-"); err != nil {
			return fmt.Errorf("making a temporary folder: %w", err)
		}
		defer os.RemoveAll(state)
	}
	level := LogConfig{Level: "warn", Format: "text"}
	if cmd.Verbose {
		level.Level = "debug"
	}
	_, log, err := newLogger(level)
	if err != nil {
		return err
	}
	s, err := startSimulated(ctx, simulatedConfig{
		Caddies: cmd.Caddies, Dir: filepath.Join(state, "chassis"), Broker: cmd.Broker,
		Password: func(string) string { return cmd.Password }, TFTP: tftp, DHCP: dhcp, Models: models, Firmware: cmd.Units == unitsFirmware, QEMU: program, TAP: tap, Log: log,
	})
	if err != nil {
		return err
	}
	defer s.closeLogged()
	go s.announce(ctx, cmd.ReadyFile)
	return s.run(ctx)
}

// dhcp returns how a caddy's Pi gets its address; nil = it has one.
func (cmd simCmd) dhcp(tftpPort uint16) (func(chassis.SlotInfo) *pi.DHCP, error) {
	switch {
	case cmd.DHCPPause != 0 && cmd.DHCP == "" && cmd.Wire == "":
		return nil, &configError{"--dhcp-pause is for --dhcp and --wire; leave it out"}
	case cmd.DHCPPause < 0:
		return nil, &configError{fmt.Sprintf("--dhcp-pause %v: want a time, for example 500ms", cmd.DHCPPause)}
	case cmd.DHCP != "" && cmd.Wire != "":
		return nil, &configError{"--dhcp and --wire: the Pis ask either on loopback or on interfaces of their own; leave one out"}
	case cmd.DHCP != "":
		server, err := netip.ParseAddrPort(cmd.DHCP)
		if err != nil || !server.Addr().IsLoopback() {
			return nil, &configError{fmt.Sprintf("--dhcp %q: want ADDRESS:PORT on loopback", cmd.DHCP)}
		}
		return func(chassis.SlotInfo) *pi.DHCP {
			return &pi.DHCP{Server: server, TFTPPort: tftpPort, Interval: cmd.DHCPPause}
		}, nil
	case cmd.Wire != "":
		namespace, device, ok := strings.Cut(cmd.Wire, "/")
		if !ok || namespace == "" || device == "" {
			return nil, &configError{fmt.Sprintf("--wire %q: want NAMESPACE/INTERFACE, for example pi-%%d/eth0", cmd.Wire)}
		}
		return func(info chassis.SlotInfo) *pi.DHCP {
			return &pi.DHCP{Namespace: "/run/netns/" + numbered(namespace, info), Interface: numbered(device, info), TFTPPort: tftpPort, Interval: cmd.DHCPPause}
		}, nil
	}
	return nil, nil
}

// tap returns the TAP interface of a caddy's guest; nil = it has none.
func (cmd simCmd) tap() (func(chassis.SlotInfo) string, error) {
	guests := cmd.Pi == piQEMU
	switch {
	case cmd.TAP == "" && guests && cmd.Wire != "":
		return nil, &configError{"--pi qemu with --wire: the system goes on where its boot ROM was, so each needs a TAP interface: name it with --tap"}
	case cmd.TAP == "":
		return nil, nil
	case !guests || cmd.Wire == "":
		return nil, &configError{"--tap is for --pi qemu with --wire; leave it out"}
	}
	return func(info chassis.SlotInfo) string { return numbered(cmd.TAP, info) }, nil
}

// numbered puts a caddy's number in the place of %d.
func numbered(name string, info chassis.SlotInfo) string {
	return strings.ReplaceAll(name, "%d", strconv.Itoa(info.Number))
}

// models returns the model of each caddy.
func (cmd simCmd) models() (func(chassis.SlotInfo) pi.Model, error) {
	var list []pi.Model
	for name := range strings.SplitSeq(cmd.Models, ",") {
		m := pi.Model(strings.TrimSpace(name))
		if !slices.Contains(pi.Models(), m) {
			return nil, &configError{fmt.Sprintf("--models: %q is not one of %v", m, pi.Models())}
		}
		list = append(list, m)
	}
	return func(info chassis.SlotInfo) pi.Model { return list[(info.Number-1)%len(list)] }, nil
}

// announce tells where the serial lines are once all units are on the bus.
func (s *simulated) announce(ctx context.Context, readyFile string) {
	if err := s.units.Online(ctx); err != nil {
		if ctx.Err() == nil {
			s.cfg.Log.Error("the simulated units do not reach the broker", "broker", redactURL(s.cfg.Broker), "err", err)
		}
		return
	}
	lines := map[string]string{}
	for _, c := range s.caddies {
		lines[c.Name()] = c.ConsolePort
		fmt.Printf("%-10s %s slot %d  %s  %s  serial line %s\n", c.Name(), c.Unit, c.Slot, c.MAC(), c.Address(), c.ConsolePort)
	}
	if err := writeJSONFile(readyFile, lines); err != nil {
		s.cfg.Log.Error("writing the ready file", "err", err)
	}
}
