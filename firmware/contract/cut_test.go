package contract

import (
	"fmt"
	"os"
	"testing"

	"caddyshack/bus"
	"caddyshack/bus/bustest"
)

// A connection breaks at every byte of a session, in both directions, from its first to a command and its answer. The
// unit comes back each time, and the command that is sent again is done once. What comes from the unit is cut at every
// fourth byte only, unless this is part of a soak (BPU_SOAK); the core's own tests cut at each.
func TestCutAtEveryByte(t *testing.T) {
	t.Parallel()
	brokers := map[string]func(testing.TB, ...string) string{"embedded": bustest.Embedded, "mosquitto": bustest.Mosquitto}
	for name, start := range brokers {
		for way, at := range map[string]direction{"from the unit": up, "to the unit": down} {
			t.Run(name+" "+way, func(t *testing.T) {
				t.Parallel()
				broker := plain(start(t, unitID))
				c := newCutter(t, broker.unit)
				broker.unit = c.address()
				s := &cutSession{rig: newRig(t, broker), cutter: c}
				s.comeUp(func() { s.start("--power", "0,1,0") })
				stride := 1
				if at == up && os.Getenv("BPU_SOAK") == "" {
					stride = 4
				}
				bytes := 0
				for s.play(at, bytes) {
					bytes += stride
				}
				t.Logf("cut %d times in %d bytes", s.plays, bytes)
				if least := map[direction]int{up: 1000, down: 120}[at]; bytes < least {
					t.Errorf("a session has %d bytes, want %d at least", bytes, least)
				}
			})
		}
	}
}

// cutSession is a unit behind a cutter.
type cutSession struct {
	*rig
	cutter *cutter
	plays  int
}

// play has one session with a command in it, cut after so many bytes, and another one in which the command is sent
// again. It tells whether the cut came.
func (s *cutSession) play(at direction, bytes int) bool {
	s.t.Helper()
	boot := s.do("status")["boot"]
	s.do("clear")
	op := []string{"on", "off"}[s.plays%2]
	s.plays++
	id := fmt.Sprintf("%s-%d", op, bytes)
	cut := s.cutter.cutNext(at, bytes)
	s.until("the unit does not connect", func() bool { return cut.came() && (cut.broken() || s.ready()) })
	if !cut.broken() {
		s.command(id, op)
		s.until("neither a cut nor an answer to "+id, func() bool { return cut.broken() || s.answered(id) && s.ready() })
	}
	came := cut.broken()
	s.do("advance 50") // it notices, or later, if the kernel is late to say so
	s.until("the unit does not come back", func() bool { return (!came || s.cutter.replaced(cut)) && s.ready() })
	s.command(id, op)
	s.until("no answer to "+id, func() bool { return s.answered(id) })
	s.advance(4 * step)
	first, second := s.do("slot 1 get"), s.do("slot 2 get")
	want := map[string]string{"on": "1", "off": "0"}[op]
	if first["pwr"] != want || first["pwr_edges"] != "1" || second["pwr"] != "1" || second["pwr_edges"] != "0" {
		s.t.Fatalf("cut at byte %d, %s: slot 1 %v, slot 2 %v", bytes, op, first, second)
	}
	if st := s.state(1); string(st.Power) != op || st.Last != id {
		s.t.Fatalf("cut at byte %d, %s: published %+v", bytes, op, st)
	}
	if now := s.do("status")["boot"]; now != boot {
		s.t.Fatalf("cut at byte %d: the unit has restarted", bytes)
	}
	s.do("advance 31000") // up that long, the unit tries again soon when the connection breaks
	s.mu.Lock()
	s.log = s.log[:0]
	s.mu.Unlock()
	return came
}

// ready tells whether the unit is connected and has said all that it has to say.
func (s *cutSession) ready() bool {
	s.t.Helper()
	st := s.do("status")
	return st["online"] == "1" && st["settled"] == "1"
}

// until lets the unit's time pass, two minutes at most, until something holds.
func (s *cutSession) until(otherwise string, done func() bool) {
	s.t.Helper()
	for range 600 {
		if done() {
			return
		}
		s.do("advance 200")
	}
	s.t.Fatal(otherwise)
}

func (s *cutSession) command(id, op string) {
	s.t.Helper()
	st := s.do("status")
	s.boss.Send(s.t, bus.Root+"/bpu/"+unitID+"/slot/1/cmd",
		fmt.Sprintf(`{"id":%q,"op":%q,"epoch":1,"boot":%s,"exp":%d}`, id, op, st["boot"], st.Int("up")+300), false)
}

// answered tells whether the unit has said that a command is, or was, taken.
func (s *cutSession) answered(id string) bool {
	s.t.Helper()
	s.sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.log {
		ack, err := bus.DecodeAck(m.Payload)
		if err == nil && m.Topic == "bpu/"+unitID+"/slot/1/ack" && ack.ID == id && ack.Code.OK() {
			return true
		}
	}
	return false
}
