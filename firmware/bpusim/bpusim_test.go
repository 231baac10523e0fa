package bpusim_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"caddyshack/bus"
	"caddyshack/bus/bustest"
	"caddyshack/firmware/bpusim"
)

const program = "../build/bpu-sim"

// TestMain builds the program, so that it is never an old one.
func TestMain(m *testing.M) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	out, err := exec.CommandContext(ctx, "make", "-s", "-C", "..", "host").CombinedOutput()
	cancel()
	if err != nil {
		fmt.Fprintf(os.Stderr, "building bpu-sim (Debian packages g++, make, libbearssl-dev): %v\n%s", err, out)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// pi lives as long as it has power and was not asked to halt.
type pi struct{ on, halted, reset atomic.Bool }

func (p *pi) Power(on bool)    { p.on.Store(on); p.halted.Store(false) }
func (p *pi) ShutdownRequest() { p.halted.Store(true) }
func (p *pi) Reset()           { p.reset.Store(true) }
func (p *pi) Alive() bool      { return p.on.Load() && !p.halted.Load() }

func do(t *testing.T, u *bpusim.Unit, line string) bpusim.Answer {
	t.Helper()
	a, err := u.Do(bustest.Context(t), line)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A virtual machine in slot 1 is switched on and shut down by its button, over the whole firmware in real time.
func TestDevice(t *testing.T) {
	t.Parallel()
	url := bustest.Embedded(t, "bpu-1")
	machine := &pi{}
	var boots atomic.Int32
	unit, err := bpusim.Start(bpusim.Config{
		Program: program, Log: bustest.Log(t), Devices: []bpusim.Device{machine},
		Args: []string{"--broker", strings.TrimPrefix(url, "tcp://"), "--id", "bpu-1", "--user", "bpu-1", "--password", bustest.Password("bpu-1")},
		OnEvent: func(e bpusim.Event) {
			if e.Kind == bpusim.Boot {
				boots.Add(1)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unit.Close)
	if err := unit.WaitOnline(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	l := bustest.Listen(t, url, bustest.ControllerUser, bus.Root+"/bpu/bpu-1/slot/1/state")
	await := func(what string, ok func(bus.State) bool) {
		t.Helper()
		for {
			st, err := bus.DecodeState(l.Next(t).Payload)
			if err != nil {
				t.Fatal(err)
			}
			if ok(st) {
				t.Log(what)
				return
			}
		}
	}
	do(t, unit, "slot 1 press 200")
	await("on and alive", func(st bus.State) bool { return st.Power == bus.PowerOn && st.Alive })
	if !machine.on.Load() {
		t.Error("the machine was not switched on")
	}
	do(t, unit, "slot 1 press 200")
	await("halted, then off", func(st bus.State) bool { return st.Power == bus.PowerOff && st.Why == bus.WhyHalted })
	if machine.on.Load() {
		t.Error("the machine still has power")
	}
	if boots.Load() != 1 {
		t.Errorf("the unit started %d times", boots.Load())
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	if _, err := bpusim.Start(bpusim.Config{Program: "/does/not/exist"}); err == nil {
		t.Error("a program that is not there was started")
	}
	bad, err := bpusim.Start(bpusim.Config{Program: program, Args: []string{"--slots", "9"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := bad.WaitOnline(bustest.Context(t)); !errors.Is(err, bpusim.ErrEnded) || !strings.Contains(err.Error(), "3 to 4") {
		t.Errorf("wrong options: %v", err)
	}
	bad.Close()
	unit, err := bpusim.Start(bpusim.Config{Program: program})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"dance", "slot 9 get", "slot 1 dance", "slot 1 set x", "slot 1 set x=1", "slot 1 insert 15", "network sideways", "advance x"} {
		if _, err := unit.Do(bustest.Context(t), line); err == nil {
			t.Errorf("%q was taken", line)
		}
	}
	unit.Close()
	if _, err := unit.Do(bustest.Context(t), "status"); err == nil {
		t.Error("a unit that was closed answers")
	}
}
