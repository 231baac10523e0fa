package contract

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"caddyshack/bus"
	"caddyshack/bus/bustest"
)

const step = 50 * time.Millisecond

func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../bus/testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	id := newIdentity(t)
	brokers := map[string]func(t *testing.T) endpoint{
		"embedded":      func(t *testing.T) endpoint { return plain(bustest.Embedded(t, unitID)) },
		"mosquitto":     func(t *testing.T) endpoint { return plain(bustest.Mosquitto(t, unitID)) },
		"embedded-tls":  func(t *testing.T) endpoint { return embeddedTLS(t, id, unitID) },
		"mosquitto-tls": func(t *testing.T) endpoint { return newMosquitto(t, id, unitID).endpoint },
	}
	for name, start := range brokers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, file := range files {
				t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
					t.Parallel()
					playFile(t, file, start(t))
				})
			}
		})
	}
}

func playFile(t *testing.T, file string, at endpoint) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &scenario{rig: newRig(t, at), queued: map[int]bool{}, unit: map[string]string{}, slot: map[string]map[int]string{}}
	for n, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if err := s.play(line); err != nil {
			t.Fatalf("%s:%d: %s: %v", file, n+1, line, err)
		}
	}
}

// scenario plays one conversation of bus/testdata/scenarios.
type scenario struct {
	*rig
	queued map[int]bool // messages of the log that were taken out of their queue
	marked int          // where the log began at the last mark
	unit   map[string]string
	slot   map[string]map[int]string
}

var (
	placeholder = regexp.MustCompile(`\{(id|boot|up|pad:\d+)([+-]\d+)?\}`)
	byteEscape  = regexp.MustCompile(`\\x[0-9a-f]{2}`)
)

func (s *scenario) fill(line string) string {
	return placeholder.ReplaceAllStringFunc(line, func(m string) string {
		p := placeholder.FindStringSubmatch(m)
		plus, _ := strconv.Atoi(p[2])
		switch p[1] {
		case "id":
			return unitID
		case "boot", "up":
			return strconv.Itoa(s.do("status").Int(p[1]) + plus)
		default:
			n, _ := strconv.Atoi(strings.TrimPrefix(p[1], "pad:"))
			return strings.Repeat("x", n)
		}
	})
}

func (s *scenario) play(raw string) error {
	word, rest, _ := strings.Cut(s.fill(raw), " ")
	args := strings.Split(rest, " ")
	switch word {
	case "given":
		s.given(args)
	case "start":
		s.comeUp(s.begin)
	case "controller":
		s.send("controller/status", rest, true)
	case "send":
		topic, payload, _ := strings.Cut(rest, " ")
		payload, retained := strings.CutPrefix(payload, "retain=1 ")
		s.send(topic, byteEscape.ReplaceAllStringFunc(payload, func(m string) string {
			n, _ := strconv.ParseUint(m[2:], 16, 8)
			return string([]byte{byte(n)})
		}), retained)
	case "expect":
		return s.expect(args)
	case "retained":
		return s.expectRetained(args)
	case "quiet":
		return s.quiet(args)
	case "order":
		return s.order(args)
	case "mark":
		s.advance(0)
		s.mu.Lock()
		s.marked = len(s.log)
		s.mu.Unlock()
		s.do("clear")
	case "tick":
		n, err := strconv.Atoi(rest)
		s.advance(time.Duration(n) * time.Second)
		return err
	case "hardware":
		return s.hardware(args)
	case "mcu_reset":
		s.comeUp(func() { s.do("mcu_reset") })
	case "powerloss":
		s.comeUp(func() { s.do("power_loss 2000") })
	case "disconnect":
		s.do("network down")
		s.awaitWill()
	case "reconnect":
		s.comeUp(func() { s.do("network up") })
	case "assert":
		return s.assert(args)
	default:
		return fmt.Errorf("unknown directive %q", word)
	}
	return nil
}

func (s *scenario) given(args []string) {
	slot := 0
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		switch {
		case k == "slot":
			slot, _ = strconv.Atoi(v)
		case slot == 0:
			s.unit[k] = v
		default:
			if s.slot[k] == nil {
				s.slot[k] = map[int]string{}
			}
			s.slot[k][slot] = v
		}
	}
}

// list makes an option's value of one value per slot.
func (s *scenario) list(key, otherwise string) string {
	n, _ := strconv.Atoi(s.unit["slots"])
	values := make([]string, max(n, 3))
	for i := range values {
		if values[i] = s.slot[key][i+1]; values[i] == "" {
			values[i] = otherwise
		}
	}
	return strings.Join(values, ",")
}

func (s *scenario) begin() {
	var args []string
	for option, d := range map[string][2]string{
		"--slots": {"slots", "3"}, "--index": {"index", "0"}, "--boot": {"boot", "1"}, "--policy": {"policy", "off"},
		"--hold-s": {"hold_s", "300"}, "--stagger-ms": {"stagger_ms", "1000"},
	} {
		v := s.unit[d[0]]
		if v == "" {
			v = d[1]
		}
		args = append(args, option, v)
	}
	power := strings.NewReplacer("on", "1", "off", "0").Replace(s.list("power", "off"))
	s.start(append(args, "--types", s.list("type", "1"), "--always-on", s.list("always_on", "0"), "--power", power)...)
	for slot, v := range s.slot["honours_shutdown"] {
		s.do("slot %d set honours_shutdown=%s", slot, v)
	}
	for key, slots := range map[string]map[int]string{"halt_ms": s.slot["halt_s"], "boot_ms": s.slot["boot_s"]} {
		for slot, v := range slots {
			seconds, err := strconv.Atoi(v)
			if err != nil {
				s.t.Fatal(err)
			}
			s.do("slot %d set %s=%d", slot, key, seconds*1000)
		}
	}
}

// take drops messages of a topic's queue until one fits.
func (s *scenario) take(topic string, pairs []string) (found bool, passed []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := s.marked; i < len(s.log); i++ {
		m := s.log[i]
		if s.queued[i] || m.Topic != topic {
			continue
		}
		s.queued[i] = true
		if fits(m.Payload, pairs) {
			return true, nil
		}
		passed = append(passed, string(m.Payload))
	}
	return false, passed
}

// awaitWill returns when the broker has noticed that the unit is gone, for which
// it takes its own time and not the unit's; scenarios look at what it said.
func (s *scenario) awaitWill() {
	s.t.Helper()
	gone := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return string(s.retained["bpu/"+unitID+"/status"].Payload) == string(bus.Offline)
	}
	for deadline := time.Now().Add(bustest.Patience); !gone() && time.Now().Before(deadline); {
		s.sync()
	}
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
	var heard []string
	for passed := time.Duration(0); passed <= within; passed += step {
		found, others := s.take(topic, args)
		if found {
			return nil
		}
		heard = append(heard, others...)
		s.advance(step)
	}
	return fmt.Errorf("no such message within %v; heard:\n%s", within, strings.Join(heard, "\n"))
}

func (s *scenario) expectRetained(args []string) error {
	var last string
	for passed := time.Duration(0); passed <= 5*time.Second; passed += step {
		s.mu.Lock()
		m, there := s.retained[args[0]]
		s.mu.Unlock()
		if args[1] == "none" && !there || there && fits(m.Payload, args[1:]) {
			return nil
		}
		last = string(m.Payload)
		s.advance(step)
	}
	return fmt.Errorf("the broker holds %q", last)
}

func (s *scenario) quiet(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	s.advance(time.Duration(n) * time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := s.marked; i < len(s.log); i++ {
		if !s.queued[i] && s.log[i].Topic == args[1] {
			return fmt.Errorf("heard %s", s.log[i].Payload)
		}
	}
	return nil
}

func (s *scenario) order(topics []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var heard []string
	for _, m := range s.log[s.marked:] {
		if !strings.HasSuffix(m.Topic, "/telemetry") {
			heard = append(heard, m.Topic)
		}
	}
	if len(heard) < len(topics) || !slices.Equal(heard[:len(topics)], topics) {
		return fmt.Errorf("heard in this order: %q", heard)
	}
	return nil
}

func (s *scenario) hardware(args []string) error {
	slot := strings.TrimPrefix(args[0], "slot=")
	switch k, v, _ := strings.Cut(args[1], "="); {
	case k == "pgood" || k == "alive":
		s.do("slot %s set %s=%s", slot, k, v)
	case k == "type" && v == "0":
		s.do("slot %s remove", slot)
	case k == "type":
		s.do("slot %s insert %s", slot, v)
	case k == "button":
		press := map[string]int{"short": 200, "long": 2500}[v]
		s.do("slot %s press %d", slot, press)
		s.advance(time.Duration(press)*time.Millisecond + 2*step)
	default:
		return fmt.Errorf("unknown hardware %q", args[1])
	}
	return nil
}

func (s *scenario) assert(args []string) error {
	have := s.do("slot %s get", strings.TrimPrefix(args[0], "slot="))
	for _, a := range args[1:] {
		if k, v, _ := strings.Cut(a, "="); have[k] != v {
			return fmt.Errorf("%s is %s", k, have[k])
		}
	}
	return nil
}
