package bus

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

type example struct {
	name, direction string
	retained, valid bool
	topic           string
	payload         []byte
}

var byteEscape = regexp.MustCompile(`\\x[0-9a-f]{2}`)

func unescape(s string) []byte {
	return byteEscape.ReplaceAllFunc([]byte(s), func(m []byte) []byte {
		n, _ := strconv.ParseUint(string(m[2:]), 16, 8)
		return []byte{byte(n)}
	})
}

func examples(t *testing.T) []example {
	t.Helper()
	b, err := os.ReadFile("testdata/messages.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []example
	for i, line := range strings.Split(string(b), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 7 {
			t.Fatalf("messages.txt:%d: %d fields, want 7", i+1, len(f))
		}
		all = append(all, example{f[0], f[1], f[3] == "1", f[4] == "1", f[5], unescape(f[6])})
	}
	return all
}

// receive does what a receiver of a message does first.
func receive(topic string, retained bool, payload []byte) (any, error) {
	if topic == ControllerStatusTopic {
		return DecodeControllerStatus(payload)
	}
	t, err := ParseTopic(topic)
	if err != nil {
		return nil, err
	}
	switch t.Kind {
	case KindStatus:
		return DecodeStatus(payload)
	case KindInfo:
		return DecodeInfo(payload)
	case KindState:
		return DecodeState(payload)
	case KindEvent:
		return DecodeEvent(payload)
	case KindTelemetry:
		if t.Slot == 0 {
			return DecodeTelemetry(payload)
		}
		return DecodeSlotTelemetry(payload)
	}
	if retained {
		return nil, fmt.Errorf("%w: retained", ErrUnanswerable)
	}
	switch {
	case t.Kind == KindAck:
		return DecodeAck(payload)
	case t.Slot == 0:
		return DecodeUnitCommand(payload)
	default:
		return DecodeSlotCommand(payload)
	}
}

func TestExamples(t *testing.T) {
	t.Parallel()
	for _, e := range examples(t) {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			v, err := receive(e.topic, e.retained, e.payload)
			if (err == nil) != e.valid {
				t.Fatalf("decoding %s: error %v, want valid=%t", e.payload, err, e.valid)
			}
			answered := err != nil && !errors.Is(err, ErrUnanswerable)
			if e.direction == "in" && strings.HasPrefix(e.name, "nak-") != answered && strings.Contains(e.topic, "/bpu/") &&
				!strings.HasPrefix(e.name, "cmd-slot-") {
				t.Fatalf("error %v: answered=%t, the name says otherwise", err, answered)
			}
			if _, plain := v.(Status); err != nil || plain || len(e.payload) > 400 {
				return
			}
			// What was read and written again is read as the same.
			b, err := Encode(v)
			if err != nil {
				t.Fatal(err)
			}
			again, err := receive(e.topic, e.retained, b)
			if err != nil {
				t.Fatalf("reading back %s: %v", b, err)
			}
			if d := cmp.Diff(v, again); d != "" {
				t.Fatal(d)
			}
		})
	}
}

func TestDecodersSurviveAnything(t *testing.T) {
	t.Parallel()
	topics := []string{ControllerStatusTopic}
	for _, k := range []Kind{KindStatus, KindInfo, KindTelemetry, KindCommand, KindAck} {
		topics = append(topics, Topic{"bpu-1", 0, k}.String())
	}
	for _, k := range []Kind{KindState, KindTelemetry, KindEvent, KindCommand, KindAck} {
		topics = append(topics, Topic{"bpu-1", 3, k}.String())
	}
	var seeds []string
	for _, e := range examples(t) {
		seeds = append(seeds, string(e.payload))
	}
	rapid.Check(t, func(t *rapid.T) {
		p := []byte(rapid.SampledFrom(seeds).Draw(t, "seed"))
		for range rapid.IntRange(0, 4).Draw(t, "edits") {
			if len(p) > 0 {
				p[rapid.IntRange(0, len(p)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
			}
		}
		for _, topic := range topics {
			v, err := receive(topic, false, p)
			if s, ok := v.(State); ok && err == nil && (s.Type < 0 || s.Type > 15) {
				t.Fatalf("accepted %s", p)
			}
		}
	})
}

func TestTopics(t *testing.T) {
	t.Parallel()
	for _, want := range []Topic{{"bpu-1", 0, KindStatus}, {"a", 4, KindCommand}, {"bpu-00ff10", 1, KindState}} {
		got, err := ParseTopic(want.String())
		if err != nil || got != want {
			t.Errorf("ParseTopic(%q) = %+v, %v", want, got, err)
		}
	}
	for _, bad := range []string{"", "#", "+", "a+b", "a/b", "A", "ä", "bpu 1", "a.b", "*", ">", strings.Repeat("a", 24)} {
		if CheckUnitID(bad) == nil {
			t.Errorf("CheckUnitID(%q) accepts it", bad)
		}
	}
}
