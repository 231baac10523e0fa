package unit

import (
	"errors"
	"time"

	"caddyshack/bus"
)

// judge decides about a command to a slot and carries it out, in the order of
// the contract (bus/testdata/README.md).
func (c *core) judge(s *slot, payload []byte) {
	cmd, err := bus.DecodeSlotCommand(payload)
	if errors.Is(err, bus.ErrUnanswerable) {
		c.dropped++
		return
	}
	topic := bus.Topic{Unit: c.id, Slot: s.n, Kind: bus.KindAck}
	if s.ids.has(cmd.ID) {
		if err == nil && cmd.Boot == c.boot {
			s.epoch = max(s.epoch, cmd.Epoch)
		}
		c.ack(topic, cmd.ID, bus.CodeDup)
		return
	}
	code := bus.CodeBad
	if err == nil {
		code = c.decide(s, cmd)
	}
	if code.OK() {
		s.ids.add(cmd.ID)
		s.last = cmd.ID
	}
	c.ack(topic, cmd.ID, code)
}

func (c *core) decide(s *slot, cmd bus.SlotCommand) bus.Code {
	if cmd.Boot != c.boot || cmd.Epoch < s.epoch {
		return bus.CodeStale
	}
	s.epoch = cmd.Epoch
	powers := cmd.Op == bus.OpOff || cmd.Op == bus.OpShutdown || cmd.Op == bus.OpCycle
	lamp := cmd.Op == bus.OpIdentify || cmd.Op == bus.OpLED
	switch {
	case c.uptime() > cmd.Exp:
		return bus.CodeExpired
	case s.phase == phaseEmpty:
		return bus.CodeEmpty
	case s.alwaysOn && powers:
		return bus.CodeAlwaysOn
	case s.phase == phaseFault && (cmd.Op == bus.OpOn || cmd.Op == bus.OpShutdown || cmd.Op == bus.OpReset):
		return bus.CodeFault
	case (s.phase == phaseStarting || s.phase == phaseShutting || s.phase == phaseCutting || s.phase == phasePausing) &&
		cmd.Op != bus.OpOff && !lamp:
		return bus.CodeBusy
	case cmd.Op == bus.OpReset && s.phase != phaseOn:
		return bus.CodeBad
	}
	if c.faults.Ignore && !lamp {
		return bus.CodeAccepted
	}
	code := c.execute(s, cmd)
	c.keepWant(s)
	return code
}

func (c *core) execute(s *slot, cmd bus.SlotCommand) bus.Code {
	now := c.now
	off := s.phase == phaseOff || s.phase == phaseHold
	switch cmd.Op {
	case bus.OpLED:
		s.led, s.blinkUntil = cmd.LED, 0
		return bus.CodeDone
	case bus.OpIdentify:
		s.blinkUntil = now + seconds(cmd.WaitS, defaultBlink)
		return bus.CodeDone
	case bus.OpReset:
		s.resets++
		if s.dev != nil {
			s.dev.Reset()
		}
		return bus.CodeDone
	case bus.OpOn:
		if s.phase == phaseOn {
			s.want = true
			return bus.CodeDone
		}
		s.switchOn(now, bus.WhyCommand)
	case bus.OpCycle:
		if off {
			s.switchOn(now, bus.WhyCommand)
			break
		}
		s.want, s.why = true, bus.WhyCommand
		s.cut(now, bus.WhyCommand)
		s.cycle = true
	case bus.OpShutdown, bus.OpOff:
		s.want, s.why, s.cycle = false, bus.WhyCommand, false
		switch {
		case s.phase == phaseOn && cmd.Op == bus.OpShutdown:
			s.shutDown(now, seconds(cmd.WaitS, defaultWait), bus.WhyCommand)
		case off || s.phase == phasePausing || (s.phase == phaseFault && !s.pgood):
			s.phase, s.deadline, s.retries = phaseOff, 0, 0
			s.setPower(now, false)
			return bus.CodeDone
		default:
			s.cut(now, bus.WhyCommand)
		}
	}
	return bus.CodeAccepted
}

func seconds(n int, otherwise time.Duration) time.Duration {
	if n == 0 {
		return otherwise
	}
	return time.Duration(n) * time.Second
}

// judgeUnit decides about a command to the unit itself.
func (c *core) judgeUnit(payload []byte) {
	cmd, err := bus.DecodeUnitCommand(payload)
	if errors.Is(err, bus.ErrUnanswerable) {
		c.dropped++
		return
	}
	code := bus.CodeBad
	switch {
	case c.ids.has(cmd.ID):
		code = bus.CodeDup
	case err != nil:
	case cmd.Boot != c.boot:
		code = bus.CodeStale
	case c.uptime() > cmd.Exp:
		code = bus.CodeExpired
	default:
		code = c.executeUnit(cmd)
		if code.OK() {
			c.ids.add(cmd.ID)
		}
	}
	c.ack(bus.Topic{Unit: c.id, Kind: bus.KindAck}, cmd.ID, code)
	if code == bus.CodeDone && cmd.Op == bus.OpResync {
		c.publishAll()
		c.reportTelemetry()
	}
}

func (c *core) executeUnit(cmd bus.UnitCommand) bus.Code {
	switch cmd.Op {
	case bus.OpResync:
		return bus.CodeDone
	case bus.OpReboot:
		c.rebootAt = c.now + rebootDelay
		return bus.CodeAccepted
	case bus.OpConfig:
		k := &c.kept.Config
		set(&k.Policy, cmd.Config.Policy)
		set(&k.HoldS, cmd.Config.HoldS)
		set(&k.StaggerMS, cmd.Config.StaggerMS)
		set(&k.Index, cmd.Config.Index)
		c.save()
		return bus.CodeDone
	default:
		// A simulated unit has no flash to write an image to.
		return bus.CodeBad
	}
}

func set[T any](to **T, from *T) {
	if from != nil {
		*to = from
	}
}
