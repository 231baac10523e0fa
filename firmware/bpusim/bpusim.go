// Package bpusim runs bpu-sim, the firmware of a backplane unit as a Linux
// program, and speaks its control channel (firmware/port/host/README.md).
package bpusim

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Config says which unit to run.
type Config struct {
	// Program is the path of bpu-sim (make -C firmware host builds firmware/build/bpu-sim).
	Program string
	// Args are its options (bpu-sim --help), without --control.
	Args []string
	// OnEvent is told what happens, one event at a time and in order; it must
	// not call the Unit and should return at once. nil = ignore.
	OnEvent func(Event)
	// Devices are what sits in the slots, from slot 1; nil entries and missing
	// ones are the program's own simulated caddies.
	Devices []Device
	// Log gets the unit's serial log at level debug; nil = discard.
	Log *slog.Logger
}

// Device is what sits in a slot, such as a virtual Pi. Its methods must return
// at once and must not call the Unit.
type Device interface {
	// Power switches the 5 V of the slot.
	Power(on bool)
	// ShutdownRequest asks the operating system to halt.
	ShutdownRequest()
	// Reset restarts the processor without touching its power.
	Reset()
	// Alive tells whether the device says that it runs. It is asked a few times a second.
	Alive() bool
}

// EventKind says what happened.
type EventKind string

// Kinds of events.
const (
	// Boot: the unit's processor has started.
	Boot EventKind = "boot"
	// Online: connected, and all was published.
	Online EventKind = "online"
	// Offline: the connection is gone.
	Offline EventKind = "offline"
	// Power: what is in the slot has 5 V (On), or no longer.
	Power EventKind = "power"
	// Shutdown: the slot's shutdown pin was pulled.
	Shutdown EventKind = "shutdown"
	// Reset: the slot's RUN pin was pulled.
	Reset EventKind = "reset"
)

// Event is something that a unit did.
type Event struct {
	Kind   EventKind
	Slot   int    // from 1; Power, Shutdown, Reset
	On     bool   // Power
	Boot   uint32 // Boot: its number
	Reason string // Boot: power, soft or watchdog
}

// aliveEvery is how often devices are asked; the firmware looks each 500 ms.
const aliveEvery = 200 * time.Millisecond

// closeWait is how long a unit may take to end by itself.
const closeWait = 5 * time.Second

// ErrEnded is returned when the program is no longer there.
var ErrEnded = errors.New("bpu-sim has ended")

// Unit is a running bpu-sim.
type Unit struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	log   *slog.Logger

	ask     sync.Mutex // one line at a time
	answers chan string
	ended   chan struct{} // closed when the program has ended
	err     error         // why; read after ended is closed

	mu     sync.Mutex
	online bool
	change chan struct{} // closed and replaced whenever online changes
}

// Start runs a unit. It ends with Close, or when this process ends.
func Start(cfg Config) (*Unit, error) {
	u := &Unit{log: cfg.Log, answers: make(chan string, 1), ended: make(chan struct{}), change: make(chan struct{})}
	if u.log == nil {
		u.log = slog.New(slog.DiscardHandler)
	}
	// The unit outlives every request; Close ends it.
	u.cmd = exec.CommandContext(context.Background(), cfg.Program, append([]string{"--control", "stdio"}, cfg.Args...)...)
	var err error
	if u.stdin, err = u.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting %q: %w", cfg.Program, err)
	}
	out, err := u.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting %q: %w", cfg.Program, err)
	}
	trouble, err := u.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("starting %q: %w", cfg.Program, err)
	}
	if err := u.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %q (make -C firmware host builds it): %w", cfg.Program, err)
	}
	last := make(chan string, 1)
	go func() { last <- u.copyLog(trouble) }()
	go u.read(out, last, func(e Event) {
		tell(cfg.Devices, e)
		if cfg.OnEvent != nil {
			cfg.OnEvent(e)
		}
	})
	go u.watchAlive(cfg.Devices)
	return u, nil
}

// tell hands an event to the device it is about.
func tell(devices []Device, e Event) {
	if e.Slot < 1 || e.Slot > len(devices) || devices[e.Slot-1] == nil {
		return
	}
	d := devices[e.Slot-1]
	switch e.Kind {
	case Power:
		d.Power(e.On)
	case Shutdown:
		d.ShutdownRequest()
	case Reset:
		d.Reset()
	}
}

// watchAlive shows the unit what the devices' alive pins do.
func (u *Unit) watchAlive(devices []Device) {
	shown := map[int]string{}
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		for i, d := range devices {
			if d == nil {
				continue
			}
			level := "0"
			if d.Alive() {
				level = "1"
			}
			if shown[i] == level {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), closeWait)
			_, err := u.Do(ctx, fmt.Sprintf("slot %d set alive=%s", i+1, level))
			cancel()
			if err != nil {
				u.log.Debug("bpu-sim: alive pin", "slot", i+1, "error", err)
				continue
			}
			shown[i] = level
		}
		select {
		case <-tick.C:
		case <-u.ended:
			return
		}
	}
}

// copyLog returns the last line.
func (u *Unit) copyLog(from io.Reader) (last string) {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		last = lines.Text()
		u.log.Debug("bpu-sim", "line", last)
	}
	return last
}

func (u *Unit) read(out io.Reader, last <-chan string, onEvent func(Event)) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		if answer, ok := strings.CutPrefix(line, "= "); ok {
			u.answers <- answer
			continue
		}
		e, ok := parseEvent(line)
		if !ok {
			continue
		}
		if e.Kind == Online || e.Kind == Offline {
			u.setOnline(e.Kind == Online)
		}
		onEvent(e)
	}
	words := <-last
	err := u.cmd.Wait()
	u.err = ErrEnded
	if err != nil {
		u.err = fmt.Errorf("%w: %w: %s", ErrEnded, err, words)
	}
	close(u.ended)
}

func parseEvent(line string) (Event, bool) {
	f := strings.Fields(line)
	if len(f) < 2 || f[0] != "!" {
		return Event{}, false
	}
	e := Event{Kind: EventKind(f[1])}
	switch {
	case f[1] == "boot" && len(f) == 4:
		n, err := strconv.ParseUint(f[2], 10, 32)
		e.Boot, e.Reason = uint32(n), f[3]
		return e, err == nil
	case f[1] == "slot" && len(f) >= 4:
		n, err := strconv.Atoi(f[2])
		e.Kind, e.Slot = EventKind(f[3]), n
		e.On = len(f) == 5 && f[4] == "1"
		return e, err == nil
	default:
		return e, e.Kind == Online || e.Kind == Offline
	}
}

func (u *Unit) setOnline(on bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.online = on
	close(u.change)
	u.change = make(chan struct{})
}

// WaitOnline returns when the unit is connected and has published everything.
func (u *Unit) WaitOnline(ctx context.Context) error {
	for {
		u.mu.Lock()
		online, change := u.online, u.change
		u.mu.Unlock()
		if online {
			return nil
		}
		select {
		case <-change:
		case <-u.ended:
			return u.err
		case <-ctx.Done():
			return fmt.Errorf("waiting for the unit to come online: %w", ctx.Err())
		}
	}
}

// Answer holds the key=value pairs of an answer.
type Answer map[string]string

// Int returns a number; 0 when it is not there.
func (a Answer) Int(key string) int {
	n, _ := strconv.Atoi(a[key])
	return n
}

// Do sends a line and returns its answer; an answer that begins with "error" is an error.
func (u *Unit) Do(ctx context.Context, line string) (Answer, error) {
	u.ask.Lock()
	defer u.ask.Unlock()
	if _, err := io.WriteString(u.stdin, line+"\n"); err != nil {
		return nil, fmt.Errorf("telling bpu-sim %q: %w", line, err)
	}
	var answer string
	select {
	case answer = <-u.answers:
	case <-u.ended:
		return nil, fmt.Errorf("telling bpu-sim %q: %w", line, u.err)
	case <-ctx.Done():
		return nil, fmt.Errorf("telling bpu-sim %q: %w", line, ctx.Err())
	}
	words := strings.Fields(answer)
	if len(words) == 0 || words[0] != "ok" {
		return nil, fmt.Errorf("telling bpu-sim %q: %s", line, strings.TrimPrefix(answer, "error "))
	}
	pairs := Answer{}
	for _, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		pairs[k] = v
	}
	return pairs, nil
}

// Close ends the unit and waits for it.
func (u *Unit) Close() {
	_ = u.stdin.Close()
	select {
	case <-u.ended:
	case <-time.After(closeWait):
		_ = u.cmd.Process.Kill()
		<-u.ended
	}
}
