package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
)

type simCmd struct {
	Broker    string `required:"" help:"URL of the MQTT broker, tcp://HOST:PORT."`
	Password  string `env:"CADDYSHACK_SIM_PASSWORD" help:"Password of every unit at the broker; the user is the unit's id (${env})."`
	TFTP      string `name:"tftp" default:"127.0.0.1:69" help:"Where the Pis ask for their boot files, HOST:PORT."`
	Caddies   int    `default:"13" help:"Number of simulated caddies."`
	Units     string `default:"model" enum:"model,firmware" help:"Backplane units: a model of them, or the firmware itself as Linux programs (make -C firmware host)."`
	Pi        string `default:"sim" enum:"sim,qemu" help:"How Pis are simulated: sim, or qemu (each runs the real kernel and system it has fetched; needs qemu-system-aarch64)."`
	State     string `type:"path" help:"Keep serial lines and what the units remember in this folder. Default: a temporary one."`
	ReadyFile string `type:"path" help:"Write the serial lines there, as JSON, once all units are on the bus."`
	Verbose   bool   `short:"v" help:"Log everything."`
}

// Run simulates a chassis until ctx ends.
func (cmd simCmd) Run(ctx context.Context) error {
	tftp, err := netip.ParseAddrPort(cmd.TFTP)
	if err != nil {
		return &configError{fmt.Sprintf("--tftp %q: want ADDRESS:PORT", cmd.TFTP)}
	}
	program, err := findQEMU(cmd.Pi)
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
		Password: func(string) string { return cmd.Password }, TFTP: tftp, Firmware: cmd.Units == unitsFirmware, QEMU: program, Log: log,
	})
	if err != nil {
		return err
	}
	defer s.closeLogged()
	go s.announce(ctx, cmd.ReadyFile)
	return s.run(ctx)
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
