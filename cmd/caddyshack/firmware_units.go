package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"caddyshack/bus"
	"caddyshack/firmware/bpusim"
	"caddyshack/sim/chassis"
)

// unitsFirmware is the value of --units that runs the firmware itself.
const unitsFirmware = "firmware"

// firmwareUnits are backplane units that run their own firmware, as Linux
// programs on simulated hardware.
type firmwareUnits []*bpusim.Unit

// startFirmware starts one program for each unit of the chassis.
func startFirmware(ctx context.Context, s *simulated) (firmwareUnits, error) {
	program, err := findUnitProgram()
	if err != nil {
		return nil, err
	}
	broker, err := url.Parse(s.cfg.Broker)
	if err != nil {
		return nil, fmt.Errorf("reading the broker's address %q: %w", redactURL(s.cfg.Broker), err)
	}
	layout, err := chassis.Layout(s.cfg.Caddies)
	if err != nil {
		return nil, err
	}
	var units firmwareUnits
	for _, info := range layout {
		cfg := bpusim.Config{Program: program, Log: s.cfg.Log.With("unit", info.ID)}
		var types []string
		for _, slot := range info.Slots {
			types = append(types, strconv.Itoa(slot.Type))
			if slot.Type == bus.TypeEmpty {
				cfg.Devices = append(cfg.Devices, nil)
				continue
			}
			d, err := s.device(ctx, slot)
			if err != nil {
				units.Close()
				return nil, err
			}
			cfg.Devices = append(cfg.Devices, d)
		}
		state := filepath.Join(s.cfg.Dir, "units", info.ID)
		if err := os.MkdirAll(state, 0o750); err != nil {
			units.Close()
			return nil, fmt.Errorf("making the folder of unit %s: %w", info.ID, err)
		}
		cfg.Args = []string{"--broker", broker.Host, "--id", info.ID, "--user", info.ID, "--password", s.cfg.Password(info.ID),
			"--slots", strconv.Itoa(len(info.Slots)), "--types", strings.Join(types, ","), "--policy", string(bus.PolicyLast),
			"--index", strconv.Itoa(info.Number - 1), "--state", state}
		u, err := bpusim.Start(cfg)
		if err != nil {
			units.Close()
			return nil, err
		}
		units = append(units, u)
	}
	return units, nil
}

// findUnitProgram looks for bpu-sim beside this program, where make puts it, and in PATH.
func findUnitProgram() (string, error) {
	const name = "bpu-sim"
	places := []string{filepath.Join("firmware", "build", name)}
	if self, err := os.Executable(); err == nil {
		dir := filepath.Dir(self)
		places = append([]string{filepath.Join(dir, name), filepath.Join(dir, "..", "firmware", "build", name)}, places...)
	}
	for _, p := range places {
		if fi, err := os.Stat(p); err == nil && fi.Mode().IsRegular() {
			return filepath.Abs(p)
		}
	}
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	return "", &configError{"--units firmware: bpu-sim was not found; `make -C firmware host` builds it"}
}

// Online returns once all units are on the bus.
func (f firmwareUnits) Online(ctx context.Context) error {
	for _, u := range f {
		if err := u.WaitOnline(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the programs.
func (f firmwareUnits) Close() {
	var all sync.WaitGroup
	for _, u := range f {
		all.Go(u.Close)
	}
	all.Wait()
}
