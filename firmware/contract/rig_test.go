package contract

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"caddyshack/bus"
	"caddyshack/bus/bustest"
	"caddyshack/firmware/bpusim"
)

const unitID = "bpu-1"

// rig is a unit with a hand-driven clock on a broker, and a controller that hears all of it.
type rig struct {
	t    testing.TB
	at   endpoint
	unit *bpusim.Unit
	boss *bustest.Listener
	ping chan string
	n    int

	mu       sync.Mutex
	log      []bus.Message // published by the unit or its will
	retained map[string]bus.Message
}

func newRig(t testing.TB, at endpoint) *rig {
	r := &rig{t: t, at: at, ping: make(chan string, 16), retained: map[string]bus.Message{}}
	r.connectBoss()
	return r
}

func (r *rig) connectBoss() {
	own := bus.Root + "/bpu/" + unitID
	var filters []string
	for _, leaf := range []string{"status", "info", "telemetry", "ack", "slot/+/state", "slot/+/telemetry", "slot/+/event", "slot/+/ack", "ping"} {
		filters = append(filters, own+"/"+leaf)
	}
	r.boss = bustest.Listen(r.t, r.at.controller, bustest.ControllerUser, filters...)
	heard := r.boss.Heard
	go func() {
		for {
			select {
			case m := <-heard:
				r.hear(m)
			case <-r.t.Context().Done():
				return
			}
		}
	}()
}

func (r *rig) hear(m bus.Message) {
	topic := strings.TrimPrefix(m.Topic, bus.Root+"/")
	if strings.HasSuffix(topic, "/ping") {
		r.ping <- string(m.Payload)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m.Topic = topic
	if !m.Retained {
		r.log = append(r.log, m)
	}
	if strings.HasSuffix(topic, "/state") || strings.HasSuffix(topic, "/status") || strings.HasSuffix(topic, "/info") {
		r.retained[topic] = m
	}
}

func (r *rig) start(args ...string) {
	r.t.Helper()
	args = append([]string{"--broker", r.at.unit, "--id", unitID, "--user", unitID, "--password", bustest.Password(unitID),
		"--clock", "manual"}, args...)
	if r.at.key != "" {
		args = append(args, "--key", r.at.key)
	}
	var err error
	if r.unit, err = bpusim.Start(bpusim.Config{Program: program, Args: args, Log: bustest.Log(r.t)}); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.unit.Close)
}

// do tells the unit something.
func (r *rig) do(format string, args ...any) bpusim.Answer {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 3*bustest.Patience)
	defer cancel()
	a, err := r.unit.Do(ctx, fmt.Sprintf(format, args...))
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// advance moves the unit's clock and returns when all that it has said was heard.
func (r *rig) advance(d time.Duration) bpusim.Answer {
	r.t.Helper()
	a := r.do("advance %d", d.Milliseconds())
	r.sync()
	return a
}

func (r *rig) sync() {
	r.t.Helper()
	r.n++
	want := strconv.Itoa(r.n)
	r.boss.Send(r.t, bus.Root+"/bpu/"+unitID+"/ping", want, false)
	late := time.After(bustest.Patience)
	for {
		select {
		case got := <-r.ping:
			if got == want {
				return
			}
		case <-late:
			r.t.Fatalf("the broker has not delivered ping %s within %v", want, bustest.Patience)
		}
	}
}

// send publishes to the unit, and waits until it has it if it is connected.
func (r *rig) send(topic, payload string, retained bool) {
	r.t.Helper()
	online, before, boot := false, 0, ""
	if r.unit != nil {
		a := r.do("status")
		online, before, boot = a["online"] == "1", a.Int("received"), a["boot"]
	}
	r.boss.Send(r.t, bus.Root+"/"+topic, payload, retained)
	for deadline := time.Now().Add(bustest.Patience); online; {
		a := r.do("settle")
		if a.Int("received") > before || a["online"] != "1" || a["boot"] != boot {
			break
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("the unit never got the message to %s", topic)
		}
	}
}

// comeUp does something and lets time pass until the unit has said anew that it is online.
func (r *rig) comeUp(do func()) {
	r.t.Helper()
	before := r.onlines()
	do()
	for range 4000 {
		if r.advance(50 * time.Millisecond); r.onlines() > before {
			return
		}
	}
	r.t.Fatal("the unit does not come online")
}

func (r *rig) onlines() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.log {
		if m.Topic == "bpu/"+unitID+"/status" && string(m.Payload) == string(bus.Online) {
			n++
		}
	}
	return n
}

// state is what the broker holds of a slot.
func (r *rig) state(slot int) bus.State {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	st, err := bus.DecodeState(r.retained[fmt.Sprintf("bpu/%s/slot/%d/state", unitID, slot)].Payload)
	if err != nil {
		r.t.Fatalf("state of slot %d: %v", slot, err)
	}
	return st
}

// fits tells whether a payload has all key=value pairs, as bus/testdata/README.md defines.
func fits(payload []byte, pairs []string) bool {
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(payload, &fields)
	for _, p := range pairs {
		k, want, _ := strings.Cut(p, "=")
		if k == "text" {
			return string(payload) == want
		}
		raw, ok := fields[k]
		if !ok {
			return false
		}
		got, found := strings.Trim(string(raw), `"`), want == "*"
		for one := range strings.SplitSeq(want, "|") {
			found = found || one == got
		}
		if !found {
			return false
		}
	}
	return true
}
