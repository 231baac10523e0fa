package conductor

import (
	"context"
	"fmt"
	"time"

	"caddyshack/baremetal"
	"caddyshack/drivers"
)

// BootOutcome is what became of a boot, for those who count.
type BootOutcome string

// The outcomes.
const (
	BootUp      BootOutcome = "up"
	BootStalled BootOutcome = "stalled"
	// BootCycled: the machine was power-cycled because its boot stood still.
	BootCycled BootOutcome = "power_cycled"
)

// Keys of driver_internal_info.
const (
	bootKey       = "boot"            // figures of the latest boot that settled
	bootCyclesKey = "boot_cycles"     // power-cycles of an active node since it was last up
	bootStartKey  = "start"           // of bootKey
	bootResultKey = "outcome"         // of bootKey
	mostCycles    = 3                 // of an active node
	cycleUser     = "(boot watchdog)" // who asks for them
	bootEvent     = "boot"            // kind of events
	bootStartForm = time.RFC3339Nano  // of bootStartKey
)

func (c *Conductor) tellBoot(o BootOutcome) {
	if c.OnBoot != nil {
		c.OnBoot(o)
	}
}

// powerComes tells whoever watches the node boot that it gets power.
func (c *Conductor) powerComes(ctx context.Context, n *baremetal.Node) {
	impl, err := c.Registry.Interface(n, "boot")
	if err != nil {
		return
	}
	if b, ok := impl.(drivers.BootWatcher); ok {
		if err := b.PowerOn(ctx, n.UUID); err != nil && ctx.Err() == nil {
			c.Log.Warn("the boot log was not told of a power-on", "node", n.UUID, "err", err)
		}
	}
}

// watchers are the boot interfaces that see machines boot.
func (c *Conductor) watchers() []drivers.BootWatcher {
	var all []drivers.BootWatcher
	for _, name := range c.Registry.Names() {
		h, err := c.Registry.Type(name)
		if err != nil {
			continue
		}
		for _, impl := range h.Interfaces["boot"] {
			if b, ok := impl.(drivers.BootWatcher); ok {
				all = append(all, b)
			}
		}
	}
	return all
}

// verdict is what was recorded last of a node's boots.
type verdict struct {
	start time.Time
	up    bool
}

// bootLoop records each boot once, when it has settled: what is seen of boots
// lives in memory, and a node's row is not written for every sign. Boots that
// a step waits for are that step's business until it ends.
func (c *Conductor) bootLoop(ctx context.Context) error {
	watchers := c.watchers()
	tick := time.NewTicker(c.BootPoll)
	defer tick.Stop()
	told := map[string]verdict{}
	away := false
	for len(watchers) > 0 {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, b := range watchers {
			boots, err := b.SettledBoots(ctx)
			if err != nil {
				if !away && ctx.Err() == nil {
					c.Log.Warn("what machines boot is not known; trying again", "err", err)
				}
				away = true
				continue
			}
			away = false
			for _, s := range boots {
				if told[s.NodeUUID] != (verdict{s.Start, s.Up}) && c.settle(ctx, s) {
					told[s.NodeUUID] = verdict{s.Start, s.Up}
				}
			}
		}
	}
	<-ctx.Done()
	return nil
}

// settle records a boot, or has the machine power-cycled; false means that it is
// to be looked at again.
func (c *Conductor) settle(ctx context.Context, s drivers.SettledBoot) bool {
	n, err := c.Store.Node(ctx, s.NodeUUID)
	switch {
	case baremetal.IsKind(err, baremetal.NotFound):
		return true
	case err != nil, !c.serves(&n), c.HostFor(&n) != c.Host:
		return false
	case !s.Up && (n.ProvisionState.Working() || n.ProvisionState.Waiting() || n.PowerState == baremetal.PowerOff):
		return false
	}
	start, outcome := s.Start.UTC().Format(bootStartForm), BootStalled
	if s.Up {
		outcome = BootUp
	}
	if was, _ := n.DriverInternalInfo.Get(bootKey).(map[string]any); was[bootStartKey] == start && was[bootResultKey] == string(outcome) {
		return true // by an earlier life of this process
	}
	if c.mayCycle(&n, s) {
		return c.cycleSilent(ctx, s)
	}
	_, err = c.Store.UpdateNode(ctx, s.NodeUUID, func(n *baremetal.Node) error {
		figures := baremetal.MustObject(s.Figures).With(bootStartKey, start).With(bootResultKey, string(outcome)).With("text", s.Text)
		n.DriverInternalInfo = n.DriverInternalInfo.With(bootKey, figures)
		if s.Up {
			n.DriverInternalInfo = n.DriverInternalInfo.Without(bootCyclesKey)
			c.note(n, baremetal.SeverityInfo, bootEvent, "The machine has booted, "+s.Text, 0)
			return nil
		}
		text := "The machine does not boot: " + s.Text
		c.note(n, baremetal.SeverityError, bootEvent, text, 0)
		if n.LastError == "" {
			n.LastError = text
		}
		return nil
	})
	if err != nil {
		if ctx.Err() == nil {
			c.Log.Warn("recording a boot failed; trying again", "node", s.NodeUUID, "err", err)
		}
		return false
	}
	c.Log.Info("boot settled", "node", s.NodeUUID, "up", s.Up, "text", s.Text)
	c.tellBoot(outcome)
	return true
}

// mayCycle tells whether a machine that nobody waits for may be power-cycled:
// only an active one of which nothing at all was seen since we saw its power
// come on, since there is nothing in it then that could be lost.
func (c *Conductor) mayCycle(n *baremetal.Node, s drivers.SettledBoot) bool {
	cycles, _ := n.DriverInternalInfo.Int(bootCyclesKey)
	return !c.NoBootCycles && !s.Up && s.Silent && s.Powered && cycles < mostCycles &&
		n.ProvisionState == baremetal.Active && n.PowerState == baremetal.PowerOn && !n.Maintenance && !n.DisablePowerOff
}

// cycleSilent asks for a power-cycle and counts it in the same write.
func (c *Conductor) cycleSilent(ctx context.Context, s drivers.SettledBoot) bool {
	_, err := c.accept(ctx, s.NodeUUID, func(n *baremetal.Node, _ time.Time) error {
		if !c.mayCycle(n, s) || n.Work.Intent.Power != "" {
			return nil
		}
		cycles, _ := n.DriverInternalInfo.Int(bootCyclesKey)
		cycles++
		n.DriverInternalInfo = n.DriverInternalInfo.With(bootCyclesKey, cycles)
		n.TargetPowerState = baremetal.PowerOn
		n.Work.Intent.Power, n.Work.Intent.User = baremetal.TargetReboot, cycleUser
		c.note(n, baremetal.SeverityError, bootEvent, fmt.Sprintf("The machine is power-cycled (try %d of %d): %s", cycles, mostCycles, s.Text), 0)
		return nil
	})
	if err != nil {
		if ctx.Err() == nil && !baremetal.IsKind(err, baremetal.Locked) {
			c.Log.Warn("power-cycling a silent machine failed; trying again", "node", s.NodeUUID, "err", err)
		}
		return false
	}
	c.Log.Warn("power-cycling an active machine of which nothing was seen", "node", s.NodeUUID, "why", s.Text)
	c.tellBoot(BootCycled)
	return true
}

// bootWatcher is the node's boot interface if it sees machines boot.
func (c *Conductor) bootWatcher(ctx context.Context, ident string) (string, drivers.BootWatcher, error) {
	n, err := c.Store.Node(ctx, ident)
	if err != nil {
		return "", nil, err
	}
	impl, err := drivers.As[drivers.BootWatcher](c.Registry, &n, "boot", "boot logs")
	return n.UUID, impl, err
}

// BootLog lists the remembered boots of a node, the latest first.
func (c *Conductor) BootLog(ctx context.Context, ident string) (any, error) {
	uuid, b, err := c.bootWatcher(ctx, ident)
	if err != nil {
		return nil, err
	}
	return b.BootLog(ctx, uuid)
}

// FollowBoot hands over what is seen of a node from now on, until send fails or ctx ends.
func (c *Conductor) FollowBoot(ctx context.Context, ident string, send func(event any) error) error {
	uuid, b, err := c.bootWatcher(ctx, ident)
	if err != nil {
		return err
	}
	return b.FollowBoot(ctx, uuid, send)
}
