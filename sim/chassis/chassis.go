package chassis

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"caddyshack/bus"
	"caddyshack/sim/unit"
)

// Config describes a simulated chassis.
type Config struct {
	// Caddies is their number; 0 = a chassis without units.
	Caddies int
	// Broker is the URL of the MQTT broker.
	Broker string
	// Password returns a unit's password at the broker; the user is the unit's id.
	Password func(unit string) string
	// Device makes what sits in a slot; it is not called for empty ones. nil = loads that do nothing.
	Device func(SlotInfo) (unit.Device, error)
	// StateDir keeps what units remember over a restart, so that caddies that
	// were on are switched on again; "" = nothing is kept.
	StateDir string
	// Stagger between two caddies switching on after a power loss; 0 = none.
	Stagger time.Duration
	// Hold is how long units wait for the controller after a power loss; 0 = 300 s.
	Hold time.Duration
	// Log gets connections and failures; nil = discard.
	Log *slog.Logger
}

// Chassis is a running simulated chassis.
type Chassis struct {
	layout []UnitInfo
	units  []*unit.Unit
	once   sync.Once
}

// Start makes all units and gives them power. They connect by themselves, now
// or when the broker is there; Online tells when they have.
func Start(cfg Config) (_ *Chassis, err error) {
	layout, err := Layout(cfg.Caddies)
	if err != nil {
		return nil, err
	}
	if cfg.StateDir != "" {
		if err := os.MkdirAll(cfg.StateDir, 0o750); err != nil {
			return nil, fmt.Errorf("simulated chassis: making the state folder: %w", err)
		}
	}
	c := &Chassis{layout: layout}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	for _, info := range layout {
		u, err := newUnit(cfg, info)
		if err != nil {
			return nil, err
		}
		c.units = append(c.units, u)
	}
	for _, u := range c.units {
		if err := u.PowerOn(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func newUnit(cfg Config, info UnitInfo) (*unit.Unit, error) {
	uc := unit.Config{
		ID: info.ID, Index: info.Number - 1, Broker: cfg.Broker, Policy: bus.PolicyLast, Hold: cfg.Hold, Stagger: cfg.Stagger,
		MAC: net.HardwareAddr{0x5c, 0xcf, 0x7f, 0xca, 0, byte(info.Number)}.String(), Log: cfg.Log,
	}
	if cfg.Password != nil {
		uc.Password = cfg.Password(info.ID)
	}
	if cfg.StateDir != "" {
		uc.Store = unit.File(filepath.Join(cfg.StateDir, info.ID+".json"))
	}
	for _, s := range info.Slots {
		sc := unit.SlotConfig{Type: s.Type}
		switch {
		case s.Type == bus.TypeEmpty:
		case cfg.Device == nil:
			sc.Device = &unit.Load{}
		default:
			dev, err := cfg.Device(s)
			if err != nil {
				return nil, fmt.Errorf("simulated chassis: making %s: %w", s.Name(), err)
			}
			sc.Device = dev
		}
		uc.Slots = append(uc.Slots, sc)
	}
	return unit.New(uc)
}

// Layout tells what sits where.
func (c *Chassis) Layout() []UnitInfo { return c.layout }

// Unit returns a unit by its id, nil if there is none.
func (c *Chassis) Unit(id string) *unit.Unit {
	for _, u := range c.units {
		if u.ID() == id {
			return u
		}
	}
	return nil
}

// Online returns when all units are online at the broker.
func (c *Chassis) Online(ctx context.Context) error {
	for _, u := range c.units {
		if err := u.Online(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close takes the power from everything. What was on is remembered in StateDir.
func (c *Chassis) Close() {
	c.once.Do(func() {
		var all sync.WaitGroup
		for _, u := range c.units {
			all.Go(u.Close)
		}
		all.Wait()
	})
}
