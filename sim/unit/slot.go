package unit

import (
	"time"

	"caddyshack/bus"
)

// Timings of a slot (hardware and contract).
const (
	pgoodDelay   = 20 * time.Millisecond  // from PWR_EN to PGOOD
	onDeadline   = 200 * time.Millisecond // PGOOD must be there
	offDeadline  = 2 * time.Second        // PGOOD must be gone: capacitors
	cyclePause   = 5 * time.Second
	backfedAfter = 2 * time.Second
	retryAfter   = 2 * time.Second
	maxRetries   = 3
	goodAgain    = 30 * time.Second // makes the count of retries start anew
	aliveSample  = 500 * time.Millisecond
	deadSamples  = 5
	slotReport   = 5 * time.Second // telemetry while on
	defaultWait  = 90 * time.Second
	defaultBlink = 30 * time.Second
	longPress    = 2 * time.Second
)

type phase int

const (
	phaseEmpty phase = iota
	phaseOff
	phaseHold // off, will be switched on by policy
	phaseStarting
	phaseOn
	phaseShutting // asked to halt
	phaseCutting  // PWR_EN is low, PGOOD not yet
	phasePausing  // off in the middle of a cycle
	phaseFault
)

func (p phase) power() bus.Power {
	switch p {
	case phaseEmpty:
		return bus.PowerEmpty
	case phaseStarting:
		return bus.PowerStarting
	case phaseOn:
		return bus.PowerOn
	case phaseShutting, phaseCutting:
		return bus.PowerStopping
	case phaseFault:
		return bus.PowerFault
	default:
		return bus.PowerOff
	}
}

// slot is one slot: its hardware, which outlives a restart of the unit's
// processor, and what the firmware knows about it.
type slot struct {
	n        int // from 1
	alwaysOn bool
	dev      Device

	// Hardware.
	typ                    int
	pwr                    bool          // PWR_EN
	pwrAt                  time.Duration // when it last changed
	stuckPGood, stuckAlive *bool         // inputs forced by a test
	edges, shdn, resets    int           // pulses counted for tests

	// Firmware, lost with a restart.
	phase      phase
	deadline   time.Duration // of the phase, 0 = none
	cycle      bool          // phaseCutting goes on to phasePausing
	cause      bus.Why       // of a cut, shown when it is done
	pgood      bool
	alive      bool
	seenAlive  bool          // since its power came
	dead       int           // samples in a row
	sampleAt   time.Duration // next sample of alive
	reportAt   time.Duration // next telemetry
	backfedAt  time.Duration // PGOOD without PWR_EN becomes a fault, 0 = not so
	retries    int
	goodSince  time.Duration
	want       bool
	why        bus.Why
	last       string
	epoch      uint32
	led        bus.LED
	blinkUntil time.Duration // identify, 0 = no
	ids        recent
	sent       bus.State // as published last, Seq included
}

// recent remembers the last 8 ids that were taken.
type recent struct {
	ids  [8]string
	next int
}

func (r *recent) has(id string) bool {
	for _, have := range r.ids {
		if have == id {
			return true
		}
	}
	return false
}

func (r *recent) add(id string) {
	r.ids[r.next] = id
	r.next = (r.next + 1) % len(r.ids)
}

// readPGood is the PGOOD input.
func (s *slot) readPGood(now time.Duration) bool {
	if s.stuckPGood != nil {
		return *s.stuckPGood
	}
	if now-s.pwrAt < pgoodDelay {
		return !s.pwr
	}
	return s.pwr
}

func (s *slot) setPower(now time.Duration, on bool) {
	if s.pwr == on {
		return
	}
	s.pwr, s.pwrAt = on, now
	s.edges++
	if s.dev != nil {
		s.dev.Power(on)
	}
}

// boot sets the firmware's part for a new life of the unit. held tells that the
// slot waits for its turn after a power loss.
func (s *slot) boot(now time.Duration, held bool) {
	*s = slot{
		n: s.n, alwaysOn: s.alwaysOn, dev: s.dev, typ: s.typ, pwr: s.pwr, pwrAt: s.pwrAt,
		stuckPGood: s.stuckPGood, stuckAlive: s.stuckAlive, edges: s.edges, shdn: s.shdn, resets: s.resets,
		want: s.pwr || held, why: bus.WhyBoot, led: bus.LEDOff, phase: phaseOff,
	}
	s.pgood = s.readPGood(now)
	switch {
	case s.typ == bus.TypeEmpty:
		s.setPower(now, false)
		s.phase, s.want = phaseEmpty, false
	case s.pwr && s.pgood:
		s.phase, s.goodSince = phaseOn, now
		s.alive = s.readAlive()
		s.seenAlive = s.alive
		s.sampleAt, s.reportAt = now+aliveSample, now+slotReport
	case s.pwr:
		s.phase, s.deadline = phaseStarting, now+onDeadline
	case held:
		s.phase, s.why = phaseHold, bus.WhyHold
	}
}

func (s *slot) readAlive() bool {
	if s.stuckAlive != nil {
		return *s.stuckAlive
	}
	return s.dev != nil && s.dev.Alive()
}

func (s *slot) switchOn(now time.Duration, why bus.Why) {
	s.want, s.why = true, why
	s.cycle, s.backfedAt, s.seenAlive = false, 0, false
	s.phase, s.deadline = phaseStarting, now+onDeadline
	s.setPower(now, true)
}

// cut takes the power away; cause is shown when it is gone.
func (s *slot) cut(now time.Duration, cause bus.Why) {
	s.cause, s.retries = cause, 0
	s.phase, s.deadline = phaseCutting, now+offDeadline
	s.setPower(now, false)
}

func (s *slot) fault(now time.Duration, why bus.Why) {
	s.setPower(now, false)
	s.phase, s.why, s.deadline, s.cycle = phaseFault, why, 0, false
	if why == bus.WhyOverload && s.retries < maxRetries {
		s.deadline = now + retryAfter
	}
}

// step lets time pass: it reads the inputs and does what is due. It returns the
// events to publish.
func (s *slot) step(now time.Duration) (events []bus.EventName) {
	s.pgood = s.readPGood(now)
	halted := s.sampleAlive(now)
	due := s.deadline != 0 && now >= s.deadline
	if s.blinkUntil != 0 && now >= s.blinkUntil {
		s.blinkUntil = 0
	}
	switch s.phase {
	case phaseOff:
		s.checkBackfed(now)
	case phaseHold:
		if due {
			s.switchOn(now, bus.WhyPolicy)
		}
	case phaseStarting:
		switch {
		case s.pgood:
			s.phase, s.deadline, s.goodSince = phaseOn, 0, now
			s.sampleAt, s.reportAt, s.dead = now+aliveSample, now+slotReport, 0
		case due && s.retries > 0:
			s.fault(now, bus.WhyOverload)
		case due:
			s.fault(now, bus.WhyNoPower)
		}
	case phaseOn:
		switch {
		case !s.pgood:
			events = append(events, bus.EventOverload)
			s.fault(now, bus.WhyOverload)
		case halted:
			events = append(events, bus.EventHalted)
		case s.retries > 0 && now-s.goodSince >= goodAgain:
			s.retries = 0
		}
	case phaseShutting:
		switch {
		case s.seenAlive && s.dead >= deadSamples || !s.pgood:
			// One that never showed life may still be starting: it gets the whole wait.
			if halted {
				events = append(events, bus.EventHalted)
			}
			s.cut(now, bus.WhyHalted)
		case due:
			s.cut(now, bus.WhyForced)
		}
	case phaseCutting:
		switch {
		case !s.pgood && s.cycle:
			s.phase, s.deadline = phasePausing, now+cyclePause
		case !s.pgood:
			s.phase, s.deadline, s.why = phaseOff, 0, s.cause
		case due:
			s.fault(now, bus.WhyStuckOn)
		}
	case phasePausing:
		if due {
			s.switchOn(now, s.why)
		}
	case phaseFault:
		if due {
			s.retries++
			s.switchOn(now, bus.WhyOverload)
		}
	}
	return events
}

func (s *slot) checkBackfed(now time.Duration) {
	switch {
	case !s.pgood:
		s.backfedAt = 0
	case s.backfedAt == 0:
		s.backfedAt = now + backfedAfter
	case now >= s.backfedAt:
		s.backfedAt, s.want = 0, false
		s.fault(now, bus.WhyBackfed)
	}
}

// sampleAlive tells whether the device has just been found dead.
func (s *slot) sampleAlive(now time.Duration) (halted bool) {
	if !s.pgood {
		s.alive = false
		return false
	}
	if (s.phase != phaseOn && s.phase != phaseShutting) || now < s.sampleAt {
		return false
	}
	s.sampleAt = now + aliveSample
	if s.readAlive() {
		s.alive, s.seenAlive, s.dead = true, true, 0
		return false
	}
	if s.dead++; s.dead >= deadSamples && s.alive {
		s.alive = false
		return true
	}
	return false
}

// next is when step is due again, if nothing happens before.
func (s *slot) next(now time.Duration) time.Duration {
	at := now + time.Hour
	sooner := func(t time.Duration) {
		if t > now && t < at {
			at = t
		}
	}
	sooner(s.pwrAt + pgoodDelay)
	sooner(s.deadline)
	sooner(s.backfedAt)
	sooner(s.blinkUntil)
	if s.phase == phaseOn || s.phase == phaseShutting {
		sooner(s.sampleAt)
		sooner(s.reportAt)
	}
	if s.retries > 0 && s.phase == phaseOn {
		sooner(s.goodSince + goodAgain)
	}
	return at
}

// state is what is published, without Seq and Boot.
func (s *slot) state() bus.State {
	st := bus.State{
		Power: s.phase.power(), Want: bus.PowerOff, Type: s.typ, AlwaysOn: s.alwaysOn && s.typ != bus.TypeEmpty, Alive: s.alive, PGood: s.pgood,
		Why: s.why, Last: s.last, Epoch: s.epoch, LED: s.led,
	}
	if s.want {
		st.Want = bus.PowerOn
	}
	if s.blinkUntil != 0 {
		st.LED = bus.LEDBlink
	}
	return st
}

// insert puts a device of a type into the slot, or takes it out (type 0).
func (s *slot) insert(now time.Duration, typ int) (events []bus.EventName) {
	was := s.typ
	s.typ = typ
	switch {
	case typ == bus.TypeEmpty && was != bus.TypeEmpty:
		s.setPower(now, false)
		s.phase, s.deadline, s.want, s.why, s.cycle, s.blinkUntil = phaseEmpty, 0, false, bus.WhyRemoved, false, 0
		events = append(events, bus.EventRemoved)
	case typ != bus.TypeEmpty && was == bus.TypeEmpty:
		s.phase, s.why = phaseOff, bus.WhyInserted
		events = append(events, bus.EventInserted)
		if s.alwaysOn { // what carries the network must not wait for a command that comes over it
			s.switchOn(now, bus.WhyInserted)
		}
	}
	return events
}

// press is the button on the caddy, held for a time.
func (s *slot) press(now, held time.Duration) (events []bus.EventName) {
	if s.phase == phaseEmpty {
		return nil
	}
	switch {
	case s.phase == phaseOff || s.phase == phaseHold:
		if held < longPress {
			s.switchOn(now, bus.WhyButton)
		}
	case s.alwaysOn:
	case held >= longPress:
		s.want, s.cycle, s.why = false, false, bus.WhyButton
		s.cut(now, bus.WhyButton)
	case s.phase == phaseOn:
		s.shutDown(now, defaultWait, bus.WhyButton)
	}
	return []bus.EventName{bus.EventButton}
}

func (s *slot) shutDown(now, wait time.Duration, why bus.Why) {
	s.want, s.why = false, why
	s.phase, s.deadline, s.dead = phaseShutting, now+wait, 0
	// One that has come up and halts between two samples was alive all the same.
	s.seenAlive = s.seenAlive || s.pgood && s.readAlive()
	s.shdn++
	if s.dev != nil {
		s.dev.ShutdownRequest()
	}
}
