package pi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// Config is what a [Pi] is made of.
type Config struct {
	// Model is the kind of Pi. Empty means [Pi4].
	Model Model
	// MAC is the address of its network port. Required.
	MAC string
	// Serial is its serial number, 8 hex digits. Required.
	Serial string
	// Address is the address from which it makes all its requests. Required
	// without DHCP.
	Address netip.Addr
	// TFTP is where it asks for its boot files, as DHCP would tell it.
	// Required without DHCP.
	TFTP netip.AddrPort
	// DHCP is how it gets both by asking for them; nil means that it need not.
	DHCP *DHCP
	// Line is its serial line. Required.
	Line Line
	// Computer runs the fetched kernel. Nil means that kernel and system are
	// simulated.
	Computer Computer
	// Dir is a folder of the Pi's own for the files that the Computer reads,
	// made when needed. Required with one.
	Dir string
	// OnEvent is told of each stage that the Pi reaches. It must return at
	// once. Nil means nobody listens.
	OnEvent func(Event)
	// Log is where problems are reported. Nil means nowhere.
	Log *slog.Logger
}

// Stage is how far a virtual Pi has come.
type Stage string

// The stages, in their order.
const (
	// StagePower: power came on, or the Pi started again by itself.
	StagePower Stage = "power"
	// StageAddress: the firmware has got an address by DHCP.
	StageAddress Stage = "address"
	// StageConfig: the firmware has read config.txt.
	StageConfig Stage = "config"
	// StageKernel: the whole kernel was fetched.
	StageKernel Stage = "kernel"
	// StageMount: the root file system is mounted.
	StageMount Stage = "mount"
	// StageInit: init was read.
	StageInit Stage = "init"
	// StageLogin: the prompt is there.
	StageLogin Stage = "login"
	// StageHalted: the system was shut down. Power may be cut.
	StageHalted Stage = "halted"
	// StageFailed: booting did not work, and is tried again soon.
	StageFailed Stage = "failed"
	// StageOff: power is gone.
	StageOff Stage = "off"
)

// Event says that a Pi reached a stage.
type Event struct {
	Time  time.Time `json:"time"`
	Stage Stage     `json:"stage"`
	// Detail is the reason of a failure or the name of what was reached.
	Detail string `json:"detail,omitempty"`
}

// Pi is a virtual Raspberry Pi without power. Its methods may be called from
// several goroutines, and return at once.
type Pi struct {
	cfg    Config
	log    *slog.Logger
	board  board
	serial uint32

	mu  sync.Mutex
	run *run // nil while power is off
	// last is closed when the life before has wound up its goroutine.
	last chan struct{}
}

// run is one time with power on.
type run struct {
	cancel context.CancelFunc
	out    *output

	mu       sync.Mutex
	halted   bool
	honours  bool          // the running system reacts to the shutdown pin
	shutdown chan struct{} // holds one pull of it
}

var serialForm = regexp.MustCompile(`^[0-9a-f]{8}$`)

// New returns a Pi that has no power yet.
func New(cfg Config) (*Pi, error) {
	b, err := boardOf(cfg.Model)
	if err != nil {
		return nil, fmt.Errorf("making a virtual Pi: %w", err)
	}
	if cfg.Model == "" {
		cfg.Model = Pi4
	}
	if !serialForm.MatchString(cfg.Serial) {
		return nil, fmt.Errorf("making a virtual Pi: serial %q is not 8 lower-case hex digits", cfg.Serial)
	}
	mac, err := net.ParseMAC(cfg.MAC)
	if err != nil || len(mac) != 6 {
		return nil, fmt.Errorf("making a virtual Pi: %q is not a MAC address", cfg.MAC)
	}
	cfg.MAC = mac.String()
	switch {
	case cfg.DHCP != nil && (cfg.DHCP.Interface == "") != cfg.DHCP.Server.IsValid():
		return nil, errors.New("making a virtual Pi: DHCP needs an interface, or a server on loopback")
	case cfg.DHCP == nil && !cfg.Address.IsValid():
		return nil, errors.New("making a virtual Pi: it needs an address of its own")
	case cfg.DHCP == nil && !cfg.TFTP.IsValid():
		return nil, errors.New("making a virtual Pi: it needs the address of a TFTP server")
	case cfg.Line == nil:
		return nil, errors.New("making a virtual Pi: it needs a serial line")
	case cfg.Computer != nil && cfg.Dir == "":
		return nil, errors.New("making a virtual Pi: its computer needs a folder for files")
	}
	serial, _ := strconv.ParseUint(cfg.Serial, 16, 32) // its form was checked
	p := &Pi{cfg: cfg, log: cfg.Log, board: b, serial: uint32(serial), last: closed()}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	return p, nil
}

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// Power switches the supply. Switching to what it is already does nothing.
func (p *Pi) Power(on bool) {
	if p.setPower(on) && !on {
		p.emit(StageOff, "")
	}
}

// setPower tells whether it changed anything. Events are told without the
// lock, since whoever hears of them may ask for more.
func (p *Pi) setPower(on bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if on == (p.run != nil) {
		return false
	}
	if on {
		p.start()
	} else {
		p.stop()
	}
	return true
}

// Reset pulls the RUN pin low for a moment. Without power it does nothing.
func (p *Pi) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return
	}
	p.stop()
	p.start()
}

// Close cuts power and waits until nothing of the Pi is left running.
func (p *Pi) Close() {
	p.Power(false)
	p.mu.Lock()
	last := p.last
	p.mu.Unlock()
	<-last
}

func (p *Pi) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r := &run{cancel: cancel, shutdown: make(chan struct{}, 1)}
	r.out = &output{line: p.cfg.Line, start: time.Now(), bol: true}
	before, done := p.last, make(chan struct{})
	p.run, p.last = r, done
	p.cfg.Line.Flush()
	go func() {
		defer close(done)
		<-before
		p.live(ctx, r)
	}()
}

func (p *Pi) stop() {
	p.run.out.powerCut()
	p.run.cancel()
	p.run = nil
}

func (p *Pi) current() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

// ShutdownRequest pulls the pin of the gpio-shutdown overlay. A Pi whose
// config.txt has not got the overlay, or whose system is not up, ignores it.
func (p *Pi) ShutdownRequest() {
	if r := p.current(); r != nil && r.honoursShutdown() {
		select {
		case r.shutdown <- struct{}{}:
		default:
		}
	}
}

// HonoursShutdown tells whether a shutdown request would be heeded now.
func (p *Pi) HonoursShutdown() bool {
	r := p.current()
	return r != nil && r.honoursShutdown()
}

// Alive tells whether the Pi shows signs of life: it has power and is not
// halted.
func (p *Pi) Alive() bool {
	r := p.current()
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.halted
}

func (r *run) honoursShutdown() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.honours
}

func (r *run) setHonours(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.honours = on
	select {
	case <-r.shutdown: // meant for the system before
	default:
	}
}

func (p *Pi) emit(stage Stage, detail string) {
	if p.cfg.OnEvent != nil {
		p.cfg.OnEvent(Event{Time: time.Now(), Stage: stage, Detail: detail})
	}
}

const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 8 * time.Second
)

// live is what a Pi does between power on and power off.
func (p *Pi) live(ctx context.Context, r *run) {
	pause := firstRetry
	for ctx.Err() == nil {
		r.setHonours(false)
		r.out.mute(false)
		err := p.boot(ctx, r)
		r.setHonours(false)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrReboot):
			pause = firstRetry
			continue
		case errors.Is(err, ErrHalt):
			r.mu.Lock()
			r.halted = true
			r.mu.Unlock()
			p.emit(StageHalted, "")
			<-ctx.Done()
			return
		case errors.Is(err, errGaveUp):
			p.emit(StageFailed, err.Error())
			<-ctx.Done()
			return
		}
		p.log.Info("virtual Pi does not boot", "serial", p.cfg.Serial, "err", err, "again", pause)
		p.emit(StageFailed, err.Error())
		r.out.printf("Trying again in %v", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastRetry)
	}
}

// boot goes from the ROM to a prompt and on, until something ends it.
func (p *Pi) boot(ctx context.Context, r *run) error {
	b := &booting{pi: p, run: r, out: r.out, lease: lease{address: p.cfg.Address, tftp: p.cfg.TFTP}}
	p.emit(StagePower, "")
	if err := b.firmware(ctx); err != nil {
		r.out.printf("Boot failed: %v", err)
		return err
	}
	if p.cfg.Computer != nil {
		return b.compute(ctx)
	}
	return b.kernel(ctx)
}
