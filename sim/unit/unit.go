package unit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"caddyshack/bus"
)

// SlotConfig is one slot of a unit.
type SlotConfig struct {
	// Type is the type code of what sits in it (bus.TypePi…); 0 = empty.
	Type int
	// AlwaysOn is the jumper that forbids switching off.
	AlwaysOn bool
	// Device gets the power; nil = nothing reacts.
	Device Device
}

// Config describes a unit.
type Config struct {
	// ID is the unit's id, client id and user at the broker.
	ID string
	// Index of the unit in the chassis, from 0; it orders the switching on after a power loss.
	Index int
	// Slots has 1 to 4 slots.
	Slots []SlotConfig
	// Broker is the URL, Password the unit's own.
	Broker   string
	Password string
	// BackOff before a new attempt to connect; 0 = 1 s.
	BackOff time.Duration
	// Policy after a power loss; "" = off. A config command wins over it, as
	// over Hold and Stagger.
	Policy bus.Policy
	// Hold is how long to wait for the controller after a power loss; 0 = 300 s.
	Hold time.Duration
	// Stagger between two slots switching on after a power loss; 0 = none.
	Stagger time.Duration
	// Store is the unit's flash; nil = a new Memory.
	Store Store
	// MAC address shown in info.
	MAC string
	// Log gets connections and failures to save; nil = discard.
	Log *slog.Logger

	now func() time.Duration // a test's clock; nil = time since New
}

// Unit is a running simulated unit.
type Unit struct {
	cfg  Config
	now  func() time.Duration
	wake chan struct{} // the next deadline may have changed
	mail chan struct{} // there may be something to send
	stop context.CancelFunc
	ctx  context.Context
	work sync.WaitGroup

	mu      sync.Mutex
	core    *core
	powered bool
	life    int         // connections made; what an earlier one tells is ignored
	sending bool        // a message is on its way to the broker
	client  *bus.Client // nil while unplugged or without power

	plug sync.Mutex // serializes power, reset and plug
}

// New makes a unit that is not powered yet.
func New(cfg Config) (*Unit, error) {
	if err := bus.CheckUnitID(cfg.ID); err != nil {
		return nil, fmt.Errorf("simulated unit: %w", err)
	}
	if n := len(cfg.Slots); n < 1 || n > bus.MaxSlots {
		return nil, fmt.Errorf("simulated unit %q: %d slots, want 1 to %d", cfg.ID, n, bus.MaxSlots)
	}
	if cfg.Policy == "" {
		cfg.Policy = bus.PolicyOff
	}
	if cfg.Hold == 0 {
		cfg.Hold = 300 * time.Second
	}
	if cfg.Store == nil {
		cfg.Store = &Memory{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c, err := newCore(cfg)
	if err != nil {
		return nil, fmt.Errorf("simulated unit %q: %w", cfg.ID, err)
	}
	if cfg.now == nil {
		began := time.Now()
		cfg.now = func() time.Duration { return time.Since(began) }
	}
	u := &Unit{
		cfg: cfg, core: c, wake: make(chan struct{}, 1), mail: make(chan struct{}, 1),
		now: cfg.now,
	}
	u.ctx, u.stop = context.WithCancel(context.Background())
	u.work.Go(u.run)
	u.work.Go(u.send)
	return u, nil
}

// ID is the unit's id.
func (u *Unit) ID() string { return u.cfg.ID }

// PowerOn gives the unit its supply: a cold start. It connects by itself.
func (u *Unit) PowerOn() error {
	u.plug.Lock()
	defer u.plug.Unlock()
	u.mu.Lock()
	if u.powered {
		u.mu.Unlock()
		return nil
	}
	u.powered = true
	u.core.start(u.now(), true, "power")
	u.mu.Unlock()
	return u.connect()
}

// PowerLoss takes the supply away from the unit and all its slots, at once and
// without a word on the bus.
func (u *Unit) PowerLoss() {
	u.plug.Lock()
	defer u.plug.Unlock()
	u.mu.Lock()
	u.powered = false
	u.core.powerLost(u.now())
	u.mu.Unlock()
	u.disconnect()
}

// Reset restarts the unit's processor; no slot's power changes.
func (u *Unit) Reset() error { return u.restart("watchdog") }

func (u *Unit) restart(why string) error {
	u.plug.Lock()
	defer u.plug.Unlock()
	u.mu.Lock()
	if !u.powered {
		u.mu.Unlock()
		return nil
	}
	u.core.start(u.now(), false, why)
	u.mu.Unlock()
	u.disconnect()
	return u.connect()
}

// Unplug breaks the unit's network; it goes on working and cannot connect.
func (u *Unit) Unplug() {
	u.plug.Lock()
	defer u.plug.Unlock()
	u.disconnect()
}

// Replug ends Unplug.
func (u *Unit) Replug() error {
	u.plug.Lock()
	defer u.plug.Unlock()
	u.mu.Lock()
	ok := u.powered && u.client == nil
	u.mu.Unlock()
	if !ok {
		return nil
	}
	return u.connect()
}

// Online returns when the unit has told the broker that it is online.
func (u *Unit) Online(ctx context.Context) error {
	for {
		u.mu.Lock()
		client, done := u.client, u.core.connected && len(u.core.out) == 0 && !u.sending
		u.mu.Unlock()
		if done {
			return nil
		}
		if client == nil {
			return fmt.Errorf("simulated unit %q: it is not connected to a network", u.cfg.ID)
		}
		if err := client.WaitConnected(ctx); err != nil {
			return fmt.Errorf("simulated unit %q: %w", u.cfg.ID, err)
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("simulated unit %q: waiting until it is online: %w", u.cfg.ID, ctx.Err())
		}
	}
}

// Close ends the simulation: as a power loss, but what the slots were asked to
// be is kept in the Store.
func (u *Unit) Close() {
	u.PowerLoss()
	u.stop()
	u.work.Wait()
}

// SetFaults makes the unit misbehave from now on; the zero value ends it.
func (u *Unit) SetFaults(f Faults) { u.do(func(c *core) { c.faults = f }) }

// Insert puts something of a type into a slot, 0 takes it out.
func (u *Unit) Insert(slot, typ int) {
	u.do(func(c *core) { s := c.slots[slot-1]; c.events(s, s.insert(c.now, typ)); c.keepWant(s) })
}

// Press presses a slot's button for a time.
func (u *Unit) Press(slot int, held time.Duration) {
	u.do(func(c *core) { s := c.slots[slot-1]; c.events(s, s.press(c.now, held)); c.keepWant(s) })
}

// StickPGood forces a slot's PGOOD input; nil lets it tell the truth again.
func (u *Unit) StickPGood(slot int, level *bool) {
	u.do(func(c *core) { c.slots[slot-1].stuckPGood = level })
}

// State is the present state of a slot, as the unit sees it.
func (u *Unit) State(slot int) bus.State {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.core.slots[slot-1].sent
}

// do changes the core and lets it react.
func (u *Unit) do(change func(c *core)) {
	u.mu.Lock()
	u.core.now = u.now()
	change(u.core)
	if u.powered {
		u.core.step(u.core.now)
	}
	u.mu.Unlock()
	u.poke()
}

func (u *Unit) poke() {
	for _, c := range []chan struct{}{u.wake, u.mail} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (u *Unit) connect() error {
	u.mu.Lock()
	u.life++
	life := u.life
	subs := u.core.subscriptions()
	u.mu.Unlock()
	client, err := bus.NewClient(bus.ClientConfig{
		Broker: u.cfg.Broker, ClientID: u.cfg.ID, User: u.cfg.ID, Password: u.cfg.Password, BackOff: u.cfg.BackOff,
		Will: &bus.Message{
			Topic:   bus.Topic{Unit: u.cfg.ID, Kind: bus.KindStatus}.String(),
			Payload: []byte(bus.Offline), QoS: 1, Retained: true,
		},
		Subscriptions: subs,
		OnMessage:     func(m bus.Message) { u.on(life, func(c *core) { c.message(u.now(), m) }) },
		OnConnect:     func(context.Context) { u.on(life, func(c *core) { c.online(u.now()) }) },
		OnLost:        func(error) { u.on(life, func(c *core) { c.offline() }) },
		Log:           u.cfg.Log,
	})
	if err != nil {
		return fmt.Errorf("simulated unit %q: %w", u.cfg.ID, err)
	}
	u.mu.Lock()
	u.client = client
	u.mu.Unlock()
	u.poke() // its callbacks may have been faster
	return nil
}

func (u *Unit) disconnect() {
	u.mu.Lock()
	client := u.client
	u.client = nil
	u.life++
	u.core.offline()
	u.mu.Unlock()
	if client != nil {
		client.Abort()
	}
}

// on handles what a connection tells, unless it is a former one.
func (u *Unit) on(life int, react func(c *core)) {
	u.mu.Lock()
	if u.life == life && u.powered {
		react(u.core)
	}
	u.mu.Unlock()
	u.poke()
}

// run lets the core's time pass.
func (u *Unit) run() {
	for {
		wait := time.Hour
		u.mu.Lock()
		if u.powered {
			u.core.step(u.now())
			wait = u.core.next() - u.now()
		}
		reboot, mail := u.powered && u.core.rebootDue(), len(u.core.out) > 0
		u.mu.Unlock()
		if reboot {
			if err := u.restart("soft"); err != nil {
				u.cfg.Log.Error("restarting", "error", err)
			}
			continue
		}
		if mail {
			select {
			case u.mail <- struct{}{}:
			default:
			}
		}
		timer := time.NewTimer(max(wait, 0))
		select {
		case <-timer.C:
		case <-u.wake:
			timer.Stop()
		case <-u.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// publishDeadline is far above what a broker takes to confirm a message.
const publishDeadline = 5 * time.Second

// send publishes what the core has to say, one message in flight, as the
// firmware does. What a broken connection did not take is told anew by the next.
func (u *Unit) send() {
	for {
		select {
		case <-u.mail:
		case <-u.ctx.Done():
			return
		}
		for u.sendOne() {
		}
	}
}

func (u *Unit) sendOne() bool {
	u.mu.Lock()
	if len(u.core.out) == 0 || u.client == nil {
		u.mu.Unlock()
		return false
	}
	m, client := u.core.out[0], u.client
	u.core.out = u.core.out[1:]
	u.sending = true
	u.mu.Unlock()
	ctx, cancel := context.WithTimeout(u.ctx, publishDeadline)
	err := client.Publish(ctx, m)
	cancel()
	if err != nil && !errors.Is(err, bus.ErrNotConnected) {
		u.cfg.Log.Warn("simulated unit", "unit", u.cfg.ID, "error", err)
	}
	u.mu.Lock()
	u.sending = false
	u.mu.Unlock()
	return true
}
