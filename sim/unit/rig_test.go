package unit

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"caddyshack/bus"
	"caddyshack/bus/bustest"
)

// testDevice is a caddy whose operating system starts and halts on the scenario's clock.
type testDevice struct {
	now                  func() time.Duration
	honours              bool
	haltAfter, bootAfter time.Duration

	on           bool
	since, halts time.Duration
}

func (d *testDevice) Power(on bool) { d.on, d.since, d.halts = on, d.now(), 0 }
func (d *testDevice) Reset()        { d.since = d.now() }
func (d *testDevice) ShutdownRequest() {
	if d.honours {
		d.halts = d.now() + d.haltAfter
	}
}
func (d *testDevice) Alive() bool {
	now := d.now()
	return d.on && now >= d.since+d.bootAfter && (d.halts == 0 || now < d.halts)
}

// prepare gives a scenario's devices its clock, and power to those found on.
func prepare(cfg Config, now func() time.Duration) {
	for _, s := range cfg.Slots {
		s.Device.(*testDevice).now = now
	}
}

func findOn(c *core, on []bool) (any bool) {
	for i, s := range c.slots {
		if on[i] {
			s.setPower(c.now-time.Hour, true)
			s.dev.(*testDevice).since = c.now - time.Hour
			s.edges, any = 0, true
		}
	}
	return any
}

// memoryRig plays against the core alone: no network, no real time.
type memoryRig struct {
	t         *testing.T
	core      *core
	now       time.Duration
	connected bool
	retained  map[string]bus.Message
	heard     func(bus.Message)
}

func (r *memoryRig) begin(t *testing.T, cfg Config, on []bool, heard func(bus.Message)) {
	r.t, r.heard, r.now = t, heard, time.Hour
	cfg.Log = bustest.Log(t)
	prepare(cfg, func() time.Duration { return r.now })
	var err error
	if r.core, err = newCore(cfg); err != nil {
		t.Fatal(err)
	}
	r.core.now = r.now
	cold := !findOn(r.core, on)
	r.core.start(r.now, cold, "power")
	r.reconnect()
}

// pump delivers what the unit has said.
func (r *memoryRig) pump() {
	for _, m := range r.core.out {
		if m.Retained {
			r.hold(m)
		}
		r.heard(m)
	}
	r.core.out = nil
	if r.core.rebootDue() {
		r.mcuReset()
	}
}

func (r *memoryRig) hold(m bus.Message) {
	if r.retained == nil {
		r.retained = map[string]bus.Message{}
	}
	r.retained[m.Topic] = m
}

func (r *memoryRig) advance(d time.Duration) {
	r.now += d
	r.core.step(r.now)
	r.pump()
}

func (r *memoryRig) publish(topic, payload string, retained bool) {
	m := bus.Message{Topic: bus.Root + "/" + topic, Payload: []byte(payload), QoS: 1, Retained: retained}
	if retained {
		r.hold(m)
	}
	if r.core != nil && r.connected {
		m.Retained = false // what a live subscriber gets
		r.core.message(r.now, m)
		r.pump()
	}
}

func (r *memoryRig) held(topic string) (string, bool) {
	m, ok := r.retained[bus.Root+"/"+topic]
	return string(m.Payload), ok
}

func (r *memoryRig) disconnect() {
	r.connected = false
	r.core.offline()
	will := bus.Message{Topic: bus.Topic{Unit: r.core.id, Kind: bus.KindStatus}.String(), Payload: []byte(bus.Offline), Retained: true}
	r.hold(will)
	r.heard(will)
}

func (r *memoryRig) reconnect() {
	r.connected = true
	r.core.online(r.now)
	r.pump()
	for _, m := range r.retained {
		if m.Topic == bus.ControllerStatusTopic || strings.HasSuffix(m.Topic, "/cmd") {
			r.core.message(r.now, m)
		}
	}
	r.pump()
}

func (r *memoryRig) mcuReset() {
	r.disconnect()
	r.core.start(r.now, false, "watchdog")
	r.reconnect()
}

func (r *memoryRig) powerLoss(d time.Duration) {
	r.core.powerLost(r.now)
	r.disconnect()
	r.now += d
	r.core.start(r.now, true, "power")
	r.reconnect()
}

func (r *memoryRig) hardware(change func(c *core)) {
	change(r.core)
	r.core.step(r.now)
	r.pump()
}

// brokerRig plays against a Unit on a real broker, with a clock moved by hand.
type brokerRig struct {
	t     *testing.T
	url   string
	unit  *Unit
	now   atomic.Int64
	said  int // as far as it was heard
	boss  *bustest.Listener
	heard chan struct{}
	wills chan struct{} // a status offline was heard
}

const rigUnit = "bpu-1"

func newBrokerRig(t *testing.T, url string) *brokerRig {
	r := &brokerRig{t: t, url: url, heard: make(chan struct{}), wills: make(chan struct{}, 16)}
	r.boss = bustest.Listen(t, url, bustest.ControllerUser, bus.Root+"/bpu/"+rigUnit+"/#")
	r.now.Store(int64(time.Hour))
	return r
}

func (r *brokerRig) clock() time.Duration { return time.Duration(r.now.Load()) }

func (r *brokerRig) begin(t *testing.T, cfg Config, on []bool, heard func(bus.Message)) {
	cfg.Broker, cfg.Password, cfg.BackOff, cfg.now = r.url, bustest.Password(rigUnit), 5*time.Millisecond, r.clock
	prepare(cfg, r.clock)
	go func() {
		for {
			select {
			case m := <-r.boss.Heard:
				if strings.HasSuffix(m.Topic, "/ping") {
					r.heard <- struct{}{}
				} else {
					heard(m)
				}
				if string(m.Payload) == string(bus.Offline) {
					r.wills <- struct{}{}
				}
			case <-t.Context().Done():
				return
			}
		}
	}()
	var err error
	if r.unit, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.unit.Close)
	r.unit.core.now = r.clock()
	if !findOn(r.unit.core, on) {
		err = r.unit.PowerOn()
	} else {
		r.unit.mu.Lock()
		r.unit.powered = true
		r.unit.mu.Unlock()
		err = r.unit.Reset()
	}
	if err != nil {
		t.Fatal(err)
	}
	r.settle()
}

// settle returns when the unit is connected, if it can be, and all that it has to say was heard.
func (r *brokerRig) settle() {
	r.t.Helper()
	r.unit.mu.Lock()
	plugged := r.unit.client != nil
	said, connected := r.unit.core.said, r.unit.core.connected
	r.unit.mu.Unlock()
	if !plugged || (connected && said == r.said) {
		return
	}
	r.said = said
	if err := r.unit.Online(bustest.Context(r.t)); err != nil {
		r.t.Fatal(err)
	}
	r.ping()
}

// ping returns when all that the broker had before was heard.
func (r *brokerRig) ping() {
	r.boss.Send(r.t, bus.Root+"/bpu/"+rigUnit+"/ping", "", false)
	select {
	case <-r.heard:
	case <-time.After(bustest.Patience):
		r.t.Fatal("the broker lost a message")
	}
}

func (r *brokerRig) advance(d time.Duration) {
	r.now.Add(int64(d))
	r.hardware(func(*core) {})
}

func (r *brokerRig) hardware(change func(c *core)) {
	r.unit.mu.Lock()
	before := r.unit.core.kept.Boot
	reboots := r.unit.core.rebootAt != 0
	r.unit.mu.Unlock()
	r.unit.do(change)
	if reboots {
		r.await(func(c *core) bool { return c.rebootAt != 0 && !c.rebootDue() || (c.kept.Boot > before && c.connected) })
	}
	r.settle()
}

func (r *brokerRig) await(ok func(c *core) bool) {
	r.t.Helper()
	for deadline := time.Now().Add(bustest.Patience); ; time.Sleep(200 * time.Microsecond) {
		r.unit.mu.Lock()
		done := ok(r.unit.core)
		r.unit.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatal("the unit does not react")
		}
	}
}

func (r *brokerRig) publish(topic, payload string, retained bool) {
	received, connected := 0, false
	if r.unit != nil {
		r.unit.mu.Lock()
		received, connected = r.unit.core.received, r.unit.core.connected
		r.unit.mu.Unlock()
	}
	r.boss.Send(r.t, bus.Root+"/"+topic, payload, retained)
	if connected {
		r.await(func(c *core) bool { return c.received > received })
		r.settle()
	}
}

func (r *brokerRig) held(topic string) (string, bool) {
	l := bustest.Listen(r.t, r.url, bustest.ControllerUser, bus.Root+"/"+topic)
	defer l.Close()
	select {
	case m := <-l.Heard:
		return string(m.Payload), true
	case <-time.After(100 * time.Millisecond):
		return "", false
	}
}

func (r *brokerRig) mcuReset() {
	if err := r.unit.Reset(); err != nil {
		r.t.Fatal(err)
	}
	r.settle()
}

func (r *brokerRig) powerLoss(d time.Duration) {
	r.unit.PowerLoss()
	r.now.Add(int64(d))
	if err := r.unit.PowerOn(); err != nil {
		r.t.Fatal(err)
	}
	r.settle()
}

func (r *brokerRig) disconnect() {
	for len(r.wills) > 0 {
		<-r.wills
	}
	r.unit.Unplug()
	select {
	case <-r.wills: // the broker publishes it in its own time
	case <-time.After(bustest.Patience):
		r.t.Fatal("the broker does not publish the will")
	}
}

func (r *brokerRig) reconnect() {
	if err := r.unit.Replug(); err != nil {
		r.t.Fatal(err)
	}
	r.settle()
}

func TestScenariosInMemory(t *testing.T) {
	t.Parallel()
	playScenarios(t, func(*testing.T) rig { return &memoryRig{} })
}

func TestScenariosOnBrokers(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, start func(...string) string) {
		playScenarios(t, func(t *testing.T) rig { return newBrokerRig(t, start(rigUnit)) })
	})
}
