package switches_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"caddyshack/drivers/switches"
)

// leakMonitor looks at a switch at every moment. While something goes on, each
// port may carry what it carried before or what is wanted of it; and two ports
// may have a VLAN in common only if both had it before, or both shall have it.
type leakMonitor struct {
	expected []passage // any of them
	leak     string
}

// passage is from what ports are to what is wanted.
type passage struct{ old, new map[string]switches.PortState }

func (l *leakMonitor) moment(ports map[string]switches.PortState) {
	if l.leak != "" {
		return
	}
	for _, p := range l.expected {
		if l.leak = p.leak(ports); l.leak == "" {
			return
		}
	}
}

func (l *passage) leak(ports map[string]switches.PortState) string {
	for p, s := range ports {
		if more := s.Carries().Minus(l.old[p].Carries()).Minus(l.new[p].Carries()); !more.Empty() {
			return fmt.Sprintf("port %s carries VLAN %s, which neither %s nor %s gives it", p, more, l.old[p], l.new[p])
		}
		for q, t := range ports {
			if p == q || s.Isolated && t.Isolated {
				continue
			}
			joined := s.Carries().And(t.Carries())
			before := l.old[p].Carries().And(l.old[q].Carries())
			after := l.new[p].Carries().And(l.new[q].Carries())
			if more := joined.Minus(before).Minus(after); !more.Empty() {
				return fmt.Sprintf("ports %s and %s are joined in VLAN %s, neither before nor after: before %s and %s, after %s and %s",
					p, q, more, l.old[p], l.old[q], l.new[p], l.new[q])
			}
		}
	}
	return ""
}

// expect starts a time in which the ports go from what they are to what is
// wanted, and nothing else.
func (l *leakMonitor) expect(now, want map[string]switches.PortState) passage {
	p := passage{maps.Clone(now), maps.Clone(now)}
	maps.Copy(p.new, want)
	l.expected = []passage{p}
	return p
}

// step is one thing that happens to the switch.
type step struct {
	what   string
	ports  map[string]switches.PortConfig // wanted from now on
	byHand switches.PortState
	port   string
	faults []switches.Fault // of the calls, in order; later ones work
	killAt int              // the controller dies at this call; 0 = it does not
}

// GoString is what rapid shows.
func (s step) GoString() string {
	return fmt.Sprintf("%s %v %s %s, %d faults, killed at %d", s.what, s.ports, s.port, s.byHand, len(s.faults), s.killAt)
}

func drawConfig(t *rapid.T, port int) switches.PortConfig {
	isolated := rapid.Bool().Draw(t, "isolated")
	switch rapid.IntRange(0, 3).Draw(t, "mode") {
	case 0:
		return switches.Idle()
	case 1:
		return switches.PortConfig{Mode: switches.ModeAccess, NativeVLAN: rapid.IntRange(10, 12).Draw(t, "vlan"), Isolated: isolated}
	case 2:
		return switches.PortConfig{Mode: switches.ModeTrunk, AllowedVLANs: drawTagged(t), Isolated: isolated}
	}
	return switches.PortConfig{Mode: switches.ModeHybrid, NativeVLAN: 20 + port, AllowedVLANs: drawTagged(t), Isolated: isolated}
}

func drawTagged(t *rapid.T) switches.VLANSet {
	return switches.VLANs(rapid.SliceOfN(rapid.IntRange(10, 14), 1, 3).Draw(t, "tagged")...)
}

func drawFault(t *rapid.T) switches.Fault {
	f := switches.Fault{}
	switch rapid.IntRange(0, 7).Draw(t, "fault") {
	case 0: // the command is lost
		f.Skip, f.Err = func(int) bool { return true }, errors.New("no answer")
	case 1: // the answer is lost
		f.Err = errors.New("no answer")
	case 2: // it says yes and does nothing
		f.Skip = func(int) bool { return true }
	case 3: // it does a part
		part := rapid.IntRange(0, 3).Draw(t, "part")
		f.Skip, f.Err = func(i int) bool { return i >= part }, errors.New("stopped")
	case 4: // it does a part and says yes
		odd := rapid.IntRange(0, 1).Draw(t, "odd")
		f.Skip = func(i int) bool { return i%2 == odd }
	case 5:
		f.Stale = true
	case 6: // it ends before all of before is cleared away
		f.Unfinished, f.Err = true, errors.New("stopped")
	case 7:
		f.Delay = time.Duration(rapid.IntRange(1, 30000).Draw(t, "delay")) * time.Millisecond
	}
	return f
}

var caddies = []string{"c1", "c2", "c3", "c4"}

func drawStep(t *rapid.T) step {
	s := step{what: rapid.SampledFrom([]string{"want", "want", "want", "drift", "restart", "hand", "late"}).Draw(t, "what")}
	switch s.what {
	case "want":
		s.ports = map[string]switches.PortConfig{}
		for i, p := range caddies {
			if rapid.Bool().Draw(t, p) {
				s.ports[p] = drawConfig(t, i)
			}
		}
	case "hand":
		s.port = rapid.SampledFrom(caddies).Draw(t, "port")
		s.byHand = switches.PortState{Native: rapid.IntRange(0, 30).Draw(t, "native"),
			Stray: switches.VLANs(rapid.SliceOfN(rapid.IntRange(0, 4095), 0, 3).Draw(t, "stray")...)}
	}
	if s.what == "want" || s.what == "drift" {
		for range rapid.IntRange(0, 8).Draw(t, "faults") {
			s.faults = append(s.faults, drawFault(t))
		}
		s.killAt = rapid.IntRange(0, 12).Draw(t, "killed at call")
	}
	return s
}

// world is a switch, what is written down about it, and a controller.
type world struct {
	t       *testing.T
	m       *switches.Memory
	sw      *switches.Switch
	monitor leakMonitor
	intent  map[string]switches.PortConfig
	faults  []switches.Fault
	calls   int
	kill    func()
	killAt  int
	late    []func()
	failed  []passage // the wishes since the last that was fulfilled: their commands may still come
}

// spy keeps each command, so that it can come once more, late.
type spy struct {
	*switches.Memory
	w *world
}

func (s spy) Do(ctx context.Context, version string, changes []switches.Change) error {
	changes = slices.Clone(changes)
	s.w.late = append(s.w.late, func() { _ = s.Memory.Do(context.Background(), version, changes) })
	return s.Memory.Do(ctx, version, changes)
}

func newWorld(t *testing.T, leaks bool) *world {
	w := &world{t: t, intent: map[string]switches.PortConfig{}}
	d := description()
	d.Limits.NativeVLANs = 0
	d.Capabilities.ForgetsAtPowerOff = true
	d.Capabilities.LeaksAtPowerUp = leaks
	w.m = switches.NewMemory(d, fixed())
	w.m.Kept = []string{"up", "mgmt"}
	w.m.Moment = w.monitor.moment
	w.m.Fault = func(string) switches.Fault {
		if w.calls++; w.killAt != 0 && w.calls >= w.killAt {
			w.kill()
			return switches.Fault{Delay: time.Hour} // nothing more leaves a dead controller
		}
		if w.calls <= len(w.faults) {
			return w.faults[w.calls-1]
		}
		return switches.Fault{}
	}
	w.monitor.expect(fixed(), nil)
	w.sw = newSwitch(t, config(), spy{w.m, w})
	return w
}

func (w *world) now() map[string]switches.PortState { return w.state().Ports }

func (w *world) state() switches.State {
	fault := w.m.Fault
	w.m.Fault = nil
	defer func() { w.m.Fault = fault }()
	s, err := w.m.Read(w.t.Context())
	if err != nil {
		w.t.Error(err)
	}
	return s
}

func statesOf(configs map[string]switches.PortConfig) map[string]switches.PortState {
	states := map[string]switches.PortState{}
	for p, c := range configs {
		s := switches.PortState{Native: c.NativeVLAN, Tagged: c.AllowedVLANs, Isolated: c.Isolated}
		if c.Mode == switches.ModeIdle {
			s = switches.PortState{Native: config().IdleVLAN, Isolated: true}
		}
		states[p] = s
	}
	return states
}

// wanted is all that is written down; who is not named is idle.
func (w *world) wanted() map[string]switches.PortConfig {
	all := map[string]switches.PortConfig{}
	for _, p := range caddies {
		all[p] = switches.Idle()
	}
	maps.Copy(all, w.intent)
	return all
}

func (w *world) run(s step) {
	w.faults, w.killAt, w.calls = s.faults, s.killAt, 0
	w.kill = func() {}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w.kill = cancel
	switch s.what {
	case "want":
		maps.Copy(w.intent, s.ports) // written down first
		p := w.monitor.expect(w.now(), statesOf(s.ports))
		_, err := w.sw.Apply(ctx, switches.Wanted{Ports: s.ports})
		w.ended(p, err)
	case "drift":
		p := w.monitor.expect(w.now(), statesOf(w.wanted()))
		_, err := w.sw.Settle(ctx, func(context.Context) (switches.Wanted, error) {
			return switches.Wanted{Ports: w.intent, RestIdle: true}, nil
		})
		w.ended(p, err)
	case "restart", "hand":
		moment := w.m.Moment
		w.m.Moment = nil // not our doing
		if s.what == "hand" {
			w.m.Set(s.port, s.byHand)
		} else {
			w.m.Restart()
		}
		w.m.Moment = moment
	case "late":
		w.monitor.expect(w.now(), nil)
		if len(w.failed) > 0 { // otherwise they must do nothing at all
			w.monitor.expected = w.failed
		}
		w.faults, w.killAt, w.calls = nil, 0, 0
		for _, again := range w.late {
			again()
		}
	}
}

// ended is the end of a wish; a controller that was killed is started again.
func (w *world) ended(p passage, err error) {
	if w.failed = append(w.failed, p); err == nil {
		w.failed = nil
	}
	if w.killAt != 0 && w.calls >= w.killAt {
		w.sw = newSwitch(w.t, config(), spy{w.m, w})
	}
}

func testNeverLeaks(t *testing.T, leaksAtPowerUp bool) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 12).Draw(rt, "steps")
		var trouble string
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, leaksAtPowerUp)
			for _, s := range steps {
				w.run(s)
			}
			w.run(step{what: "drift"})
			want := statesOf(w.wanted())
			maps.Copy(want, fixed())
			if !maps.Equal(w.now(), want) {
				trouble = fmt.Sprintf("it settled at %v, wanted is %v", w.now(), want)
			}
			if w.state().Unfinished {
				trouble = "something of a change that was cut short is left"
			}
			if w.monitor.leak != "" {
				trouble = w.monitor.leak
			}
		})
		if trouble != "" {
			rt.Fatal(trouble)
		}
	})
}

func TestNeverLeaks(t *testing.T) {
	t.Parallel()
	for name, leaks := range map[string]bool{"reset until told": false, "leaks at power-up": true} {
		t.Run(name, func(t *testing.T) { testNeverLeaks(t, leaks) })
	}
}

// The monitor must see a switch that is changed in a wrong order.
func TestMonitorSeesLeaks(t *testing.T) {
	t.Parallel()
	for name, changes := range map[string][]switches.Change{
		"joined before the other has left": {{Port: "c1", To: switches.PortState{Native: 20}}, {Port: "c2", To: switches.PortState{Native: 10}}},
		"a VLAN from nowhere":              {{Port: "c1", To: switches.PortState{Native: 30}}},
	} {
		var monitor leakMonitor
		m := switches.NewMemory(description(), map[string]switches.PortState{"c1": {Native: 10}, "c2": {Native: 20}})
		m.Moment = monitor.moment
		before, _ := m.Read(t.Context())
		monitor.expect(before.Ports, map[string]switches.PortState{"c1": {Native: 20}, "c2": {Native: 10}})
		if err := m.Do(t.Context(), before.Version, changes); err != nil || monitor.leak == "" {
			t.Errorf("%s: not seen (%v)", name, err)
		}
	}
}
