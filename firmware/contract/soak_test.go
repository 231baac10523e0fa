package contract

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"caddyshack/bus"
	"caddyshack/bus/bustest"
)

// soakTime is how long the soak runs: BPU_SOAK (such as 30m), else two minutes, or five seconds with -short.
func soakTime(t *testing.T) time.Duration {
	if s := os.Getenv("BPU_SOAK"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatalf("BPU_SOAK: %v", err)
		}
		return d
	}
	if testing.Short() {
		return 5 * time.Second
	}
	return 2 * time.Minute
}

// soak is a unit, its broker, and what was last commanded.
type soak struct {
	*rig
	broker *mosquitto
	random *rand.Rand
	want   map[int]string // on or off by slot; missing = not known
	id     int
	counts map[string]int
}

// TestSoak restarts broker, unit and power at random moments between and within commands. Whenever it has calmed down,
// what was commanded, what is published and what is read back must be the same.
func TestSoak(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	m := newMosquitto(t, newIdentity(t), unitID)
	s := &soak{
		rig: newRig(t, m.endpoint), broker: m, random: rand.New(rand.NewPCG(seed, 1)),
		want: map[int]string{1: "off", 2: "off", 3: "off"}, counts: map[string]int{},
	}
	s.send("controller/status", "ready", true)
	s.comeUp(func() { s.start("--policy", "last", "--stagger-ms", "200", "--hold-s", "10") })
	for end := time.Now().Add(soakTime(t)); time.Now().Before(end); {
		for range 1 + s.random.IntN(6) {
			s.disturb()
		}
		s.calm()
		s.check()
	}
	t.Logf("rounds %d, %v", s.counts["rounds"], s.counts)
}

func (s *soak) disturb() {
	switch n := s.random.IntN(20); {
	case n < 12:
		s.try()
	case n < 14:
		s.counts["broker restarts"]++
		s.broker.stop()
		s.do("advance %d", s.random.IntN(3000))
		s.broker.start(s.t)
		if err := s.boss.WaitConnected(bustest.Context(s.t)); err != nil {
			s.t.Fatal(err)
		}
		s.sayReady()
	case n < 15:
		// What was wanted reaches the flash within a second; before that a loss of power goes back to the wish before.
		s.counts["power cuts"]++
		s.do("advance 1500")
		s.do("power_loss %d", 100+s.random.IntN(3000))
	case n < 16:
		s.counts["resets"]++
		s.do("mcu_reset")
	case n < 18:
		s.counts["resets within work"]++
		s.do("mcu_reset %d", s.random.IntN(4000))
		s.try()
	default:
		s.counts["network losses"]++
		s.do("network down")
		s.do("advance %d", s.random.IntN(5000))
		s.do("network up")
	}
	s.do("advance %d", s.random.IntN(4000))
}

// sayReady tells the unit that the controller is there; a connection that was
// just made may still break once.
func (s *soak) sayReady() {
	s.t.Helper()
	m := bus.Message{Topic: bus.ControllerStatusTopic, Payload: []byte(bus.Ready), QoS: 1, Retained: true}
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := s.boss.WaitConnected(bustest.Context(s.t))
		if err == nil {
			err = s.boss.Publish(bustest.Context(s.t), m)
		}
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("telling the unit that the controller is ready: %v", err)
		}
	}
}

// try sends a command that may get lost; what it does to the slot is then not known.
func (s *soak) try() {
	slot := 1 + s.random.IntN(3)
	op := []string{"on", "off", "shutdown", "cycle", "reset", "identify"}[s.random.IntN(6)]
	s.id++
	id := fmt.Sprintf("s%d", s.id)
	s.counts["commands"]++
	st := s.do("status")
	if st["online"] != "1" {
		return
	}
	s.mu.Lock()
	from := len(s.log)
	s.mu.Unlock()
	topic := fmt.Sprintf("bpu/%s/slot/%d/", unitID, slot)
	s.send(topic+"cmd", fmt.Sprintf(`{"id":%q,"op":%q,"epoch":1,"boot":%s,"exp":%d}`, id, op, st["boot"], st.Int("up")+30), false)
	for range 20 {
		s.advance(20 * time.Millisecond)
		s.mu.Lock()
		fresh := s.log[from:]
		s.mu.Unlock()
		for _, m := range fresh {
			if ack, err := bus.DecodeAck(m.Payload); err == nil && m.Topic == topic+"ack" && ack.ID == id {
				s.note(slot, op, ack.Code)
				return
			}
		}
	}
	if op != "identify" && op != "reset" {
		delete(s.want, slot)
	}
	s.counts["commands lost"]++
}

func (s *soak) note(slot int, op string, code bus.Code) {
	if !code.OK() {
		return
	}
	switch op {
	case "on", "cycle":
		s.want[slot] = "on"
	case "off", "shutdown":
		s.want[slot] = "off"
	}
}

// calm waits until the unit is online and nothing is under way: a shutdown that waits in vain takes 90 s.
func (s *soak) calm() {
	s.do("network up")
	for range 8 {
		s.advance(15 * time.Second)
	}
	for range 200 {
		if s.advance(time.Second)["online"] == "1" {
			s.advance(time.Second)
			return
		}
	}
	s.t.Fatal("the unit does not come online")
}

func (s *soak) check() {
	s.counts["rounds"]++
	for slot := 1; slot <= 3; slot++ {
		hardware, published := s.do("slot %d get", slot), s.state(slot)
		on := hardware["pwr"] == "1"
		known := s.want[slot] != ""
		if string(published.Want) == "" || hardware["pgood"] != hardware["pwr"] || published.PGood != on ||
			(published.Power == bus.PowerOn) != on || (published.Want == bus.PowerOn) != on ||
			known && string(published.Want) != s.want[slot] {
			s.t.Fatalf("slot %d after %v: commanded %q, published %+v, hardware %v", slot, s.counts, s.want[slot], published, hardware)
		}
		s.want[slot] = string(published.Want)
	}
	s.mu.Lock()
	s.log = s.log[:0]
	s.mu.Unlock()
}
