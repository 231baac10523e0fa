package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"caddyshack/bus"
	"caddyshack/sim/chassis"
	"caddyshack/sim/pi"
	"caddyshack/sim/qemu"
	"caddyshack/sim/serial"
	"caddyshack/sim/unit"
)

// simulatedConfig describes a simulated chassis of this process.
type simulatedConfig struct {
	Caddies  int
	Dir      string // serial lines and what the units keep in their flash
	Broker   string
	Password func(unit string) string
	TFTP     netip.AddrPort // what DHCP would tell the Pis
	// DHCP is how a Pi gets its address and TFTP server; nil = it has them.
	DHCP func(chassis.SlotInfo) *pi.DHCP
	// Models are those of the Pis; nil = all are Pi 4.
	Models func(chassis.SlotInfo) pi.Model
	// Firmware runs the units' own firmware, as Linux programs, and not its model.
	Firmware bool
	// QEMU is the program that runs the kernels of the Pis; "" = they are
	// simulated too.
	QEMU string
	// TAP names the interface of a guest; nil = guests have a network of their own.
	TAP func(chassis.SlotInfo) string
	Log *slog.Logger
}

// units are the backplane units of a simulated chassis.
type units interface {
	// Online returns once all are on the bus.
	Online(ctx context.Context) error
	Close()
}

// caddy is a simulated caddy as a person would describe it to the API.
type caddy struct {
	chassis.SlotInfo
	Serial      string // of a Pi, "" for others
	ConsolePort string
}

// simulated is a chassis with its serial lines.
type simulated struct {
	cfg     simulatedConfig
	units   units
	lines   []*serial.Line
	caddies []caddy
	starts  qemu.Starts // of all guests
}

// The values of --pi.
const (
	piSimulated = "sim"
	piQEMU      = "qemu"
)

const (
	// guestPause keeps a chassis that comes on at once from starving this machine.
	guestPause = time.Second
	// guestSSH is the port of a Pi's address at which its ssh server is reached.
	guestSSH = 2222
)

// findQEMU returns the program for a value of --pi, "" for none.
func findQEMU(how string) (string, error) {
	if how != piQEMU {
		return "", nil
	}
	program, err := qemu.Find()
	if err != nil {
		return "", &configError{"--pi qemu: " + err.Error() + ", or leave --pi out to run with virtual Pis"}
	}
	return program, nil
}

// startSimulated makes the serial lines and powers the units.
func startSimulated(ctx context.Context, cfg simulatedConfig) (*simulated, error) {
	s := &simulated{cfg: cfg, starts: qemu.Starts{Pause: guestPause}}
	if cfg.Firmware {
		u, err := startFirmware(ctx, s)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.units = u
		return s, nil
	}
	c, err := chassis.Start(chassis.Config{
		Broker: cfg.Broker, Password: cfg.Password, Caddies: cfg.Caddies,
		StateDir: filepath.Join(cfg.Dir, "units"), Log: cfg.Log,
		Device: func(info chassis.SlotInfo) (unit.Device, error) { return s.device(ctx, info) },
	})
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.units = c
	return s, nil
}

// device makes what sits in a slot, with its serial line.
func (s *simulated) device(ctx context.Context, info chassis.SlotInfo) (unit.Device, error) {
	link := filepath.Join(s.cfg.Dir, "serial", fmt.Sprintf("%s-slot-%d", info.Unit, info.Slot))
	log := s.cfg.Log.With("unit", info.Unit, "slot", info.Slot)
	line, err := serial.Open(ctx, serial.Config{Link: link, Log: log})
	if err != nil {
		return nil, err
	}
	s.lines = append(s.lines, line)
	c := caddy{SlotInfo: info, ConsolePort: link}
	defer func() { s.caddies = append(s.caddies, c) }()
	switch info.Type {
	case bus.TypeSwitch:
		return pi.NewPlain(pi.PlainConfig{Banner: pi.SwitchBanner, Prompt: pi.SwitchPrompt, Line: line})
	case bus.TypeOdroid:
		return pi.NewPlain(pi.PlainConfig{Banner: pi.OdroidBanner, Prompt: pi.OdroidPrompt, Line: line})
	}
	c.Serial = fmt.Sprintf("c0ff%02x%02x", info.UnitNumber, info.Slot)
	pc := pi.Config{MAC: info.MAC().String(), Serial: c.Serial, Address: info.Address(), TFTP: s.cfg.TFTP, Line: line, Log: log}
	if s.cfg.Models != nil {
		pc.Model = s.cfg.Models(info)
	}
	if s.cfg.DHCP != nil {
		pc.DHCP = s.cfg.DHCP(info)
	}
	if s.cfg.QEMU != "" {
		pc.Dir = filepath.Join(s.cfg.Dir, "pi", fmt.Sprintf("%s-slot-%d", info.Unit, info.Slot))
		qc := qemu.Config{Program: s.cfg.QEMU, SSHPort: guestSSH, Starts: &s.starts, Log: log}
		if s.cfg.TAP != nil {
			qc.TAP = s.cfg.TAP(info)
		}
		if pc.Computer, err = qemu.New(qc); err != nil {
			return nil, err
		}
	}
	return pi.New(pc)
}

// run serves the serial lines until ctx ends.
func (s *simulated) run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, l := range s.lines {
		g.Go(func() error { return l.Serve(gctx) })
	}
	return g.Wait()
}

// close takes the power and the lines away; the units remember what was on.
func (s *simulated) close() error {
	var errs []error
	if s.units != nil {
		s.units.Close()
	}
	for _, l := range s.lines {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

func (s *simulated) closeLogged() {
	if err := s.close(); err != nil {
		s.cfg.Log.Warn("closing the simulated chassis", "err", err)
	}
}
