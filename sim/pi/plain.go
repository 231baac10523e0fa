package pi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// PlainConfig is what a [Plain] is made of.
type PlainConfig struct {
	// Banner is printed when power comes on. See [SwitchBanner] and
	// [OdroidBanner].
	Banner string
	// Prompt is printed after it and after each line typed.
	Prompt string
	// Line is its serial line. Required.
	Line Line
	// OnEvent is told of power and prompt. Nil means nobody listens.
	OnEvent func(Event)
}

// Banners and prompts of the devices that a chassis may hold beside Pis.
const (
	SwitchBanner = "RTL8370N boot loader\nLoading firmware ... done\n16 ports ready\n"
	SwitchPrompt = "switch> "
	OdroidBanner = "U-Boot for ODROID-HC1\nDRAM:  2 GiB\nBooting from SD card ... done\n"
	OdroidPrompt = "root@odroid:~# "
)

// Plain is a device without a Pi's boot: a switch, a router, a board with a
// disk of its own. With power it prints a banner and a prompt. It has no pin
// for a shutdown.
type Plain struct {
	cfg PlainConfig

	mu     sync.Mutex
	out    *output // nil while power is off
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// NewPlain returns a device that has no power yet.
func NewPlain(cfg PlainConfig) (*Plain, error) {
	if cfg.Line == nil {
		return nil, errors.New("making a simulated device: it needs a serial line")
	}
	return &Plain{cfg: cfg}, nil
}

// Power switches the supply. Switching to what it is already does nothing.
func (d *Plain) Power(on bool) {
	if d.setPower(on) && !on {
		d.emit(StageOff)
	}
}

// setPower tells whether it changed anything. Events are told without the
// lock, since whoever hears of them may ask for more.
func (d *Plain) setPower(on bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if on == (d.out != nil) {
		return false
	}
	if on {
		d.start()
	} else {
		d.stop()
	}
	return true
}

// Reset starts the device again. Without power it does nothing.
func (d *Plain) Reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.out != nil {
		d.stop()
		d.start()
	}
}

// Close cuts power and waits until nothing of the device is left running.
func (d *Plain) Close() {
	d.Power(false)
	d.wg.Wait()
}

// ShutdownRequest does nothing.
func (d *Plain) ShutdownRequest() {}

// HonoursShutdown is always false.
func (d *Plain) HonoursShutdown() bool { return false }

// Alive tells whether the device has power.
func (d *Plain) Alive() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out != nil
}

func (d *Plain) start() {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	d.out = &output{line: d.cfg.Line, start: time.Now(), bol: true}
	d.cfg.Line.Flush()
	out := d.out
	d.wg.Go(func() { d.live(ctx, out) })
}

func (d *Plain) stop() {
	d.out.powerCut()
	d.cancel()
	d.out = nil
}

func (d *Plain) emit(stage Stage) {
	if d.cfg.OnEvent != nil {
		d.cfg.OnEvent(Event{Time: time.Now(), Stage: stage})
	}
}

func (d *Plain) live(ctx context.Context, out *output) {
	d.emit(StagePower)
	edit := &editor{out: out}
	out.printf("\n%s", strings.TrimSuffix(d.cfg.Banner, "\n"))
	edit.echo(d.cfg.Prompt)
	d.emit(StageLogin)
	buf := make([]byte, 256)
	for {
		n, err := d.cfg.Line.Read(ctx, buf)
		if err != nil {
			return
		}
		for _, c := range buf[:n] {
			line, done := edit.key(c)
			if !done {
				continue
			}
			if f := strings.Fields(line); len(f) > 0 {
				edit.echo(fmt.Sprintf("%s: unknown command\r\n", f[0]))
			}
			edit.echo(d.cfg.Prompt)
		}
	}
}
