package unit

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"caddyshack/bus"
)

const scenarioStep = 50 * time.Millisecond

// rig is a broker, a unit under test and its clock.
type rig interface {
	// begin makes and starts the unit; heard gets all that it publishes.
	begin(t *testing.T, cfg Config, foundOn []bool, heard func(bus.Message))
	// advance lets at most scenarioStep pass and waits until the unit has said what it has to say.
	advance(d time.Duration)
	publish(topic, payload string, retained bool)
	held(topic string) (string, bool)
	mcuReset()
	powerLoss(d time.Duration)
	disconnect()
	reconnect()
	// hardware changes the unit's hardware; the unit reacts.
	hardware(change func(c *core))
}

// scenario plays one file of bus/testdata/scenarios, as its README defines.
type scenario struct {
	t    *testing.T
	rig  rig
	cfg  Config
	on   []bool
	devs []*testDevice

	mu     sync.Mutex
	queues map[string][]bus.Message
	order  []string
	online int // status online heard, in total
	boot   int
}

func playScenarios(t *testing.T, newRig func(t *testing.T) rig) {
	files, err := filepath.Glob("../../bus/testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			s := newScenario(t, newRig(t))
			lines := bufio.NewScanner(f)
			for n := 1; lines.Scan(); n++ {
				line := lines.Text()
				if line == "" || line[0] == '#' {
					continue
				}
				if err := s.play(line); err != nil {
					t.Fatalf("%s:%d: %s\n%v", file, n, line, err)
				}
			}
		})
	}
}

func newScenario(t *testing.T, r rig) *scenario {
	s := &scenario{t: t, rig: r, queues: map[string][]bus.Message{}, on: make([]bool, bus.MaxSlots)}
	s.cfg = Config{ID: "bpu-1", Policy: bus.PolicyOff, Hold: 300 * time.Second, Stagger: time.Second, Store: &Memory{},
		Slots: make([]SlotConfig, 3), MAC: "5c:cf:7f:00:00:01"}
	for range bus.MaxSlots {
		s.devs = append(s.devs, &testDevice{honours: true, haltAfter: 3 * time.Second, bootAfter: 2 * time.Second})
	}
	for i := range s.cfg.Slots {
		s.cfg.Slots[i] = SlotConfig{Type: bus.TypePi, Device: s.devs[i]}
	}
	return s
}

func (s *scenario) heard(m bus.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	topic := strings.TrimPrefix(m.Topic, bus.Root+"/")
	if strings.HasSuffix(topic, "/cmd") {
		return
	}
	s.queues[topic] = append(s.queues[topic], m)
	if !strings.HasSuffix(topic, "/telemetry") {
		s.order = append(s.order, topic)
	}
	if strings.HasSuffix(topic, "/status") && string(m.Payload) == "online" {
		s.online++
	}
	if i, err := bus.DecodeInfo(m.Payload); err == nil && strings.HasSuffix(topic, "/info") {
		s.boot = int(i.Boot)
	}
}

var placeholder = regexp.MustCompile(`\{(id|boot|up|pad:\d+)([+-]\d+)?\}`)
var byteEscape = regexp.MustCompile(`\\x[0-9a-f]{2}`)

func (s *scenario) fill(line string) string {
	return placeholder.ReplaceAllStringFunc(line, func(m string) string {
		p := placeholder.FindStringSubmatch(m)
		plus, _ := strconv.Atoi(p[2])
		switch p[1] {
		case "id":
			return s.cfg.ID
		case "boot":
			s.mu.Lock()
			defer s.mu.Unlock()
			return strconv.Itoa(s.boot + plus)
		case "up":
			var up uint32
			s.rig.hardware(func(c *core) { up = c.uptime() })
			return strconv.Itoa(int(up) + plus)
		default:
			n, _ := strconv.Atoi(strings.TrimPrefix(p[1], "pad:"))
			return strings.Repeat("x", n)
		}
	})
}

func (s *scenario) play(raw string) error {
	line := s.fill(raw)
	word, rest, _ := strings.Cut(line, " ")
	args := strings.Split(rest, " ")
	switch word {
	case "given":
		return s.given(args)
	case "start":
		return s.comeUp(func() { s.rig.begin(s.t, s.cfg, s.on, s.heard) })
	case "controller":
		s.rig.publish("controller/status", rest, true)
	case "send":
		topic, payload, _ := strings.Cut(rest, " ")
		payload, retained := strings.CutPrefix(payload, "retain=1 ")
		payload = byteEscape.ReplaceAllStringFunc(payload, func(m string) string {
			n, _ := strconv.ParseUint(m[2:], 16, 8)
			return string([]byte{byte(n)})
		})
		s.rig.publish(topic, payload, retained)
	case "expect":
		return s.expect(args)
	case "retained":
		return s.retained(args)
	case "quiet":
		return s.quiet(args)
	case "order":
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.order) < len(args) || !slices.Equal(s.order[:len(args)], args) {
			return fmt.Errorf("heard in this order: %q", s.order)
		}
	case "mark":
		s.mark()
	case "tick":
		n, err := strconv.Atoi(rest)
		s.advance(time.Duration(n) * time.Second)
		return err
	case "hardware":
		return s.hardware(args)
	case "mcu_reset":
		return s.comeUp(s.rig.mcuReset)
	case "powerloss":
		return s.comeUp(func() { s.rig.powerLoss(2 * time.Second) })
	case "disconnect":
		s.rig.disconnect()
	case "reconnect":
		return s.comeUp(s.rig.reconnect)
	case "assert":
		return s.assert(args)
	default:
		return fmt.Errorf("unknown directive %q", word)
	}
	return nil
}

func pair(s string) (string, string, error) {
	k, v, ok := strings.Cut(s, "=")
	if !ok {
		return "", "", fmt.Errorf("%q: want key=value", s)
	}
	return k, v, nil
}

func (s *scenario) given(args []string) error {
	slot := -1
	for _, a := range args {
		k, v, err := pair(a)
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(v)
		switch k {
		case "slot":
			slot = n - 1
		case "id":
			s.cfg.ID = v
		case "slots":
			for len(s.cfg.Slots) < n {
				s.cfg.Slots = append(s.cfg.Slots, SlotConfig{Type: bus.TypePi, Device: s.devs[len(s.cfg.Slots)]})
			}
		case "index":
			s.cfg.Index = n
		case "boot":
			s.cfg.Store = &Memory{kept: Kept{Boot: uint32(n - 1)}}
		case "policy":
			s.cfg.Policy = bus.Policy(v)
		case "hold_s":
			s.cfg.Hold = time.Duration(n) * time.Second
		case "stagger_ms":
			s.cfg.Stagger = time.Duration(n) * time.Millisecond
		case "type":
			s.cfg.Slots[slot].Type = n
		case "power":
			s.on[slot] = v == "on"
		case "always_on":
			s.cfg.Slots[slot].AlwaysOn = v == "1"
		case "honours_shutdown":
			s.devs[slot].honours = v == "1"
		case "halt_s":
			s.devs[slot].haltAfter = time.Duration(n) * time.Second
		case "boot_s":
			s.devs[slot].bootAfter = time.Duration(n) * time.Second
		default:
			return fmt.Errorf("unknown key %q", k)
		}
	}
	return nil
}

// comeUp does something after which the unit comes online anew.
func (s *scenario) comeUp(do func()) error {
	s.mu.Lock()
	before := s.online
	s.mu.Unlock()
	do()
	return s.until(10*time.Second, func() bool { return s.online > before }, "the unit does not come online")
}

// until lets time pass until ok, which is called with the lock held.
func (s *scenario) until(within time.Duration, ok func() bool, what string) error {
	for passed := time.Duration(0); ; passed += scenarioStep {
		s.mu.Lock()
		done := ok()
		s.mu.Unlock()
		if done {
			return nil
		}
		if passed >= within {
			return fmt.Errorf("%s within %v", what, within)
		}
		s.rig.advance(scenarioStep)
	}
}

func (s *scenario) advance(d time.Duration) {
	for ; d > 0; d -= scenarioStep {
		s.rig.advance(min(d, scenarioStep))
	}
}

func (s *scenario) mark() {
	s.rig.advance(0)
	s.mu.Lock()
	clear(s.queues)
	s.order = nil
	s.mu.Unlock()
	s.rig.hardware(func(c *core) {
		for _, sl := range c.slots {
			sl.edges, sl.shdn, sl.resets = 0, 0, 0
		}
	})
}

func (s *scenario) expect(args []string) error {
	topic, args, within := args[0], args[1:], 5*time.Second
	if len(args) > 0 && strings.HasPrefix(args[0], "within=") {
		n, err := strconv.Atoi(args[0][len("within="):])
		if err != nil {
			return err
		}
		within, args = time.Duration(n)*time.Second, args[1:]
	}
	var passed []string
	err := s.until(within, func() bool {
		for len(s.queues[topic]) > 0 {
			m := s.queues[topic][0]
			s.queues[topic] = s.queues[topic][1:]
			if matches(m.Payload, args) {
				return true
			}
			passed = append(passed, string(m.Payload))
		}
		return false
	}, "no such message")
	if err != nil {
		return fmt.Errorf("%w; heard:\n%s", err, strings.Join(passed, "\n"))
	}
	return nil
}

func matches(payload []byte, pairs []string) bool {
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(payload, &fields)
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		if k == "text" {
			return string(payload) == v
		}
		raw, ok := fields[k]
		if !ok || (v != "*" && !slices.Contains(strings.Split(v, "|"), strings.Trim(string(raw), `"`))) {
			return false
		}
	}
	return true
}

func (s *scenario) retained(args []string) error {
	var last string
	var there bool
	for passed := time.Duration(0); passed <= 5*time.Second; passed += scenarioStep {
		last, there = s.rig.held(args[0])
		if args[1] == "none" {
			if there {
				return fmt.Errorf("the broker holds %s", last)
			}
			return nil
		}
		if there && matches([]byte(last), args[1:]) {
			return nil
		}
		s.rig.advance(scenarioStep)
	}
	return fmt.Errorf("the broker holds %q (%t)", last, there)
}

func (s *scenario) quiet(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	s.rig.advance(0)
	s.advance(time.Duration(n) * time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queues[args[1]]; len(q) > 0 {
		return fmt.Errorf("heard %s", q[0].Payload)
	}
	return nil
}

func (s *scenario) hardware(args []string) error {
	_, v, err := pair(args[0])
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(v)
	key, v, err := pair(args[1])
	if err != nil {
		return err
	}
	var level *bool
	if v != "auto" {
		level = new(v == "1")
	}
	var pressed time.Duration
	s.rig.hardware(func(c *core) {
		sl := c.slots[n-1]
		switch {
		case key == "pgood":
			sl.stuckPGood = level
		case key == "alive":
			sl.stuckAlive = level
		case key == "type":
			typ, _ := strconv.Atoi(v)
			c.events(sl, sl.insert(c.now, typ))
		case key == "button" && v == "short":
			pressed = 200 * time.Millisecond
		case key == "button":
			pressed = 2500 * time.Millisecond
		default:
			err = fmt.Errorf("unknown key %q", key)
		}
	})
	if pressed > 0 {
		s.advance(pressed)
		s.rig.hardware(func(c *core) { sl := c.slots[n-1]; c.events(sl, sl.press(c.now, pressed)) })
	}
	return err
}

func (s *scenario) assert(args []string) error {
	_, v, err := pair(args[0])
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(v)
	var wrong []string
	s.rig.hardware(func(c *core) {
		sl := c.slots[n-1]
		have := map[string]int{"pwr_edges": sl.edges, "shdn_pulses": sl.shdn, "reset_pulses": sl.resets, "pwr": 0}
		if sl.pwr {
			have["pwr"] = 1
		}
		for _, a := range args[1:] {
			k, v, _ := strings.Cut(a, "=")
			if got, ok := have[k]; !ok || strconv.Itoa(got) != v {
				wrong = append(wrong, fmt.Sprintf("%s is %d", k, got))
			}
		}
	})
	if wrong != nil {
		return fmt.Errorf("%q", wrong)
	}
	return nil
}
