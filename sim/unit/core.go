package unit

import (
	"encoding/json"
	"log/slog"
	"time"

	"caddyshack/bus"
)

// Timings of a unit (contract).
const (
	republish     = 60 * time.Second
	report        = 30 * time.Second // telemetry
	rebootDelay   = 100 * time.Millisecond
	firmwareName  = "sim"
	busMillivolts = 5080
)

// Faults make a unit misbehave, for tests of those who talk to it.
type Faults struct {
	// Ignore acknowledges power commands and does nothing.
	Ignore bool
	// Lie publishes the state that was asked for, whatever was read back (PGOOD still tells).
	Lie bool
	// AckDelay holds each ack back.
	AckDelay time.Duration
	// Repeat sends each ack and state this many times more.
	Repeat int
	// Mute sends nothing at all; the connection stays.
	Mute bool
}

type delayed struct {
	at time.Duration
	m  bus.Message
}

// core is the unit's firmware without network and clock: events go in with the
// time at which they happen, messages come out in order.
type core struct {
	id  string
	cfg Config
	log *slog.Logger

	store  Store
	kept   Kept
	slots  []*slot
	faults Faults

	now       time.Duration // since the simulation began
	bootAt    time.Duration
	boot      uint32
	reset     string // why it started
	connected bool
	connects  int
	readyAt   time.Duration // when the controller was first heard ready in this life
	ready     bool
	rebootAt  time.Duration // 0 = no
	repeatAt  time.Duration // next publication of everything
	reportAt  time.Duration // next telemetry
	ids       recent        // of commands to the unit
	late      []delayed     // acks held back by a fault
	out       []bus.Message
	said      int // messages ever put into out
	received  int
	dropped   int // messages that were no valid command
}

func newCore(cfg Config) (*core, error) {
	c := &core{id: cfg.ID, cfg: cfg, log: cfg.Log, store: cfg.Store}
	var err error
	if c.kept, err = c.store.Load(); err != nil {
		return nil, err
	}
	for i, sc := range cfg.Slots {
		c.slots = append(c.slots, &slot{
			n: i + 1, typ: sc.Type, alwaysOn: sc.AlwaysOn, dev: sc.Device, pwrAt: -time.Hour,
		})
	}
	return c, nil
}

func (c *core) uptime() uint32 { return uint32((c.now - c.bootAt) / time.Second) }

func (c *core) policy() bus.Policy {
	if p := c.kept.Config.Policy; p != nil {
		return *p
	}
	return c.cfg.Policy
}

func (c *core) hold() time.Duration {
	if h := c.kept.Config.HoldS; h != nil {
		return time.Duration(*h) * time.Second
	}
	return c.cfg.Hold
}

// turn is how long a slot waits behind the others of the chassis.
func (c *core) turn(s *slot) time.Duration {
	stagger, index := c.cfg.Stagger, c.cfg.Index
	if v := c.kept.Config.StaggerMS; v != nil {
		stagger = time.Duration(*v) * time.Millisecond
	}
	if v := c.kept.Config.Index; v != nil {
		index = *v
	}
	return time.Duration(index*bus.MaxSlots+s.n-1) * stagger
}

// start is a new life of the processor. cold: the power was away, so the
// policy decides; otherwise the outputs stay as they are.
func (c *core) start(now time.Duration, cold bool, reset string) {
	c.now, c.bootAt, c.reset = now, now, reset
	c.kept.Boot++
	c.boot = c.kept.Boot
	c.save()
	c.connected, c.connects, c.ready, c.rebootAt = false, 0, false, 0
	c.ids, c.late, c.out = recent{}, nil, nil
	c.reportAt = now + report
	for _, s := range c.slots {
		held := s.phase == phaseHold
		if cold {
			p := c.policy()
			held = s.typ != bus.TypeEmpty &&
				(s.alwaysOn || p == bus.PolicyOn || (p == bus.PolicyLast && c.kept.Want[s.n-1]))
		}
		s.boot(now, held)
	}
	c.step(now)
}

// powerLost takes the supply away from everything.
func (c *core) powerLost(now time.Duration) {
	c.now, c.connected, c.out, c.late = now, false, nil, nil
	for _, s := range c.slots {
		s.setPower(now, false)
		s.pwrAt = now - time.Hour
	}
}

// releaseHold gives each waiting slot its turn as soon as it is known.
func (c *core) releaseHold() {
	for _, s := range c.slots {
		if s.phase != phaseHold || s.deadline != 0 {
			continue
		}
		from := c.bootAt
		if !s.alwaysOn {
			from = c.bootAt + c.hold()
			if c.ready && c.readyAt < from {
				from = c.readyAt
			}
			if from > c.now {
				continue
			}
		}
		// A deadline of 0 would mean none.
		s.deadline = max(from+c.turn(s), 1)
	}
}

// step lets time pass up to now.
func (c *core) step(now time.Duration) {
	c.now = now
	c.releaseHold()
	for _, s := range c.slots {
		for again := true; again; {
			before := s.phase
			c.events(s, s.step(now))
			again = s.phase != before
		}
		if s.phase == phaseOn && now >= s.reportAt {
			s.reportAt = now + slotReport
			load := 600
			if !s.alive {
				load = 90
			}
			c.emit(bus.Topic{Unit: c.id, Slot: s.n, Kind: bus.KindTelemetry}, bus.SlotTelemetry{MA: load, MV: busMillivolts}, 0, false)
		}
	}
	c.publishChanges()
	for len(c.late) > 0 && now >= c.late[0].at {
		c.push(c.late[0].m)
		c.late = c.late[1:]
	}
	if c.connected && now >= c.repeatAt {
		c.publishAll()
	}
	if now >= c.reportAt {
		c.reportTelemetry()
	}
}

func (c *core) reportTelemetry() {
	c.reportAt = c.now + report
	c.emit(bus.Topic{Unit: c.id, Kind: bus.KindTelemetry}, bus.Telemetry{
		Up: c.uptime(), RSSI: -55, Heap: 30_000, BusMV: busMillivolts, LoopMS: 1, Reconn: max(c.connects-1, 0),
	}, 0, false)
}

// rebootDue tells whether a reboot that was asked for is due.
func (c *core) rebootDue() bool { return c.rebootAt != 0 && c.now >= c.rebootAt }

// next is when step is due again.
func (c *core) next() time.Duration {
	at := c.reportAt
	sooner := func(t time.Duration) {
		if t > c.now && t < at {
			at = t
		}
	}
	sooner(c.rebootAt)
	if c.connected {
		sooner(c.repeatAt)
	}
	for _, s := range c.slots {
		sooner(s.next(c.now))
		if s.phase == phaseHold && s.deadline == 0 {
			sooner(c.bootAt + c.hold())
		}
	}
	if len(c.late) > 0 {
		sooner(c.late[0].at)
	}
	return at
}

// online is called when the connection and the subscriptions stand.
func (c *core) online(now time.Duration) {
	c.now, c.connected, c.out = now, true, nil
	c.connects++
	c.step(now)
	c.out = nil
	c.publishAll()
	c.reportTelemetry()
}

func (c *core) offline() { c.connected, c.out, c.late = false, nil, nil }

// subscriptions of a unit.
func (c *core) subscriptions() []string {
	own := bus.Root + "/bpu/" + c.id
	return []string{own + "/cmd", own + "/slot/+/cmd", bus.ControllerStatusTopic}
}

// message handles what the broker delivers.
func (c *core) message(now time.Duration, m bus.Message) {
	c.received++
	if !c.connected {
		return
	}
	c.step(now)
	if m.Topic == bus.ControllerStatusTopic {
		c.controller(m.Payload)
		c.step(now)
		return
	}
	t, err := bus.ParseTopic(m.Topic)
	switch {
	case err != nil || t.Unit != c.id || t.Kind != bus.KindCommand || t.Slot > len(c.slots):
		c.dropped++
	case m.Retained:
		// It would replay with every connection.
		c.dropped++
	case t.Slot == 0:
		c.judgeUnit(m.Payload)
	default:
		c.judge(c.slots[t.Slot-1], m.Payload)
	}
	c.step(now)
}

func (c *core) controller(payload []byte) {
	st, err := bus.DecodeControllerStatus(payload)
	if err != nil {
		c.dropped++
		return
	}
	if st == bus.Ready && !c.ready {
		c.ready, c.readyAt = true, c.now
	}
}

func (c *core) info() bus.Info {
	mac := c.cfg.MAC
	return bus.Info{
		Firmware: firmwareName, Hardware: firmwareName, Slots: len(c.slots), Proto: 1, Boot: c.boot, Reset: c.reset,
		IP: "127.0.0.1", MAC: mac,
	}
}

// publishAll tells everything: what the unit is, all states, and last that it is online.
func (c *core) publishAll() {
	c.repeatAt = c.now + republish
	c.emit(bus.Topic{Unit: c.id, Kind: bus.KindInfo}, c.info(), 1, true)
	for _, s := range c.slots {
		c.publishState(s)
	}
	c.emit(bus.Topic{Unit: c.id, Kind: bus.KindStatus}, bus.Online, 1, true)
}

func (c *core) publishChanges() {
	for _, s := range c.slots {
		st := s.state()
		st.Boot, st.Seq = c.boot, s.sent.Seq
		if st == s.sent {
			continue
		}
		st.Seq++
		s.sent = st
		c.publishState(s)
	}
}

func (c *core) publishState(s *slot) {
	st := s.sent
	if c.faults.Lie && st.Power != bus.PowerEmpty {
		st.Power = st.Want
	}
	for range c.faults.Repeat + 1 {
		c.emit(bus.Topic{Unit: c.id, Slot: s.n, Kind: bus.KindState}, st, 1, true)
	}
}

func (c *core) events(s *slot, names []bus.EventName) {
	for _, name := range names {
		c.emit(bus.Topic{Unit: c.id, Slot: s.n, Kind: bus.KindEvent}, bus.Event{Name: name, Seq: s.sent.Seq}, 1, false)
	}
}

func (c *core) ack(t bus.Topic, id string, code bus.Code) {
	for range c.faults.Repeat + 1 {
		m, err := message(t, bus.Ack{ID: id, OK: code.OK(), Code: code}, 1, false)
		if err != nil {
			c.log.Error("simulated unit", "error", err)
			return
		}
		if c.faults.AckDelay > 0 {
			c.late = append(c.late, delayed{c.now + c.faults.AckDelay, m})
			continue
		}
		c.push(m)
	}
}

func (c *core) emit(t bus.Topic, payload any, qos byte, retained bool) {
	m, err := message(t, payload, qos, retained)
	if err != nil {
		c.log.Error("simulated unit", "error", err)
		return
	}
	c.push(m)
}

func (c *core) push(m bus.Message) {
	if c.connected && !c.faults.Mute {
		c.out = append(c.out, m)
		c.said++
	}
}

func message(t bus.Topic, payload any, qos byte, retained bool) (bus.Message, error) {
	b, err := json.Marshal(payload)
	if s, ok := payload.(bus.Status); ok {
		b, err = []byte(s), nil
	}
	return bus.Message{Topic: t.String(), Payload: b, QoS: qos, Retained: retained}, err
}

// keepWant remembers what a slot was asked to be, for policy "last".
func (c *core) keepWant(s *slot) {
	if c.kept.Want[s.n-1] != s.want {
		c.kept.Want[s.n-1] = s.want
		c.save()
	}
}

func (c *core) save() {
	if err := c.store.Save(c.kept); err != nil {
		c.log.Error("simulated unit: what it keeps over a restart is not saved", "error", err)
	}
}
